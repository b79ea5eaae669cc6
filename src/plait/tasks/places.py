"""What a decoder reads: places with their time and source, packed as the numbers that heads give.

Columns of an output [batch, places, 3 + width]: 1 where there is nothing (padding and hidden tokens), else 0; the time
in seconds from the start of the item; the number of the source; and what is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from plait.decoders.autoregressive import Memory

__all__ = ["HEADING", "Places", "empty_place", "from_sources", "places_of"]

HEADING = 3
"""Columns before those that are read."""


class Places(NamedTuple):
    """An output, unpacked.

    Attributes:
        memory: what is read, and where there is something.
        times: seconds from the start of the item, [batch, places].
        sources: number of the source, [batch, places].
    """

    memory: Memory
    times: Float[Tensor, "batch places"]
    sources: Int[Tensor, "batch places"]

    @property
    def mask(self) -> Bool[Tensor, "batch places"]:
        """Where there is something."""
        return self.memory.mask


def places_of(output: Float[Tensor, "batch places columns"]) -> Places:
    """Unpack an output.

    >>> places = places_of(torch.tensor([[[0.0, 2.5, 1.0, 7.0, 8.0], [1.0, 0.0, 0.0, 0.0, 0.0]]]))
    >>> places.mask.tolist(), places.times[0, 0].item(), places.sources[0, 0].item(), places.memory.values[0, 0].sum()
    ([[True, False]], 2.5, 1, tensor(15.))
    """
    mask = output[..., 0] < 0.5
    return Places(Memory(output[..., HEADING:], mask), output[..., 1], output[..., 2].round().long())


def empty_place(width: int) -> Float[Tensor, " columns"]:
    """A place where there is nothing."""
    return torch.cat([torch.ones(1), torch.zeros(HEADING - 1 + width)])


def from_sources(parts: Mapping[str, Tensor], names: Sequence[str]) -> Float[Tensor, "batch places columns"]:
    """Outputs of several sources one after another, each with the number of its source among the ``names``."""
    found = []
    for name in (name for name in names if name in parts):
        own = parts[name]
        source = torch.full_like(own[..., :1], names.index(name))
        found.append(torch.cat([own[..., :2], source, own[..., HEADING:]], -1))
    return torch.cat(found, 1)
