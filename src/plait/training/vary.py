"""The augmentation of a recipe, put on features."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from plait.models.model import Model
from plait.recipe import Augment
from plait.tokens import Tokens
from plait.tokens.augment import crop_resize, gaussian_noise, random_gain, rotate

__all__ = ["vary"]


def vary(tokens: Mapping[str, Tokens], plan: Augment, model: Model, regular: Collection[str]) -> dict[str, Tokens]:
    """What ``plan`` says of a batch's features, drawn anew, but that nothing is hidden and no noise put on.

    Args:
        tokens: features as `ItemData` gives them, of some of the model's modalities.
        plan: the recipe's ``augment``.
        model: whose standardising tells how large the noise is.
        regular: the modalities on a grid.
    """
    found = dict(tokens)
    for m, turn in plan.rotate.items():
        if m in found:
            found[m] = rotate(found[m], turn.degrees, turn.axis)
    for m, share in plan.random_gain.items():
        if m in found:
            found[m] = random_gain(found[m], share)
    if plan.crop_resize:
        found = crop_resize(found, plan.crop_resize, set(regular) & found.keys())
    if plan.gaussian_noise:
        found = {m: gaussian_noise(t, model.spread(m), plan.gaussian_noise) for m, t in found.items()}
    return found
