"""Answers of a model about an example; each can be printed, or become JSON or annotations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from plait.streams.recording import Annotation

__all__ = [
    "Answer",
    "Embedding",
    "Hit",
    "Label",
    "Outlook",
    "Ranking",
    "Relations",
    "Reply",
    "Several",
    "Spans",
    "Text",
    "Value",
]

TOLD = 5
"""Relations in a line for people."""

Timed = tuple[float, float, str | int | float | bool, float]
"""Start and stop in seconds, label, and confidence."""


@dataclass(frozen=True)
class Answer(ABC):
    """One answer about one interval, which the caller knows.

    A task's answer tells times from its item's start; `shifted` by that start they are the recording's, as a
    `plait.prediction.predict.Prediction` prints and writes them.
    """

    @abstractmethod
    def __str__(self) -> str:
        """One line for people."""

    @property
    def timed(self) -> tuple[Timed, ...]:
        """Its parts that have times of their own, such as words and events; none by default."""
        return ()

    def shifted(self, seconds: float) -> Answer:
        """The same answer with its times so many seconds later; itself if it has no times of its own.

        >>> print(Spans(((0.5, 2.0, "rain", 0.9),)).shifted(60.0))
        rain 60.50-62.00 s (90%)
        """
        return self

    def to_json(self) -> dict[str, object]:
        """Its attributes by name, as plain numbers and texts."""
        return asdict(self)

    @abstractmethod
    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        """The answer as annotations of a recording; empty if it cannot be one.

        Args:
            start, stop: the interval that the answer is about, for what has no times of its own; seconds.
            tier: tier of the annotations.
            annotator: name of the annotator.
        """


@dataclass(frozen=True)
class Label(Answer):
    """A class.

    Attributes:
        label: the most probable class, in the type of the targets.
        confidence: its probability.
        probabilities: probability of each class, by name.

    >>> print(Label("run", 0.75, {"run": 0.75, "walk": 0.25}))
    run (75%)
    """

    label: str | int | float | bool
    confidence: float
    probabilities: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.label} ({self.confidence:.0%})"

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return [Annotation(start, stop, self.label, tier, annotator)]


@dataclass(frozen=True)
class Value(Answer):
    """A number, in the units of the targets.

    >>> print(Value(2.5))
    2.500
    """

    value: float

    def __str__(self) -> str:
        return f"{self.value:.3f}"

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return [Annotation(start, stop, self.value, tier, annotator)]


@dataclass(frozen=True)
class Spans(Answer):
    """Labels over time: events, states.

    Attributes:
        spans: start, stop, label and mean probability of each, in order of time; seconds.

    >>> print(Spans(((0.5, 2.0, "rain", 0.9),)))
    rain 0.50-2.00 s (90%)
    """

    spans: tuple[Timed, ...]

    @property
    def timed(self) -> tuple[Timed, ...]:
        return self.spans

    def shifted(self, seconds: float) -> Spans:
        return replace(self, spans=_later(self.spans, seconds))

    def __str__(self) -> str:
        told = [f"{label} {start:.2f}-{stop:.2f} s ({sure:.0%})" for start, stop, label, sure in self.spans]
        return ", ".join(told) or "nothing"

    def to_json(self) -> dict[str, object]:
        return {"spans": [_to_json(span) for span in self.spans]}

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return _noted(self.spans, tier, annotator)


@dataclass(frozen=True)
class Text(Answer):
    """Words, and when each was said.

    Attributes:
        words: start, stop, word and probability of each, in order of time; seconds.

    >>> print(Text(((0.1, 0.4, "good", 0.9), (0.4, 0.8, "morning", 0.8))))
    good morning
    """

    words: tuple[Timed, ...]

    @property
    def timed(self) -> tuple[Timed, ...]:
        return self.words

    def shifted(self, seconds: float) -> Text:
        return replace(self, words=_later(self.words, seconds))

    @property
    def text(self) -> str:
        """The words in one line."""
        return " ".join(str(word) for _, _, word, _ in self.words)

    @property
    def confidence(self) -> float:
        """The mean probability of its words; 0 without words."""
        return sum(word[3] for word in self.words) / max(len(self.words), 1)

    def __str__(self) -> str:
        return self.text or "(nothing)"

    def to_json(self) -> dict[str, object]:
        return {"text": self.text, "words": [_to_json(word) for word in self.words]}

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return _noted(self.words, tier, annotator)


def _later(spans: tuple[Timed, ...], seconds: float) -> tuple[Timed, ...]:
    return tuple((start + seconds, stop + seconds, label, sure) for start, stop, label, sure in spans)


def _noted(spans: tuple[Timed, ...], tier: str, annotator: str) -> list[Annotation]:
    return [Annotation(start, stop, label, tier, annotator) for start, stop, label, _ in spans]


@dataclass(frozen=True)
class Reply(Answer):
    """A text in answer to what was recorded and asked.

    Attributes:
        text: the answer.
        confidence: the mean probability of its tokens.
        words: its words, each with its probability and the seconds that it rests on (None: unknown).

    >>> print(Reply("a red square", 0.9, (("a", 0.9, None), ("red", 0.8, (1.0, 2.0)), ("square", 0.9, (1.0, 2.0)))))
    a red square
    """

    text: str
    confidence: float
    words: tuple[tuple[str, float, tuple[float, float] | None], ...] = ()

    @property
    def timed(self) -> tuple[Timed, ...]:
        return tuple((*span, word, sure) for word, sure, span in self.words if span is not None)

    def shifted(self, seconds: float) -> Reply:
        words = tuple((w, sure, span and (span[0] + seconds, span[1] + seconds)) for w, sure, span in self.words)
        return replace(self, words=words)

    def __str__(self) -> str:
        return self.text or "(nothing)"

    def to_json(self) -> dict[str, object]:
        words = [{"word": w, "confidence": p, "evidence": span and [*span]} for w, p, span in self.words]
        return {"text": self.text, "confidence": self.confidence, "words": words}

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return [Annotation(start, stop, self.text, tier, annotator)]


def _to_json(span: Timed) -> dict[str, object]:
    start, stop, label, sure = span
    return {"start": start, "stop": stop, "label": label, "confidence": sure}


@dataclass(frozen=True)
class Several(Answer):
    """An answer for each of several targets, by name. As annotations each is on a tier of its own: ``tier.name``.

    >>> print(Several({"mood": Label("glad", 0.75, {}), "valence": Value(0.5)}))
    mood: glad (75%), valence: 0.500
    """

    answers: Mapping[str, Answer]

    def __str__(self) -> str:
        return ", ".join(f"{name}: {answer}" for name, answer in self.answers.items())

    def shifted(self, seconds: float) -> Several:
        return Several({name: answer.shifted(seconds) for name, answer in self.answers.items()})

    def to_json(self) -> dict[str, object]:
        return {"answers": {name: answer.to_json() for name, answer in self.answers.items()}}

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        each = self.answers.items()
        return [a for n, own in each for a in own.annotations(start, stop, tier=f"{tier}.{n}", annotator=annotator)]


@dataclass(frozen=True)
class Embedding(Answer):
    """The embedding of an example, a vector of length 1. It has no annotations.

    >>> print(Embedding([0.6, 0.8]))
    2 numbers (see --json)
    """

    embedding: list[float]

    def __str__(self) -> str:
        return f"{len(self.embedding)} numbers (see --json)"

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return []


class Hit(NamedTuple):
    """One row of an index that was found, or one class.

    Attributes:
        name: the recording, or the class.
        start, stop: seconds of the recording; both 0 for a class.
        score: its similarity to the query; of a class its probability.
        text: the text that belongs to it, or "".
    """

    name: str
    start: float
    stop: float
    score: float
    text: str = ""

    def __str__(self) -> str:
        place = f" {self.start:.2f}-{self.stop:.2f} s" if self.stop > self.start else ""
        return f"{self.name}{place} ({self.score:.2f})" + (f" {self.text}" if self.text else "")


@dataclass(frozen=True)
class Ranking(Answer):
    """What was found, the best first. Its annotation is the name of the first.

    >>> print(Ranking((Hit("talk01", 2.0, 4.0, 0.75), Hit("talk02", 0.0, 2.0, 0.5))))
    talk01 2.00-4.00 s (0.75), talk02 0.00-2.00 s (0.50)
    """

    hits: tuple[Hit, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.hits)) or "nothing"

    def to_json(self) -> dict[str, object]:
        return {"hits": [hit._asdict() for hit in self.hits]}

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return [Annotation(start, stop, self.hits[0].name, tier, annotator)] if self.hits else []


@dataclass(frozen=True)
class Outlook(Answer):
    """Values to come, as quantiles. Its annotations are the medians, on a tier per stream if there are several.

    Attributes:
        times: seconds.
        levels: of the quantiles, in order; 0.5 is among them.
        values: per stream, the quantiles at each time, [times][levels].

    >>> print(Outlook((60.0, 90.0), (0.1, 0.5, 0.9), {"pulse": [[70.0, 72.0, 75.0], [68.0, 71.0, 76.0]]}))
    pulse at 90.00 s: 71 (68 to 76)
    """

    times: tuple[float, ...]
    levels: tuple[float, ...]
    values: Mapping[str, list[list[float]]]

    def shifted(self, seconds: float) -> Outlook:
        return replace(self, times=tuple(t + seconds for t in self.times))

    def __str__(self) -> str:
        middle = self.levels.index(0.5)
        ends = ((name, rows[-1]) for name, rows in self.values.items())
        return ", ".join(
            f"{name} at {self.times[-1]:.2f} s: {row[middle]:.4g} ({row[0]:.4g} to {row[-1]:.4g})" for name, row in ends
        )

    def to_json(self) -> dict[str, object]:
        return {"times": [*self.times], "levels": [*self.levels], "values": dict(self.values)}

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        middle, one = self.levels.index(0.5), len(self.values) == 1
        return [
            Annotation(t, t, row[middle], tier if one else f"{tier} {name}", annotator)
            for name, rows in self.values.items()
            for t, row in zip(self.times, rows)
        ]


@dataclass(frozen=True)
class Relations(Answer):
    """Relations between objects, the most probable first: a scene graph.

    As annotations each is ``SUBJECT predicate OBJECT``, the objects by their ids.

    Attributes:
        relations: subject's id, predicate, object's id, and the probability of each.
        objects: the class of each object, by id.
        boxes: left, top, right and bottom in pixels, where the object is first seen, by id.

    >>> print(Relations((("0", "ride", "1", 0.75),), {"0": "person", "1": "horse"}, {}))
    person ride horse (75%)
    """

    relations: tuple[tuple[str, str, str, float], ...]
    objects: Mapping[str, str]
    boxes: Mapping[str, tuple[float, ...]]

    def __str__(self) -> str:
        named = self.objects
        told = [f"{named[a]} {word} {named[b]} ({sure:.0%})" for a, word, b, sure in self.relations[:TOLD]]
        more = len(self.relations) - TOLD
        return (", ".join(told) + (f", and {more} more" if more > 0 else "")) or "no relation"

    def to_json(self) -> dict[str, object]:
        return {
            "objects": [
                {"id": name, "class": kind, **({"box": list(self.boxes[name])} if name in self.boxes else {})}
                for name, kind in self.objects.items()
            ],
            "relations": [
                {"subject": a, "predicate": word, "object": b, "confidence": sure}
                for a, word, b, sure in self.relations
            ],
        }

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return [Annotation(start, stop, f"{a} {word} {b}", tier, annotator) for a, word, b, _ in self.relations]
