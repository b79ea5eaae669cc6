"""Answers of a model about an example; each can be printed, or become JSON or annotations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from plait.streams.recording import Annotation

__all__ = ["Answer", "Embedding", "Label", "Outlook", "Reply", "Several", "Spans", "Text", "Value"]

Timed = tuple[float, float, str | int | float | bool, float]
"""Start and stop in seconds from the item's start, label, and confidence."""


@dataclass(frozen=True)
class Answer(ABC):
    """One answer about one interval, which the caller knows."""

    @abstractmethod
    def __str__(self) -> str:
        """One line for people."""

    @property
    def timed(self) -> tuple[Timed, ...]:
        """Its parts that have times of their own, such as words and events; none by default."""
        return ()

    def to_json(self) -> dict[str, object]:
        """Its attributes by name, as plain numbers and texts."""
        return asdict(self)

    @abstractmethod
    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        """The answer as annotations of a recording; empty if it cannot be one.

        Args:
            start, stop: the interval of the answer, seconds.
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
        spans: start, stop, label and mean probability of each, in order of time; seconds from the item's start.

    >>> print(Spans(((0.5, 2.0, "rain", 0.9),)))
    rain 0.50-2.00 s (90%)
    """

    spans: tuple[Timed, ...]

    @property
    def timed(self) -> tuple[Timed, ...]:
        return self.spans

    def __str__(self) -> str:
        told = [f"{label} {start:.2f}-{stop:.2f} s ({sure:.0%})" for start, stop, label, sure in self.spans]
        return ", ".join(told) or "nothing"

    def to_json(self) -> dict[str, object]:
        return {"spans": [_to_json(span) for span in self.spans]}

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return _placed(self.spans, start, tier, annotator)


@dataclass(frozen=True)
class Text(Answer):
    """Words, and when each was said.

    Attributes:
        words: start, stop, word and probability of each, in order of time; seconds from the item's start.

    >>> print(Text(((0.1, 0.4, "good", 0.9), (0.4, 0.8, "morning", 0.8))))
    good morning
    """

    words: tuple[Timed, ...]

    @property
    def timed(self) -> tuple[Timed, ...]:
        return self.words

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
        return _placed(self.words, start, tier, annotator)


@dataclass(frozen=True)
class Reply(Answer):
    """A text in answer to what was recorded and asked.

    Attributes:
        text: the answer.
        confidence: the mean probability of its tokens.
        words: its words, each with its probability and the seconds from the item's start that it rests on (None:
            unknown).

    >>> print(Reply("a red square", 0.9, (("a", 0.9, None), ("red", 0.8, (1.0, 2.0)), ("square", 0.9, (1.0, 2.0)))))
    a red square
    """

    text: str
    confidence: float
    words: tuple[tuple[str, float, tuple[float, float] | None], ...] = ()

    @property
    def timed(self) -> tuple[Timed, ...]:
        return tuple((*span, word, sure) for word, sure, span in self.words if span is not None)

    def __str__(self) -> str:
        return self.text or "(nothing)"

    def to_json(self) -> dict[str, object]:
        words = [{"word": w, "confidence": p, "evidence": span and [*span]} for w, p, span in self.words]
        return {"text": self.text, "confidence": self.confidence, "words": words}

    def annotations(self, start: float, stop: float, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        return [Annotation(start, stop, self.text, tier, annotator)]


def _placed(spans: tuple[Timed, ...], start: float, tier: str, annotator: str) -> list[Annotation]:
    """Annotations of a recording in which the item begins at ``start``."""
    return [Annotation(start + a, start + b, label, tier, annotator) for a, b, label, _ in spans]


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


@dataclass(frozen=True)
class Outlook(Answer):
    """Values to come, as quantiles. Its annotations are the medians, on a tier per stream if there are several.

    Attributes:
        times: seconds from the item's start.
        levels: of the quantiles, in order; 0.5 is among them.
        values: per stream, the quantiles at each time, [times][levels].

    >>> print(Outlook((60.0, 90.0), (0.1, 0.5, 0.9), {"pulse": [[70.0, 72.0, 75.0], [68.0, 71.0, 76.0]]}))
    pulse at 90.00 s: 71 (68 to 76)
    """

    times: tuple[float, ...]
    levels: tuple[float, ...]
    values: Mapping[str, list[list[float]]]

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
            Annotation(start + t, start + t, row[middle], tier if one else f"{tier} {name}", annotator)
            for name, rows in self.values.items()
            for t, row in zip(self.times, rows)
        ]
