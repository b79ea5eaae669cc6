"""Retrieval: which items of an index belong to a query, both of any modalities."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError
from plait.core.options import Count, Few, Positive, Share, Unit, Weight, Whole
from plait.core.parts import Options, Spec
from plait.examples.targets import Target
from plait.metrics import metrics_for
from plait.metrics.pairs import distinct
from plait.multiview.contrastive import LEARNT, Contrast
from plait.multiview.csls import Csls
from plait.multiview.masked import Reconstruct, hide_spans
from plait.multiview.matching import Matcher, distilled_nce, matching_loss, rows_of
from plait.tasks import Task
from plait.tasks.answers import Answer, Embedding
from plait.tasks.claims import Claim
from plait.tasks.embedder import Embedder, Side, correlate, sided
from plait.tasks.view import Moment, View
from plait.tokens import Instants, Tokens, masked_mean_max
from plait.tokens.dropout import Shares

__all__ = ["Retrieve"]

KEPT = 5000
"""Most training items per side that are kept for `Retrieve.csls`."""

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
        components: number of principal components that the projections see in place of the tokens; 0: the tokens. For
            features that no encoder changes (encoder ``identity``): they are fixed before training.
        correlations: number of canonical variates; 0: none.
        ridge: of the canonical correlation.
        share: weight of the canonical variates in a similarity; None: chosen on the validation part (without one 0.5).
        csls: number of neighbours among the training items by which similarities are scaled, so that no row is near to
            every query (`plait.multiview.csls`); 0: they are not.
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
    rests_on = "query"
    scored = True
    alone = True
    additive = False

    def __init__(
        self,
        targets: list[Target],
        *,
        query: list[str],
        gallery: list[str],
        projection_dim: Count = 128,
        hidden: Whole = 0,
        contrast: str = "info_nce",
        temperature: Positive = 0.07,
        dropout: Share = 0.1,
        components: Whole = 0,
        correlations: Whole = 0,
        ridge: Weight = 1.0,
        share: Unit | None = None,
        csls: Whole = 0,
        matching: Weight = 0.0,
        masked: Weight = 0.0,
        mask_ratio: Share = 0.3,
        momentum: Share = 0.0,
        distillation: Unit = 0.4,
        layers: Few = 2,
        metric: Spec = "mean_recall",
    ) -> None:
        super().__init__()
        self.query, self.gallery, self.projection_dim, self.hidden = list(query), list(gallery), projection_dim, hidden
        self.contrast, self.temperature, self.dropout = contrast, temperature, dropout
        self.components, self.correlations, self.ridge, self.share = components, correlations, ridge, share
        self.csls = csls
        self.matching, self.masked, self.mask_ratio, self.layers = matching, masked, mask_ratio, layers
        self.momentum, self.distillation, self.metric = momentum, distillation, metric
        self.check_options(self._problems())
        self.n_outputs = projection_dim + correlations
        self.compare = Contrast(contrast, temperature)
        self.views = 2 if masked else 1
        self.sees_features, self.remembers = bool(masked), bool(momentum)
        self._metrics = metrics_for("pairs", metric, where="task.metric")
        self.select_by(self._metrics)
        self.scaled = Csls(csls, self.n_outputs)
        self.match: Matcher | None = None
        self.ask: Reconstruct | None = None
        self._turn = 0

    def _problems(self) -> list[str]:
        wrong = []
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
        return Embedder(dim, self.projection_dim, self.correlations, components=self.components, hidden=self.hidden,
                        dropout=self.dropout)  # fmt: skip

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

    def corrupt(self, tokens: Mapping[str, Tokens], share: Shares) -> Mapping[str, Tokens]:
        """Hide spans of the query's modalities in every second view: the one whose masked tokens are told."""
        self._turn = (self._turn + 1) % self.views
        if self.views == 1 or self._turn:
            return tokens
        return {**tokens, **hide_spans({m: tokens[m] for m in self.query if m in tokens}, self.mask_ratio, 0.1)}

    def obscure(self, encoded: Mapping[str, Tokens], share: Shares) -> Mapping[str, Tokens]:
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
        pairs = list(product(*(sided(view, side, self.projection_dim) for side in (self.query, self.gallery))))
        if slow is None or not self.momentum:
            return torch.stack([self.compare([a.values, b.values], _both(a, b), same=same) for a, b in pairs]).mean()
        taught = product(*(sided(slow, side, self.projection_dim) for side in (self.query, self.gallery)))
        losses = []
        for (a, b), (c, d) in zip(pairs, taught):
            there = a.there & b.there
            if int(there.sum()) > 1:
                logits = self._scale() * a.values[there] @ b.values[there].T
                told = self._scale().detach() * c.values[there] @ d.values[there].T
                losses.append(distilled_nce(logits, told, same[there][:, there], self.distillation))
        return torch.stack(losses).mean() if losses else pairs[0][0].values.sum() * 0.0

    def _matched(self, match: Matcher, view: View, same: Tensor) -> Tensor:
        a, b = (sided(view, side, self.projection_dim)[-1] for side in (self.query, self.gallery))
        there = (a.there & b.there).nonzero()[:, 0]
        query, index = (rows_of(match.side(view.encoded, side), there) for side in (self.query, self.gallery))
        return matching_loss(match, query, index, self._scale() * a.values[there] @ b.values[there].T,
                             same[there][:, there])  # fmt: skip

    @property
    def scale(self) -> float:
        """One over the temperature of the similarities, as it was learnt."""
        return float(self._scale().detach())

    def _scale(self) -> Tensor:
        return self.compare.log_scale.clamp(max=float(np.log(100.0))).exp()

    def matches(self, encoded: Mapping[str, Tokens], other: Mapping[str, Tokens]) -> Float[Tensor, " batch"]:
        """The logit that the query in each row of ``encoded`` and the row of the index in ``other`` belong together.

        Raises:
            ConfigError: the run was trained without ``matching``.
        """
        if self.match is None:
            raise ConfigError("retrieve: the run has no network of matching. Train it with task.matching: 1.")
        found: Tensor = self.match(self.match.side(encoded, self.query), self.match.side(other, self.gallery))
        return found

    def begin(self, heads: Mapping[str, nn.Module], train: Sequence[Mapping[str, Tokens]]) -> None:
        for m, head in _embedders(heads).items():
            if self.components:
                found = torch.cat([masked_mean_max(part[m])[part[m].present] for part in train])
                head.principal(found[:, : found.shape[1] // 2])

    def complete(
        self,
        heads: Mapping[str, nn.Module],
        train: Sequence[Mapping[str, Tokens]],
        own: Callable[[], Tensor],
        held_out: tuple[Callable[[], Tensor], Tensor] | None,
    ) -> None:
        embedders = _embedders(heads)
        if self.correlations:
            seen = [_all_seen(head, [part[m] for part in train]) for m, head in embedders.items()]
            correlate(list(embedders.values()), seen, self.ridge)
            _share(embedders, 0.5)
        outputs, valid = own(), None if held_out is None else (held_out[0](), held_out[1])
        shares = [0.5 if self.share is None else self.share]
        if self.share is None and valid is not None:
            # The nearest to one half first: it wins where shares are equally good.
            shares = sorted(SHARES.tolist(), key=lambda share: abs(share - 0.5))
        if not self.correlations:
            self._keep(outputs)
            return
        tried = {} if valid is None or len(shares) < 2 else {s: self._tried(s, outputs, *valid) for s in shares}
        best = max(tried, key=tried.__getitem__) if tried else shares[0]
        _share(embedders, best)
        self._keep(self._weighed(outputs, best))

    def _weighed(self, outputs: Tensor, share: float) -> Tensor:
        """Outputs that were made with a share of one half, as if it were another."""
        own, rest = (2 * (1 - share)) ** 0.5, (2 * share) ** 0.5
        factor = outputs.new_tensor([own] * self.projection_dim + [rest] * self.correlations)
        return outputs * factor.repeat(2)

    def _tried(self, share: float, outputs: Tensor, valid: Tensor, target: Tensor) -> float:
        self._keep(self._weighed(outputs, share))
        sign = 1 if self.higher_is_better else -1
        return sign * self.main(self.scores(self._weighed(valid, share)), target.numpy())

    def _keep(self, outputs: Tensor) -> None:
        """Keep training items for `csls`."""
        if self.csls:
            sides = F.normalize(outputs.unflatten(-1, (2, -1)), dim=-1).unbind(1)
            kept = [side[side.norm(dim=1) > 0.5] for side in sides]
            kept = [torch.from_numpy(x[distinct(np.zeros(len(x)), x)]) for x in (side.numpy() for side in kept)]
            self.scaled.keep(*(side[:: max(1, -(-len(side) // KEPT))] for side in kept))

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

    def claims(self, output: Tensor, at: Instants | None = None) -> list[list[Claim]]:
        """That the two sides of an item belong together; nothing of an item that lacks a side."""
        alike, both = self.claimed(output, output).tolist(), (output.unflatten(-1, (2, -1)) != 0).any(-1).all(1)
        made = [Claim(f"both sides belong together ({own:.2f})", torch.tensor(0), unit=1.0) for own in alike]
        return [[claim] if there else [] for claim, there in zip(made, both.tolist())]

    def claimed(self, output: Tensor, target: Tensor) -> Tensor:
        """The cosine of the two sides."""
        queries, rows = F.normalize(output.unflatten(-1, (2, -1)), dim=-1).unbind(1)
        return (queries * rows).sum(-1)

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Embeddings as a query and as a row of an index, [items, 2, width + 2]; their inner product is the similarity.

        Zeros where an item has no modality of a side. The two columns are those of `plait.multiview.csls`.
        """
        return np.asarray(self.scaled.sides(output.detach().cpu().double()).numpy(), np.float64)

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        return {name: metric(target, scores) for name, metric in self._metrics.items()}

    def main(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> float:
        return self._metrics[self.main_metric](target, scores)

    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        """The same embedding for all items: every rank is the worst."""
        same = np.zeros((count, 2, self.n_outputs + 2))
        same[..., 0] = 1.0
        return same

    def state(self) -> Options:
        return {"kept": list(self.scaled.kept)}

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Retrieve:
        task = cls([], **options)
        task.scaled = Csls(task.csls, task.n_outputs, tuple(state.get("kept", (0, 0))))
        return task


def _parts(names: Sequence[str]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for name in names:
        found += [(*some, name) for some in found]
    return found[1:]


def _both(a: Side, b: Side) -> Bool[Tensor, "batch 2"]:
    return torch.stack([a.there, b.there], 1)


def _share(heads: Mapping[str, Embedder], share: float) -> None:
    for head in heads.values():
        head.share.fill_(share)


def _embedders(heads: Mapping[str, nn.Module]) -> dict[str, Embedder]:
    return {m: head for m, head in heads.items() if isinstance(head, Embedder)}


def _all_seen(head: Embedder, parts: Sequence[Tokens]) -> Float[Tensor, "items numbers"]:
    """What a head sees of all items, NaN where there are no tokens."""
    return torch.cat([torch.where(t.present[:, None], head.seen(t), torch.nan) for t in parts])
