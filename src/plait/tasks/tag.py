"""Classes over time: one, or several at once, at each instant of a grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError
from plait.core.options import Share
from plait.core.parts import Options, Spec
from plait.core.safe_yaml import brief
from plait.examples.targets import Annotated, Target
from plait.examples.units.cuts import Label
from plait.metrics import Sort, metrics_for, sort_of
from plait.metrics.functional import Array
from plait.metrics.spans import Span, runs, spans_of
from plait.tasks import Task
from plait.tasks.answers import Answer, Spans
from plait.tasks.claims import Claim
from plait.tasks.heads import TimedLinear
from plait.tasks.of_classes import class_key, classes_of
from plait.tasks.postprocessing import SHIFTS, PostProcessing, best_postprocessing
from plait.tasks.timed import Rate, annotated_of, grid, padded
from plait.tokens import Instants

__all__ = ["Tag"]

OFTEN = 10
"""Held-out spans that a class needs for a threshold of its own."""


class _Event(NamedTuple):
    """A span: its seconds, the number of its class, and its steps, the last one left out."""

    span: tuple[float, float]
    kind: int
    first: int
    last: int


class Tag(Task):
    """Classes over time, ``rate`` times per second: sound events, actions, states.

    Each instant stands for the ``1 / rate`` seconds around it, and its true class is the one that covers most of them.
    An instant of which less than half is annotated is neither learnt nor scored. With ``background`` it has that class
    instead, and with ``several`` it has none of the classes.

    Args:
        targets: what is annotated within the training items.
        target: the tier of annotations.
        rate: answers per second.
        several: whether several classes can hold at once (one sigmoid each); else one at a time (a softmax).
        background: the class of time that nobody annotated.
        causal: whether an answer sees only what was observed until the end of its time. Features, normalization,
            encoders and fusion must be causal then; those that are not are reported before training.
        smoothing: label smoothing (Szegedy et al. 2016, section 7); with several classes, each moves towards one half.
        dropout: share of the numbers at an instant that a head sets to 0 in training.
        metric: the metric by which validation selects: a `plait.metrics.Metric` of instants (of ``classes``; with
            ``several``, of ``labels``) or of ``spans``, by its name or the dotted path of your own; by default
            ``macro_f1`` or ``multilabel_f1``.

    Raises:
        DataError: too few classes, or a label that is neither a text nor a finite number.
        ConfigError: an unknown metric, or ``background`` where several classes may hold.

    >>> task = Tag([Annotated(3.0, ((0.0, 1.0, "sit"), (1.0, 3.0, "walk")))], target="motion")
    >>> task.classes, task.encode([Annotated(2.0, ((0.0, 1.2, "walk"),))]).tolist()
    (['sit', 'walk'], [[1, -1]])
    """

    main_metric = "macro_f1"
    asks = "annotations"
    linear = True

    def __init__(
        self,
        targets: list[Target],
        *,
        target: str,
        rate: Rate = 1.0,
        several: bool = False,
        background: str | None = None,
        causal: bool = False,
        smoothing: Share = 0.0,
        dropout: Share = 0.4,
        metric: Spec | None = None,
    ) -> None:
        super().__init__()
        self.target, self.rate, self.several, self.background = target, rate, several, background
        self.causal, self.smoothing, self.dropout = causal, smoothing, dropout
        self.metric = metric or ("multilabel_f1" if several else "macro_f1")
        named: list[Label] = [] if background is None else [background]
        self._set(classes_of([*named, *(label for t in targets for _, _, label in annotated_of(t).spans)]))
        self._check()
        self.seconds = self._seconds([annotated_of(t) for t in targets])
        self._post = PostProcessing((0.0,) * self.n_outputs, causal=causal)

    def _set(self, classes: list[Label]) -> None:
        least = 1 if self.several else 2
        if len(classes) < least:
            raise DataError(
                f"the training items have {len(classes)} class{'' if len(classes) == 1 else 'es'} on the tier "
                f"{self.target!r} ({', '.join(map(repr, classes)) or 'nothing is annotated'}); expected {least} or "
                "more. Check target and split, or give tag.background."
            )
        self.classes, self.n_outputs = classes, len(classes)
        self._index = {class_key(c): i for i, c in enumerate(classes)}
        self._choose()

    def _choose(self) -> None:
        sort: Sort = "labels" if self.several else "classes"
        chosen = {sort: self.metric, "spans": "segmental_f1"}
        if (own := sort_of(self.metric, where="tag.metric")) == "spans":
            chosen = {"spans": self.metric, sort: "multilabel_f1" if self.several else "macro_f1"}
        elif own != sort:
            raise ConfigError(f"tag.metric: {brief(self.metric)} is of {own}; expected one of {sort} or of spans.")
        classes = 0 if self.several else self.n_outputs
        self._metrics = {
            of: metrics_for(of, spec, where="tag.metric", classes=classes if of == "classes" else 0)
            for of, spec in chosen.items()
        }
        self.select_by(next(iter(self._metrics.values())))

    def _check(self) -> None:
        both = "tag.background: with several: true, time that nobody annotated has no class. Leave one of the two out."
        self.check_options([both] if self.several and self.background is not None else [])

    def instants(self, seconds: float) -> NDArray[np.float64]:
        """The middle of each ``1 / rate`` seconds; for causal answers, the end."""
        return grid(seconds, self.rate, 1.0 if self.causal else 0.5)

    def head(self, dim: int) -> nn.Module:
        return TimedLinear(dim, self.n_outputs, self.dropout, causal=self.causal)

    def encode(self, targets: list[Target]) -> Tensor:
        """The class of each instant, [items, steps]; or whether each class holds, [items, steps, classes]. -1: unknown.

        Raises:
            DataError: a class that the training items do not have.
        """
        covered = [self._covered(annotated_of(t)) for t in targets]
        rows = [self._mostly(own) if self.several else self._one(own) for own in covered]
        return torch.from_numpy(padded(rows, -1, np.int64))

    def known(self, target: Tensor) -> Tensor:
        return (target >= 0).any(-1) if self.several else target >= 0

    def goals(self, target: Tensor) -> Tensor:
        return target.to(self.prior()) if self.several else super().goals(target)

    def prior(self) -> Tensor:
        """Logits of each class's share of the training time."""
        share = torch.tensor(self.seconds, dtype=torch.float64) / max(self.seconds[-1], 1e-9)
        share = share[:-1].clamp(1e-4, 1 - 1e-4)  # a class that holds never or always would have an infinite logit
        return (share.logit() if self.several else share.log()).float()

    def _seconds(self, targets: Sequence[Annotated]) -> list[float]:
        """Annotated seconds of each class, and at the end all seconds that are asked about."""
        found = dict.fromkeys(range(self.n_outputs), 0.0)
        for start, stop, label in (span for t in targets for span in t.spans):
            found[self._index[class_key(label)]] += stop - start
        whole, named = sum(t.seconds for t in targets), sum(found.values())
        if self.background is not None:
            found[self._index[class_key(self.background)]] += max(whole - named, 0.0)
        return [*found.values(), whole if self.several else sum(found.values())]

    def _covered(self, target: Annotated) -> NDArray[np.float64]:
        """Seconds of each instant's time that each class covers, [steps, classes]."""
        count = len(self.instants(target.seconds))
        edges = np.arange(count + 1) / self.rate
        found = np.zeros((count, self.n_outputs))
        for start, stop, label in target.spans:
            index = self._index.get(class_key(label))
            if index is None:
                raise DataError(
                    f"label {label!r} is no class of the training items. Leave it out, or change the split."
                )
            first, last = int(start * self.rate), int(np.ceil(stop * self.rate)) + 1
            # One step more on each side, as start * rate may be rounded to the wrong step; extra steps add 0.
            part = slice(max(first - 1, 0), min(last + 1, count))
            low, high = edges[:-1][part], edges[1:][part]
            found[part, index] += np.clip(np.minimum(high, stop) - np.maximum(low, start), 0, None)
        return found

    def _mostly(self, covered: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether at least half of an instant's time is covered."""
        # 1e-9: seconds computed as differences of floats may come out a little short of the half.
        return covered >= 0.5 / self.rate - 1e-9

    def _one(self, covered: NDArray[np.float64]) -> NDArray[np.int64]:
        """The class that covers most of each instant's time, [steps]."""
        best, rest = covered.argmax(1), 1 / self.rate - covered.sum(1)
        if self.background is not None:
            return np.where(rest > covered.max(1), self._index[class_key(self.background)], best)
        return np.where(self._mostly(covered.sum(1)), best, -1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean over the instants of an item with known truth; 0 if there are none."""
        return self._error(output, target, self.smoothing)

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        """Negative log-likelihood: the mean over an item's instants, or per row if rows are instants, [rows, width]."""
        return self._error(output, target, doubt)

    def _error(self, output: Tensor, target: Tensor, doubt: float) -> Tensor:
        known, true = self.known(target), target.clamp(min=0)  # -1 is no index; such instants are zeroed below
        if self.several:
            goal = (1 - doubt) * true.to(output) + doubt / 2
            each = F.binary_cross_entropy_with_logits(output, goal, reduction="none") * (target >= 0)
            each = each.sum(-1) / (target >= 0).sum(-1).clamp(min=1)
        else:
            rows = output.reshape(-1, output.shape[-1])
            each = F.cross_entropy(rows, true.flatten(), label_smoothing=doubt, reduction="none").view_as(target)
        each = each * known
        return each if each.ndim == 1 else each.sum(1) / known.sum(1).clamp(min=1)

    def divergence(self, output: Tensor, teacher: Tensor) -> Tensor:
        if not self.several:
            return super().divergence(output, teacher)
        sure = teacher.sigmoid()
        apart = F.binary_cross_entropy_with_logits(output, sure, reduction="none")
        # Minus the teacher's own entropy, so that equal outputs are 0 apart.
        return (apart - F.binary_cross_entropy_with_logits(teacher, sure, reduction="none")).mean((1, 2))

    @property
    def postprocessing(self) -> Options:
        return {"shifts": list(self._post.shifts), "width": self._post.width}

    @postprocessing.setter
    def postprocessing(self, found: Mapping[str, Any]) -> None:
        shifts = tuple(float(s) for s in found["shifts"])
        if len(shifts) != self.n_outputs:
            raise DataError(f"post-processing: {len(shifts)} shifts; expected one per class, {self.n_outputs}.")
        self._post = PostProcessing(shifts, int(found["width"]), self.causal)

    def fit_postprocessing(self, output: Tensor, target: Tensor, at: Instants | None) -> None:
        """Choose median filter and thresholds that suit the metric of spans.

        With ``several`` there is a threshold per class, one for all classes where a class has fewer than
        `OFTEN` held-out spans; else one for the background.
        """
        truth = target.numpy()
        metric, real = next(iter(self._metrics["spans"].values())), self._true_spans(truth)
        sign = 1.0 if metric.higher_is_better else -1.0
        count = Counter(span.kind for span in real)
        self._post = best_postprocessing(
            output,
            at or Instants(output.new_zeros(output.shape[:2]), self.known(target)),
            lambda logits: sign * metric(real, self._said_spans(self.scores(logits), truth)),
            rate=self.rate,
            causal=self.causal,
            together=self._levels().tolist(),
            often=[k for k in range(self.n_outputs) if count[k] >= OFTEN] if self.several else [],
        )

    def _levels(self) -> NDArray[np.float64]:
        """Shifts to choose from for all classes together."""
        if self.several:
            return np.tile(np.array([0.0, *SHIFTS])[:, None], self.n_outputs)
        apart = np.zeros(1) if self.background is None else np.array([0.0, *SHIFTS])
        return np.outer(apart, [float(c == self.background) for c in self.classes])

    def postprocess(
        self, output: Tensor, there: Tensor, at: Instants | None, own: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        return output if at is None else self._post(output, at)

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Probabilities, [items, steps, classes]."""
        return self.readable(output.detach().double()).cpu().numpy()

    def readable(self, output: Tensor) -> Tensor:
        return output.sigmoid() if self.several else output.softmax(-1)

    def legend(self) -> Options:
        told = {"several": self.several, "background": self.background, "rate": self.rate}
        return {"kind": "spans", "classes": self.classes, **told, "place": 1.0 if self.causal else 0.5}

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        return [
            Spans(tuple((*e.span, self.classes[e.kind], float(scores[e.first : e.last, e.kind].mean())) for e in own))
            for own, scores in self._events(output, at)
        ]

    def claims(self, output: Tensor, at: Instants | None = None) -> list[list[Claim]]:
        """Each span; of an item without any, the classes at all instants together."""
        found = []
        for events, scores in self._events(output, at):
            nothing = torch.full((output.shape[1], *[self.n_outputs] * self.several), -1)
            own = []
            for e in events:
                target, steps = nothing.clone(), slice(e.first, e.last)
                target[(steps, e.kind) if self.several else steps] = 1 if self.several else e.kind
                own.append(Claim(str(self.classes[e.kind]), target, e.span))
            held = torch.from_numpy(self._held(scores)).long()
            nothing[: len(held)] = held if self.several else held.argmax(-1)
            found.append(own or [Claim("nothing", nothing)])
        return found

    def _events(self, output: Tensor, at: Instants | None) -> Iterator[tuple[list[_Event], NDArray[np.float64]]]:
        """Of each item the spans of its classes in order, without the background, and its scores."""
        scores = self.scores(output)
        asked = np.ones(scores.shape[:2], np.bool_) if at is None else at.mask.cpu().numpy()
        when = np.zeros(scores.shape[:2]) if at is None else at.times.cpu().numpy().astype(np.float64)
        # From the middle or the end of an instant's time back to its start.
        back = (1.0 if self.causal else 0.5) / self.rate
        for own, times in ((s[m], t[m] - back) for s, m, t in zip(scores, asked, when)):
            held = self._held(own)
            # Rounded, as sums of 1 / rate would show as 0.30000000000000004.
            ends = [
                (k, lo, hi, times[lo], times[hi - 1] + 1 / self.rate)
                for k in self._kinds
                for lo, hi in runs(held[:, k])
            ]
            events = [_Event((round(float(a), 6), round(float(b), 6)), k, lo, hi) for k, lo, hi, a, b in ends]
            yield sorted(events, key=lambda e: e.span), own

    def _held(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which classes hold at each instant, [steps, classes]."""
        return scores > 0.5 if self.several else np.eye(self.n_outputs, dtype=np.bool_)[scores.argmax(-1)]

    def frames(
        self, scores: NDArray[np.float64], target: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Scores and truths of the instants with known truth, [rows, classes] and [rows] or [rows, classes]."""
        known = self._asked(target)
        return np.broadcast_to(scores, (*known.shape, self.n_outputs))[known], target[known]

    def _asked(self, target: Array) -> NDArray[np.bool_]:
        return self.known(torch.as_tensor(target)).numpy()

    def metrics(self, scores: NDArray[np.float64], target: Array) -> dict[str, float]:
        """The chosen metric, then the standard ones of instants and of spans."""
        given: dict[str, tuple[object, object]] = {"spans": self._spans(scores, target)}
        given["labels" if self.several else "classes"] = self.frames(scores, target)[::-1]
        return {name: metric(*given[of]) for of, own in self._metrics.items() for name, metric in own.items()}

    def main(self, scores: NDArray[np.float64], target: Array) -> float:
        of, own = next(iter(self._metrics.items()))
        pair = self._spans(scores, target) if of == "spans" else self.frames(scores, target)[::-1]
        return own[self.main_metric](*pair)

    def _spans(self, scores: NDArray[np.float64], target: Array) -> tuple[list[Span], list[Span]]:
        """True and predicted spans of all items, in seconds; without the background."""
        return self._true_spans(target), self._said_spans(scores, target)

    def _true_spans(self, target: Array) -> list[Span]:
        true = target > 0 if self.several else (target[..., None] == np.arange(self.n_outputs))
        return spans_of(true, self.rate, self._kinds)

    def _said_spans(self, scores: NDArray[np.float64], target: Array) -> list[Span]:
        known = self._asked(target)
        scores = np.broadcast_to(scores, (*known.shape, self.n_outputs))
        # Nobody knows whether a span is right where truth is unknown.
        return spans_of(self._held(scores) & known[..., None], self.rate, self._kinds, scores)

    @property
    def _kinds(self) -> list[int]:
        return [k for k, c in enumerate(self.classes) if c != self.background]

    def baseline(self, train: Array, count: int) -> NDArray[np.float64]:
        """The frequency of each class over the training instants, at every instant."""
        known = self._asked(train)
        held = train[known] > 0 if self.several else np.eye(self.n_outputs)[train[known]]
        share = held.mean(0) if len(held) else np.full(self.n_outputs, 1 / self.n_outputs)
        return np.broadcast_to(share, (count, 1, self.n_outputs)).copy()

    def state(self) -> Options:
        return {"classes": self.classes, "seconds": self.seconds, "postprocessing": self.postprocessing}

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Tag:
        task = cls([Annotated(1.0, tuple((0.0, 1.0, label) for label in state["classes"]))], **options)
        task.seconds = [float(s) for s in state["seconds"]]
        task.postprocessing = state["postprocessing"]
        return task
