"""Captions as answers: words, and where the decoder looked for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.streams.recording import Annotation
from plait.tasks.answers import Text

__all__ = ["Box", "Caption", "Evidence", "Layout", "caption_of", "evidence_of", "key_times"]

Box = tuple[float, float, float, float]
"""Left, top, width and height, as shares of the picture."""

HALF = 0.5
"""The evidence of a word reaches as far as the attention is at least this share of its peak."""


@dataclass(frozen=True)
class Caption(Text):
    """A text about an item, and the evidence of each word: when, in which stream, and where in the picture.

    As an annotation it is one text, over the whole item.

    Attributes:
        words: start and stop of the evidence, word and probability of each, in the order of the text.
        sources: the stream that each word looked at most; "" for what the fusion made of all.
        boxes: the region that each word looked at most; None where the stream has no regions.
        frames: the instants that the words looked at most (key frames), seconds from the item's start, in order.

    >>> print(Caption(((0.0, 1.0, "a", 0.9), (0.5, 0.7, "dog", 0.6)), ("sound", "sound"), (None, None), (0.6,)))
    a dog
    """

    sources: tuple[str, ...] = ()
    boxes: tuple[Box | None, ...] = ()
    frames: tuple[float, ...] = ()

    def to_json(self) -> dict[str, object]:
        found = super().to_json()
        words = found["words"]
        if isinstance(words, list):
            for word, source, box in zip(words, self.sources, self.boxes):
                word |= {"stream": source, **({} if box is None else {"box": list(box)})}
        return {**found, "frames": list(self.frames)}

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return [Annotation(start, stop, self.text, tier, annotator)] if self.words else []


class Evidence(NamedTuple):
    """Where a word looked: seconds, stream, region."""

    start: float
    stop: float
    source: str
    box: Box | None


class Layout(NamedTuple):
    """The places of an item: seconds and source of each, and which are there.

    Attributes:
        times: seconds, [places].
        sources: the name of each place's stream.
        mask: [places].
        regions: rows and columns of the regions, by stream.
    """

    times: NDArray[np.float64]
    sources: Sequence[str]
    mask: NDArray[np.bool_]
    regions: dict[str, tuple[int, int]]

    def of(self, source: str) -> NDArray[np.int64]:
        """The places of a stream that are there."""
        return np.flatnonzero(self.mask & (np.array(self.sources) == source))


def evidence_of(attention: NDArray[np.floating], layout: Layout) -> Evidence:
    """Where a word looked, by its attention to the places, [places].

    The stream is the one with most attention; within it, times are those around the peak with at least `HALF` of its
    attention, and the box is the region with most attention at the peak.

    >>> layout = Layout(np.array([0.0, 1.0, 2.0, 3.0]), ["a"] * 4, np.ones(4, bool), {})
    >>> evidence_of(np.array([0.1, 0.1, 0.5, 0.3]), layout)
    Evidence(start=1.5, stop=3.5, source='a', box=None)
    """
    names = [name for name in dict.fromkeys(layout.sources) if len(layout.of(name))]
    if not names:
        return Evidence(0.0, 0.0, "", None)
    source = max(names, key=lambda name: float(attention[layout.of(name)].sum()))
    mine = layout.of(source)
    times, which = np.unique(layout.times[mine], return_inverse=True)
    each: NDArray[np.float64] = np.bincount(which, attention[mine], len(times)).astype(np.float64)
    peak = int(each.argmax())
    low, high = _around(each, peak)
    half = float(np.median(np.diff(times))) / 2 if len(times) > 1 else 0.0
    at = mine[which == peak]
    box = _box(attention[at], layout.regions.get(source))
    return Evidence(max(float(times[low]) - half, 0.0), float(times[high]) + half, source, box)


def caption_of(
    words: Sequence[str],
    groups: Sequence[Sequence[int]],
    probs: Sequence[float],
    attention: NDArray[np.floating],
    layout: Layout,
) -> Caption:
    """The answer of a decoded text.

    Args:
        words: its words.
        groups: the places of the tokens of each word, whose mean a word has.
        probs: probability of each token.
        attention: of each token to the places, [tokens, places].
        layout: of the places.
    """
    looked = [attention[list(own)].mean(0) for own in groups]
    found = [evidence_of(one, layout) for one in looked]
    sure = [float(np.mean([probs[i] for i in own])) for own in groups]
    return Caption(
        tuple((e.start, e.stop, word, p) for e, word, p in zip(found, words, sure)),
        tuple(e.source for e in found),
        tuple(e.box for e in found),
        key_times(np.array(looked).reshape(len(looked), len(layout.times)), layout),
    )


def _around(each: NDArray[np.floating], peak: int) -> tuple[int, int]:
    low = high = peak
    while low > 0 and each[low - 1] >= HALF * each[peak]:
        low -= 1
    while high + 1 < len(each) and each[high + 1] >= HALF * each[peak]:
        high += 1
    return low, high


def _box(attention: NDArray[np.floating], shape: tuple[int, int] | None) -> Box | None:
    if shape is None or len(attention) != shape[0] * shape[1]:
        return None
    row, column = divmod(int(attention.argmax()), shape[1])
    return column / shape[1], row / shape[0], 1 / shape[1], 1 / shape[0]


def key_times(attention: NDArray[np.floating], layout: Layout, *, most: int = 3) -> tuple[float, ...]:
    """The instants that all words together looked at most, at most ``most``, no two of them neighbours.

    Args:
        attention: of each word, [words, places].
        layout: of the places. Streams with regions count if there are any, else all.

    >>> layout = Layout(np.arange(5.0), ["a"] * 5, np.ones(5, bool), {})
    >>> key_times(np.array([[0.4, 0.3, 0.0, 0.1, 0.2]]), layout, most=2)
    (0.0, 4.0)
    """
    seen = [name for name in dict.fromkeys(layout.sources) if name in layout.regions and len(layout.of(name))]
    mine = np.concatenate([layout.of(name) for name in seen]) if seen else np.flatnonzero(layout.mask)
    if not len(mine) or not len(attention):
        return ()
    times, which = np.unique(layout.times[mine], return_inverse=True)
    each = np.bincount(which, attention[:, mine].sum(0), len(times))
    found: list[int] = []
    for place in np.argsort(-each, kind="stable").tolist():
        if len(found) < most and all(abs(place - other) > 1 for other in found):
            found.append(place)
    return tuple(float(times[place]) for place in sorted(found))
