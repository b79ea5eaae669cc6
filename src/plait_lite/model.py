"""A folder that `plait export --onnx` wrote, loaded once to answer many times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait_lite.answers import Answer, decoded, within

__all__ = ["Lite", "LiteError"]

FORMAT = "plait export 1"
Features = tuple[NDArray[Any], NDArray[Any]]
"""Values [time, dim], and times [time] in seconds from the start of the item."""


class LiteError(ValueError):
    """A folder or features that are not what they should be."""


class Lite:
    """An exported model; any modality may be missing.

    Args:
        folder: that `plait export RUN --onnx --out FOLDER` wrote.
        threads: of the processor, for one answer.

    Raises:
        LiteError: a file is missing, damaged or of another version.
    """

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        self.folder = Path(folder)
        self.told = _told(self.folder / "answer.json")
        self.dims: dict[str, int] = self.told["dims"]
        # here, not above: the decoding needs no runtime
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        path = self.folder / "model.onnx"
        if not path.is_file():
            raise LiteError(f"{path}: no such file. Write it with: plait export RUN --onnx --out {self.folder}")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime has no base class of its errors
            raise LiteError(f"{path}: cannot be loaded ({str(error).splitlines()[0]}). Export again.") from error

    def __repr__(self) -> str:
        each = ", ".join(f"{name} ({dim})" for name, dim in self.dims.items())
        return f"Lite({str(self.folder)!r}, modalities: {each})"

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
        given = {name: self._rows(name, *features[name]) for name in self._known(features)}
        used = [name for name in self.dims if name in given and given[name][2].any()]
        told: Answer = {"used": used, "missing": [name for name in self.dims if name not in used], "note": ""}
        if not used:
            return {**told, "note": "no answer: none of the model's modalities is there"}
        feed, times = self._feed(given, seconds)
        out = dict(zip(self.told["outputs"], self._session.run(self.told["outputs"], feed)))
        if "answer" not in out:
            return {**told, "output": out["output"][0], "note": "the outputs need plait to be decoded"}
        answer = decoded(out["answer"][0], self.told["legend"], times)
        held = within(answer, self.told["conformal"], used, self._place(level))
        return {**answer, **told, **({"within": {"level": level, **held}} if held else {})}

    def _place(self, level: float) -> int:
        near = np.abs(np.array(self.told["levels"]) - level)
        if near.min() > 1e-9:
            raise LiteError(f"level {level}: expected a whole percentage from 0.5 to 0.99, such as 0.9.")
        return int(near.argmin())

    def _known(self, features: Mapping[str, Features]) -> list[str]:
        if strange := [name for name in features if name not in self.dims]:
            raise LiteError(f"features of {strange}: the model has no such modality; it has {list(self.dims)}.")
        return list(features)

    def _rows(self, name: str, values: NDArray[Any], times: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Values, times and mask of one modality, with a first axis for the one item."""
        values, times = np.asarray(values, np.float32), np.asarray(times, np.float32)
        if values.ndim != 2 or values.shape[1] != self.dims[name] or times.shape != values.shape[:1]:
            wanted = f"[time, {self.dims[name]}] and [time]"
            raise LiteError(f"{name!r}: values {values.shape} and times {times.shape}; expected {wanted}.")
        if not np.isfinite(times).all():
            raise LiteError(f"{name!r}: a time is not finite. Leave the row out.")
        if not len(times):
            return self._nothing(name)
        return values[None], times[None], np.isfinite(values).any(1)[None]

    def _nothing(self, name: str) -> tuple[NDArray[Any], ...]:
        return np.zeros((1, 1, self.dims[name]), np.float32), np.zeros((1, 1), np.float32), np.zeros((1, 1), bool)

    def _feed(
        self, given: Mapping[str, tuple[NDArray[Any], ...]], seconds: float | None
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any] | None]:
        each = [part for name in self.dims for part in given.get(name) or self._nothing(name)]
        times = None
        if "at.times" in self.told["inputs"]:
            last = max(float(own[1].max()) for own in given.values())
            times = self._instants(last if seconds is None else seconds)
            each += [times[None], np.ones((1, len(times)), bool)]
        return dict(zip(self.told["inputs"], each)), times

    def _instants(self, seconds: float) -> NDArray[Any]:
        legend = self.told["legend"]
        if "rate" not in legend:
            raise LiteError(f"{self.folder}: the answers of this task need plait: plait predict.")
        steps = np.arange(max(1, round(seconds * legend["rate"])))
        return ((steps + legend["place"]) / legend["rate"]).astype(np.float32)


def _told(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LiteError(f"{path}: cannot be read ({error}). Export again.") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise LiteError(f"{path}: not an exported model of this version; expected the format {FORMAT!r}. Export again.")
    return told
