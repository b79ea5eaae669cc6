"""Ragged features -> one padded, masked batch per modality."""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from plait.tokens.tokens import Tokens

__all__ = ["Ragged", "Rows", "packed", "pad", "relative"]


KEPT = 4  # free arrays kept per modality; a caller that holds more batches gets new memory


class Rows(NamedTuple):
    """One item's features in one modality.

    Attributes:
        values: features [n, dim] float32, usually a view of a memory-mapped file.
        times: [n] float32, seconds from the item's start.
    """

    values: NDArray[np.float32]
    times: NDArray[np.float32]


class Buffers:
    """Arrays that are reused once nobody holds them any more.

    An array of some megabytes is usually new memory, which the system clears page by page on first touch. For a batch
    this costs about as much as filling it. Training drops each batch as soon as the next one is there.

    >>> buffers = Buffers()
    >>> place = buffers.empty((2, 3)).ctypes.data
    >>> buffers.empty((3, 2)).ctypes.data == place
    True
    """

    def __init__(self) -> None:
        self._free: deque[NDArray[np.float32]] = deque(maxlen=KEPT)

    def empty(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array of that shape with undefined values. It is taken back once it, and any tensor on it, is gone."""
        size = math.prod(shape)
        buffer = self._free.pop() if self._free else None
        if buffer is None or buffer.size < size:
            buffer = np.empty(size, np.float32)
        lent = buffer[:size].reshape(shape)
        # A tensor made from ``lent`` keeps it alive. A numpy view of it would not: its base is ``buffer`` itself.
        weakref.finalize(lent, self._free.append, buffer).atexit = False
        return lent


class Ragged:
    """The rows of many items in one modality, stored as positions in the arrays that hold them.

    One object per item would be slow: ten thousand objects do not fit a processor's cache, and finding them costs as
    much as copying their content. Items cut from one array whose row 0 is all zeros (`plait.store.pack`) are gathered,
    padding included, by one ``take``.

    Args:
        rows: the rows of each item; None, or zero rows, where the modality is missing.

    Attributes:
        counts: [items], number of rows per item.

    >>> film = np.arange(10, dtype=np.float32)[:, None]
    >>> cuts = Ragged(Rows(film[i : i + 2], np.zeros(2, np.float32)) for i in (3, 5))
    >>> cuts.pad([1, 0], 1).values[..., 0].tolist()
    [[5.0, 6.0], [3.0, 4.0]]
    """

    def __init__(self, rows: Iterable[Rows | None]) -> None:
        homes: dict[int, tuple[int, NDArray[np.float32]]] = {}
        places, times = [], [np.zeros(1, np.float32)]
        for row in rows:
            if row is None or not len(row.times):
                places.append((0, 0, 0))
                continue
            # Views of one array share it: a batch is then gathered from few arrays instead of many.
            key, array, first = _home(row.values)
            places.append((homes.setdefault(key, (len(homes), array))[0], first, len(row.times)))
            times.append(row.times)
        self._arrays = [array for _, array in homes.values()]
        self._array, self._first, self.counts = np.array(places, np.int64).reshape(-1, 3).T.copy()
        self._times, self._instant = np.concatenate(times), 1 + np.cumsum(self.counts) - self.counts
        one = self._arrays[0] if len(self._arrays) == 1 else None
        self._flat = one if one is not None and not one[0].any() else None
        self._beside = self._flat is not None and self._lay_beside(len(self._flat))
        self._looked, self._holes = np.zeros(len(places), bool), dict[int, NDArray[np.bool_]]()
        self._buffers = Buffers()

    def _lay_beside(self, size: int) -> bool:
        """Lay out the times like the rows of the one array, so that one index finds both.

        This is impossible where items share a row but count its time from different starts, and where row 0, used for
        padding, would get another time than 0.
        """
        within = np.arange(1, len(self._times)) - np.repeat(self._instant, self.counts)
        # Written, then read back: where two items disagree about a row, the later one has won and they differ.
        rows, laid = np.repeat(self._first, self.counts) + within, np.zeros(size, np.float32)
        laid[rows] = self._times[1:]
        if same := np.array_equal(laid[rows], self._times[1:]) and laid[0] == 0:
            self._times, self._instant = laid, self._first
        return bool(same)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, i: int) -> Rows | None:
        n, first, instant = int(self.counts[i]), int(self._first[i]), int(self._instant[i])
        if not n:
            return None
        return Rows(self._arrays[self._array[i]][first : first + n], self._times[instant : instant + n])

    def seen(self, i: int) -> NDArray[np.bool_] | None:
        """[n], False where a row of item i has no finite number; None if every row has one."""
        if not self._looked[i]:
            rows = self[i]
            holes = None if rows is None else _holes(rows.values)
            if holes is not None:
                self._holes[int(i)] = holes
            self._looked[i] = True
        return self._holes.get(int(i))

    def present(self) -> NDArray[np.bool_]:
        """[items], whether the item has a row with a finite number."""
        holes = [self.seen(i) for i in range(len(self))]
        return np.array([n > 0 and (h is None or bool(h.any())) for n, h in zip(self.counts, holes)], bool)

    def pad(self, index: Sequence[int], dim: int, instead: Mapping[int, Rows] | None = None) -> Tokens:
        """Items by position, padded with zeros to the longest; a missing item has an all-False mask.

        A row whose features are all NaN is masked; single NaN cells stay for the model to fill.

        Args:
            index: positions, in the order of the batch.
            dim: width of the features.
            instead: other rows for some places of the batch, for example noisy ones.
        """
        others, at = instead or {}, np.asarray(index, np.int64)
        counts = self.counts[at]
        for k, rows in others.items():
            counts[k] = len(rows.times)
        mask = np.arange(counts.max(initial=0)) < counts[:, None]
        place = _places(self._instant[at], mask)  # into the times; 0 is the place of padding
        # mode="clip" skips numpy's check of bounds, and lets ``take`` write into ``out`` without a copy.
        times = self._times.take(place, mode="clip")
        if self._flat is None or others:
            values = self._joined(at, mask.shape[1], dim, others)
        else:
            place = place if self._beside else _places(self._first[at], mask)
            values = self._buffers.empty((*mask.shape, dim))
            self._flat.take(place, axis=0, mode="clip", out=values)
        for k, rows in others.items():
            times[k, : counts[k]] = rows.times
        self._unsee(mask, at, others)
        return Tokens(torch.from_numpy(values), torch.from_numpy(times), torch.from_numpy(mask))

    def _joined(self, at: NDArray[np.int64], longest: int, dim: int, others: Mapping[int, Rows]) -> NDArray[np.float32]:
        """Rows and padding in turn, from any arrays, copied in one go; [batch, longest, dim]."""
        nothing = np.zeros((longest, dim), np.float32)
        pieces = [nothing[:0]]
        places = zip(self._array[at].tolist(), self._first[at].tolist(), self.counts[at].tolist())
        for k, (array, first, n) in enumerate(places):
            rows = others[k].values if k in others else self._arrays[array][first : first + n] if n else nothing[:0]
            pieces += (rows, nothing[len(rows) :])
        values = self._buffers.empty((len(at), longest, dim))
        np.concatenate(pieces, out=values.reshape(-1, dim))
        return values

    def _unsee(self, mask: NDArray[np.bool_], at: NDArray[np.int64], others: Mapping[int, Rows]) -> None:
        """Set the mask [batch, time] to False at rows without a finite number."""
        if not others and not self._holes and self._looked[at].all():
            return  # the usual case, once every item has been looked at
        for k, i in enumerate(at):
            holes = _holes(others[k].values) if k in others else self.seen(i)
            if holes is not None:
                mask[k, : len(holes)] = holes


def _places(first: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Positions that count up from ``first`` along each row of the mask [batch, time]; 0 where it is False."""
    places = first[:, None] + np.arange(mask.shape[1])
    places *= mask
    return places


def _home(values: NDArray[np.float32]) -> tuple[int, NDArray[np.float32], int]:
    """The array that ``values`` [n, dim] is cut from: its id, its rows, and which of them is the first."""
    owner, dim = values.base, values.shape[1]
    if isinstance(owner, np.ndarray) and owner.dtype == values.dtype and dim:
        # The address tells the row: numpy keeps no offset of a view in its base.
        apart = values.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        first, rest = divmod(apart, values.itemsize * dim)
        if owner.flags.c_contiguous and values.flags.c_contiguous and not rest and owner.size % dim == 0:
            return id(owner), owner.reshape(-1, dim), first
    return id(values), values, 0


def _holes(values: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """[n], False where a row has no finite number; None if every row has one."""
    # The sum is finite unless a cell is not (or it overflows): one quick pass for the usual item.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.add.reduce(values, axis=None)):
            return None
    seen: NDArray[np.bool_] = np.logical_or.reduce(np.isfinite(values), 1)
    return None if seen.all() else seen


def pad(rows: Sequence[Rows | None], dim: int) -> Tokens:
    """Rows of one modality as a batch: see `Ragged.pad`.

    >>> one = Rows(np.ones((2, 3), np.float32), np.array([0, 0.1], np.float32))
    >>> pad([one, None], 3).mask.tolist()
    [[True, True], [False, False]]
    """
    return Ragged(rows).pad(range(len(rows)), dim)


def relative(values: NDArray[np.float32], told: NDArray[np.float32]) -> NDArray[np.float32]:
    """One column beside its change to the last value in units of an item's scale, and what else is told of the item.

    Features of several columns, which are not the stream's own values, get the latter only.

    Args:
        values: [n, columns]
        told: the scale, whose logarithm becomes a column, and further columns, the same in all rows.

    >>> relative(np.array([[1.0], [5.0]], np.float32), np.array([2.0, 7.0], np.float32)).round(2).tolist()
    [[1.0, -2.0, 0.6899999976158142, 7.0], [5.0, 0.0, 0.6899999976158142, 7.0]]
    """
    known, scale = np.isfinite(values[:, :1]), told[0]
    more = np.where(known, np.array([math.log(scale), *told[1:]], np.float32), np.float32(np.nan))
    if values.shape[1] > 1 or not known.any():
        return np.concatenate([values, more], 1)
    last = values[known[:, 0]][-1]
    return np.concatenate([values, (values - last) / scale, more], 1)


def packed(rows: Sequence[Rows | None]) -> list[Rows | None]:
    """The same rows as views of one array, whose first row is zeros (see `Ragged`)."""
    some = [row.values for row in rows if row is not None]
    if not some:
        return list(rows)
    home = np.concatenate([np.zeros((1, some[0].shape[1]), np.float32), *some])
    ends = (1 + np.cumsum([0 if row is None else len(row.times) for row in rows])).tolist()
    return [row and Rows(home[stop - len(row.times) : stop], row.times) for row, stop in zip(rows, ends)]
