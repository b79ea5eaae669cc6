"""Items as ragged rows of features, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from plait.streams.clock import Clock, Grid
from plait.streams.items import Item
from plait.tokens import Tokens
from plait.tokens.collate import Rows, collate
from plait.tokens.sampler import LengthBatches

__all__ = ["Batch", "FeatureSource", "ItemData", "Swapped", "loader"]

Batch = tuple[dict[str, Tokens], Tensor, Tensor]
"""Tokens by modality, encoded targets [batch], positions of the items in the data [batch]."""


class FeatureSource(Protocol):
    """Where an item's features come from: prepared features of a corpus, clean or with noise."""

    def get(self, recording: str, modality: str) -> tuple[NDArray[np.float32], Clock] | None: ...


class Swapped:
    """Features in which one modality comes from elsewhere."""

    def __init__(self, source: FeatureSource, modality: str, other: FeatureSource) -> None:
        self.source, self.modality, self.other = source, modality, other

    def get(self, recording: str, modality: str) -> tuple[NDArray[np.float32], Clock] | None:
        return (self.other if modality == self.modality else self.source).get(recording, modality)


class ItemData(Dataset[dict[str, Any]]):
    """Items cut out of prepared features. Rows are views of memory-mapped files until they are padded.

    Args:
        items: what to cut.
        source: the features.
        targets: encoded targets [items] (zeros where there are none, in prediction).
        modalities: which, in the model's order.
        noisy: other sources of the same shape, by modality, and how often one of them stands in.
    """

    def __init__(
        self,
        items: Sequence[Item],
        source: FeatureSource,
        targets: Tensor,
        modalities: Sequence[str],
        *,
        noisy: Mapping[str, tuple[float, Sequence[FeatureSource]]] | None = None,
    ) -> None:
        self.items, self.source, self.targets = list(items), source, targets
        self.modalities, self.noisy = list(modalities), dict(noisy or {})
        self.seed, self.epoch = 0, _never
        self._rows = [{m: self._cut(item, m, source) for m in self.modalities} for item in self.items]

    def _cut(self, item: Item, modality: str, source: FeatureSource) -> Rows | None:
        found = source.get(item.recording, modality)
        if found is None:
            return None
        values, clock = found
        part = slice(0, len(clock)) if item.whole else clock.window(item.start, item.stop)
        if part.start == part.stop:
            return None
        return values[part], (clock[part].times - item.start).astype(np.float32)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> dict[str, Any]:
        rows = dict(self._rows[i])
        rng = np.random.default_rng((self.seed, self.epoch(), i)) if self.noisy else None
        for modality, (share, sources) in self.noisy.items():
            if rng is not None and rows[modality] is not None and sources and rng.random() < share:
                rows[modality] = self._cut(self.items[i], modality, sources[rng.integers(len(sources))])
        return {"rows": rows, "target": self.targets[i], "index": i}

    @property
    def lengths(self) -> list[int]:
        """The number of feature rows of each item, over all modalities."""
        return [sum(len(r[0]) for r in rows.values() if r is not None) for rows in self._rows]

    def typical_length(self, modality: str) -> float:
        """Median number of feature rows of the items that have the modality; 0 where none has."""
        counts = [len(rows[modality][0]) for rows in self._rows if rows[modality] is not None]  # type: ignore[index]
        return float(np.median(counts)) if counts else 0.0

    def features(self, modality: str) -> list[NDArray[np.float32]]:
        """The features of every item that has the modality, [n, dim] each."""
        return [rows[modality][0] for rows in self._rows if rows[modality] is not None]  # type: ignore[index]

    def present(self, modality: str) -> NDArray[np.bool_]:
        """[items], whether the item has the modality (any row that is not all NaN)."""
        return np.array([r[modality] is not None and bool(np.isfinite(r[modality][0]).any()) for r in self._rows])  # type: ignore[index]

    def regular(self) -> set[str]:
        """The modalities whose features stand on a grid."""
        recordings = {item.recording for item in self.items}
        return {m for m in self.modalities if all(self._on_grid(r, m) for r in recordings)}

    def _on_grid(self, recording: str, modality: str) -> bool:
        found = self.source.get(recording, modality)
        return found is None or isinstance(found[1], Grid)


def _never() -> int:
    return 0


def loader(
    data: ItemData,
    dims: Mapping[str, int],
    *,
    batch: int,
    seed: int | None = None,
    epoch: Callable[[], int] = _never,
) -> DataLoader[Batch]:
    """Batches of like length in an order drawn from ``seed`` and ``epoch()``; in the items' order without a seed."""

    def join(rows: Sequence[dict[str, Any]]) -> Batch:
        tokens = collate([r["rows"] for r in rows], dims)
        return tokens, torch.stack([r["target"] for r in rows]), torch.tensor([r["index"] for r in rows])

    if seed is None:
        return DataLoader(data, batch_size=batch, collate_fn=join)  # type: ignore[arg-type]
    data.seed, data.epoch = seed, epoch
    order = LengthBatches(data.lengths, batch=batch, seed=seed, epoch=epoch)
    return DataLoader(data, batch_sampler=order, collate_fn=join)  # type: ignore[arg-type]
