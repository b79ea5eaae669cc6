"""The augmentation of a recipe, put on features."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from plait.models.model import Model
from plait.recipe import Augment
from plait.tokens import Tokens
from plait.tokens.augment import gain, jitter, rotate, time_warp

__all__ = ["vary"]


def vary(tokens: Mapping[str, Tokens], plan: Augment, model: Model, regular: Collection[str]) -> dict[str, Tokens]:
    """What ``plan`` says of a batch's features, drawn anew, but that nothing is hidden and no noise put on.

    Args:
        tokens: features as `ItemData` gives them, of some of the model's modalities.
        plan: the recipe's ``augment``.
        model: whose standardising tells how large the jitter is.
        regular: the modalities on a grid.
    """
    found = dict(tokens)
    for m, turn in plan.rotate.items():
        if m in found:
            found[m] = rotate(found[m], turn.degrees, turn.axis)
    for m, share in plan.scale.items():
        if m in found:
            found[m] = gain(found[m], share)
    if plan.warp:
        found = time_warp(found, plan.warp, set(regular) & found.keys())
    if plan.jitter:
        found = {m: jitter(t, model.spread(m), plan.jitter) for m, t in found.items()}
    return found
