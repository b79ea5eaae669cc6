"""Helpers of tasks that answer over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated as Typed
from typing import TypeVar

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor

from plait.core.errors import DataError
from plait.examples.targets import Annotated, Target

__all__ = ["Rate", "all_of", "annotated_of", "by_length", "grid", "named", "padded"]

NAMED = 5
"""Items that an error names; of the others it gives the number."""

T = TypeVar("T", bound=np.generic)
Kind = TypeVar("Kind")

Rate = Typed[float, Field(gt=0, le=1000, description="answers per second, above 0")]


def grid(seconds: float, rate: float, place: float = 0.5) -> NDArray[np.float64]:
    """One instant per ``1 / rate`` seconds, at least one; ``place``: its position in that step, 0 to 1.

    >>> grid(2.0, 2.0).tolist(), grid(0.1, 2.0, 1.0).tolist()
    ([0.25, 0.75, 1.25, 1.75], [0.5])
    """
    return (np.arange(max(1, round(seconds * rate)), dtype=np.float64) + place) / rate


def all_of(kind: type[Kind], targets: Sequence[Target], expected: str) -> list[Kind]:
    """The targets, checked to be of one kind.

    Args:
        kind: their class.
        targets: any.
        expected: the end of the error's sentence.

    Raises:
        DataError: one is of another kind.

    >>> all_of(int, [1, 2], "is no number.")
    [1, 2]
    """
    found: list[Kind] = [t for t in targets if isinstance(t, kind)]
    if len(found) < len(targets):
        raise DataError(f"target {next(t for t in targets if not isinstance(t, kind))!r} {expected}")
    return found


def annotated_of(target: Target) -> Annotated:
    """The target, checked to be annotated over time.

    Raises:
        DataError: it is of another type.
    """
    if not isinstance(target, Annotated):
        raise DataError(f"target {target!r} is not annotated over time; expected `Annotated`.")
    return target


def named(ids: Sequence[str]) -> str:
    """The first `NAMED` of some ids, and how many more there are.

    >>> named(list("abcdefg"))
    'a, b, c, d, e and 2 more'
    """
    more = len(ids) - NAMED
    return ", ".join(ids[:NAMED]) + (f" and {more} more" if more > 0 else "")


def by_length(
    texts: Int[Tensor, "texts longest"], most: int
) -> Iterator[tuple[Int[Tensor, " some"], Int[Tensor, "some longest"]]]:
    """The numbers of rows of similar length, at most so many at once, and these rows without common padding (below 0).

    Together in one batch, most would be padding.

    >>> import torch
    >>> [(own.tolist(), rows.tolist()) for own, rows in by_length(torch.tensor([[1, 2, 3], [4, -1, -1]]), 1)]
    [([1], [[4]]), ([0], [[1, 2, 3]])]
    """
    lengths = (texts >= 0).sum(1)
    for own in lengths.argsort().split(most):
        yield own, texts[own, : int(lengths[own].max())]


def padded(rows: Sequence[ArrayLike], fill: float, dtype: type[T], *, least: int = 0) -> NDArray[T]:
    """Rows of unequal length, padded with ``fill``, [rows, longest, ...]; at least ``least`` long.

    >>> padded([[1, 2], [3]], -1, np.int64).tolist()
    [[1, 2], [3, -1]]
    """
    made = [np.asarray(row, dtype) for row in rows]
    longest = max([least, *map(len, made)])
    out = np.full((len(made), longest, *(made[0].shape[1:] if made else ())), fill, dtype)
    for place, own in zip(out, made):
        place[: len(own)] = own
    return out
