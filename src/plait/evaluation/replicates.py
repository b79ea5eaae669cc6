"""The outputs of the replicates of a run, pooled for scoring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError, raise_all
from plait.evaluation.intervals import Floats

__all__ = [
    "ReplicateOutput",
    "Scored",
    "Subset",
    "frames_of",
    "led",
    "main_of",
    "paddings_of",
    "pools_of",
    "same_steps",
    "scorer_of",
    "stacked",
    "widths_of",
]

Subset = tuple[str, ...]

Number = TypeVar("Number", bound=np.generic)

NOT_ASKED = -1
"""The target where nothing is asked: padding, and instants without a label."""


class Scored(Protocol):
    """What evaluation needs of a `plait.tasks.Task`.

    Optional attributes:

    - ``is_numeric``: whether scores are values in units; then truths are drawn against answers.
    - ``bounds``: the bounds of the main metric; by default those of plait's metric of that name.
    - ``padding``: what fills scores of fewer steps than others; 0 by default, -1 for token ids.
    - ``frames(scores, target)``: see `frames_of`.
    - ``main(scores, target)``: the main metric alone, without the cost of the others; see `main_of`.
    - ``scorer(scores, target)``: gives the main metric of some items by their indices; see `scorer_of`.
    - ``asks``: ``nothing``, if the metric ranks items among each other.
    - ``lead(scores, target)``: of a task with several targets: the task of the first one, its scores and its target.
    - ``each(scores, target)``: the main metric of each item, where that of one item alone means nothing.
    - ``points(scores, target)``: truths and answers to draw against each other, [rows] each.
    - ``rivals(target)``: scores of cheap answers, by name.
    - ``losses(scores, target)``, ``streams``: the loss of each item and stream, and their names.
    - ``moved(scores, other, target)``: how far apart two answers are, of each item and stream.
    - ``rate``: answers per second, of a task that answers over time.
    - ``texts(scores, target)``: a pair of readable texts per item, the truth and the answer.
    """

    @property
    def main_metric(self) -> str: ...

    @property
    def higher_is_better(self) -> bool: ...

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]: ...

    def state(self) -> Mapping[str, object]: ...


def main_of(task: Scored, scores: NDArray[np.float64], target: NDArray[np.generic]) -> float:
    """The main metric of some items."""
    alone: Callable[..., float] | None = getattr(task, "main", None)
    return task.metrics(scores, target)[task.main_metric] if alone is None else alone(scores, target)


def scorer_of(
    task: Scored, scores: NDArray[np.float64], target: NDArray[np.generic]
) -> Callable[[NDArray[np.intp]], float]:
    """The main metric of some items, by their indices: an interval asks for it once per group."""
    own: Callable[..., Callable[[NDArray[np.intp]], float]] | None = getattr(task, "scorer", None)
    return own(scores, target) if own is not None else lambda i: main_of(task, scores[i], target[i])


@dataclass(frozen=True)
class ReplicateOutput:
    """What one replicate answered on its test items.

    Attributes:
        seed, fold: which replicate.
        items: ids of the items, unique within a fold.
        recordings, groups: of each item.
        target: encoded targets: [n]; for timed answers [n, steps], for several labels at a time [n, steps, classes];
            for texts the ids of their tokens, [n, length]. -1 where nothing is asked.
        present: whether each modality is there, {modality: [n] bool}.
        outputs: scores per subset, its modalities in the model's order: [n, classes or 1]; for timed answers
            [n, steps, classes or 1]; for texts ids [n, length], whose length may differ from the target's. Items
            without any of a subset's modalities are included: the model's prior answers for them.
        baseline: scores of the best constant answer, like an output.
    """

    seed: int
    fold: str
    items: Sequence[str]
    recordings: Sequence[str]
    groups: Sequence[str]
    target: NDArray[np.generic]
    present: Mapping[str, NDArray[np.bool_]]
    outputs: Mapping[Subset, Floats]
    baseline: Floats

    def of(self, items: NDArray[np.intp]) -> ReplicateOutput:
        """The answers to some of the items, by their places."""
        chosen = items.tolist()
        return replace(
            self,
            items=[self.items[i] for i in chosen],
            recordings=[self.recordings[i] for i in chosen],
            groups=[self.groups[i] for i in chosen],
            target=np.asarray(self.target)[items],
            present={m: there[items] for m, there in self.present.items()},
            outputs={key: scores[items] for key, scores in self.outputs.items()},
            baseline=np.asarray(self.baseline)[items],
        )


def frames_of(
    task: Scored | None, scores: NDArray[np.float64], target: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    """Scores [rows, classes] and targets [rows] of all that is counted: items, or the instants asked.

    With several labels at a time targets stay [rows, classes]. A task that counts otherwise has its own ``frames``.

    >>> scores, target = np.array([[[0.9, 0.1], [0.2, 0.8]]]), np.array([[0, -1]])
    >>> frames_of(None, scores, target)
    (array([[0.9, 0.1]]), array([0]))
    """
    own = getattr(task, "frames", None)
    if own is not None:
        scores, target = own(scores, target)
        return np.asarray(scores), np.asarray(target)
    if scores.ndim < 3:
        return scores, target
    # Of several labels an instant is asked if any label is.
    asked = (target != NOT_ASKED).reshape(*target.shape[:2], -1).any(-1)
    return scores[asked], target[asked]


def stacked(arrays: Sequence[NDArray[Number]], padding: float) -> NDArray[Number]:
    """Arrays [items, steps, ...] concatenated over items, those of fewer steps filled up with ``padding``.

    >>> stacked([np.ones((1, 2), int), np.ones((1, 3), int)], -1).tolist()
    [[1, 1, -1], [1, 1, 1]]
    """
    if arrays[0].ndim < 2:
        return np.concatenate(arrays)
    most = max(a.shape[1] for a in arrays)
    return np.concatenate([_lengthened(a, most, padding) for a in arrays])


def _lengthened(array: NDArray[Number], steps: int, padding: float) -> NDArray[Number]:
    more = steps - array.shape[1]
    if more <= 0:
        return array
    return np.pad(array, [(0, 0), (0, more), *[(0, 0)] * (array.ndim - 2)], constant_values=padding)


def same_steps(task: Scored, scores: Floats, target: NDArray[np.generic]) -> tuple[Floats, NDArray[np.generic]]:
    """Timed scores [items, steps, classes] and targets with the same number of steps; pooled answers and texts as is.

    >>> [a.shape for a in same_steps(None, np.zeros((2, 5, 3)), np.zeros((2, 4), int))]
    [(2, 5, 3), (2, 5)]
    """
    if scores.ndim < 3 or target.ndim < 2:
        return scores, target
    steps = max(scores.shape[1], target.shape[1])
    of_scores, of_targets = paddings_of(task)
    return _lengthened(scores, steps, of_scores), _lengthened(target, steps, of_targets)


def paddings_of(task: Scored | None) -> tuple[float, float]:
    """The padding of scores and of targets with fewer steps; for values it is NaN, since -1 may be a value."""
    return getattr(task, "padding", 0), np.nan if getattr(task, "is_numeric", False) else NOT_ASKED


def led(task: Scored, pools: Sequence[ReplicateOutput]) -> tuple[Scored, list[ReplicateOutput]]:
    """The task of the first target, and the replicates with its answers alone; of one target all as it is."""
    lead: Callable[..., tuple[Scored, Floats, NDArray[np.generic]]] | None = getattr(task, "lead", None)
    if lead is None:
        return task, [*pools]
    found = []
    for p in pools:
        first, baseline, target = lead(np.asarray(p.baseline), np.asarray(p.target))
        outputs = {s: lead(np.asarray(x), np.asarray(p.target))[1] for s, x in p.outputs.items()}
        found.append(replace(p, outputs=outputs, baseline=baseline, target=target))
    return first, found


def widths_of(replicates: Sequence[ReplicateOutput]) -> set[int]:
    """The numbers of classes (or values) of the replicates' answers; empty for texts."""
    answers = [(np.asarray(x), np.ndim(m.target)) for m in replicates for x in (*m.outputs.values(), m.baseline)]
    # Texts are [n, length] in scores and in targets; classes are [n, classes] beside targets [n].
    return {x.shape[-1] for x, axes in answers if x.ndim > 2 or axes == 1}


def pools_of(replicates: Sequence[ReplicateOutput], task: Scored | None = None) -> list[ReplicateOutput]:
    """One replicate per seed, with the test items of all its folds.

    Timed answers of the folds may differ in their number of steps: they are filled up (see `paddings_of`).

    Raises:
        DataError: no replicates, replicates that do not fit together, or answers that are not numbers; all at once.
    """
    if not replicates:
        raise DataError("there are no outputs to evaluate.")
    raise_all(DataError, [p for m in replicates for p in _problems(m, replicates[0])])
    if len(widths := widths_of(replicates)) > 1:
        raise DataError(
            f"the replicates answer with {' and '.join(map(str, sorted(widths)))} classes. Ask for fewer folds, or "
            "another split, so that each training part has all classes."
        )
    seeds = sorted({m.seed for m in replicates})
    return [_pool([m for m in replicates if m.seed == s], *paddings_of(task)) for s in seeds]


def _problems(replicate: ReplicateOutput, first: ReplicateOutput) -> list[str]:
    where, n = f"seed {replicate.seed}, fold {replicate.fold!r}", len(replicate.items)
    found = [f"{where}: it answered for no items. Check the split."] if not n else []
    for what in ("recordings", "groups"):
        if len(getattr(replicate, what)) != n:
            found.append(f"{where}: {len(getattr(replicate, what))} {what}, but {n} items.")
    if set(replicate.outputs) != set(first.outputs) or set(replicate.present) != set(first.present):
        found.append(f"{where}: other subsets or modalities than seed {first.seed}, fold {first.fold!r}.")
    arrays: dict[str, object] = {"target": replicate.target, "baseline": replicate.baseline}
    arrays |= {"output of " + " + ".join(s): x for s, x in replicate.outputs.items()}
    arrays |= {f"presence of {m}": x for m, x in replicate.present.items()}
    return found + [f"{where}: {p}" for name, x in arrays.items() for p in _wrong(name, np.asarray(x), replicate.items)]


def _wrong(name: str, array: NDArray[np.generic], items: Sequence[str]) -> list[str]:
    """Why an array is not a row of numbers per item."""
    if len(array) != len(items):
        return [f"the {name} has {len(array)} rows, but there are {len(items)} items."]
    if not len(items):
        return []
    bad = np.flatnonzero(~np.isfinite(array.reshape(len(items), -1)).all(1))
    if not len(bad):
        return []
    return [
        f"the {name} is not a number on {len(bad)} of {len(items)} items, first on {items[bad[0]]!r}. Look at its "
        "features and targets, and train the model anew."
    ]


def _pool(folds: list[ReplicateOutput], padding: float, not_asked: float) -> ReplicateOutput:
    some = folds[0]
    return ReplicateOutput(
        seed=some.seed,
        fold="",
        items=[i for f in folds for i in f.items],
        recordings=[r for f in folds for r in f.recordings],
        groups=[g for f in folds for g in f.groups],
        target=stacked([np.asarray(f.target) for f in folds], not_asked),
        present={m: np.concatenate([np.asarray(f.present[m]) for f in folds]) for m in some.present},
        outputs={s: stacked([np.asarray(f.outputs[s]) for f in folds], padding) for s in some.outputs},
        baseline=stacked([np.asarray(f.baseline) for f in folds], padding),
    )
