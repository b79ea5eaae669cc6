"""Do two sides of an item belong together? A network that looks at the tokens of both; and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.tokens import Tokens, cat
from plait.tokens.attention import AttentionLayer, CrossLayer, relative, rotation

__all__ = ["Matcher", "distilled_nce", "hard_negatives", "matching_loss", "rows_of"]


class Matcher(nn.Module):
    """The tokens of one side look at those of the other, layer by layer; one number says whether they belong together.

    The multimodal encoder of ALBEF (Li et al. 2021, "Align before fuse", section 3.1): in each layer self-attention of
    the query's tokens, cross-attention to those of the index, a feed-forward part. Departures: pre-norm layers; rotary
    positions in seconds, from the first token of each side; the mean of the tokens in the place of a [CLS] token;
    either side may be of any modalities, which learnt vectors tell apart.

    Args:
        modalities: names.
        dim: width of the tokens, a multiple of ``2 * heads``.
        layers: of both attentions.
        heads: of attention.
        dropout: share set to 0 in training.
        periods: shortest and longest of the rotary positions, seconds.

    Raises:
        ConfigError: the width does not fit the heads.

    >>> match, t = Matcher(["a", "b"], 8), torch.arange(3.0).expand(2, 3)
    >>> sides = {m: Tokens(torch.randn(2, 3, 8), t, t < 2) for m in "ab"}
    >>> tuple(match(match.side(sides, ["a"]), match.side(sides, ["b"])).shape)
    (2,)
    """

    def __init__(
        self,
        modalities: Sequence[str],
        dim: int,
        *,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        periods: tuple[float, float] = (0.05, 100.0),
    ) -> None:
        super().__init__()
        if dim % (2 * heads):
            raise ConfigError(f"retrieve: width {dim} with {heads} heads; expected a width that 2 * heads divides.")
        self.modalities, self.periods, self.turned = list(modalities), periods, dim // heads
        self.kinds = nn.Parameter(torch.randn(len(self.modalities), dim) * 0.02)
        self.own = nn.ModuleList(AttentionLayer(dim, heads, 2 * dim, dropout) for _ in range(layers))
        self.across = nn.ModuleList(CrossLayer(dim, heads, 2 * dim, dropout) for _ in range(layers))
        self.norm, self.answer = nn.LayerNorm(dim), nn.Linear(dim, 1)

    def side(self, encoded: Mapping[str, Tokens], modalities: Sequence[str]) -> Tokens:
        """The tokens of some modalities as one sequence."""
        own = [(self.modalities.index(m), encoded[m].clean()) for m in modalities if m in encoded]
        return cat([t.with_values(t.values + self.kinds[i]).clean() for i, t in own])

    def meet(self, query: Tokens, index: Tokens) -> Tokens:
        """The query's tokens, each having looked at the others and at those of the index."""
        x, mask = query.values, query.mask
        if mask.shape[1] == 0:
            return query
        turn = rotation(relative(query), self.turned, *self.periods)
        turn_source = rotation(relative(index), self.turned, *self.periods)
        keys = mask | ~mask.any(1, keepdim=True)  # a row without tokens looks at all: a softmax over none is NaN
        for own, across in zip(self.own, self.across):
            x = across(own(x, turn, keys), index.values, keys=index.mask, turn=turn, turn_source=turn_source)
        return query.with_values(x).clean()

    def forward(self, query: Tokens, index: Tokens) -> Float[Tensor, " batch"]:
        """The logit that each query and row of the index belong together; from `side`, row by row."""
        met = self.meet(query, index)
        mean = met.values.sum(1) / met.mask.sum(1, keepdim=True).clamp(min=1)
        logit: Tensor = self.answer(self.norm(mean))[:, 0]
        return logit


@torch.no_grad()
def hard_negatives(
    similarity: Float[Tensor, "n n"], same: Bool[Tensor, "n n"]
) -> tuple[Shaped[Tensor, " n"], Shaped[Tensor, " n"], Bool[Tensor, " n"]]:
    """For each query a row of the index of another group, and for each row a query, the more similar the likelier.

    As ALBEF, section 3.2: drawn by the softmax of the similarities.

    Args:
        similarity: of query i and row j, with its temperature.
        same: which belong together; these are never drawn.

    Returns:
        Indices of rows [n] and of queries [n]; and whether there was any to draw.

    >>> hard_negatives(torch.tensor([[9.0, 1.0], [2.0, 9.0]]), torch.eye(2) > 0)[0].tolist()
    [1, 0]
    """
    some = (~same).any(1)
    odds = similarity.masked_fill(same, -torch.inf)
    odds = torch.where(some[:, None], odds, 0.0)
    other = torch.where((~same).any(0)[:, None], similarity.masked_fill(same, -torch.inf).T, 0.0)
    return odds.softmax(1).multinomial(1)[:, 0], other.softmax(1).multinomial(1)[:, 0], some & (~same).any(0)


def matching_loss(
    match: Matcher, query: Tokens, index: Tokens, similarity: Float[Tensor, "n n"], same: Bool[Tensor, "n n"]
) -> Float[Tensor, ""]:
    """Image-text matching of ALBEF (section 3.2), of any two sides: pairs, and a hard negative for each side of each.

    Args:
        match: the network.
        query, index: the sides of n items, from `Matcher.side`.
        similarity: of query i and row j, with its temperature.
        same: which belong together.
    """
    if len(similarity) < 2:
        return query.values.sum() * 0.0  # a zero with a gradient, as backward() needs one
    rows, queries, some = hard_negatives(similarity, same)
    asked = _joined([query, query, rows_of(query, queries)])
    given = _joined([index, rows_of(index, rows), index])
    truth = torch.cat([torch.ones(len(same)), torch.zeros(2 * len(same))]).to(query.values)
    each = F.binary_cross_entropy_with_logits(match(asked, given), truth, reduction="none")
    return each[torch.cat([torch.ones_like(some), some, some])].mean()


def rows_of(tokens: Tokens, index: Shaped[Tensor, " rows"]) -> Tokens:
    """Some items of a batch."""
    return Tokens(*(part[index] for part in tokens))


def _joined(parts: Sequence[Tokens]) -> Tokens:
    return Tokens(*(torch.cat(own) for own in zip(*parts)))


def distilled_nce(
    logits: Float[Tensor, "n n"], teacher: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], share: float
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE whose targets are partly those of a slower model: momentum distillation (ALBEF, equation 6).

    Args:
        logits: similarities of queries and rows of the index, with their temperature.
        teacher: the same of the slower model.
        same: which belong together.
        share: of the teacher in the targets.

    >>> sure = 50 * torch.eye(3)
    >>> bool(distilled_nce(sure, sure, torch.eye(3) > 0, 0.4) < 1e-6)
    True
    """
    return (_towards(logits, teacher, same, share) + _towards(logits.T, teacher.T, same.T, share)) / 2


def _towards(logits: Tensor, teacher: Tensor, same: Tensor, share: float) -> Tensor:
    hard = same / same.sum(1, keepdim=True)
    goal = share * teacher.detach().softmax(1) + (1 - share) * hard
    return -(goal * F.log_softmax(logits, 1)).sum(1).mean()
