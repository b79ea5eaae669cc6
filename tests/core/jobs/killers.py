"""A feature whose process does not always live: named by its dotted path in the tests of processes and clusters."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.features import Feature
from plait.streams.clock import Clock
from plait.streams.stream import Stream

ALWAYS, ONCE, BROKEN, GREEDY = 3, 5, 7, 9
"""What the first number of a stream does to the process that reads it."""


class Killer(Feature):
    """The stream itself; but some kill their process each time, or the first time only."""

    kinds = ("series",)

    def __init__(self, *, folder: str, seconds: float = 0.0) -> None:
        self.folder, self.seconds = Path(folder), seconds

    def dim(self, shape: tuple[int, ...]) -> int:
        return shape[0]

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        time.sleep(self.seconds)
        values = np.asarray(stream.read(), np.float32)
        what, seen = int(values[0, 0]), self.folder / "seen"
        if what == ALWAYS or (what == ONCE and not seen.exists()):
            seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if what == BROKEN:
            raise ConfigError("this feature cannot work at all.")
        if what == GREEDY:
            raise MemoryError
        return values, stream.clock
