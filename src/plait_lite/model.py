"""A folder that `plait export --onnx` wrote, loaded once to answer many times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait_lite.answers import Answer
from plait_lite.folder import Folder, LiteError, Rows

__all__ = ["Features", "Lite", "LiteError"]

FORMAT = "plait export 1"
Features = tuple[NDArray[Any], NDArray[Any]]
"""Values [time, dim], and times [time] in seconds from the start of the item."""


class Lite(Folder):
    """An exported model; any modality may be missing.

    Args:
        folder: that `plait export RUN --onnx --out FOLDER` wrote.
        threads: of the processor, for one answer.

    Raises:
        LiteError: a file is missing, damaged or of another version.
    """

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        super().__init__(folder, "answer.json", FORMAT, threads)
        self._session = self.opened("model.onnx", "--onnx")

    def __call__(self, features: Mapping[str, Features], *, seconds: float | None = None, level: float = 0.9) -> Answer:
        """The answer about one item.

        Args:
            features: by modality; a missing one may be left out. A row without any finite number counts as missing.
            seconds: length of the item, where answers are over time; by default up to the last observation.
            level: how often the conformal set or interval is to hold the truth.

        Returns:
            The answer's entries (``label``, ``probabilities``, ``value``, ``spans`` ...), and those of `plait predict`:
            ``used``, ``missing``, ``note``, and ``within`` where the run kept thresholds. Of a task that decodes by a
            search, ``output`` alone.

        Raises:
            LiteError: an unknown modality, wrong shapes, a time that is not finite, an unknown level, or a task over
                time that has no instants of its own.
        """
        given = {name: self._rows(name, *own) for name, own in features.items()}
        used = [name for name in self.dims if name in given and given[name][2].any()]
        if not used:
            return self.nothing()
        feed, times = self._feed(given, seconds)
        out = dict(zip(self.told["outputs"], self._session.run(self.told["outputs"], feed)))
        return self.read(out, used, times, level)

    def _rows(self, name: str, values: NDArray[Any], times: NDArray[Any]) -> Rows:
        rows = self.checked(name, values, times)
        return rows if rows[1].size else self._nothing(name)

    def _nothing(self, name: str) -> Rows:
        return np.zeros((1, 1, self.dims[name]), np.float32), np.zeros((1, 1), np.float32), np.zeros((1, 1), bool)

    def _feed(
        self, given: Mapping[str, Rows], seconds: float | None
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any] | None]:
        each = [part for name in self.dims for part in given.get(name) or self._nothing(name)]
        last = max(float(own[1].max()) for own in given.values())
        times = self.instants(last if seconds is None else seconds)
        if times is not None:
            each += [times[None], np.ones((1, len(times)), bool)]
        return dict(zip(self.told["inputs"], each)), times
