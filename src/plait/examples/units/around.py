"""Context in segments: which earlier, own and later segments of the recording are inputs of an item too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from plait.core.errors import ConfigError, raise_all
from plait.core.options import Whole, option_problems
from plait.core.parts import options_of, suggest
from plait.core.safe_yaml import brief
from plait.streams.recording import Recording

__all__ = ["KINDS", "Around", "Interval", "base_of"]

Interval = tuple[float, float]
"""Start and stop in seconds of the recording."""

KINDS = ("before", "own", "after")
"""Kinds of context. Each makes a modality of its own: that of ``text`` is ``text.before``."""

UNKNOWN = "context: segments whose speaker is unknown"


def base_of(modality: str) -> str:
    """The modality whose context this modality is; itself if it is none.

    >>> base_of("text.before"), base_of("text")
    ('text', 'text')
    """
    base, dot, kind = modality.rpartition(".")
    return base if dot and kind in KINDS else modality


class Around:
    """Which other segments of its recording are context of a segment.

    Args:
        before: number of segments before it, whoever speaks: those that begin earlier and end no later. So nothing
            recorded after the segment is looked at.
        own: number of earlier segments of the same speaker (the speaker states of Majumder et al., "DialogueRNN",
            AAAI 2019, as inputs).
        speaker: annotation tier, or stream of words, that says who speaks when; for ``own``.
        after: number of segments after it; above 0 only if answers may wait for them.
        of: modalities that have context; by default all.

    Raises:
        ConfigError: an unknown option or a wrong value; no context at all; ``own`` without ``speaker``.

    >>> Around(before=1).of_all([(0, 2), (2, 3), (3, 5)])[(3, 5)]
    {'before': ((2, 3),)}
    """

    def __init__(
        self,
        *,
        before: Whole = 0,
        own: Whole = 0,
        speaker: str | None = None,
        after: Whole = 0,
        of: Sequence[str] | None = None,
    ) -> None:
        if own and not speaker:
            raise ConfigError("task.context.own: needs speaker, the name of a tier that says who speaks when.")
        self.counts = {"before": before, "own": own, "after": after}
        if not any(self.counts.values()):
            raise ConfigError("task.context: is empty. Give before, own or after, above 0; or leave context out.")
        self.speaker, self.of = speaker, of

    @classmethod
    def made(cls, options: Mapping[str, object]) -> Around:
        """From the options of a recipe."""
        known = options_of(cls)
        strange = [
            f"task.context.{key}: there is no such option. {suggest(key, known)}" for key in {*options} - {*known}
        ]
        raise_all(ConfigError, strange + option_problems(cls, options, "task.context"))
        return cls(**options)  # type: ignore[arg-type]  # checked above

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of context that a segment has."""
        return tuple(kind for kind in KINDS if self.counts[kind])

    def modalities(self, of: Sequence[str]) -> list[str]:
        """The modalities that hold the context of others.

        Raises:
            ConfigError: the option ``of`` names a modality that is not there.
        """
        strange = [m for m in self.of or () if m not in of]
        raise_all(ConfigError, [f"task.context.of: no modality {brief(m)}. {suggest(m, of)}" for m in strange])
        return [f"{m}.{kind}" for kind in self.kinds for m in of if self.of is None or m in self.of]

    def of_recording(
        self, recording: Recording, spans: Sequence[Interval], dropped: Counter[str]
    ) -> dict[Interval, dict[str, tuple[Interval, ...]]]:
        """The context of each segment of a recording; unknown speakers are counted in ``dropped``."""
        speakers = _speakers(recording, self.speaker, spans) if self.speaker else {}
        unknown = sum(span not in speakers for span in set(spans)) if self.speaker else 0
        if unknown:
            dropped[UNKNOWN] += unknown
        return self.of_all(spans, speakers)

    def of_all(
        self, spans: Sequence[Interval], speakers: Mapping[Interval, str] | None = None
    ) -> dict[Interval, dict[str, tuple[Interval, ...]]]:
        """The context of each segment, by kind, in order of time.

        Args:
            spans: the segments, in any order; equal ones count once.
            speakers: who speaks in each; those left out are nobody's own.
        """
        ordered, speakers = sorted(set(spans)), speakers or {}
        said: dict[str, list[Interval]] = {}
        earlier: list[Interval] = []
        found = {}
        for i, span in enumerate(ordered):
            own = said.setdefault(speakers[span], []) if span in speakers else []
            every = {
                "before": _last(earlier, self.counts["before"], span),
                "own": _last(own, self.counts["own"], span),
                "after": tuple(ordered[i + 1 : i + 1 + self.counts["after"]]),
            }
            found[span] = {kind: every[kind] for kind in self.kinds}
            own.append(span)
            earlier.append(span)
        return found


def _last(earlier: Sequence[Interval], count: int, span: Interval) -> tuple[Interval, ...]:
    """The last ``count`` of the earlier segments that end no later than ``span``."""
    found: list[Interval] = []
    for other in reversed(earlier):
        if len(found) == count:
            break
        if other[1] <= span[1]:
            found.append(other)
    return tuple(reversed(found))


def _speakers(recording: Recording, tier: str, spans: Sequence[Interval]) -> dict[Interval, str]:
    """Who speaks in each segment: the label of the same interval, else the one that covers most of it."""
    turns = recording.tier(tier)
    exact = {(a.start, a.stop): str(a.label) for a in reversed(turns)}
    starts, stops = np.array([a.start for a in turns]), np.array([a.stop for a in turns])
    found = {}
    for span in set(spans):
        if span in exact:
            found[span] = exact[span]
        elif len(turns):
            shared = np.minimum(stops, span[1]) - np.maximum(starts, span[0])
            if shared.max() > 0:
                found[span] = str(turns[int(shared.argmax())].label)
    return found
