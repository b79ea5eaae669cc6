"""Items as ragged rows of features, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.examples.collate import Ragged, Rows, pad
from plait.examples.items import Item
from plait.examples.sampler import LengthBatches
from plait.streams.clock import Clock, Grid
from plait.tokens import Instants, Tokens

__all__ = ["Asked", "Batch", "Batches", "FeatureSource", "ItemData", "Noisy", "Swapped", "loader"]


class Asked(NamedTuple):
    """What is asked of items.

    Attributes:
        targets: what is to be answered, as the task's `loss` takes it, [items, ...]; zeros where nobody knows.
        at: when answers are wanted; None: once an item.
    """

    targets: Tensor
    at: Instants | None = None

    @property
    def steps(self) -> int:
        """Instants of a typical item, the median; 0 where items are answered for as a whole."""
        return 0 if self.at is None or not len(self.at.mask) else int(self.at.mask.sum(1).median())


class Batch(NamedTuple):
    """Some items, padded.

    Attributes:
        inputs: tokens by modality.
        targets: encoded targets, [batch, ...].
        items: positions of the items in the data, [batch].
        at: when answers are wanted; None: once an item.
    """

    inputs: dict[str, Tokens]
    targets: Tensor
    items: Tensor
    at: Instants | None = None


class FeatureSource(Protocol):
    """Where an item's features come from: prepared features of a corpus, clean or with noise."""

    def get(self, recording: str, modality: str) -> tuple[NDArray[np.float32], Clock] | None: ...


Noisy = Mapping[str, Sequence[tuple[float, Sequence[FeatureSource]]]]
"""By modality: groups of sources that stand in for the clean one, each with the share of times that it does."""


class Swapped:
    """Features in which one modality comes from elsewhere."""

    def __init__(self, source: FeatureSource, modality: str, other: FeatureSource) -> None:
        self.source, self.modality, self.other = source, modality, other

    def get(self, recording: str, modality: str) -> tuple[NDArray[np.float32], Clock] | None:
        return (self.other if modality == self.modality else self.source).get(recording, modality)


class ItemData:
    """Items cut out of prepared features, asked for a batch at a time (`loader`). Until then nothing is read.

    Args:
        items: what to cut.
        source: the features.
        asked: what is asked of them.
        modalities: which, in the model's order.
        noisy: other sources of the same shape, by modality, in groups, and how often one of each group stands in.
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
        self.rows = {m: Ragged(self._cut(item, m, source) for item in self.items) for m in self.modalities}

    def _cut(self, item: Item, modality: str, source: FeatureSource) -> Rows | None:
        found = source.get(item.recording, modality)
        if found is None:
            return None
        values, clock = found
        part = slice(0, len(clock)) if item.whole else clock.window(item.start, item.stop)
        if part.start == part.stop:
            return None
        return Rows(values[part], (clock[part].times - item.start).astype(np.float32))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def targets(self) -> Tensor:
        """Encoded targets, [items, ...]."""
        return self.asked.targets

    def batch(self, indices: Sequence[int], dims: Mapping[str, int]) -> Batch:
        """Items by position, padded, with tokens of all of ``dims``."""
        instead = self.stand_ins(indices, self.epoch())
        tokens = {
            m: self.rows[m].pad(indices, dim, instead.get(m)) if m in self.rows else pad([None] * len(indices), dim)
            for m, dim in dims.items()
        }
        index = torch.from_numpy(np.array(indices, np.int64))
        at = self.asked.at
        return Batch(tokens, self.targets[index], index, None if at is None else at.of(index))

    def stand_ins(self, indices: Sequence[int], epoch: int) -> dict[str, dict[int, Rows]]:
        """By modality, the places of a batch where an epoch's draw for the item puts a noisy source, and its rows."""
        found: dict[str, dict[int, Rows]] = {m: {} for m in self.noisy}
        for place, i in enumerate(indices if self.noisy else ()):
            rng = np.random.default_rng((self.seed, epoch, i))
            for modality, groups in self.noisy.items():
                clean = self.rows[modality][i]
                if clean is None or not groups:
                    continue
                shares = np.cumsum([share for share, _ in groups])
                group = int(np.searchsorted(shares, rng.random(), side="right"))
                if group < len(groups):
                    sources = groups[group][1]
                    rows = self._cut(self.items[i], modality, sources[int(rng.integers(len(sources)))])
                    found[modality][place] = rows or Rows(clean.values[:0], clean.times[:0])
        return found

    @property
    def lengths(self) -> list[int]:
        """The number of feature rows of each item, over all modalities."""
        total: NDArray[np.int64] = sum((rows.counts for rows in self.rows.values()), np.zeros(len(self), np.int64))
        lengths: list[int] = total.tolist()
        return lengths

    def typical_length(self, modality: str) -> float:
        """Median number of feature rows of the items that have the modality; 0 where none has."""
        counts = self.rows[modality].counts
        return float(np.median(counts[counts > 0])) if counts.any() else 0.0

    def features(self, modality: str) -> list[NDArray[np.float32]]:
        """The features of every item that has the modality, [n, dim] each."""
        ragged = self.rows[modality]
        return [rows.values for rows in (ragged[i] for i in range(len(self))) if rows is not None]

    def present(self, modality: str) -> NDArray[np.bool_]:
        """[items], whether the item has the modality (any row that is not all NaN)."""
        return self.rows[modality].present()

    def regular(self) -> set[str]:
        """The modalities whose features stand on a grid."""
        recordings = {item.recording for item in self.items}
        return {m for m in self.modalities if all(self._on_grid(r, m) for r in recordings)}

    def _on_grid(self, recording: str, modality: str) -> bool:
        found = self.source.get(recording, modality)
        return found is None or isinstance(found[1], Grid)


def _never() -> int:
    return 0


class Order(Protocol):
    """Which items each batch has, of as many batches as it is long; may be drawn anew each time."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sequence[int]]: ...


class Batches:
    """Batches of items; each time it is gone through is an epoch.

    It needs none of what torch's loader does beside (sampling, fetching and joining items one by one, workers): a
    batch is gathered in one go, in less time than passing it between processes would take.
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
    """Batches of like length in an order drawn from ``seed`` and ``epoch()``; in the items' order without a seed."""
    if seed is None:
        count = len(data)
        return Batches(data, dims, [range(i, min(i + batch, count)) for i in range(0, count, batch)])
    data.seed, data.epoch = seed, epoch
    return Batches(data, dims, LengthBatches(data.lengths, batch=batch, seed=seed, epoch=epoch))
