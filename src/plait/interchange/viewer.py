"""A recording with all its streams on one time line, in the rerun viewer (extra `view`)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from plait.core.atomic import replacing
from plait.core.errors import ConfigError, DataError, need
from plait.features.image import subsample
from plait.streams.clock import Spans
from plait.streams.recording import Recording
from plait.streams.stream import Stream

__all__ = ["view"]

TIMELINE = "seconds"

ENVELOPE = 200
"""Points per second of a drawn sound."""

LONGEST = 200_000
"""The most points of one drawn line."""

SIDE = 480
"""The longer side of a shown picture in pixels, at most."""

VIEWER = (sys.executable, "-m", "rerun_cli")
"""The viewer of the same installation as the library: another version might not read what it writes."""

LOOPBACK = "127.0.0.1"


class _Screen(Protocol):
    """What is used of rerun's ``RecordingStream``; the package is optional."""

    def set_time(self, timeline: str, *, duration: float) -> None: ...

    def log(self, entity_path: str, entity: object) -> None: ...

    def send_columns(self, entity_path: str, indexes: Sequence[object], columns: object) -> None: ...


def view(
    recording: Recording,
    *,
    save: str | Path | None = None,
    rate: float = 5.0,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, int]:
    """Show a recording: pictures as pictures, sound as its envelope, numbers as lines, bodies as points, words and
    annotations as text, all on the time line ``seconds``.

    Everything is read in blocks. A long sound or sensor is drawn by its minimum and maximum in many short intervals, so
    that sharp peaks are not lost. What is shown is held in memory until the file is written as a whole.

    Args:
        recording: of a corpus, or cut from one.
        save: a ``.rrd`` file to write; by default the viewer is opened, and the call ends when it is closed. The viewer
            listens on the loopback address only.
        rate: pictures shown per second.
        progress: called after each stream.

    Returns:
        The number of logged entries, by stream and tier.

    Raises:
        MissingExtra: rerun is not installed. ConfigError: the file cannot be written, there is no display, or the
            viewer fails. DataError: a stream is broken.
    """
    need("rerun", "view", "showing a recording")
    if save is not None:
        if not Path(save).parent.is_dir():
            raise ConfigError(f"{save}: its folder is not there. Make it first.")
        return _write(recording, Path(save), rate, progress)
    _check_display()
    with tempfile.TemporaryDirectory(prefix="plait-view-") as folder:
        file = Path(folder, "recording.rrd")
        counts = _write(recording, file, rate, progress)
        _open_viewer(file)
    return counts


def _check_display() -> None:
    """Refuse before anything is read: the viewer's own message about a missing display is long and does not help."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ConfigError(
            "there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set). Write a file with --save "
            "FILE.rrd, and open it where there is one: rerun FILE.rrd. Or look at it in a browser, here or through "
            f"ssh -L 9090:{LOOPBACK}:9090 -L 9876:{LOOPBACK}:9876: rerun --serve-web --bind {LOOPBACK} FILE.rrd."
        )


def _open_viewer(file: Path) -> None:
    """Open the viewer, and wait until it is closed."""
    # By itself it would listen on every address of the machine, and on one port for all its windows.
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    command = [*VIEWER, "--bind", LOOPBACK, "--port", str(port), "--hide-welcome-screen", str(file)]
    env = {**os.environ, "RERUN_APP_ONLY": "true"}  # it asks no questions about usage statistics
    done = subprocess.run(command, env=env, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        raise ConfigError(
            f"the viewer ended with {done.returncode} ({said}). Write a file with --save FILE.rrd, and open it where "
            "there is a display and a graphics driver."
        )


def _write(
    recording: Recording, file: Path, rate: float, progress: Callable[[int, int, str], None] | None
) -> dict[str, int]:
    rr = need("rerun", "view", "showing a recording")
    screen = rr.RecordingStream("plait", recording_id=recording.id)
    # Not by rerun's own way into a file: on a full disk it says nothing, and never ends.
    found = screen.binary_stream()
    counts: dict[str, int] = {}
    names = list(recording.streams)
    screen.send_blueprint(_layout({name: recording.streams[name].kind for name in names}, recording.tiers))
    for done, name in enumerate(names, 1):
        stream = recording.streams[name]
        if len(stream):
            counts[name] = _SHOWN[stream.kind](rr, screen, name, stream, rate)
        if progress:
            progress(done, len(names), name)
    for tier in recording.tiers:
        rows = [(a.start, f"{a.label} ({a.stop - a.start:.2f} s)") for a in recording.tier(tier)]
        counts[f"annotations/{tier}"] = _texts(rr, screen, f"annotations/{tier}", rows)
    with replacing(file) as part:
        # Read in one piece: each of several would bring a table of contents.
        part.write_bytes(found.read() or b"")
    return counts


def _layout(kinds: dict[str, str], tiers: tuple[str, ...]) -> object:
    """Pictures and bodies on the left, lines in the middle, texts on the right."""
    rrb = need("rerun.blueprint", "view", "showing a recording")
    seen = [
        rrb.Spatial3DView(origin=name, name=name) if kind == "pose" else rrb.Spatial2DView(origin=name, name=name)
        for name, kind in kinds.items()
        if kind in ("frames", "pose")
    ]
    lines = [rrb.TimeSeriesView(origin=n, name=n) for n, kind in kinds.items() if kind in ("waveform", "series")]
    texts = [rrb.TextLogView(origin=n, name=n) for n, kind in kinds.items() if kind == "words"]
    texts += [rrb.TextLogView(origin=f"annotations/{tier}", name=tier) for tier in tiers]
    columns = [rrb.Vertical(*own) for own in (seen, lines, texts) if own]
    return rrb.Blueprint(rrb.Horizontal(*columns), rrb.TimePanel(timeline=TIMELINE), collapse_panels=True)


def _at(rr: ModuleType, seconds: NDArray[np.float64]) -> list[object]:
    return [rr.TimeColumn(TIMELINE, duration=seconds)]


def _frames(rr: ModuleType, screen: _Screen, name: str, stream: Stream, rate: float) -> int:
    kept, clock = subsample(stream.clock, rate)
    times, count = clock.times, 0
    for index, picture in _pictures(stream, kept):
        screen.set_time(TIMELINE, duration=float(times[count]))
        good, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
        if not good:
            raise DataError(f"{stream.where or name}: picture {index} cannot be shown.")
        screen.log(name, rr.EncodedImage(contents=data.tobytes(), media_type="image/jpeg"))
        count += 1
    return count


def _pictures(stream: Stream, kept: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The kept pictures, scaled down, in OpenCV's order of colours (BGR)."""
    # Blocks of about 32 MB, as a film does not fit into memory.
    size = max(1, (1 << 25) // max(1, int(np.prod(stream.source.shape))))
    for lo in range(0, len(stream), size):
        own = kept[(kept >= lo) & (kept < lo + size)]
        if not len(own):
            continue
        block = stream[lo : int(own[-1]) + 1].read()
        for index in own:
            picture = block[index - lo]
            scale = SIDE / max(picture.shape[:2])
            if scale < 1:
                height, width = (max(round(side * scale), 1) for side in picture.shape[:2])
                picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            if picture.ndim == 3 and picture.shape[2] == 3:
                picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            yield int(index), np.asarray(picture, np.uint8)


def _sound(rr: ModuleType, screen: _Screen, name: str, stream: Stream, rate: float) -> int:
    length = max(stream.clock.stop - stream.clock.start, 1e-9)
    points = int(np.clip(length * ENVELOPE, 2, LONGEST))
    times, values = _extremes(stream, points)
    return _lines(rr, screen, name, times, values)


def _series(rr: ModuleType, screen: _Screen, name: str, stream: Stream, rate: float) -> int:
    times, values = _extremes(stream, LONGEST // 2)
    return _lines(rr, screen, name, times, values)


def _extremes(stream: Stream, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """About ``points`` observations at most: all, or minimum and maximum of successive runs, [m, channels]."""
    step = max(2 * len(stream) // points, 1)
    if step <= 2:
        return stream.clock.times, stream.read().reshape(len(stream), -1).astype(np.float64)
    times: list[NDArray[np.float64]] = []
    values: list[NDArray[np.float64]] = []
    # Blocks are multiples of a run, so that no run is cut.
    for block in stream.blocks(step * max((1 << 20) // step, 1)):
        own = block.read().reshape(len(block), -1).astype(np.float64)
        starts = np.arange(0, len(own), step)
        # fmin and fmax pass over NaN: one gap must not hide a run.
        low, high = np.fmin.reduceat(own, starts), np.fmax.reduceat(own, starts)
        at = block.clock.times[starts]
        times.append(np.repeat(at, 2))
        values.append(np.stack([low, high], 1).reshape(-1, own.shape[1]))
    return np.concatenate(times), np.concatenate(values)


def _lines(rr: ModuleType, screen: _Screen, name: str, times: NDArray[np.float64], values: NDArray[np.float64]) -> int:
    """One line per channel, without values that were not observed (NaN)."""
    for channel in range(values.shape[1]):
        known = np.isfinite(values[:, channel])
        own = name if values.shape[1] == 1 else f"{name}/{channel}"
        screen.send_columns(own, _at(rr, times[known]), rr.Scalars.columns(scalars=values[known, channel]))
    return int(values.size)


def _pose(rr: ModuleType, screen: _Screen, name: str, stream: Stream, rate: float) -> int:
    points = rr.Points3D if stream.source.shape[1] == 3 else rr.Points2D
    kept, clock = subsample(stream.clock, 6 * rate)
    for time, place in zip(clock.times, stream.read()[kept]):
        screen.set_time(TIMELINE, duration=float(time))
        screen.log(name, points(place[np.isfinite(place).all(1)]))
    return len(kept)


def _words(rr: ModuleType, screen: _Screen, name: str, stream: Stream, rate: float) -> int:
    clock = stream.clock
    starts = clock.starts if isinstance(clock, Spans) else clock.times
    return _texts(rr, screen, name, [(float(t), str(text)) for t, text in zip(starts, stream.read())])


def _texts(rr: ModuleType, screen: _Screen, name: str, rows: list[tuple[float, str]]) -> int:
    if rows:
        times = np.array([time for time, _ in rows], np.float64)
        screen.send_columns(name, _at(rr, times), rr.TextLog.columns(text=[text for _, text in rows]))
    return len(rows)


_SHOWN = {"frames": _frames, "waveform": _sound, "series": _series, "pose": _pose, "words": _words}
