"""Late fusion: in each item, more confident modalities count more."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.fusion import Fusion
from plait.fusion.late import Decision, share
from plait.tokens import Tokens
from plait.tokens.pooling import pooled

__all__ = ["Confidence"]


class Confidence(Decision):
    """A weighted mean of the modalities' own outputs, with weights per item.

    By ``gate``: the weights are the softmax over the modalities of a learned linear map of the mean and maximum of
    their tokens (a gating network: Jacobs et al. 1991, "Adaptive mixtures of local experts"; equal weights at the
    start). By ``entropy``: the softmax of the negative entropy of each modality's own probabilities, normalised by the
    largest possible entropy and multiplied by a learned sharpness (as in Zhang et al. 2023, "Provable dynamic fusion
    for low-quality multimodal data"; departure: they use the energy of the logits).

    Args:
        modalities: their names.
        dim: width of their tokens.
        by: ``gate`` or ``entropy``; values in units have no entropy.

    Raises:
        ConfigError: an unknown ``by``, or ``entropy`` for values in units (in `bind`).

    >>> fusion = Confidence(["a", "b"], 4, by="entropy")
    >>> fusion.bind(2, is_numeric=False)
    >>> sure, unsure = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 0.1]])
    >>> fusion.aggregate(torch.stack([sure, unsure]), torch.ones(2, 1)).round().tolist()
    [[9.0, 0.0]]
    """

    def __init__(self, modalities: list[str], dim: int, *, by: str = "gate") -> None:
        super().__init__(modalities, dim)
        if by not in ("gate", "entropy"):
            raise ConfigError(f"confidence: by is {by!r}; expected 'gate' or 'entropy'.")
        self.by = by
        if by == "entropy":
            # kept as a logarithm, so that it stays above 0: the less certain modality never counts more
            self.sharpness = nn.Parameter(torch.tensor(math.log(4.0)))
        else:
            gates = [nn.Linear(2 * dim, 1) for _ in self.modalities]
            for one in gates:
                nn.init.zeros_(one.weight)
                nn.init.zeros_(one.bias)
            self.gate = nn.ModuleList(gates)

    def bind(self, n_outputs: int, *, is_numeric: bool) -> None:
        super().bind(n_outputs, is_numeric=is_numeric)
        if is_numeric and self.by == "entropy":
            raise ConfigError(
                "confidence: by is 'entropy', but values in units have no entropy. Set by: gate, or classify."
            )

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        if self.by == "entropy":
            return Fusion.weights(self, tokens)
        vectors, there = pooled(self.complete(tokens).values())
        scores = torch.cat([gate(vectors[:, i]) for i, gate in enumerate(self.gate)], 1)
        found = share(scores, there)
        return {m: found[:, i] for i, m in enumerate(self.modalities) if m in tokens}

    def aggregate(
        self, outputs: Float[Tensor, "heads batch width"], weights: Float[Tensor, "heads batch"]
    ) -> Float[Tensor, "batch width"]:
        if self.by == "entropy":
            # detached: else a head could lower the loss by becoming overconfident, and so gain weight
            logs = outputs.detach().log_softmax(-1)
            entropy = -(logs.exp() * logs).sum(-1) / math.log(max(self.n_outputs, 2))
            weights = share(-self.sharpness.exp() * entropy, weights > 0, dim=0)
        return super().aggregate(outputs, weights)
