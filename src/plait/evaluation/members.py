"""What the members of a run answered, brought together for scoring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError, raise_all
from plait.evaluation.intervals import Floats

__all__ = ["MemberOutput", "Scored", "Subset", "pools_of"]

Subset = tuple[str, ...]


class Scored(Protocol):
    """What evaluation needs of a `plait.tasks.Task`."""

    main_metric: str
    higher_is_better: bool

    def metrics(self, scores: NDArray[np.float64], target: NDArray[Any]) -> dict[str, float]: ...

    def state(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class MemberOutput:
    """What one member answered on its test items.

    Attributes:
        seed, fold: which member.
        items: ids of the items, unique within a fold.
        recordings, groups: of each item.
        target: encoded targets, [n].
        present: whether each modality is there, {modality: [n] bool}.
        outputs: scores [n, classes or 1] of each subset, its modalities in the model's order. Items without
            any of a subset's modalities are in it too: there the model's prior answers.
        baseline: scores of the best constant answer, [n, classes or 1].
    """

    seed: int
    fold: str
    items: Sequence[str]
    recordings: Sequence[str]
    groups: Sequence[str]
    target: NDArray[Any]
    present: Mapping[str, NDArray[np.bool_]]
    outputs: Mapping[Subset, Floats]
    baseline: Floats


def pools_of(members: Sequence[MemberOutput]) -> list[MemberOutput]:
    """One member a seed, that holds the test items of all its folds.

    Raises:
        DataError: no members, members that do not fit together, or answers that are not numbers; all at once.
    """
    if not members:
        raise DataError("there are no outputs to evaluate.")
    raise_all(DataError, [p for m in members for p in _problems(m, members[0])])
    seeds = sorted({m.seed for m in members})
    return [_pool([m for m in members if m.seed == s]) for s in seeds]


def _problems(member: MemberOutput, first: MemberOutput) -> list[str]:
    where, n = f"seed {member.seed}, fold {member.fold!r}", len(member.items)
    found = [f"{where}: it answered for no items. Check the split."] if not n else []
    for what in ("recordings", "groups"):
        if len(getattr(member, what)) != n:
            found.append(f"{where}: {len(getattr(member, what))} {what}, but {n} items.")
    if set(member.outputs) != set(first.outputs) or set(member.present) != set(first.present):
        found.append(f"{where}: other subsets or modalities than seed {first.seed}, fold {first.fold!r}.")
    arrays: dict[str, Any] = {"target": member.target, "baseline": member.baseline}
    arrays |= {"output of " + " + ".join(s): x for s, x in member.outputs.items()}
    arrays |= {f"presence of {m}": x for m, x in member.present.items()}
    return found + [f"{where}: {p}" for name, x in arrays.items() for p in _wrong(name, np.asarray(x), member.items)]


def _wrong(name: str, array: NDArray[Any], items: Sequence[str]) -> list[str]:
    """Why an array is no row of numbers an item."""
    if len(array) != len(items):
        return [f"the {name} has {len(array)} rows, but there are {len(items)} items."]
    if not len(items):
        return []
    bad = np.flatnonzero(~np.isfinite(array.reshape(len(items), -1)).all(1))
    if not len(bad):
        return []
    return [
        f"the {name} is not a number on {len(bad)} of {len(items)} items, first on {items[bad[0]]!r}. Look at its "
        "features and targets, and train it anew."
    ]


def _pool(folds: list[MemberOutput]) -> MemberOutput:
    def joined(get: Callable[[MemberOutput], Any]) -> NDArray[Any]:
        return np.concatenate([np.asarray(get(f)) for f in folds])

    some = folds[0]
    return MemberOutput(
        seed=some.seed,
        fold="",
        items=[i for f in folds for i in f.items],
        recordings=[r for f in folds for r in f.recordings],
        groups=[g for f in folds for g in f.groups],
        target=joined(lambda f: f.target),
        present={m: joined(lambda f, m=m: f.present[m]) for m in some.present},
        outputs={s: joined(lambda f, s=s: f.outputs[s]) for s in some.outputs},
        baseline=joined(lambda f: f.baseline),
    )
