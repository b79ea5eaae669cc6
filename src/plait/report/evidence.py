"""The evidence of an answer drawn over its recording, and the page of all answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plait.core.version import __version__
from plait.evaluation.explanation.flow import WARNING
from plait.evaluation.explanation.neighbours import Near
from plait.report import words
from plait.report.canvas import INK, LINES, MUTED, hover, png, svg
from plait.report.environment import environment, write_page
from plait.report.explained import Explained
from plait.report.plots import short
from plait.streams.stream import Stream

__all__ = ["MOST_DRAWN", "EvidencePage", "draw_evidence"]

PICTURES, CHANNELS, POINTS, WORDS, WIDE = 8, 6, 800, 14, 160
"""Pictures of a film, channels of a sensor, points of a line and words that are drawn; pixels of a picture's width."""

MOST_DRAWN = 20
"""Answers that are drawn on a page; the others are told in words."""

Colour = Callable[[str], str]


class EvidencePage:
    """The page of the answers for raw files; `add` is for `plait.report.explained.explain_files`.

    Args:
        run: the run's name.
    """

    def __init__(self, run: str) -> None:
        self.run, self._drawn, self._told = run, list[tuple[Explained, Markup]](), list[Explained]()

    def add(self, one: Explained, streams: Mapping[str, Stream]) -> None:
        """Take a further answer, and draw it while its streams can be read; evidence of objects is told in words."""
        if len(self._drawn) < MOST_DRAWN and not one.objects:
            self._drawn.append((one, _figure(one, streams, f"e{len(self._drawn)}")))
        else:
            self._told.append(one)

    def write(self, path: str | Path) -> Path:
        """Write the page, atomically.

        Raises:
            OSError: it cannot be written.
        """
        return write_page(path, self.render())

    def render(self) -> str:
        """The page's HTML."""
        every = [*(one for one, _ in self._drawn), *self._told]
        count, recordings = len(every), len({one.recording for one in every})
        several = f"{words.counted(count, 'answer')} for {words.counted(recordings, 'recording')}."
        method = every[0].method.replace("_", " ") if every else ""
        facts = [f"Model of {self.run}.", *([f"Method: {method}."] if method else [])]
        return (
            environment()
            .get_template("explained.html.j2")
            .render(
                run=self.run,
                headline=_sentence(every[0], drawn=bool(self._drawn)) if count == 1 else several,
                facts=facts,
                drawn=self._sections(),
                more=[_sentence(one, drawn=False) for one in self._told],
                turns=any(one.turning is not None for one in every),
                version=__version__,
            )
        )

    def _sections(self) -> list[dict[str, object]]:
        """What is drawn; the nearest training items below the last claim of each item."""
        found = [{"of": one, "says": _sentence(one, drawn=True), "svg": svg} for one, svg in self._drawn]
        last = {(one.recording, one.start): k for k, (one, _) in enumerate(self._drawn)}
        for k in last.values():
            near = self._drawn[k][0].near
            found[k]["near"] = near and _nearest(near)
        return found


def _sentence(one: Explained, *, drawn: bool) -> str:
    """``drawn``: the nearest training items stand below the picture."""
    return words.printable(str(replace(one, near=None) if drawn else one)) + "."


def _nearest(near: Near) -> dict[str, object]:
    """Rows with distances as numbers, as multiples of the typical one, and as places on one axis, percent."""
    end = 1.04 * max(*near.distances, near.far or 0.0) or 1.0
    typical = near.typical

    def place(distance: float | None) -> float | None:
        return None if distance is None else round(100 * distance / end, 2)

    rows = [
        {"item": item, "label": label, "distance": f"{x:.2f}", "at": place(x),
         "times": f"{x / typical:.1f}" if typical else ""}
        for item, label, x in zip(near.items, near.labels, near.distances)
    ]  # fmt: skip
    return {"of": near, "rows": rows, "typical": place(typical), "far": place(near.far), "times": bool(typical)}


def draw_evidence(one: Explained, streams: Mapping[str, Stream], path: str | Path) -> None:
    """Draw a recording with the evidence of an answer above each stream, on one axis of time, into a PNG file.

    Films are drawn as a strip of pictures, sound as its envelope, texts as words, all else as lines. Below them, if the
    fusion has any, stands the attention that each second of each modality gets.

    Args:
        one: the answer.
        streams: by modality.
        path: the file; its folder is made.
    """
    instead = f"; without the shaded span: {one.instead}" if one.turning is not None else ""
    name = one.method.replace("_", " ")
    title = f"{short(one.recording, 40)}: {short(one.claim or one.answer, 60)}{instead}"

    def draw(figure: Figure, colours: Mapping[str, str]) -> None:
        _draw(figure, one, streams, colours.__getitem__)
        figure.suptitle(f"{title}\n{name}: blue speaks for it, orange against", fontsize=10)

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    wide, high = _size(one, streams)
    png(path, (wide, high + 0.5), draw)


def _figure(one: Explained, streams: Mapping[str, Stream], name: str) -> Markup:
    # `str` leaves the stand-ins as they are: they become CSS variables in the SVG.
    return Markup(svg(name, _size(one, streams), lambda figure: _draw(figure, one, streams, str)))


def _shown(one: Explained, streams: Mapping[str, Stream]) -> list[str]:
    return [m for m in one.evidence if m in streams]


def _size(one: Explained, streams: Mapping[str, Stream]) -> tuple[float, float]:
    return 9.0, 0.4 + 1.7 * max(len(_shown(one, streams)), 1) + (1.4 if one.attention else 0.0)


def _draw(figure: Figure, one: Explained, streams: Mapping[str, Stream], colour: Colour) -> None:
    shown = _shown(one, streams)
    # One scale for all streams, so that they can be compared.
    most = max((float(np.abs(one.evidence[m]).max()) for m in shown), default=0.0) or 1.0
    heights = [0.35, 1.6] * max(len(shown), 1) + ([0.9] if one.attention else [])
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    first: Axes | None = None
    for k, m in enumerate(shown):
        above = figure.add_subplot(grid[2 * k], sharex=first)
        first = first or above
        _strip(above, one, m, most, colour)
        below = figure.add_subplot(grid[2 * k + 1], sharex=first)
        _stream(below, streams[m], one.start, one.stop, colour)
        if one.span is not None:
            below.axvspan(*one.span, color=colour(LINES[0]), alpha=0.15)
        if one.turning is not None:
            ends = one.start + one.turning.start, one.start + one.turning.stop
            span = below.axvspan(*ends, color=colour(LINES[1]), alpha=0.15)
            for end in ends:  # a film hides a shade
                below.axvline(end, color=colour(LINES[1]), lw=1)
            hover(span, [f"without {ends[0]:.2f}–{ends[1]:.2f} s: {one.instead}"])
        below.set_ylabel(short(m), fontsize=9)
        below.tick_params(labelbottom=k == len(shown) - 1 and not one.attention)
    if one.attention:
        _attention(figure.add_subplot(grid[len(heights) - 1], sharex=first), one, colour)
        # Below all: on the bars its names could not be read.
        figure.legend(loc="outside lower right", ncols=6, fontsize=8)
    if first is not None:
        first.set_xlim(one.start, one.stop)
        figure.axes[-1].set_xlabel("seconds")


def _strip(axes: Axes, one: Explained, modality: str, most: float, colour: Colour) -> None:
    values = one.evidence[modality]
    edges = np.linspace(one.start, one.stop, len(values) + 1)
    colours = [colour(LINES[0] if v >= 0 else LINES[1]) for v in values]
    bars = axes.bar(edges[:-1], values / most, width=np.diff(edges), align="edge", color=colours)
    for bar, value, start, stop in zip(bars, values, edges, edges[1:]):
        hover(bar, [f"{start:.2f}–{stop:.2f} s: {value:+.3f}".replace("-", words.MINUS)], modality)
    axes.set_ylim(-1.05, 1.05)
    axes.axhline(0, color=colour(MUTED), lw=0.6)
    axes.set_yticks([])
    axes.tick_params(labelbottom=False)
    axes.grid(visible=False)


def _attention(axes: Axes, one: Explained, colour: Colour) -> None:
    """The attention of each second, a layer for each modality."""
    edges = np.linspace(one.start, one.stop, len(next(iter(one.attention.values()))) + 1)
    base = np.zeros(len(edges) - 1)
    for i, (m, own) in enumerate(one.attention.items()):
        own_colour = colour(LINES[i % len(LINES)])
        axes.bar(edges[:-1], own, np.diff(edges), base, align="edge", color=own_colour, label=short(m))
        base = base + own
    axes.set_ylabel("attention", fontsize=9)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.set_title(WARNING, fontsize=8, loc="left")


def _stream(axes: Axes, stream: Stream, start: float, stop: float, colour: Colour) -> None:
    axes.grid(visible=False)
    own = stream[stream.clock.window(start, stop)]
    if not len(own):
        return
    if stream.kind == "frames":
        _film(axes, own, start, stop)
    elif stream.kind == "words":
        _texts(axes, own)
    elif stream.kind == "waveform":
        _sound(axes, own, colour)
    else:
        _lines(axes, own, colour)


def _film(axes: Axes, stream: Stream, start: float, stop: float) -> None:
    """Pictures side by side, each over the seconds around it."""
    count = min(PICTURES, len(stream))
    wide = (stop - start) / count
    for k in range(count):
        place = int(stream.clock.nearest(np.array([start + (k + 0.5) * wide]))[0])
        picture = np.asarray(stream[place : place + 1].read())[0]
        flat = _small(picture if picture.shape[-1] == 3 else picture[..., 0])
        place_of = (start + k * wide, start + (k + 1) * wide, 0.0, 1.0)
        axes.imshow(flat, cmap="gray", extent=place_of, aspect="auto", interpolation="none")
    axes.set_ylim(0, 1)
    axes.set_yticks([])


def _small(picture: NDArray[np.generic]) -> NDArray[np.generic]:
    """A picture of at most `WIDE` columns."""
    high, wide = picture.shape[:2]
    if wide <= WIDE:
        return picture
    return np.asarray(cv2.resize(picture, (WIDE, max(1, high * WIDE // wide)), interpolation=cv2.INTER_AREA))


def _texts(axes: Axes, stream: Stream) -> None:
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    values = [str(x) for x in np.asarray(stream.read()).ravel()]
    step = max(1, -(-len(values) // WORDS))
    for k in range(0, len(values), step):
        axes.text(
            float(stream.clock.times[k]), 0.25 + 0.25 * (k // step % 3), short(values[k], 24), ha="center", fontsize=8
        )


def _sound(axes: Axes, stream: Stream, colour: Colour) -> None:
    """The lowest and highest sample of each of some hundred stretches."""
    values = np.asarray(stream.read(), np.float64).reshape(len(stream), -1).mean(1)
    step = max(1, len(values) // POINTS)
    part = values[: len(values) // step * step].reshape(-1, step)
    times = stream.clock.times[::step][: len(part)]
    axes.fill_between(times, part.min(1), part.max(1), color=colour(INK), linewidth=0)
    axes.set_yticks([])


def _lines(axes: Axes, stream: Stream, colour: Colour) -> None:
    """The channels that vary most, each scaled to its own range."""
    values = np.asarray(stream.read(), np.float64).reshape(len(stream), -1)
    step = max(1, len(values) // POINTS)
    values, times = values[::step], stream.clock.times[::step]
    spread = np.nanstd(np.where(np.isfinite(values), values, np.nan), axis=0)
    scaled = (values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1.0)
    for k, channel in enumerate(np.argsort(-np.nan_to_num(spread), kind="stable")[:CHANNELS]):
        axes.plot(times, scaled[:, channel], lw=0.8, color=colour(LINES[k]))
    axes.set_yticks([])
