"""Contrastive losses: what is of one item comes to lie together in the joint space, what is of two apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.errors import ConfigError
from plait.joint.deep_cca import correlation_loss

__all__ = ["CONTRASTS", "Contrast", "info_nce", "sigmoid_loss"]

CONTRASTS = ("info_nce", "sigmoid", "cca", "none")


def info_nce(
    a: Float[Tensor, "n dim"], b: Float[Tensor, "n dim"], scale: Tensor | float, there: Bool[Tensor, " n"] | None = None
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: which of the others' rows is mine? Mean over both directions.

    As CLIP (Radford et al. 2021, figure 3; van den Oord et al. 2018, equation 4): cross-entropy of the cosines times
    ``scale`` (one over the temperature) along rows and along columns. Rows that lack one of the two neither ask nor
    are asked about; with fewer than two rows there is nothing to tell apart, and the loss is 0.

    >>> float(info_nce(torch.eye(3), torch.eye(3), 100.0))
    0.0
    """
    cosines, truth = _cosines(a, b, there)
    if len(truth) < 2:
        return (a.sum() + b.sum()) * 0.0
    logits = scale * cosines
    return (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2


def sigmoid_loss(
    a: Float[Tensor, "n dim"],
    b: Float[Tensor, "n dim"],
    scale: Tensor | float,
    bias: Tensor | float,
    there: Bool[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    """Each pair of rows by itself: of one item, or not? (SigLIP: Zhai et al. 2023, section 3.2.)

    The sum over all pairs divided by the rows. It needs no softmax over the batch, so small batches suffice.

    >>> round(float(sigmoid_loss(torch.eye(2), torch.eye(2), 0.0, 0.0)), 4) == round(2 * math.log(2), 4)
    True
    """
    cosines, truth = _cosines(a, b, there)
    if not len(truth):
        return (a.sum() + b.sum()) * 0.0
    sign = 2 * torch.eye(len(truth), device=a.device, dtype=a.dtype) - 1
    return -F.logsigmoid(sign * (scale * cosines + bias)).sum() / len(truth)


def _cosines(a: Tensor, b: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of the rows that are there, [n, n], and which belong together."""
    if there is not None:
        a, b = a[there], b[there]
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T, torch.arange(len(a), device=a.device)


class Contrast(nn.Module):
    """A loss over several embeddings of the same items: the mean over every two of them.

    Every two modalities of an item, two differently varied copies of one modality (as SimCLR, Chen et al. 2020), or
    what the fusion made of all: whatever embeds the item is a view of it.

    Args:
        kind: ``info_nce``, ``sigmoid``, ``cca`` (`plait.joint.deep_cca.correlation_loss` a width: from -1 to 0; the
            batch should be several times the width) or ``none`` (0).
        temperature: of the cosines at the start; it is learnt (kept at 0.01 or above, as in CLIP), as is the bias of
            ``sigmoid``, which starts at -10.

    Raises:
        ConfigError: another kind, or a temperature that is not above 0.

    >>> views = [torch.eye(4), torch.eye(4), torch.full((4, 4), float("nan"))]
    >>> there = torch.tensor([[True, True, False]]).expand(4, 3)
    >>> bool(Contrast("info_nce", 0.1)(views, there) < 0.001)
    True
    """

    def __init__(self, kind: str = "info_nce", temperature: float = 0.1) -> None:
        super().__init__()
        if kind not in CONTRASTS or not temperature > 0:
            raise ConfigError(
                f"contrast {kind!r} at temperature {temperature}; expected one of {', '.join(CONTRASTS)}, above 0."
            )
        self.kind = kind
        if kind in ("info_nce", "sigmoid"):
            self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        if kind == "sigmoid":
            self.bias = nn.Parameter(torch.tensor(-10.0))

    def forward(
        self, views: Sequence[Float[Tensor, "n dim"]], there: Bool[Tensor, "n views"] | None = None
    ) -> Float[Tensor, ""]:
        """The loss of two or more embeddings of n items; what stands under a False in ``there`` changes nothing."""
        if there is None:
            there = torch.ones(len(views[0]), len(views), dtype=torch.bool, device=views[0].device)
        seen = [torch.where(there[:, i : i + 1], x, 0.0) for i, x in enumerate(views)]
        if self.kind == "none" or len(seen) < 2:
            return sum((x.sum() for x in seen), start=torch.zeros(())) * 0.0
        if self.kind == "cca":
            return correlation_loss(seen, there) / seen[0].shape[1]
        pairs = [self._pair(seen[i], seen[j], there[:, i] & there[:, j]) for i, j in combinations(range(len(seen)), 2)]
        return torch.stack(pairs).mean()

    def _pair(self, a: Tensor, b: Tensor, both: Tensor) -> Tensor:
        scale = self.log_scale.clamp(max=math.log(100.0)).exp()
        if self.kind == "sigmoid":
            return sigmoid_loss(a, b, scale, self.bias, both)
        return info_nce(a, b, scale, both)
