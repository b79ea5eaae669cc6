"""Relations between objects: a scene graph of each item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError
from plait.core.options import Count, Share, Weight, Whole
from plait.core.parts import Options, Spec
from plait.examples.items import Item
from plait.examples.scenes import Relation, Scene
from plait.examples.targets import Target
from plait.metrics import metrics_for
from plait.metrics.relation_recall import ANSWER, TRUTH, RelationRecall
from plait.streams.objects import Objects
from plait.tasks import Task
from plait.tasks.answers import TOLD, Answer, Relations
from plait.tasks.claims import Claim
from plait.tasks.pair_head import PairHead
from plait.tasks.scene_pairs import asked_pairs, boxes_of, pairs_of, scenes_of
from plait.tasks.timed import padded
from plait.tokens import Instants

__all__ = ["Relate"]

LISTED = 100
"""Answers that `scores` lists of each protocol: recall is asked of 100 at most."""

CONSTANT = (10, 30)
"""Predicates and pairs of the constant answer, beside the commonest predicate of each pair."""

KINDS = {"recall": (False, False), "mean_recall": (True, False), "zero_shot_recall": (False, True)}
"""Whether the mean is over predicates, and whether only triples count that training lacks."""

PROTOCOLS: tuple[tuple[Literal["one", "many"], str], ...] = (("one", "k=1"), ("many", "k=all"))
"""Predicates per pair, and how tables name it."""

NEVER = -1e4
"""The logit of no relation at a place of padding; its sigmoid is 0."""

Floats = NDArray[np.float64]
Triple = tuple[str, str, str]


class Relate(Task):
    """Which relations hold between the objects of an item: a predicate for each pair, subject and object.

    The output of a pair are logits of its predicates, and one that tells whether any holds. A pair with several true
    predicates has them in equal shares. See `plait.tasks.pair_head` for what is seen of a pair, and for the messages
    between pairs.

    Args:
        targets: the scenes of the training items.
        target: the tier of relations; a label is the subject's id, the predicate, the object's id: ``2 next to 0``.
        objects: the stream of objects (`plait.streams.objects`).
        pairs: the protocol: ``given``: the pairs that are annotated (where nothing is, as in prediction: all pairs),
            and which predicate they have; ``all``: all ordered pairs of objects that are seen at once; then training
            and answers also tell whether any relation holds.
        several: whether an answer has all predicates that are at least half as probable as the pair's best; else one.
        balance: how much mean recall counts beside recall where a pair gets one predicate: the one with the largest
            ``probability * (1 + balance * mean share / share)``, by its share of the training relations. As a hit of a
            predicate that occurs n times in N relations of K predicates adds 1 / N to recall and 1 / (K n) to mean
            recall, this maximises ``recall + balance * mean recall`` for calibrated probabilities; Menon et al. 2021
            ("Long-tail learning via logit adjustment", ICLR, equation 9) divide by a power of the share instead.
        related: weight of the loss of whether any relation holds.
        messages: width of the messages between pairs that share an object; 0: none.
        mirror: predicates that become another one in a mirror image, such as ``{on the left of: on the right of}``;
            given, even if empty, half of the items are mirrored in training. Tokens should then not tell left and
            right: `plait.features.objects.ObjectRows` without boxes, as the boxes are told anyway.
        hidden: width of the head's two layers.
        dropout: share of these set to 0 in training.
        metric: the metric by which validation selects, of ``relations``.

    Raises:
        DataError: no training item has a relation.
        ConfigError: an option out of its range, or an unknown metric.
    """

    main_metric = "relation_recall"
    asks = "relations"
    rests_on = "objects"
    by_row = True

    def __init__(
        self,
        targets: list[Target],
        *,
        target: str,
        objects: str = "objects",
        pairs: Literal["given", "all"] = "given",
        several: bool = False,
        balance: Weight = 0.0,
        related: Weight = 1.0,
        messages: Whole = 64,
        mirror: Mapping[str, str] | None = None,
        hidden: Count = 256,
        dropout: Share = 0.5,
        metric: Spec = "relation_recall",
    ) -> None:
        super().__init__()
        self.target, self.objects, self.pairs, self.several = target, objects, pairs, several
        self.balance, self.related, self.metric = balance, related, metric
        self.messages, self.mirror, self.hidden, self.dropout = messages, mirror, hidden, dropout
        self.check_options()
        self._metrics = metrics_for("relations", metric, where="relate.metric")
        self.select_by(self._metrics)
        scenes = scenes_of(targets)
        triples = Counter(t for scene in scenes for t in _triples(scene))
        pairs_of_each = [len({(r.subject, r.object) for r in scene.relations or ()}) for scene in scenes]
        typical = sum(pairs_of_each) / max(len(scenes), 1)
        self._set(dict(Counter(p for _, p, _ in triples.elements())), set(triples), typical)

    def _set(self, counts: Mapping[str, int], seen: set[Triple], typical: float) -> None:
        if not counts:
            raise DataError(f"no training item has a relation on the tier {self.target!r}. Check target and split.")
        self.counts, self.seen, self.typical = dict(sorted(counts.items())), seen, typical
        self.predicates, self.n_outputs = list(self.counts), len(self.counts) + 1
        self._index = {name: i for i, name in enumerate(self.predicates)}
        share = torch.tensor(list(self.counts.values()), dtype=torch.float32)
        self._share = (share / share.sum()).double().numpy()
        self._weight = 1 + self.balance * self._share.mean() / self._share

    @classmethod
    def looks_at(cls, options: Mapping[str, object]) -> str:
        name = options.get("objects", "objects")
        if not isinstance(name, str) or not name:
            raise ConfigError(f"relate.objects: got {name!r}; expected the name of a stream of objects.")
        return name

    def unasked(self) -> Tensor:
        """No relation, without any doubt: so `scores` lists no place of padding."""
        return torch.tensor([0.0] * len(self.predicates) + [NEVER])

    def head(self, dim: int) -> nn.Module:
        sizes = {"hidden": self.hidden, "messages": self.messages}
        return PairHead(dim, self.n_outputs, **sizes, dropout=self.dropout, swapped=self._swapped())

    def _swapped(self) -> list[int] | None:
        """The number of each output's predicate in a mirror image."""
        if self.mirror is None:
            return None
        both = {**{b: a for a, b in self.mirror.items()}, **self.mirror}
        found = [self._index.get(both.get(name, name), i) for i, name in enumerate(self.predicates)]
        return [*found, len(found)]

    def asked_at(self, items: Sequence[Item]) -> Instants:
        scenes = scenes_of([i.target for i in items])
        return asked_pairs(scenes, [self._pairs(scene) for scene in scenes])

    def _pairs(self, scene: Scene) -> list[tuple[str, str]]:
        return pairs_of(scene, every=self.pairs == "all")

    def encode(self, targets: list[Target]) -> Tensor:
        """The true relations, [items, relations * 4], see `plait.metrics.relation_recall.TRUTH`.

        A predicate that training does not have gets a number that no answer has; a relation of two objects that are
        not asked about as a pair likewise. Both count as missed.
        """
        rows = [self._truth(scene) for scene in scenes_of(targets)]
        return torch.from_numpy(padded(rows, -1, np.int64, least=TRUTH))

    def _truth(self, scene: Scene) -> NDArray[np.int64]:
        pairs = self._pairs(scene)
        place = {pair: i for i, pair in enumerate(pairs)}
        strange, kinds = len(self.predicates), dict(zip(scene.objects.ids, scene.objects.classes))
        rows = [
            (
                place.get((r.subject, r.object), len(pairs)),
                self._index.get(r.predicate, strange),
                (kinds[r.subject], r.predicate, kinds[r.object]) not in self.seen,
                len(pairs),
            )
            for r in scene.relations or ()
        ]
        return np.array(sorted(rows), np.int64).reshape(-1)

    def goal(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Which predicates each pair has, [batch, steps, predicates], 0 or 1; and which pairs are asked."""
        truth = target.unflatten(1, (-1, TRUTH))
        steps, size = output.shape[1], len(self.predicates)
        known = (truth[..., 1] >= 0) & (truth[..., 1] < size) & (truth[..., 0] < steps)
        flat = torch.where(known, truth[..., 0] * size + truth[..., 1], steps * size)
        found = output.new_zeros(len(output), steps * size + 1).scatter(1, flat, 1.0)[:, :-1]
        asked = torch.arange(steps, device=target.device) < truth[..., 3].amax(1, keepdim=True)
        return found.unflatten(1, (steps, size)), asked

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the predicates, the sum over an item's pairs that have one, relative to how many pairs a
        training item has (so that every pair counts the same, as in recall); plus, if all pairs are asked, ``related``
        times the binary cross-entropy of whether one holds, the mean over the item's pairs."""
        return self.nll(output, target)

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        goal, asked = self.goal(output, target)
        count = goal.sum(-1)
        some = count > 0
        share = goal / count.clamp(min=1)[..., None]
        share = (1 - doubt) * share + doubt / share.shape[-1]
        each = -(share * output[..., :-1].log_softmax(-1)).sum(-1)
        found = (each * some).sum(1) / self.typical
        if self.pairs == "given":
            return found
        holds = F.binary_cross_entropy_with_logits(output[..., -1], some.to(output), reduction="none")
        return found + self.related * (holds * asked).sum(1) / asked.sum(1).clamp(min=1)

    def divergence(self, output: Tensor, teacher: Tensor) -> Tensor:
        return super().divergence(output[..., :-1], teacher[..., :-1])

    def probabilities(self, output: Tensor) -> Floats:
        """Of each predicate of each pair, [items, steps, predicates]; if all pairs are asked, times that of any. 0 at
        places of padding."""
        output = output.detach().double().cpu()
        holds = output[..., -1:].sigmoid() if self.pairs == "all" else output[..., -1:] > NEVER
        return (output[..., :-1].softmax(-1) * holds).numpy()

    padding = -1.0
    """Fills a row of `scores` after its end."""

    def scores(self, output: Tensor) -> Floats:
        """The most probable relations, [items, answers * 4], see `plait.metrics.relation_recall.ANSWER`.

        The first hundred with one predicate per pair, and the first hundred of all.
        """
        sure = self.probabilities(output)
        return ranked(sure, (sure * self._weight).argmax(-1))

    def claims(self, output: Tensor, at: Instants | None = None) -> list[list[Claim]]:
        """The most probable relations, at most `TOLD`. Targets: the step, and the number of the predicate."""
        found = []
        for relations, places in self._graphs(output, at):
            kinds, told = relations.objects, zip(relations.relations[:TOLD], places)
            found.append([Claim(f"{kinds[a]} {word} {kinds[b]}", torch.tensor(own)) for (a, word, b, _), own in told])
        return found

    def claimed(self, output: Tensor, target: Tensor) -> Tensor:
        item, (step, predicate) = torch.arange(len(output)), target.unbind(1)
        sure = output[..., :-1].log_softmax(-1)[item, step, predicate]
        return sure + F.logsigmoid(output[item, step, -1]) if self.pairs == "all" else sure

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        return [relations for relations, _ in self._graphs(output, at)]

    def _graphs(self, output: Tensor, at: Instants | None) -> Iterator[tuple[Relations, list[tuple[int, int]]]]:
        """Of each item its relations, and of each its step and the number of its predicate."""
        if at is None or at.pairs is None:
            raise DataError("relations need the pairs of objects that they are asked of.")
        asked, sure = at.mask.cpu().numpy(), self.probabilities(output)
        which = at.pairs.which.gather(1, at.pairs.step[..., None].expand(-1, -1, 2)).cpu().numpy()
        for own, there, pairs, objects, boxes in zip(sure, asked, which.tolist(), at.pairs.objects, boxes_of(at)):
            places = [(k, p) for k in np.flatnonzero(there).tolist() for p in self._chosen(own[k])]
            places.sort(key=lambda place: -own[place])
            ids = [name for name, _ in objects]
            told = [(ids[pairs[k][0]], self.predicates[p], ids[pairs[k][1]], float(own[k, p])) for k, p in places]
            yield Relations(tuple(told), dict(objects), {ids[i]: box for i, box in boxes.items()}), places

    def _chosen(self, sure: Floats) -> list[int]:
        """The predicates of a pair that are answered."""
        if self.pairs == "all" and sure.sum() < 0.5:
            return []
        if self.several:
            return np.flatnonzero(sure >= 0.5 * sure.max()).tolist()
        return [int((sure * self._weight).argmax())]

    def metrics(self, scores: Floats, target: NDArray[np.generic]) -> dict[str, float]:
        """The chosen metric; then recall, mean recall and zero-shot recall at 20, 50 and 100, with one predicate per
        pair (k=1) and with many (k=all)."""
        found = {name: metric(target, scores) for name, metric in self._metrics.items()}
        for predicates, k in PROTOCOLS:
            for first in (20, 50, 100):
                for name, (mean, zero_shot) in KINDS.items():
                    metric = RelationRecall(first=first, predicates=predicates, mean=mean, zero_shot=zero_shot)
                    found[f"{name}@{first} {k}"] = metric(target, scores)
        return found

    def main(self, scores: Floats, target: NDArray[np.generic]) -> float:
        return self._metrics[self.main_metric](target, scores)

    def texts(self, scores: Floats, target: NDArray[np.generic]) -> list[tuple[str, str]]:
        """The true predicates and, of the same pairs, the first ones answered."""
        truth, rows = (np.asarray(x).reshape(len(x), -1, n) for x, n in ((target, TRUTH), (scores, ANSWER)))
        found = []
        for true, said in zip(truth, rows):
            best = {int(r[0]): self.predicates[int(r[1])] for r in said if r[3] > 0 and r[0] >= 0}
            known = [t for t in true.tolist() if 0 <= t[1] < len(self.predicates)]
            told = [(self.predicates[t[1]], best.get(t[0], "-")) for t in known]
            # A predicate is one word of a text, as words are compared.
            texts = (" ".join(word.replace(" ", "_") for word in words) for words in zip(*told))
            found.append((next(texts, ""), next(texts, "")))
        return found

    def baseline(self, train: NDArray[np.generic], count: int) -> Floats:
        """The commonest predicates of training, for every pair."""
        share = self._share
        order = np.argsort(-share, kind="stable")
        rows = [(step, order[0], share[order[0]], 1.0) for step in range(LISTED)]
        rows += [(step, p, share[p], 0.0) for p in order[1 : CONSTANT[0]] for step in range(CONSTANT[1])]
        return np.broadcast_to(np.array(rows, np.float64).reshape(-1), (count, ANSWER * len(rows))).copy()

    def state(self) -> Options:
        return {"counts": self.counts, "seen": sorted(map(list, self.seen)), "typical": self.typical}

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Relate:
        # A stand-in scene, to be replaced by what was learnt of the training scenes.
        none = np.zeros(2)
        two = Objects(none, ("0", "1"), ("", ""), np.ones((2, 4)), np.ones((2, 2)), none)
        task = cls([Scene(1.0, two, (Relation("0", "", "1"),))], **options)
        task._set(state["counts"], {(a, p, b) for a, p, b in state["seen"]}, state["typical"])
        return task


def _triples(scene: Scene) -> list[Triple]:
    """The relations of a scene by classes."""
    kinds = dict(zip(scene.objects.ids, scene.objects.classes))
    return [(kinds[r.subject], r.predicate, kinds[r.object]) for r in scene.relations or ()]


def ranked(sure: Floats, best: NDArray[np.int64]) -> Floats:
    """The answers that `Relate.scores` lists, in order of probability.

    Args:
        sure: the probability of each predicate of each pair, [items, steps, predicates].
        best: the one predicate of each pair, [items, steps].

    >>> sure = np.array([[[0.6, 0.4], [0.1, 0.9]]])
    >>> ranked(sure, sure.argmax(-1)).reshape(1, -1, 4)[0, :, :2].tolist()
    [[1.0, 1.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    items, _, size = sure.shape
    first = np.zeros(sure.shape, np.bool_)
    np.put_along_axis(first, best[..., None], True, 2)
    flat = sure.reshape(items, -1)
    order = np.argsort(-flat, axis=1, kind="stable")
    sorted_first = np.take_along_axis(first.reshape(items, -1), order, 1)
    kept = (np.arange(order.shape[1]) < LISTED) | (sorted_first & (sorted_first.cumsum(1) <= LISTED))
    kept &= np.take_along_axis(flat, order, 1) > 0
    rows = []
    for own, keep, best_of in zip(order, kept, sorted_first):
        own, best_of = own[keep], best_of[keep]
        rows.append(np.stack([own // size, own % size, np.zeros(len(own)), best_of], 1))
    found = padded(rows, -1.0, np.float64)
    for place, own, values in zip(found, rows, flat):
        place[: len(own), 2] = values[(own[:, 0] * size + own[:, 1]).astype(np.int64)]
    return found.reshape(items, -1)
