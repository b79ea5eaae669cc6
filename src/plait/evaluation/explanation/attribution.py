"""How much each part of an item speaks for the answer.

- `integrated_gradients`: Sundararajan, Taly & Yan 2017, "Axiomatic attribution for deep networks" (ICML), equation 1;
  by captum. The path begins at the mean of the training features. It sees only what has gradients: the deep heads, and
  not a wide part of fixed features, or ids of words.
- `occlusion`: each part is hidden in turn (Zeiler & Fergus 2014, "Visualizing and understanding convolutional
  networks", section 2.1), here as missing, which the model is trained for, and not as a grey patch.
- `sampled_shapley`: SHAP values of the parts by permutations (Štrumbelj & Kononenko 2014, "Explaining prediction models
  and individual predictions with feature contributions"; Lundberg & Lee 2017), what is hidden is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from plait.core.errors import ConfigError, need
from plait.evaluation.explanation.parts import Answer, Parts
from plait.tokens import Tokens

__all__ = ["METHODS", "integrated_gradients", "occlusion", "sampled_shapley"]

Method = Callable[[Answer, Parts], Tensor]


def integrated_gradients(answer: Answer, parts: Parts, *, steps: int = 24) -> Float[Tensor, "batch parts"]:
    """Attributions of the parts; they add up to the change of the answer's scalar from mean features to the item's.

    Args:
        answer: what is explained.
        parts: the items.
        steps: points of the path.

    Raises:
        MissingExtra: captum is not installed.
        ConfigError: no modality has gradients.
    """
    captum = need("captum.attr", "explain", "integrated gradients")
    model = answer.model
    names = [m for m in parts.names if not model.backbone.symbolic(m) and parts.tokens[m].mask.any()]
    if not names:
        raise ConfigError("integrated gradients: no modality has gradients, since all are ids. Choose occlusion.")
    clean = {m: t.clean() for m, t in parts.tokens.items()}
    batch = len(parts.there)

    def told(*values: Tensor) -> Tensor:
        times = len(values[0]) // batch
        tokens = {m: Tokens(*(x.repeat(times, *[1] * (x.ndim - 1)) for x in t)) for m, t in clean.items()}
        tokens |= {m: tokens[m].with_values(v) for m, v in zip(names, values)}
        return answer.repeated(times).scalar(tokens)

    values = tuple(torch.nan_to_num(clean[m].values) for m in names)
    start = tuple(
        torch.where(clean[m].mask[..., None], model.backbone.mean(m), 0.0).to(v) for m, v in zip(names, values)
    )
    found = captum.IntegratedGradients(told).attribute(values, start, n_steps=steps, method="gausslegendre")
    return parts.pooled({m: x.detach().sum(-1) for m, x in zip(names, found)})


@torch.no_grad()
def occlusion(answer: Answer, parts: Parts) -> Float[Tensor, "batch parts"]:
    """How much the answer's scalar falls without each part."""
    whole = answer.scalar(parts.tokens)
    found = torch.zeros(parts.there.shape)
    for part in parts.there.any(0).nonzero()[:, 0].tolist():
        gone = torch.zeros_like(parts.there)
        gone[:, part] = True
        found[:, part] = whole - answer.scalar(parts.without(gone))
    return torch.where(parts.there, found, 0.0)


@torch.no_grad()
def sampled_shapley(answer: Answer, parts: Parts, *, orders: int = 8, seed: int = 0) -> Float[Tensor, "batch parts"]:
    """Shapley values of the parts, mean over random orders in which they are hidden.

    Args:
        answer: what is explained.
        parts: the items.
        orders: how many orders; half of them are the others backwards.
        seed: draws them.
    """
    generator = torch.Generator().manual_seed(seed)
    used = parts.there.any(0).nonzero()[:, 0]
    found, order = torch.zeros(parts.there.shape), used
    for number in range(orders):
        order = order.flip(0) if number % 2 else used[torch.randperm(len(used), generator=generator)]
        gone, before = torch.zeros_like(parts.there), answer.scalar(parts.tokens)
        for part in order.tolist():
            gone[:, part] = True
            now = answer.scalar(parts.without(gone))
            found[:, part] += (before - now) / orders
            before = now
    return torch.where(parts.there, found, 0.0)


METHODS: dict[str, Method] = {
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
    "shapley": sampled_shapley,
}
"""Attribution methods by name."""
