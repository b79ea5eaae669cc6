"""What every exported folder tells: its dims, its legend, how its answers are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait_lite.answers import Answer, decoded, within

__all__ = ["STREAM", "STREAM_FORMAT", "Folder", "LiteError", "Rows"]

STREAM, STREAM_FORMAT = "stream.json", "plait export stream 1"

Rows = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Values [1, time, dim], times [1, time] and mask [1, time]."""


class LiteError(ValueError):
    """A folder or features that are not what they should be."""


class Folder:
    """An exported folder.

    Args:
        folder: that `plait export` wrote.
        name: of the file that tells about it.
        form: of that file.
        threads: of the processor, for one answer.

    Raises:
        LiteError: the file is missing, damaged or of another version.
    """

    def __init__(self, folder: str | Path, name: str, form: str, threads: int) -> None:
        self.folder, self.threads = Path(folder), threads
        self.told = _told(self.folder / name, form)
        self.dims: dict[str, int] = self.told["dims"]

    def __repr__(self) -> str:
        each = ", ".join(f"{name} ({dim})" for name, dim in self.dims.items())
        return f"{type(self).__name__}({str(self.folder)!r}, modalities: {each})"

    def opened(self, name: str, how: str) -> Any:
        """A graph, ready to run; ``how`` it is written.

        Raises:
            LiteError: it is missing or damaged.
        """
        # here, not above: the decoding needs no runtime
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = self.threads, 3
        path = self.folder / name
        if not path.is_file():
            raise LiteError(f"{path}: no such file. Write it with: plait export RUN {how} --out {self.folder}")
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime has no base class of its errors
            raise LiteError(f"{path}: cannot be loaded ({str(error).splitlines()[0]}). Export again.") from error

    def checked(self, name: str, values: NDArray[Any], times: NDArray[Any]) -> Rows:
        """Values, times and mask of one modality, with a first axis for the one item.

        Raises:
            LiteError: an unknown modality, wrong shapes, or a time that is not finite.
        """
        if name not in self.dims:
            raise LiteError(f"features of {name!r}: the model has no such modality; it has {list(self.dims)}.")
        values, times = np.asarray(values, np.float32), np.asarray(times, np.float32)
        if values.ndim != 2 or values.shape[1] != self.dims[name] or times.shape != values.shape[:1]:
            wanted = f"[time, {self.dims[name]}] and [time]"
            raise LiteError(f"{name!r}: values {values.shape} and times {times.shape}; expected {wanted}.")
        if not np.isfinite(times).all():
            raise LiteError(f"{name!r}: a time is not finite. Leave the row out.")
        return values[None], times[None], np.isfinite(values).any(1)[None]

    def instants(self, seconds: float) -> NDArray[Any] | None:
        """The instants that are asked about in an item of so many seconds; None: the task has none.

        Raises:
            LiteError: the task asks about instants of its own.
        """
        if "at.times" not in self.told["inputs"]:
            return None
        legend = self.told["legend"]
        if "rate" not in legend:
            raise LiteError(f"{self.folder}: the answers of this task need plait: plait predict.")
        steps = np.arange(max(1, round(seconds * legend["rate"])))
        times: NDArray[Any] = ((steps + legend["place"]) / legend["rate"]).astype(np.float32)
        return times

    def read(self, out: dict[str, Any], used: list[str], times: NDArray[Any] | None, level: float) -> Answer:
        """The answer's entries, of the outputs of a graph."""
        told: Answer = {"used": used, "missing": [name for name in self.dims if name not in used], "note": ""}
        if "answer" not in out:
            return {**told, "output": out["output"][0], "note": "the outputs need plait to be decoded"}
        answer = decoded(out["answer"][0], self.told["legend"], times)
        held = within(answer, self.told["conformal"], used, self._place(level))
        return {**answer, **told, **({"within": {"level": level, **held}} if held else {})}

    def nothing(self) -> Answer:
        """The answer without any modality."""
        note = "no answer: none of the model's modalities is there"
        return {"used": [], "missing": [*self.dims], "note": note}

    def _place(self, level: float) -> int:
        near = np.abs(np.array(self.told["levels"]) - level)
        if near.min() > 1e-9:
            raise LiteError(f"level {level}: expected a whole percentage from 0.5 to 0.99, such as 0.9.")
        return int(near.argmin())


def _told(path: Path, form: str) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LiteError(f"{path}: cannot be read ({error}). Export again.") from error
    if not isinstance(told, dict) or told.get("format") != form:
        raise LiteError(f"{path}: not an exported model of this version; expected the format {form!r}. Export again.")
    return told
