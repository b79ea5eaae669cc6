"""A limit on the size of a model, checked before memory is allocated: a machine that swaps gives no error."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence

from torch.utils._python_dispatch import TorchDispatchMode

from plait.core.errors import ConfigError

__all__ = ["Budget"]

TENSORS = 100_000
"""Most tensors that a part may make: about a hundred times as many as a language model has."""


def _numbers() -> int:
    """How many float32 numbers fit in the machine's memory; 8 GB are assumed where the system does not report it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    except (AttributeError, ValueError, OSError):
        return 2_000_000_000


class Budget(TorchDispatchMode):
    """A context in which a part of a model cannot allocate more than the machine's memory.

    Args:
        where: name of the part, for messages.

    Raises:
        ConfigError: before the tensor that exceeds the limit is allocated.

    >>> import torch
    >>> with Budget("encoders.voice"):
    ...     torch.empty(10_000_000, 10_000_000)
    Traceback (most recent call last):
    plait.core.errors.ConfigError: encoders.voice: would hold 100,000,000,000,000 numbers, more than ...
    """

    def __init__(self, where: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.where, self.most = where, _numbers()
        self.numbers = self.tensors = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: Sequence[object] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        # torch's factories (empty, zeros, randn ...) all take `size` first; results of operations are not counted
        first = next(iter(func._schema.arguments), None)  # type: ignore[attr-defined]
        if first is not None and first.name == "size" and args and isinstance(args[0], Sequence):
            self._count(math.prod(max(int(n), 0) for n in args[0]))
        return func(*args, **(kwargs or {}))

    def _count(self, size: int) -> None:
        self.numbers += size
        self.tensors += 1
        if self.numbers > self.most:
            what = f"would hold {self.numbers:,} numbers, more than this machine's memory takes"
            raise ConfigError(f"{self.where}: {what}. Give smaller options.")
        if self.tensors > TENSORS:
            raise ConfigError(f"{self.where}: would make more than {TENSORS:,} tensors. Give smaller options.")
