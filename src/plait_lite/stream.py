"""A folder that `plait export --onnx --stream` wrote: fed a little at a time, it answers at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait_lite.answers import Answer
from plait_lite.folder import STREAM, STREAM_FORMAT, Folder, LiteError, Rows

__all__ = ["LiteStream"]

Array = NDArray[Any]
NAMES = ("values", "times", "mask")


@dataclass
class _Track:
    """What is kept of a modality: the encoder's state, rows that are no token yet, and tokens."""

    state: list[Array]
    rows: Rows
    tokens: Rows
    seen: bool = False
    last: float = 0.0


class LiteStream(Folder):
    """A causal model, fed as time passes; any modality may be missing, or late.

    What it says of an item does not depend on how its rows were cut, and is what the model says of them in one pass.

    Args:
        folder: that `plait export RUN --onnx --stream --out FOLDER` wrote.
        threads: of the processor.

    Attributes:
        rows: rows of features per token, by modality.

    Raises:
        LiteError: a file is missing, damaged or of another version.
    """

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        super().__init__(folder, STREAM, STREAM_FORMAT, threads)
        self.rows = {name: int(own["rows"]) for name, own in self.told["steps"].items()}
        self._steps = {name: self.opened(f"step.{name}.onnx", "--onnx --stream") for name in self.dims}
        self._ask = self.opened("answer.onnx", "--onnx --stream")
        self.restart()

    def restart(self) -> None:
        """Begin a new item."""
        self._tracks = {name: self._first(name) for name in self.dims}

    @property
    def bytes(self) -> int:
        """Of all that is kept."""
        each = [a for track in self._tracks.values() for a in (*track.state, *track.rows, *track.tokens)]
        return sum(a.nbytes for a in each)

    def push(self, name: str, values: Array, times: Array) -> None:
        """The next rows of a modality, in order of time.

        Args:
            name: of the modality.
            values: features, [n, dim]; a row without any finite number counts as missing.
            times: seconds from the start of the item, [n].

        Raises:
            LiteError: an unknown modality, wrong shapes, or a time that is not finite. Nothing is kept then.
        """
        new = self.checked(name, values, times)
        track, size = self._tracks[name], self.rows[name]
        rows = _joined(track.rows, new)
        whole = rows[1].shape[1] // size * size
        found = [track.tokens]
        for at in range(0, whole, size):
            token, track.state = self._step(name, track.state, _part(rows, at, at + size))
            found.append(token)
        track.tokens, track.rows = _joined(*found), _part(rows, whole, None)
        track.seen |= bool(new[2].any())
        track.last = max([track.last, *new[1][0].tolist()])

    def answer(self, *, seconds: float | None = None, level: float = 0.9) -> Answer:
        """What is to be said of the rows so far; more may follow.

        Args:
            seconds: length of the item, where answers are over time; by default up to the last observation.
            level: how often the conformal set or interval is to hold the truth.

        Returns:
            Entries as of `plait_lite.Lite`.

        Raises:
            LiteError: an unknown level, or a task over time that has no instants of its own.
        """
        used = [name for name, track in self._tracks.items() if track.seen]
        if not used:
            return self.nothing()
        out, times = self._asked(seconds)
        return self.read(out, used, times, level)

    def output(self, *, seconds: float | None = None) -> Array:
        """The numbers that the answer is read from: logits, or standardised values."""
        found: Array = self._asked(seconds)[0]["output"][0]
        return found

    def save(self, path: str | Path) -> None:
        """Keep all that is needed to go on elsewhere, as an ``.npz`` without objects."""
        arrays = {f"{m}.about": np.array([track.seen, track.last]) for m, track in self._tracks.items()}
        for m, track in self._tracks.items():
            arrays |= {f"{m}.state.{i}": a for i, a in enumerate(track.state)}
            arrays |= {f"{m}.rows.{n}": a for n, a in zip(NAMES, track.rows)}
            arrays |= {f"{m}.tokens.{n}": a for n, a in zip(NAMES, track.tokens)}
        with Path(path).open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def load(self, path: str | Path) -> None:
        """Go on from what was saved.

        Raises:
            LiteError: the file is missing, damaged, or of another model. Nothing is changed then.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {m: self._loaded(m, track, file) for m, track in self._tracks.items()}
        except Exception as error:  # a damaged zip raises many kinds
            raise LiteError(f"{path}: not what was saved of this model ({error}).") from error
        self._tracks = found

    def _loaded(self, name: str, like: _Track, file: Any) -> _Track:
        state = [file[f"{name}.state.{i}"] for i in range(len(like.state))]
        rows, tokens = (tuple(file[f"{name}.{what}.{n}"] for n in NAMES) for what in ("rows", "tokens"))
        pairs = [*zip(state, like.state), *zip((*rows, *tokens), (*like.rows, *like.tokens))]
        for i, (own, other) in enumerate(pairs):
            sizes = [a.shape if i < len(state) else a.shape[2:] for a in (own, other)]
            if own.dtype != other.dtype or sizes[0] != sizes[1]:
                raise ValueError(f"{name}: {own.dtype} {list(own.shape)}")
        seen, last = file[f"{name}.about"].tolist()
        return _Track(state, rows, tokens, bool(seen), last)

    def _first(self, name: str) -> _Track:
        state = [np.zeros((1, *shape), kind) for kind, shape in self.told["steps"][name]["state"]]
        return _Track(state, _none(self.dims[name]), _none(int(self.told["dim"])))

    def _step(self, name: str, state: list[Array], rows: Rows) -> tuple[Rows, list[Array]]:
        feed = {**dict(zip(NAMES, rows)), **{f"state.{i}": a for i, a in enumerate(state)}}
        values, times, mask, *after = self._steps[name].run(None, feed)
        return (values, times, mask), after

    def _asked(self, seconds: float | None) -> tuple[dict[str, Any], Array | None]:
        each, last = list[Array](), max(track.last for track in self._tracks.values())
        for name, track in self._tracks.items():
            tokens, rest = track.tokens, track.rows
            if rest[1].size:  # what follows is not there yet: masked
                blank = tuple(np.zeros((1, self.rows[name] - rest[1].shape[1], *a.shape[2:]), a.dtype) for a in rest)
                tokens = _joined(tokens, self._step(name, track.state, _joined(rest, blank))[0])  # type: ignore[arg-type]
            if not tokens[1].size:
                tokens = _joined(tokens, tuple(np.zeros((1, 1, *a.shape[2:]), a.dtype) for a in tokens))  # type: ignore[arg-type]
            each += tokens
        times = self.instants(last if seconds is None else seconds)
        if times is not None:
            each += [times[None], np.ones((1, len(times)), bool)]
        names: list[str] = self.told["outputs"]
        return dict(zip(names, self._ask.run(names, dict(zip(self.told["inputs"], each))))), times


def _none(dim: int) -> Rows:
    return np.zeros((1, 0, dim), np.float32), np.zeros((1, 0), np.float32), np.zeros((1, 0), bool)


def _joined(*parts: Rows) -> Rows:
    values, times, mask = (np.concatenate(each, 1) for each in zip(*parts))
    return values, times, mask


def _part(rows: Rows, start: int, stop: int | None) -> Rows:
    values, times, mask = (a[:, start:stop] for a in rows)
    return values, times, mask
