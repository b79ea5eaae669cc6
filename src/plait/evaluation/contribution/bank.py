"""Items whose modalities can be exchanged: encoded once, then fused in any combination."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.evaluation.replicates import paddings_of, stacked
from plait.examples.data import ItemData, loader
from plait.models.ensemble import Encoded
from plait.models.model import Model
from plait.tokens import Tokens

__all__ = ["Bank"]

Index = NDArray[np.intp]

BATCH = 256
"""Combinations that are fused at once."""


class Bank:
    """The encoded tokens of items; the answers to items whose modalities come from several of them.

    What is asked, and when, is that of the item; a modality of another item stands at the seconds that it has there,
    from that item's start.

    Args:
        model: encodes and answers; it is put into evaluation mode.
        data: the items.
    """

    def __init__(self, model: Model, data: ItemData) -> None:
        self.model, self.data = model.eval(), data
        self.at = data.asked.at
        with torch.inference_mode():
            found = [model.encode(batch.inputs) for batch in loader(data, model.dims, batch=64)]
            self.encoded = _joined(found)
            # An own head of a task that answers over time looks at instants, which are those of another item.
            self.own = model.kept(self.encoded).own if self.at is None else None
            if self.own is not None and self.encoded.wide is not None and model.wide is not None:
                self.encoded.wide = model.wide.kept(self.encoded.wide)

    def __len__(self) -> int:
        return len(self.data)

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities that the items may have, in the model's order."""
        return [m for m in self.model.modalities if m in self.data.modalities]

    def outputs(
        self, sources: Mapping[str, Index], asked: Index | None = None, subset: Collection[str] | None = None
    ) -> Iterator[Tensor]:
        """The model's output of combinations, in batches, [some, width] or [some, steps, width].

        Args:
            sources: by modality the item that it comes from, [combinations]; each of the model's modalities, or their
                own items where they are left out.
            asked: the item whose answer is wanted, [combinations]; by default each item once, in order.
            subset: answer as if all other modalities were missing.
        """
        own = np.arange(len(self)) if asked is None else asked
        index = {m: torch.from_numpy(np.asarray(sources.get(m, own), np.int64)) for m in self.encoded}
        with torch.inference_mode():
            for start in range(0, len(own), BATCH):
                part = {m: rows[start : start + BATCH] for m, rows in index.items()}
                at = None if self.at is None else self.at.of(torch.from_numpy(own[start : start + BATCH]))
                yield self.model.answer(self._mixed(part), subset, at)

    def scores(
        self, sources: Mapping[str, Index], asked: Index | None = None, subset: Collection[str] | None = None
    ) -> NDArray[np.float64]:
        """The task's scores of combinations, one row each; arguments as for `outputs`."""
        task = self.model.task
        found = [task.scores(output) for output in self.outputs(sources, asked, subset)]
        return stacked(found, paddings_of(task)[0])

    def _mixed(self, index: Mapping[str, Tensor]) -> Encoded:
        found = _picked(self.encoded, index)
        if self.own is not None:
            found.own = _rows(self.own, index)
        if self.encoded.wide is not None:
            found.wide = _picked(self.encoded.wide, index)
            if self.encoded.wide.own is not None:
                found.wide.own = _rows(self.encoded.wide.own, index)
        return found


Own = tuple[dict[str, Tensor], dict[str, Tensor]]


def _rows(own: Own, index: Mapping[str, Tensor]) -> Own:
    there, gone = ({m: out[index[m]] for m, out in part.items()} for part in own)
    return there, gone


def _picked(encoded: Mapping[str, Tokens], index: Mapping[str, Tensor]) -> Encoded:
    found = Encoded()
    for m, tokens in encoded.items():
        rows = Tokens(*(x[index[m]] for x in tokens))
        long = int(rows.mask.any(0).nonzero().max()) + 1 if bool(rows.mask.any()) else 0
        found[m] = Tokens(*(x[:, :long] for x in rows))
    return found


def _joined(parts: Sequence[Encoded]) -> Encoded:
    found = Encoded({m: _stacked([part[m] for part in parts]) for m in parts[0]})
    wide = [part.wide for part in parts if part.wide is not None]
    if wide:
        found.wide = _joined(wide)
    return found


def _stacked(parts: Sequence[Tokens]) -> Tokens:
    """Tokens of several batches, padded to the longest."""
    most = max(part.mask.shape[1] for part in parts)

    def longer(values: Tensor) -> Tensor:
        more = values.new_zeros(len(values), most - values.shape[1], *values.shape[2:])
        return torch.cat([values, more], 1)

    return Tokens(*(torch.cat([longer(part[i]) for part in parts]) for i in range(3)))
