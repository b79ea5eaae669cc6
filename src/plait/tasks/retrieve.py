"""Retrieval: which items of an index belong to a query, both of any modalities."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.options import Count, Few, Whole
from plait.core.parts import Options, Spec
from plait.examples.targets import Target
from plait.metrics import metrics_for
from plait.multiview.contrastive import LEARNT, Contrast
from plait.multiview.masked import Reconstruct, hide_spans
from plait.multiview.matching import Matcher, distilled_nce, hard_negatives
from plait.tasks import Task
from plait.tasks.answers import Answer, Embedding
from plait.tasks.embedder import Embedder, correlate
from plait.tasks.view import Moment, View
from plait.tokens import Instants, Tokens, masked_mean_max

__all__ = ["Retrieve"]

SHARES = np.linspace(0.0, 1.0, 11)
"""Weights of the canonical variates that are tried on held-out items."""


class Retrieve(Task):
    """Embeddings of queries and of what is searched, from any subset of modalities of either; no labels are read.

    Each modality has an encoder and a projection to one space; an item's embedding is the mean of those of the
    modalities that it has (with the fusion's weights), so any of them may be missing on either side. Training draws the
    two sides of an item together (CLIP, Radford et al. 2021; SigLIP, Zhai et al. 2023): every modality of the query and
    their mean against every modality of the index and their mean. Items of one group, such as the captions of one
    picture, belong together. With ``correlations`` canonical correlation (`plait.multiview.cca`) adds a second, linear
    embedding of the same tokens, solved in closed form; its weight in the similarity is chosen on the validation part.

    With ``matching`` it is ALBEF (Li et al. 2021, "Align before fuse"): besides the contrast, a network that looks at
    the tokens of both sides says whether they belong together, trained against hard negatives of the batch; ``masked``
    hides spans of the query's tokens, to be told from the rest and the index; ``momentum`` keeps a slowly moving copy
    of the model, whose similarities are part of the contrast's targets (``distillation``). Departures: no queue of
    earlier batches; masked tokens are told as standardised features (squared error) instead of ids of words;
    `plait.multiview.matching.Matcher` lists those of the network.

    Args:
        targets: the items' groups, which `plait.examples.items` gives instead of labels.
        query: modalities that ask.
        gallery: modalities that are searched; none of them may be in ``query``.
        projection_dim: width of the trained embedding.
        hidden: width of a hidden layer in the projections; 0: they are linear.
        contrast: ``info_nce`` or ``sigmoid``.
        temperature: of the similarities at the start; it is learnt.
        dropout: share of the pooled numbers that a projection sets to 0 in training.
        correlations: number of canonical variates; 0: none.
        ridge: of the canonical correlation.
        share: weight of the canonical variates in a similarity; None: chosen on the validation part (without one 0.5).
        matching: weight of the matching loss; 0: no such network.
        masked: weight of the loss of masked tokens; only with ``matching``.
        mask_ratio: share of each query modality's time that is hidden for it.
        momentum: how much of the slow copy stays in each step, such as 0.995; 0: there is none.
        distillation: share of the slow copy's similarities in the targets.
        layers: of the matching network.
        metric: the metric for selection.

    Raises:
        ConfigError: an option outside its range, or a modality that is on both sides or on none.

    >>> task = Retrieve([], query=["words"], gallery=["film"], projection_dim=8)
    >>> task.decode(torch.ones(1, 8))[0].embedding[:2]
    [0.3535533845424652, 0.3535533845424652]
    """

    asks = "nothing"
    scored = True
    alone = True

    def __init__(
        self,
        targets: list[Target],
        *,
        query: list[str],
        gallery: list[str],
        projection_dim: Count = 128,
        hidden: Whole = 0,
        contrast: str = "info_nce",
        temperature: float = 0.07,
        dropout: float = 0.1,
        correlations: Whole = 0,
        ridge: float = 1.0,
        share: float | None = None,
        matching: float = 0.0,
        masked: float = 0.0,
        mask_ratio: float = 0.3,
        momentum: float = 0.0,
        distillation: float = 0.4,
        layers: Few = 2,
        metric: Spec = "mean_recall",
    ) -> None:
        super().__init__()
        self.query, self.gallery, self.projection_dim, self.hidden = list(query), list(gallery), projection_dim, hidden
        self.contrast, self.temperature, self.dropout = contrast, temperature, dropout
        self.correlations, self.ridge, self.share = correlations, ridge, share
        self.matching, self.masked, self.mask_ratio, self.layers = matching, masked, mask_ratio, layers
        self.momentum, self.distillation, self.metric = momentum, distillation, metric
        raise_all(ConfigError, self._problems())
        self.n_outputs = projection_dim + correlations
        self.compare = Contrast(contrast, temperature)
        self.views = 2 if masked else 1
        self.sees_features, self.remembers = bool(masked), bool(momentum)
        self._metrics = metrics_for("pairs", metric, where="task.metric")
        self.select_by(self._metrics)
        self.match: Matcher | None = None
        self.ask: Reconstruct | None = None
        self._turn = 0

    def _problems(self) -> list[str]:
        shares = {"dropout": self.dropout, "mask_ratio": self.mask_ratio, "momentum": self.momentum}
        wrong = [f"task.{name}: {value}; expected 0 or more and below 1." for name, value in shares.items()
                 if not 0 <= value < 1]  # fmt: skip
        weights = {"matching": self.matching, "masked": self.masked, "ridge": self.ridge}
        wrong += [f"task.{name}: {value}; expected 0 or more." for name, value in weights.items() if not value >= 0]
        bounded = {"share": 0.5 if self.share is None else self.share, "distillation": self.distillation}
        wrong += [f"task.{n}: {value}; expected 0 to 1." for n, value in bounded.items() if not 0 <= value <= 1]
        if self.contrast not in LEARNT:
            wrong.append(f"task.contrast: {self.contrast!r}; expected {' or '.join(LEARNT)}.")
        if self.masked and not self.matching:
            wrong.append("task.masked: is told by the network of matching. Set task.matching too, or masked: 0.")
        if self.momentum and self.contrast != "info_nce":
            wrong.append("task.momentum: its similarities are targets of info_nce alone. Set contrast: info_nce.")
        if not self.query or not self.gallery or set(self.query) & set(self.gallery):
            wrong.append(
                f"task.query: {self.query}, task.gallery: {self.gallery}; expected one modality or more on each side, "
                "and none on both."
            )
        return wrong

    def bind(self, dims: Mapping[str, int], dim: int) -> None:
        sides = [*self.query, *self.gallery]
        strange, left = [m for m in sides if m not in dims], [m for m in dims if m not in sides]
        if strange or left:
            what = f"{', '.join(strange)} of them are no modalities" if strange else f"{', '.join(left)} is on no side"
            raise ConfigError(
                f"task.query: {self.query}, task.gallery: {self.gallery}: {what}. There are {', '.join(dims)}."
            )
        self.match = Matcher(list(dims), dim, layers=self.layers) if self.matching else None
        told = {m: dims[m] for m in self.query if m not in self.symbolic}
        if self.masked and not told:
            raise ConfigError("task.masked: all modalities of the query are ids; expected measurements. Set masked: 0.")
        self.ask = Reconstruct(told, dim) if self.masked else None

    def head(self, dim: int) -> nn.Module:
        return Embedder(dim, self.projection_dim, self.correlations, hidden=self.hidden, dropout=self.dropout)

    def subsets(self, modalities: Sequence[str]) -> list[tuple[str, ...]]:
        """Some modalities of each side, all together last."""
        sides = [_parts([m for m in side if m in modalities]) for side in (self.query, self.gallery)]
        both = [{*one, *other} for one, other in product(*sides)]
        # On another corpus a side may lack all its modalities: then nothing can be asked.
        found = [tuple(m for m in modalities if m in some) for some in both] or [tuple(modalities)]
        return sorted(found, key=len)

    def answer(self, ask: Callable[[Collection[str] | None], Tensor], subset: Collection[str] | None) -> Tensor:
        """Embeddings as a query and as a row of the index, [batch, 2 * width].

        A side that ``subset`` names no modality of is taken whole.
        """
        sides = ([m for m in side if subset is None or m in subset] or side for side in (self.query, self.gallery))
        return torch.cat([ask(own) for own in sides], -1)

    def corrupt(self, tokens: Mapping[str, Tokens], share: float) -> Mapping[str, Tokens]:
        """Hide spans of the query's modalities in every second view: the one whose masked tokens are told."""
        self._turn = (self._turn + 1) % self.views
        if self.views == 1 or self._turn:
            return tokens
        return {**tokens, **hide_spans({m: tokens[m] for m in self.query if m in tokens}, self.mask_ratio, 0.1)}

    def obscure(self, encoded: Mapping[str, Tokens], share: float) -> Mapping[str, Tokens]:
        return encoded  # every modality of a side is trained alone, and with the others

    def step(self, views: Sequence[View], target: Tensor, moment: Moment | None = None) -> dict[str, Float[Tensor, ""]]:
        """``contrast``, and with their weights ``matching`` and ``masked``."""
        view = views[0]
        same = target[:, None] == target[None]
        slow = None if moment is None else moment.plain
        losses = {"contrast": self._contrast(view, same, slow)}
        if self.match is not None:
            losses["matching"] = self.matching * self._matched(self.match, view, same)
        if self.match is not None and self.ask is not None:
            hidden = views[1]
            met = self.match.meet(*(self.match.side(hidden.encoded, side) for side in (self.query, self.gallery)))
            losses["masked"] = self.masked * self.ask(hidden.features, hidden.shown, met)
        return losses

    def _contrast(self, view: View, same: Tensor, slow: View | None) -> Tensor:
        pairs = list(product(*(self._sided(view, side) for side in (self.query, self.gallery))))
        taught: Sequence[Any] = [None] * len(pairs)
        if slow is not None:
            taught = list(product(*(self._sided(slow, side) for side in (self.query, self.gallery))))
        losses = []
        for ((a, seen_a), (b, seen_b)), teacher in zip(pairs, taught):
            there = seen_a & seen_b
            if teacher is None or not self.momentum:
                losses.append(self.compare([a, b], torch.stack([seen_a, seen_b], 1), same=same))
            elif int(there.sum()) > 1:
                (c, _), (d, _) = teacher
                logits = self._scale() * a[there] @ b[there].T
                told = self._scale().detach() * c[there] @ d[there].T
                losses.append(distilled_nce(logits, told, same[there][:, there], self.distillation))
        return torch.stack(losses).mean() if losses else pairs[0][0][0].sum() * 0.0

    @property
    def scale(self) -> float:
        """One over the temperature of the similarities, as it was learnt."""
        return float(self._scale().detach())

    def _scale(self) -> Tensor:
        return self.compare.log_scale.clamp(max=float(np.log(100.0))).exp()

    def _sided(self, view: View, side: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        """The trained embeddings of each modality of a side, and of all together, with where they are."""
        own = [(view.unimodal[m][:, : self.projection_dim], view.encoded[m].present) for m in side if m in view.encoded]
        found = [(torch.where(seen[:, None], F.normalize(x, dim=-1), 0.0), seen) for x, seen in own]
        if len(found) > 1:
            mean = torch.stack([x for x, _ in found]).sum(0)
            found.append((F.normalize(mean, dim=-1), torch.stack([seen for _, seen in found]).any(0)))
        return found

    def _matched(self, match: Matcher, view: View, same: Tensor) -> Tensor:
        (a, seen_a), (b, seen_b) = self._sided(view, self.query)[-1], self._sided(view, self.gallery)[-1]
        there = (seen_a & seen_b).nonzero()[:, 0]
        query, index = (match.side(view.encoded, side) for side in (self.query, self.gallery))
        query, index, same = _rows(query, there), _rows(index, there), same[there][:, there]
        if len(there) < 2:
            return query.values.sum() * 0.0
        rows, queries, some = hard_negatives(self._scale() * a[there] @ b[there].T, same)
        asked = _joined([query, query, _rows(query, queries)])
        given = _joined([index, _rows(index, rows), index])
        truth = torch.cat([torch.ones(len(there)), torch.zeros(2 * len(there))]).to(query.values)
        each = F.binary_cross_entropy_with_logits(match(asked, given), truth, reduction="none")
        kept = torch.cat([torch.ones_like(some), some, some])
        return each[kept].mean()

    def matches(self, encoded: Mapping[str, Tokens], other: Mapping[str, Tokens]) -> Float[Tensor, " batch"]:
        """The logit that the query in each row of ``encoded`` and the row of the index in ``other`` belong together.

        Raises:
            ConfigError: the run was trained without ``matching``.
        """
        if self.match is None:
            raise ConfigError("retrieve: the run has no network of matching. Train it with task.matching: 1.")
        found: Tensor = self.match(self.match.side(encoded, self.query), self.match.side(other, self.gallery))
        return found

    def complete(self, heads: Mapping[str, nn.Module], train: Sequence[Mapping[str, Tokens]],
                 held_out: Callable[[], tuple[Tensor, Tensor]] | None) -> None:  # fmt: skip
        own = {m: head for m, head in heads.items() if isinstance(head, Embedder)}
        if not self.correlations:
            return
        correlate(list(own.values()), [_means([part[m] for part in train]) for m in own], self.ridge)
        shares = [0.5 if self.share is None else self.share]
        if self.share is None and held_out is not None:
            # The nearest to one half first: it wins where shares are equally good.
            shares = sorted(SHARES.tolist(), key=lambda s: abs(s - 0.5))
        best = max(shares, key=lambda s: self._tried(own, s, held_out)) if len(shares) > 1 else shares[0]
        _share(own, best)

    def _tried(self, heads: Mapping[str, Embedder], share: float, held_out: Any) -> float:
        _share(heads, share)
        output, target = held_out()
        return (1 if self.higher_is_better else -1) * self.main(self.scores(output), target.numpy())

    def encode(self, targets: list[Target]) -> Tensor:
        """Numbers of the groups, from 0 up in order of appearance, [items].

        Raises:
            DataError: a group that is no text.
        """
        strange = [t for t in targets if not isinstance(t, str)]
        if strange:
            raise DataError(f"retrieve: {strange[0]!r} is no group; expected a text for each item.")
        numbers: dict[Target, int] = {}
        return torch.tensor([numbers.setdefault(t, len(numbers)) for t in targets], dtype=torch.long)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """InfoNCE of each item among those of the batch, [batch], from the output of `answer`."""
        queries, rows = F.normalize(output, dim=-1).chunk(2, -1)
        same = target[:, None] == target[None]
        logs = (self._scale() * 2 * queries @ rows.T).log_softmax(-1)
        return -(logs * same).sum(-1) / same.sum(-1)

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        return [Embedding(row.tolist()) for row in F.normalize(output.detach(), dim=-1).cpu().double()]

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Embeddings of length 1 as a query and as a row of the index, [items, 2, width]; zeros where there is none."""
        both = output.detach().cpu().double().unflatten(-1, (2, -1))
        return np.asarray(F.normalize(both, dim=-1).numpy(), np.float64)

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        return {name: metric(target, scores) for name, metric in self._metrics.items()}

    def main(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> float:
        return self._metrics[self.main_metric](target, scores)

    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        """The same embedding for all items: every rank is the worst."""
        same = np.zeros((count, 2, self.n_outputs))
        same[..., 0] = 1.0
        return same

    def state(self) -> Options:
        return {}

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Retrieve:
        return cls([], **options)


def _parts(names: Sequence[str]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for name in names:
        found += [(*some, name) for some in found]
    return found[1:]


def _rows(tokens: Tokens, index: Tensor) -> Tokens:
    return Tokens(*(part[index] for part in tokens))


def _joined(parts: Sequence[Tokens]) -> Tokens:
    return Tokens(*(torch.cat(own) for own in zip(*parts)))


def _share(heads: Mapping[str, Embedder], share: float) -> None:
    for head in heads.values():
        head.share.fill_(share)


def _means(parts: Sequence[Tokens]) -> Float[Tensor, "items dim"]:
    """The mean tokens of all items, NaN where there are none."""
    found = [torch.where(t.present[:, None], masked_mean_max(t)[:, : t.dim], torch.nan) for t in parts]
    return torch.cat(found)
