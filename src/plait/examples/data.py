"""Items as ragged rows of features, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.examples.collate import Ragged, Rows, packed, pad, relative
from plait.examples.items import Item
from plait.examples.sampler import LengthBatches
from plait.examples.units.around import base_of
from plait.streams.clock import Clock, Grid, Spans
from plait.tokens import Instants, Tokens

__all__ = ["Asked", "Batch", "Batches", "FeatureSource", "ItemData", "Noisy", "Numbered", "Swapped", "loader"]

SAME = 5e-4
"""Seconds by which two times may differ and still be the same; files hold milliseconds."""


class Asked(NamedTuple):
    """Targets of items, and the instants at which answers are wanted.

    Attributes:
        targets: encoded as the task's `loss` takes them, [items, ...]; zeros where unknown.
        at: instants of the answers; None: one answer per item.
        own: of modalities whose future is asked, each item's scale, on which `ItemData` shows their features too, and
            further columns of them, [items, 1 + columns].
    """

    targets: Tensor
    at: Instants | None = None
    own: Mapping[str, NDArray[np.float32]] = MappingProxyType({})

    @property
    def steps(self) -> int:
        """Median number of instants within an item; 0 where there is one answer per item, or answers after it."""
        if self.at is None or self.at.reference is not None or not len(self.at.mask):
            return 0
        return int(self.at.mask.sum(1).median())


class Batch(NamedTuple):
    """A padded batch of items.

    Attributes:
        inputs: tokens by modality.
        targets: encoded targets, [batch, ...].
        items: positions of the items in the data, [batch].
        at: instants of the answers; None: one answer per item.
    """

    inputs: dict[str, Tokens]
    targets: Tensor
    items: Tensor
    at: Instants | None = None


class FeatureSource(Protocol):
    """Where an item's features come from: the prepared features of a corpus, clean or noisy."""

    def get(self, recording: str, modality: str) -> tuple[NDArray[np.float32], Clock] | None: ...


Noisy = Mapping[str, Sequence[tuple[float, Sequence[FeatureSource]]]]
"""Per modality: groups of sources that replace the clean one, each with the probability of doing so."""


class Swapped:
    """Features of which one modality, with its context, comes from another source."""

    def __init__(self, source: FeatureSource, modality: str, other: FeatureSource) -> None:
        self.source, self.modality, self.other = source, modality, other

    def get(self, recording: str, modality: str) -> tuple[NDArray[np.float32], Clock] | None:
        swapped = self.modality in (modality, base_of(modality))
        return (self.other if swapped else self.source).get(recording, modality)


class Numbered(Spans):
    """A clock that counts the texts of a tier: what belongs to the n-th lies from n to n + 1
    (`plait.corpus.corpus.Corpus.with_tiers`)."""


class ItemData:
    """Items cut from prepared features and read one batch at a time (`loader`). Nothing is read before.

    Args:
        items: the items to cut.
        source: the features.
        asked: targets and instants of the items.
        modalities: names, in the model's order.
        noisy: per modality, groups of other sources of the same shape, and how often a member of each replaces the
            clean source.
    """

    def __init__(
        self,
        items: Sequence[Item],
        source: FeatureSource,
        asked: Asked,
        modalities: Sequence[str],
        *,
        noisy: Noisy | None = None,
    ) -> None:
        self.items, self.source, self.asked = list(items), source, asked
        self.modalities, self.noisy = list(modalities), dict(noisy or {})
        self.seed, self.epoch = 0, _never
        self.rows = {m: Ragged(self._all(m)) for m in self.modalities}

    def _all(self, modality: str) -> Iterable[Rows | None]:
        rows = (self._cut(i, modality, self.source) for i in range(len(self.items)))
        # Rows of an item's own scale are no views of the recording's: one array for all keeps batches quick.
        return packed(list(rows)) if modality in self.asked.own else rows

    def _cut(self, i: int, modality: str, source: FeatureSource) -> Rows | None:
        item = self.items[i]
        found = source.get(item.recording, modality)
        if found is None:
            return None
        values, clock = found
        if isinstance(clock, Numbered):
            return _of_number(item, values, clock)
        kind = kind_of(modality, item.others)
        if kind:
            parts = _united([rows_within(clock, *other) for other in item.others[kind]])
        # A whole recording is not cut: rounding of its stop must not cost it the last row.
        else:
            parts = [slice(0, len(clock)) if item.whole else rows_within(clock, item.start, item.stop)]
        parts = [part for part in parts if part.start < part.stop]
        if not parts:
            return None
        times = [(clock[part].times - item.start).astype(np.float32) for part in parts]
        # One part is a view: no row is copied.
        rows = Rows(values[parts[0]], times[0])
        if len(parts) > 1:
            rows = Rows(np.concatenate([values[part] for part in parts]), np.concatenate(times))
        own = self.asked.own.get(modality)
        return rows if own is None else rows._replace(values=relative(rows.values, own[i]))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def targets(self) -> Tensor:
        """Encoded targets, [items, ...]."""
        return self.asked.targets

    def batch(self, indices: Sequence[int], dims: Mapping[str, int]) -> Batch:
        """Items by position, padded, with tokens of every modality in ``dims``."""
        instead = self.stand_ins(indices, self.epoch())
        tokens = {
            m: self.rows[m].pad(indices, dim, instead.get(m)) if m in self.rows else pad([None] * len(indices), dim)
            for m, dim in dims.items()
        }
        index = torch.from_numpy(np.array(indices, np.int64))
        at = self.asked.at
        return Batch(tokens, self.targets[index], index, None if at is None else at.of(index))

    def stand_ins(self, indices: Sequence[int], epoch: int) -> dict[str, dict[int, Rows]]:
        """Per modality, the places of the batch where a noisy source is drawn in this epoch, with its rows."""
        found: dict[str, dict[int, Rows]] = {m: {} for m in self.noisy}
        for place, i in enumerate(indices if self.noisy else ()):
            # A generator per item: its draw must not depend on which other items share the batch.
            rng = np.random.default_rng((self.seed, epoch, i))
            for modality, groups in self.noisy.items():
                clean = self.rows[modality][i]
                if clean is None or not groups:
                    continue
                shares = np.cumsum([share for share, _ in groups])
                group = int(np.searchsorted(shares, rng.random(), side="right"))
                if group < len(groups):
                    sources = groups[group][1]
                    rows = self._cut(int(i), modality, sources[int(rng.integers(len(sources)))])
                    # If the noise leaves no rows, the modality is missing here; clean rows would hide that.
                    found[modality][place] = rows or Rows(clean.values[:0], clean.times[:0])
        return found

    @property
    def lengths(self) -> list[int]:
        """Number of feature rows per item, summed over modalities."""
        total: NDArray[np.int64] = sum((rows.counts for rows in self.rows.values()), np.zeros(len(self), np.int64))
        lengths: list[int] = total.tolist()
        return lengths

    def typical_length(self, modality: str) -> float:
        """Median number of feature rows of the items that have the modality; 0 if none has it."""
        counts = self.rows[modality].counts
        return float(np.median(counts[counts > 0])) if counts.any() else 0.0

    def features(self, modality: str) -> list[NDArray[np.float32]]:
        """The features of every item that has the modality, [n, dim] each."""
        ragged = self.rows[modality]
        return [rows.values for rows in (ragged[i] for i in range(len(self))) if rows is not None]

    def present(self, modality: str) -> NDArray[np.bool_]:
        """[items], whether the item has the modality (a row that is not all NaN)."""
        return self.rows[modality].present()

    def regular(self) -> set[str]:
        """The modalities whose features stand on a grid."""
        recordings = {item.recording for item in self.items}
        return {m for m in self.modalities if all(self._on_grid(r, m) for r in recordings)}

    def _on_grid(self, recording: str, modality: str) -> bool:
        found = self.source.get(recording, modality)
        return found is None or isinstance(found[1], Grid)


def _of_number(item: Item, values: NDArray[np.float32], clock: Numbered) -> Rows | None:
    """The rows of an item's own text, spread over the item."""
    part = slice(0, 0) if item.number is None else clock.window(item.number, item.number + 1)
    if part.start >= part.stop:
        return None
    share = clock[part].times - (item.number or 0)
    return Rows(values[part], (share * (item.stop - item.start)).astype(np.float32))


def kind_of(modality: str, kinds: Collection[str]) -> str:
    """Which of the kinds of context a modality holds; "" if it holds the item itself."""
    kind = modality.rpartition(".")[2]
    return kind if kind in kinds and kind != modality else ""


def rows_within(clock: Clock, start: float, stop: float) -> slice:
    """The rows of an interval: the spans that coincide with it; if there are none, all rows with times within it.

    Segments that overlap, such as turns of talk, would otherwise get each other's texts.

    >>> said = Spans([0.0, 1.5, 3.0], [2.0, 2.3, 4.0])
    >>> said.window(0.0, 2.0), rows_within(said, 0.0, 2.0)
    (slice(0, 2, None), slice(0, 1, None))
    """
    if isinstance(clock, Spans):
        low, high = np.searchsorted(clock.starts, (start - SAME, start + SAME))
        (same,) = np.nonzero(np.abs(clock.stops[low:high] - stop) <= SAME)
        if len(same):
            return slice(int(low + same[0]), int(low + same[-1] + 1))
    return clock.window(start, stop)


def _united(parts: list[slice]) -> list[slice]:
    """The same rows as disjoint slices in order, as few as there can be.

    >>> _united([slice(0, 2), slice(2, 4), slice(7, 9), slice(8, 12)])
    [slice(0, 4, None), slice(7, 12, None)]
    """
    found: list[slice] = []
    for part in sorted(parts, key=lambda own: (own.start, own.stop)):
        if found and part.start <= found[-1].stop:
            found[-1] = slice(found[-1].start, max(found[-1].stop, part.stop))
        else:
            found.append(part)
    return found


def _never() -> int:
    return 0


class Order(Protocol):
    """The items of each batch; ``len`` is the number of batches. May be drawn anew on each pass."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sequence[int]]: ...


class Batches:
    """Batches of items; each pass is an epoch.

    Torch's loader would only cost time here (it fetches and joins items one by one, in workers): a batch is gathered
    in one go, faster than it could be passed between processes.
    """

    def __init__(self, data: ItemData, dims: Mapping[str, int], order: Order) -> None:
        self.data, self.dims, self.order = data, dims, order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        return (self.data.batch(indices, self.dims) for indices in self.order)


def loader(
    data: ItemData,
    dims: Mapping[str, int],
    *,
    batch: int,
    seed: int | None = None,
    epoch: Callable[[], int] = _never,
) -> Batches:
    """Batches of similar length in an order drawn from ``seed`` and ``epoch()``; without a seed in the items' order."""
    if seed is None:
        count = len(data)
        return Batches(data, dims, [range(i, min(i + batch, count)) for i in range(0, count, batch)])
    data.seed, data.epoch = seed, epoch
    return Batches(data, dims, LengthBatches(data.lengths, batch=batch, seed=seed, epoch=epoch))
