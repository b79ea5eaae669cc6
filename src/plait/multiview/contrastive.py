"""Contrastive losses: embeddings of one item are drawn together in the joint space, those of two items apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.multiview.deep_cca import correlation_loss

__all__ = ["CONTRASTS", "LEARNT", "Contrast", "info_nce", "sigmoid_loss"]

LEARNT = ("info_nce", "sigmoid")
CONTRASTS = (*LEARNT, "cca", "none")


def info_nce(
    a: Float[Tensor, "n dim"],
    b: Float[Tensor, "n dim"],
    scale: Tensor | float,
    there: Bool[Tensor, " n"] | None = None,
    *,
    same: Bool[Tensor, "n n"] | None = None,
    asked: Bool[Tensor, "n n"] | None = None,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: which row of the other view is of the same item? Mean over both directions.

    As CLIP (Radford et al. 2021, figure 3; van den Oord et al. 2018, equation 4): cross-entropy of the cosines times
    ``scale`` (one over the temperature) along rows and along columns. Rows that lack one of the two views are left out;
    with fewer than two rows left the loss is 0.

    Args:
        a, b: two embeddings of the same items.
        scale: one over the temperature.
        there: which rows have both views.
        same: which rows belong together, the diagonal always. If several do, the mean of their log-probabilities is
            used (Khosla et al. 2020, "Supervised contrastive learning", equation 2). By default only the diagonal.
        asked: which rows are compared at all, those of ``same`` always. By default all.

    >>> round(float(info_nce(torch.eye(3), torch.eye(3), 1.0)), 4) == round(math.log(1 + 2 / math.e), 4)
    True
    """
    cosines, same, asked = _compared(a, b, there, same, asked)
    if len(cosines) < 2:
        return (a.sum() + b.sum()) * 0.0  # a zero with a gradient, as backward() needs one
    logits = (scale * cosines).masked_fill(~asked, -torch.inf)
    return (_cross_entropy(logits, same) + _cross_entropy(logits.T, same.T)) / 2


def _cross_entropy(logits: Tensor, same: Tensor) -> Tensor:
    # where, not a product: a row that is not asked has a log-probability of -inf, and -inf times 0 is NaN.
    found = torch.where(same, logits.log_softmax(-1), 0.0)
    return -(found.sum(-1) / same.sum(-1)).mean()


def sigmoid_loss(
    a: Float[Tensor, "n dim"],
    b: Float[Tensor, "n dim"],
    scale: Tensor | float,
    bias: Tensor | float,
    there: Bool[Tensor, " n"] | None = None,
    *,
    same: Bool[Tensor, "n n"] | None = None,
    asked: Bool[Tensor, "n n"] | None = None,
) -> Float[Tensor, ""]:
    """Sigmoid loss: each pair of rows by itself, of one item or not (SigLIP: Zhai et al. 2023, section 3.2).

    The sum over all pairs divided by the number of rows. It needs no softmax over the batch, so small batches suffice.
    ``same`` and ``asked`` as in `info_nce`.

    >>> round(float(sigmoid_loss(torch.eye(2), torch.eye(2), 0.0, 0.0)), 4) == round(2 * math.log(2), 4)
    True
    """
    cosines, same, asked = _compared(a, b, there, same, asked)
    if not len(cosines):
        return (a.sum() + b.sum()) * 0.0
    sign = 2 * same.to(a.dtype) - 1
    found = F.logsigmoid(sign * (scale * cosines + bias))
    return -torch.where(asked, found, 0.0).sum() / len(cosines)


def _compared(
    a: Tensor, b: Tensor, there: Tensor | None, same: Tensor | None, asked: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """For the rows that are there, [n, n] each: cosines, which belong together, which are compared."""
    if there is None:
        there = torch.ones(len(a), dtype=torch.bool, device=a.device)
    a, b = a[there], b[there]
    together = torch.eye(len(a), dtype=torch.bool, device=a.device)
    if same is not None:
        together = together | same[there][:, there]
    every = torch.ones_like(together) if asked is None else asked[there][:, there] | together
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T, together, every


class Contrast(nn.Module):
    """A loss over several embeddings of the same items: the mean over all pairs of them.

    Any embedding of an item is a view of it: those of its modalities, two augmented copies of one modality (as in
    SimCLR, Chen et al. 2020), or the output of the fusion.

    If groups of items are known (the person who moves or speaks, for example), ``within`` keeps the embedding from
    learning the groups instead of their content. An item is compared with items of its own group only, so features that
    a whole group shares do not help (conditional contrast, Ma et al. 2021, "Conditional contrastive learning for
    improving fairness in self-supervised learning").

    Args:
        kind: ``info_nce``, ``sigmoid``, ``cca`` (`plait.multiview.deep_cca.correlation_loss` divided by the width: from
            -1 to 0; the batch should be several times the width) or ``none`` (0).
        temperature: of the cosines at the start; it is learnt (and kept at 0.01 or above, as in CLIP), as is the bias
            of ``sigmoid``, which starts at -10.
        within: see above; not for ``cca`` and ``none``.

    Raises:
        ConfigError: another kind, a temperature that is not above 0, or ``within`` with a kind that cannot use it.

    >>> views = [torch.eye(4), torch.eye(4), torch.full((4, 4), float("nan"))]
    >>> there = torch.tensor([[True, True, False]]).expand(4, 3)
    >>> bool(Contrast("info_nce", 0.1)(views, there) < 0.001)
    True
    """

    def __init__(self, kind: str = "info_nce", temperature: float = 0.1, *, within: bool = False) -> None:
        super().__init__()
        if kind not in CONTRASTS or not temperature > 0:
            raise ConfigError(
                f"contrast {kind!r} at temperature {temperature}; expected one of {', '.join(CONTRASTS)}, above 0."
            )
        if within and kind not in LEARNT:
            raise ConfigError(f"contrast {kind!r} within groups; expected {' or '.join(LEARNT)}. Leave within out.")
        self.kind, self.within = kind, within
        if kind in LEARNT:
            self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        if kind == "sigmoid":
            self.bias = nn.Parameter(torch.tensor(-10.0))

    def forward(
        self,
        views: Sequence[Float[Tensor, "n dim"]],
        there: Bool[Tensor, "n views"] | None = None,
        groups: Shaped[Tensor, " n"] | None = None,
        same: Bool[Tensor, "n n"] | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of two or more embeddings of n items; values where ``there`` is False have no effect.

        Args:
            views: the embeddings.
            there: which items have which embeddings; by default all.
            groups: of the items; by default all are of one group.
            same: which items (columns) count as the same as each item (row), beside itself; not used by ``cca``.
        """
        if there is None:
            there = torch.ones(len(views[0]), len(views), dtype=torch.bool, device=views[0].device)
        # Before any product: a NaN under a mask would get into the gradient even with a weight of 0.
        seen = [torch.where(there[:, i : i + 1], x, 0.0) for i, x in enumerate(views)]
        if self.kind == "none" or len(seen) < 2:
            return sum((x.sum() for x in seen), start=torch.zeros(())) * 0.0
        if self.kind == "cca":
            return correlation_loss(seen, there) / seen[0].shape[1]
        asked = groups[:, None] == groups[None] if self.within and groups is not None else None
        rows = {"same": same, "asked": asked}
        pairs = [
            self._pair(seen[i], seen[j], there[:, i] & there[:, j], rows) for i, j in combinations(range(len(seen)), 2)
        ]
        return torch.stack(pairs).mean()

    def _pair(self, a: Tensor, b: Tensor, both: Tensor, rows: dict[str, Tensor | None]) -> Tensor:
        scale = self.log_scale.clamp(max=math.log(100.0)).exp()
        if self.kind == "sigmoid":
            return sigmoid_loss(a, b, scale, self.bias, both, **rows)
        return info_nce(a, b, scale, both, **rows)
