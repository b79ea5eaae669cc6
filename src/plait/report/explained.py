"""Answers for raw files with their evidence: which seconds of which stream speak for them, drawn over the recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.core.names import Names
from plait.core.parts import suggest
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus
from plait.evaluation.explanation.attribution import METHODS
from plait.evaluation.explanation.flow import WARNING, attention_flow
from plait.evaluation.explanation.neighbours import Near, TrainingItems
from plait.evaluation.explanation.parts import Answer, Parts
from plait.evaluation.explanation.turning import Span, turning_spans
from plait.examples.data import ItemData
from plait.examples.items import Item
from plait.prediction.predict import Predictor
from plait.report.plots import LINES, png, short
from plait.streams.stream import Stream

__all__ = ["BINS", "Explained", "draw_evidence", "explain_files"]

BINS = 30
"""Parts of each stream's time."""

BATCH, PICTURES, CHANNELS, POINTS, WORDS = 16, 8, 6, 1500, 14
"""Items at once; pictures of a film, channels of a sensor, points of a line and words that are drawn."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Explained:
    """An answer and what speaks for it.

    Attributes:
        recording: its id.
        start, stop: the interval that was asked about, seconds.
        answer: the class that was named, or the value.
        method: of attribution.
        evidence: by modality, how much each part of the interval speaks for the answer, [parts]; log-probability, or
            the value's units.
        turning: the shortest span without which another class is named, from the interval's start; None: there is none.
        instead: that class.
        attention: by modality, the share of the fused result's attention that each part has, all together 1; empty
            where the model's fusion has none (`plait.evaluation.explanation.flow`).
        near: the nearest training items; None: they were not asked for.
    """

    recording: str
    start: float
    stop: float
    answer: str
    method: str
    evidence: Mapping[str, Floats]
    turning: Span | None
    instead: str
    attention: Mapping[str, Floats] = field(default_factory=dict)
    near: Near | None = None

    def __str__(self) -> str:
        place = f"{self.recording} {self.start:.2f}-{self.stop:.2f} s: {self.answer}"
        best = self.strongest()
        told = f"; most for it: {best[0]} {best[1]:.2f}-{best[2]:.2f} s" if best else ""
        if self.turning is not None:
            a, b = (self.start + t for t in self.turning[:2])
            told += f"; without {a:.2f}-{b:.2f} s it would be {self.instead}"
        if self.attention:
            shares = ", ".join(f"{m} {100 * float(v.sum()):.0f} %" for m, v in self.attention.items())
            told += f"; attention: {shares}"
        return place + told + (f"; {self.near}" if self.near else "")

    def strongest(self) -> tuple[str, float, float] | None:
        """The modality and the seconds of the part that speaks for the answer most; None if nothing does."""
        rows = [(float(v.max()), m, int(v.argmax()), len(v)) for m, v in self.evidence.items() if len(v)]
        value, modality, place, count = max(rows, default=(0.0, "", 0, 1))
        step = (self.stop - self.start) / count
        return (modality, self.start + place * step, self.start + (place + 1) * step) if value > 0 else None

    def to_json(self) -> dict[str, object]:
        """One object; the evidence by modality, and the ends of the turning span in the recording's seconds."""
        turning = None
        if self.turning is not None:
            ends = [round(self.start + t, 4) for t in self.turning[:2]]
            turning = {"start": ends[0], "stop": ends[1], "answer": self.instead}
        return {
            "recording": self.recording,
            "start": self.start,
            "stop": self.stop,
            "answer": self.answer,
            "method": self.method,
            "evidence": {m: [round(float(x), 6) for x in own] for m, own in self.evidence.items()},
            "turning": turning,
            **(
                {"attention": {m: [round(float(x), 6) for x in own] for m, own in self.attention.items()}}
                if self.attention
                else {}
            ),
            **({"nearest": self.near.to_json()} if self.near else {}),
        }


def explain_files(
    predictor: Predictor,
    paths: Sequence[str | Path],
    *,
    method: str = "occlusion",
    draw: str | Path | None = None,
    training: TrainingItems | None = None,
    nearest: int = 3,
    progress: Progress | None = None,
) -> list[Explained]:
    """Answers for raw files, as `plait.predict` gives them, with their evidence.

    Args:
        predictor: a model of a task with one class or one value per item.
        paths: files, folders, or one manifest.
        method: of `plait.evaluation.explanation.attribution.METHODS`.
        draw: folder for a picture of each answer, ``RECORDING-START.png``; it is made.
        training: of the same model; None: nearest training items are not looked for.
        nearest: how many of them.
        progress: called after each item.

    Raises:
        ConfigError: there is no such method.
        DataError: as `Predictor`; or the task answers over time or in texts.
    """
    if method not in METHODS:
        raise ConfigError(f"method {method!r}: there is none. {suggest(method, METHODS)}")
    found, names = list[Explained](), Names(joint="-")
    with predictor.examples(list(paths)) as (items, data, _, corpus):
        for start in range(0, len(items), BATCH):
            own = range(start, min(start + BATCH, len(items)))
            near = (
                [None] * len(own) if training is None else training.near(data.batch(own, predictor.model.dims), nearest)
            )
            each = zip(_explained(predictor, data, own, method), near, items[start : own.stop])
            for one, item in ((replace(told, near=close), item) for told, close, item in each):
                found.append(one)
                if draw is not None:
                    Path(draw).mkdir(parents=True, exist_ok=True)
                    path = Path(draw) / f"{names.of(one.recording, f'{one.start:.2f}')}.png"
                    draw_evidence(one, _streams(corpus, item, predictor.prepared.modalities), path)
                if progress is not None:
                    progress(len(found), len(items), one.recording)
    return found


def _explained(predictor: Predictor, data: ItemData, index: Sequence[int], method: str) -> list[Explained]:
    model = predictor.model
    batch = data.batch(list(index), model.dims)
    answer, parts = Answer.of(model, batch), Parts(data, batch, BINS)
    values = METHODS[method](answer, parts).double().numpy().reshape(len(index), len(parts.names), BINS)
    spans = turning_spans(answer, batch.inputs, parts.seconds)
    flow = attention_flow(model, parts)
    shares = None if flow is None else flow.double().numpy().reshape(values.shape)
    told = [str(a) for a in model.task.decode(answer.whole)]
    classes = [str(name) for name in model.task.state().get("classes", [])]
    there = {m: t.present.numpy() for m, t in batch.inputs.items()}
    return [
        Explained(
            data.items[i].recording,
            data.items[i].start,
            data.items[i].stop,
            told[k],
            method,
            {m: values[k, j] for j, m in enumerate(parts.names) if there[m][k]},
            spans[k],
            _name(classes, spans[k]),
            {} if shares is None else {m: shares[k, j] for j, m in enumerate(parts.names) if there[m][k]},
        )
        for k, i in enumerate(index)
    ]


def _name(classes: Sequence[str], span: Span | None) -> str:
    if span is None:
        return ""
    return classes[span.answer] if span.answer < len(classes) else str(span.answer)


def _streams(corpus: Corpus, item: Item, modalities: Mapping[str, str]) -> dict[str, Stream]:
    own = corpus[item.recording].streams
    return {m: own[name] for m, name in modalities.items() if name in own}


def draw_evidence(one: Explained, streams: Mapping[str, Stream], path: str | Path) -> None:
    """Draw a recording with the evidence of an answer above each stream, on one axis of time, into a PNG file.

    Films are drawn as a strip of pictures, sound as its envelope, texts as words, all else as lines. Below them, if the
    fusion has any, stands the attention that each second of each modality gets.

    Args:
        one: the answer.
        streams: by modality.
        path: the file.
    """
    shown = [m for m in one.evidence if m in streams]
    # One scale for all streams, so that they can be compared.
    most = max((float(np.abs(one.evidence[m]).max()) for m in shown), default=0.0) or 1.0

    def draw(figure: Figure, colours: Mapping[str, str]) -> None:
        heights = [0.35, 1.6] * len(shown) + ([0.9] if one.attention else [])
        grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
        first: Axes | None = None
        for k, m in enumerate(shown):
            above = figure.add_subplot(grid[2 * k], sharex=first)
            first = first or above
            _strip(above, one, m, most)
            below = figure.add_subplot(grid[2 * k + 1], sharex=first)
            _stream(below, streams[m], one.start, one.stop)
            if one.turning is not None:
                below.axvspan(one.start + one.turning.start, one.start + one.turning.stop, color="#d55e00", alpha=0.15)
            below.set_ylabel(short(m), fontsize=9)
            below.tick_params(labelbottom=k == len(shown) - 1 and not one.attention)
        if one.attention:
            _attention(figure.add_subplot(grid[len(heights) - 1], sharex=first), one, colours)
        if first is not None:
            first.set_xlim(one.start, one.stop)
            figure.axes[-1].set_xlabel("seconds")
        instead = f"; without the shaded span: {one.instead}" if one.turning is not None else ""
        name = one.method.replace("_", " ")
        figure.suptitle(
            f"{short(one.recording, 40)}: {one.answer}{instead}\n{name}: blue speaks for it, orange against",
            fontsize=10,
        )

    png(path, (9.0, 0.9 + 1.7 * max(len(shown), 1) + (1.1 if one.attention else 0.0)), draw)


def _strip(axes: Axes, one: Explained, modality: str, most: float) -> None:
    values = one.evidence[modality]
    edges = np.linspace(one.start, one.stop, len(values) + 1)
    axes.bar(
        edges[:-1],
        values / most,
        width=np.diff(edges),
        align="edge",
        color=np.where(values >= 0, "#0072b2", "#d55e00").tolist(),
    )
    axes.set_ylim(-1.05, 1.05)
    axes.axhline(0, color="#5b626b", lw=0.6)
    axes.set_yticks([])
    axes.tick_params(labelbottom=False)
    axes.grid(visible=False)


def _attention(axes: Axes, one: Explained, colours: Mapping[str, str]) -> None:
    """The attention of each second, a layer for each modality."""
    edges = np.linspace(one.start, one.stop, len(next(iter(one.attention.values()))) + 1)
    base = np.zeros(len(edges) - 1)
    for i, (m, own) in enumerate(one.attention.items()):
        colour = colours[LINES[i % len(LINES)]]
        axes.bar(edges[:-1], own, bottom=base, width=np.diff(edges), align="edge", color=colour, label=short(m))
        base += own
    axes.set_ylabel("attention", fontsize=9)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.set_title(WARNING, fontsize=8, loc="left")
    axes.legend(fontsize=8, loc="upper right")


def _stream(axes: Axes, stream: Stream, start: float, stop: float) -> None:
    axes.grid(visible=False)
    own = stream[stream.clock.window(start, stop)]
    if not len(own):
        return
    if stream.kind == "frames":
        _film(axes, own, start, stop)
    elif stream.kind == "words":
        _texts(axes, own)
    elif stream.kind == "waveform":
        _sound(axes, own)
    else:
        _lines(axes, own)


def _film(axes: Axes, stream: Stream, start: float, stop: float) -> None:
    """Pictures side by side, each over the seconds around it."""
    count = min(PICTURES, len(stream))
    wide = (stop - start) / count
    for k in range(count):
        place = int(stream.clock.nearest(np.array([start + (k + 0.5) * wide]))[0])
        picture = np.asarray(stream[place : place + 1].read())[0]
        flat = picture if picture.shape[-1] == 3 else picture[..., 0]
        axes.imshow(flat, cmap="gray", extent=(start + k * wide, start + (k + 1) * wide, 0, 1), aspect="auto")
    axes.set_ylim(0, 1)
    axes.set_yticks([])


def _texts(axes: Axes, stream: Stream) -> None:
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    values = [str(x) for x in np.asarray(stream.read()).ravel()]
    step = max(1, -(-len(values) // WORDS))
    for k in range(0, len(values), step):
        axes.text(
            float(stream.clock.times[k]), 0.25 + 0.25 * (k // step % 3), short(values[k], 24), ha="center", fontsize=8
        )


def _sound(axes: Axes, stream: Stream) -> None:
    """The lowest and highest sample of each of some hundred stretches."""
    values = np.asarray(stream.read(), np.float64).reshape(len(stream), -1).mean(1)
    step = max(1, len(values) // POINTS)
    part = values[: len(values) // step * step].reshape(-1, step)
    times = stream.clock.times[::step][: len(part)]
    axes.fill_between(times, part.min(1), part.max(1), color="#1b1e22", linewidth=0)
    axes.set_yticks([])


def _lines(axes: Axes, stream: Stream) -> None:
    """The channels that vary most, each scaled to its own range."""
    values = np.asarray(stream.read(), np.float64).reshape(len(stream), -1)
    step = max(1, len(values) // POINTS)
    values, times = values[::step], stream.clock.times[::step]
    spread = np.nanstd(np.where(np.isfinite(values), values, np.nan), axis=0)
    scaled = (values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1.0)
    for channel in np.argsort(-np.nan_to_num(spread), kind="stable")[:CHANNELS]:
        axes.plot(times, scaled[:, channel], lw=0.8)
    axes.set_yticks([])
