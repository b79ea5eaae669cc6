"""A caption drawn: key frames with the regions that the words looked at, and the seconds of each word's evidence."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from plait.core.errors import DataError
from plait.report.canvas import png
from plait.streams.stream import Stream
from plait.tasks.evidence import Caption

__all__ = ["draw_caption"]

LEAST = 0.02
"""Seconds; evidence at one instant is drawn that wide at least, as a share of the whole."""


def draw_caption(stream: Stream, answer: Caption, path: str | Path, *, source: str, start: float = 0.0) -> None:
    """Draw a caption into a PNG file.

    Args:
        stream: of pictures.
        answer: the caption, with key frames.
        path: the file.
        source: the name by which the answer knows the stream.
        start: where the item begins, seconds of the stream.

    Raises:
        DataError: the stream has no pictures, or the answer no words.
    """
    if stream.kind != "frames":
        raise DataError(f"{stream.where}: is of kind {stream.kind}; expected pictures (frames).")
    if not answer.words:
        raise DataError("the caption has no words: nothing can be drawn. Look at the recording's streams.")
    times = [start + t for t in answer.frames] or [start]
    places = [int(i) for i in stream.clock.nearest(np.array(times))]
    pictures = [np.asarray(stream[i : i + 1].read())[0] for i in places]

    def draw(figure: Figure, colours: Mapping[str, str]) -> None:
        grid = figure.add_gridspec(2, len(pictures), height_ratios=[2, 1.4])
        for i, (picture, now) in enumerate(zip(pictures, times)):
            _picture(figure.add_subplot(grid[0, i]), picture, _boxes(answer, source, now - start), now)
        _words(figure.add_subplot(grid[1, :]), answer)

    png(path, (2.6 * max(len(pictures), 2), 5.0), draw)


def _boxes(answer: Caption, source: str, now: float) -> Sequence[tuple[str, tuple[float, float, float, float]]]:
    """The words that looked at this picture, and where."""
    rows = zip(answer.words, answer.sources, answer.boxes)
    return [
        (str(word), box)
        for (a, b, word, _), stream, box in rows
        if box is not None and stream == source and a - 1e-6 <= now <= b + 1e-6
    ]


def wrapped(words: Sequence[str]) -> str:
    """Words in short lines, so that they stay within the picture.

    >>> wrapped(["a", "yellow", "square", "moves"])
    'a yellow\\nsquare\\nmoves'
    """
    return "\n".join(textwrap.wrap(" ".join(words), 10))


def _picture(
    axes: Axes, picture: np.ndarray, boxes: Sequence[tuple[str, tuple[float, float, float, float]]], now: float
) -> None:
    height, width = picture.shape[:2]
    axes.imshow(picture if picture.shape[-1] == 3 else picture[..., 0], cmap="gray", interpolation="nearest")
    said: dict[tuple[float, float, float, float], list[str]] = {}
    for word, box in boxes:
        said.setdefault(box, []).append(word)
    for (x, y, w, h), words in said.items():
        corner = x * width - 0.5, y * height - 0.5
        axes.add_patch(Rectangle(corner, w * width, h * height, fill=False, edgecolor="white", linewidth=1.5))
        axes.text(*corner, wrapped(words), color="white", fontsize=7, va="bottom", clip_on=True)
    axes.set_title(f"{now:.2f} s", fontsize=9)
    axes.set_axis_off()


def _words(axes: Axes, answer: Caption) -> None:
    """A bar per word over the seconds that it looked at."""
    last = max(stop for _, stop, _, _ in answer.words) or 1.0
    for row, ((a, b, _, _), source) in enumerate(zip(answer.words, answer.sources)):
        axes.barh(row, max(b - a, LEAST * last), left=a, height=0.6, color="#0072b2")
        axes.text(max(b, a + LEAST * last), row, f" {source or 'all'}", va="center", fontsize=7)
    axes.set_yticks(range(len(answer.words)), [str(word) for _, _, word, _ in answer.words], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * last)
    axes.set_xlabel("seconds that the word looked at")
