"""Attention rollout: from which tokens a result of several attention layers comes.

Abnar & Zuidema 2020, "Quantifying attention flow in transformers" (ACL), section 3: the weights of each layer, mean
over heads, are averaged with the identity for the residual connection, and layers are multiplied. Attention is not
evidence: a model may attend to what does not move its answer (Jain & Wallace 2019, "Attention is not explanation",
NAACL).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.tokens.attention import AttentionLayer, CrossLayer
from plait.tokens.tokens import Tokens

__all__ = ["attended", "even", "rolled", "shares", "unit"]


@contextmanager
def attended(module: nn.Module) -> Iterator[list[Tensor]]:
    """The weights of every attention layer within a module, in the order of their calls, [batch, query, key] each."""
    seen: list[Tensor] = []

    def look(layer: AttentionLayer | CrossLayer, args: Any, kwargs: Any) -> None:
        seen.append(layer.weights(*args, **kwargs))

    layers = [part for part in module.modules() if isinstance(part, AttentionLayer | CrossLayer)]
    hooks = [layer.register_forward_pre_hook(look, with_kwargs=True) for layer in layers]
    try:
        with torch.no_grad():
            yield seen
    finally:
        for hook in hooks:
            hook.remove()


def rolled(
    weights: Float[Tensor, "batch query key"],
    source: Float[Tensor, "batch key tokens"],
    before: Float[Tensor, "batch query tokens"] | None = None,
) -> Float[Tensor, "batch query tokens"]:
    """One layer further: half of what is attended to, half of what was there.

    Args:
        weights: of the layer.
        source: from which tokens its keys come.
        before: from which its queries come; None: queries are the keys.

    >>> rolled(torch.tensor([[[0.5, 0.5], [0.0, 1.0]]]), torch.eye(2)[None]).tolist()
    [[[0.75, 0.25], [0.0, 1.0]]]
    """
    return 0.5 * weights @ source + 0.5 * (source if before is None else before)


def unit(parts: Sequence[Tokens]) -> list[Float[Tensor, "batch _ tokens"]]:
    """Each modality's tokens come from themselves: its rows of the identity over the tokens of all."""
    sizes = [t.mask.shape[1] for t in parts]
    whole = torch.eye(sum(sizes), device=parts[0].times.device).expand(parts[0].mask.shape[0], -1, -1)
    return list(whole.split(sizes, 1))


def even(parts: Sequence[Tokens]) -> list[Float[Tensor, "batch 1 _"]]:
    """Weights of a mean over each modality's tokens, present modalities alike."""
    count = torch.stack([t.present for t in parts]).sum(0).clamp(min=1)
    each = [t.mask / (t.mask.sum(1, keepdim=True).clamp(min=1) * count[:, None]) for t in parts]
    return [row[:, None] for row in each]


def shares(parts: Sequence[Tokens], flow: Float[Tensor, "batch 1 tokens"]) -> list[Float[Tensor, "batch _"]]:
    """The share of each modality's tokens; all together 1, and 0 where nothing was observed."""
    seen = torch.cat([t.mask for t in parts], 1)
    found = torch.where(seen, flow[:, 0], 0.0)
    total = found.sum(1, keepdim=True)
    return list((found / total.clamp(min=torch.finfo(found.dtype).tiny)).split([t.mask.shape[1] for t in parts], 1))
