"""Segments: one item per annotation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

from plait.core.errors import ConfigError
from plait.core.safe_yaml import brief
from plait.examples.splits.sides import as_text
from plait.examples.units import Context, Unit
from plait.examples.units.around import Around, Interval
from plait.examples.units.cuts import Cut, Label, cuts_at, measured_span, padded, tier_of
from plait.streams.recording import Annotation, Recording

__all__ = ["Segment"]


class Segment(Unit):
    """One item per annotation of a tier; the annotation's label is the target.

    Args:
        tier: an annotation tier, or a stream of words.
        labels: labels to keep; all by default.
        match: a regular expression for the whole label.
        index: keep only the i-th chosen annotation of each recording (-1: the last).
        pad: seconds of context on both sides, within the recording.
        context: other segments of the recording that are inputs too, each kind as a modality of its own: options of
            `plait.examples.units.around.Around`, such as ``{before: 2}``. All segments of the tier count, also those
            that ``labels``, ``match`` and ``index`` leave out.

    In prediction, a recording without the tier is cut by the turns of ``context.speaker``, if it has these.

    Raises:
        ConfigError: ``match`` is not a regular expression; a wrong ``context``.
    """

    source: ClassVar[str] = "tier"
    annotated: ClassVar[bool] = True
    needs: ClassVar[dict[str, str]] = {"tier": "the name of an annotation tier or of a stream of words"}

    def __init__(
        self,
        *,
        tier: str,
        labels: list[Label] | None = None,
        match: str | None = None,
        index: int | None = None,
        pad: Context = 0.0,
        context: Mapping[str, object] | None = None,
    ) -> None:
        self.tier, self.match, self.index, self.pad = tier, match, index, pad
        self.around = None if context is None else Around.made(context)
        self.labels = None if labels is None else {as_text(label) for label in labels}
        try:
            self.pattern = re.compile(match or "")
        except re.error as error:
            raise ConfigError(f"task.match: got {brief(match)}; expected a regular expression ({error}).") from error

    def cut(self, recording: Recording, dropped: Counter[str], *, asked: bool) -> list[Cut]:
        # Prediction cuts by the same annotations as training; only a recording without any is cut by its turns.
        chosen = self._turns(recording) if asked else []
        every = () if chosen else recording.tier(self.tier)
        chosen = chosen or self._chosen(tier_of(recording, self.tier, dropped), dropped)
        numbers = _places(every, chosen) if every else [None] * len(chosen)
        span = measured_span(recording, self.tier) if chosen else None
        cuts, places = [], []
        for a, number in zip(chosen, numbers):
            if a.stop <= a.start:
                dropped["annotations: no duration"] += 1
            elif span and (a.start >= span[1] or a.stop <= span[0]):
                dropped["annotations: outside the recording"] += 1
            else:
                cut = padded(a.start, a.stop, a.label, self.pad, span)
                cuts.append(cut._replace(number=number))
                places.append((a.start, a.stop))
        return self._with_others(recording, cuts, places, dropped)

    def at(self, recording: Recording, segments: Sequence[Interval]) -> list[Cut]:
        cuts = cuts_at(recording, segments, pad=self.pad, tier=self.tier)
        return self._with_others(recording, cuts, segments, Counter())

    def _turns(self, recording: Recording) -> list[Annotation]:
        """The turns of the speakers, where the recording lacks the tier."""
        if self.around is None or self.around.speaker is None or recording.tier(self.tier):
            return []
        return list(recording.tier(self.around.speaker))

    def _with_others(
        self, recording: Recording, cuts: list[Cut], places: Sequence[Interval], dropped: Counter[str]
    ) -> list[Cut]:
        """The cuts, of segments at ``places``, with the segments that are their context."""
        if self.around is None:
            return cuts
        spans = [(a.start, a.stop) for a in recording.tier(self.tier) if a.stop > a.start]
        found = self.around.of_recording(recording, [*spans, *places], dropped)
        return [cut._replace(others=found[place]) for cut, place in zip(cuts, places)]

    def _chosen(self, found: list[Annotation], dropped: Counter[str]) -> list[Annotation]:
        kept = found
        if self.labels is not None:
            kept = [a for a in kept if as_text(a.label) in self.labels]
            _count(dropped, "annotations: not among labels", len(found) - len(kept))
        if self.match is not None:
            before = len(kept)
            kept = [a for a in kept if self.pattern.fullmatch(as_text(a.label))]
            _count(dropped, f"annotations: do not match {self.match!r}", before - len(kept))
        if self.index is not None:
            i, before = self.index, len(kept)
            # Of -1 the stop would be 0, which is an empty slice: None means the end.
            one = kept[i : i + 1 or None]
            if found and not one:
                dropped[f"recordings: no annotation number {i}"] += 1
            kept = one
            _count(dropped, f"annotations: not number {i}", before - len(kept))
        return kept


def _places(every: Sequence[Annotation], some: Sequence[Annotation]) -> list[int | None]:
    """The place in ``every`` of each of ``some``, which is a part of it in the same order."""
    rest = iter(enumerate(every))
    return [next(n for n, a in rest if a == one) for one in some]


def _count(dropped: Counter[str], why: str, n: int) -> None:
    if n:
        dropped[why] += n
