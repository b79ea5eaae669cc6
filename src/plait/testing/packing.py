"""The laws of packings, which keep weights in fewer bytes."""

from __future__ import annotations

import torch
from torch import Tensor

from plait.packing import Packing
from plait.testing.laws import require

__all__ = ["check_packing"]


def check_packing(cls: type[Packing], *weights: Tensor, **options: object) -> None:
    """Check the laws of a packing.

    Size (as many bytes as it states, whatever the numbers are); error (no number is farther from its original than it
    states); shape (unpacked tensors have the shape and the type of the original).

    Args:
        cls: the class, constructed as ``cls(**options)``.
        weights: to test it on, as far as it takes them; by default random ones of several shapes and scales.
        options: its options.

    Raises:
        LawBroken: which law, and how.

    >>> from plait.packing.int4 import Int4
    >>> check_packing(Int4, group=16)
    """
    packing = cls(**options)
    taken = [weight for weight in weights or _drawn() if packing.takes(weight)]
    require(bool(taken), cls, "takes", "it takes none of the weights")
    for weight in taken:
        data, said = packing.encode(weight), packing.size(weight)
        require(len(data) == said, cls, "size", f"{len(data)} bytes of {list(weight.shape)}, but it states {said}")
        back = packing.decode(data, torch.empty_like(weight))
        alike = (back.shape, back.dtype) == (weight.shape, weight.dtype)
        require(alike, cls, "shape", f"{list(back.shape)} {back.dtype} of {list(weight.shape)} {weight.dtype}")
        over = (back.double() - weight.double()).abs() - packing.error(weight).double()
        require(bool((over <= 0).all()), cls, "error", f"a number is {float(over.max()):g} farther off than it states")


def _drawn() -> list[Tensor]:
    maker = torch.Generator().manual_seed(0)
    shapes = [(), (1,), (7,), (3, 5), (64, 33), (8, 4, 5), (2, 3, 4, 5)]
    found = [torch.randn(shape, generator=maker) * scale for shape in shapes for scale in (1e-8, 1.0, 1e3)]
    return [*found, torch.zeros(4, 3), torch.eye(5)]
