"""Units: how a recipe says what the task looks at. One file a unit.

Training, evaluation and prediction get their intervals from the unit alone, so that none of them looks at what the
others do not.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from plait.core.errors import ConfigError, PlaitError, gathering, raise_all
from plait.core.options import option_problems
from plait.core.parts import Options, build, find, options_of, parts, suggest
from plait.core.safe_yaml import brief
from plait.examples.units.cuts import Cut, cuts_at, measured_span
from plait.streams.recording import Recording

__all__ = [
    "Context",
    "Cut",
    "Length",
    "Unit",
    "find_unit",
    "full_unit",
    "make_unit",
    "measured_span",
    "unit_of",
    "unit_options",
]

Length = Annotated[float, Field(gt=0, description="seconds above 0")]
Context = Annotated[float, Field(ge=0, description="0 or more seconds")]


ASKED = ("unit", "asks", "annotations", "causal")
"""Keys of a unit's description that are none of its options: its name; what an item is asked (``label``,
``annotations`` or ``nothing``); the tier of the annotations; and whether nothing after it may be looked at."""


class Unit(ABC):
    """Which intervals of a recording a task looks at, each with its target.

    In a recipe the task section names it: ``task: {name: classify, unit: window, tier: stress, length: 30}``. Its
    options are its keyword-only arguments; one without a default must be said. What else stands there is the task's.
    """

    source: ClassVar[str] = ""
    """The option that says where targets come from: ``target``, the name of a label or of a meta field, or ``tier``,
    that of an annotation tier or of a stream of words. A task without targets needs none. Empty: neither."""

    annotated: ClassVar[bool] = False
    """Whether every item is an annotation: then ``source`` must be said even where no target is wanted, and there is
    no item without."""

    needs: ClassVar[Mapping[str, str]] = {}
    """Options that must be said, in words: 'the name of an annotation tier'."""

    @abstractmethod
    def cut(self, recording: Recording, dropped: Counter[str], *, asked: bool) -> list[Cut]:
        """The intervals of a recording.

        Args:
            recording: its clocks are read, and its labels or annotations.
            dropped: counts, by reason, what is left out.
            asked: whether an answer is wanted instead of learnt from. Then a target need not be known: recordings
                without a label stay, and windows that nobody annotated. Whatever is found without ``asked`` must be
                found with it too, in the same order, and start and stop where it did.

        Returns:
            Start and stop in the recording's seconds, with the context that the unit gives; the target, a text or a
            finite number, or None where ``asked``.
        """

    def at(self, recording: Recording, segments: Sequence[tuple[float, float]]) -> list[Cut]:
        """Segments that somebody asks about, with the context that the unit gives; none by default.

        Args:
            recording: its clocks are read.
            segments: (start, stop) in seconds.

        Raises:
            DataError: one has no duration, or lies outside of what was recorded; all of them in one message.
        """
        return cuts_at(recording, segments)

    def resolved(self) -> dict[str, object]:
        """Options that the unit decides where they are left open, as JSON; none by default."""
        return {}

    def context(self) -> tuple[float, float] | None:
        """Seconds of every item and of its context on each side; None where items differ, or have no context."""
        return None


def unit_of(section: Mapping[str, object]) -> dict[str, object]:
    """The part of a recipe's ``task`` section that says which items there are (the rest is the task's own).

    >>> unit_of({"name": "classify", "target": "gait", "label_smoothing": 0.1})
    {'target': 'gait'}
    """
    known = {*ASKED, *unit_options(section)}.union(*map(options_of, parts(Unit).values()))
    return {key: value for key, value in section.items() if key in known}


def unit_options(section: Mapping[str, object]) -> dict[str, object]:
    """The options of the unit that a ``task`` section names, with their defaults; none if there is no such unit."""
    try:
        return options_of(find_unit(section))
    except PlaitError:
        return {}


def find_unit(unit: Mapping[str, object]) -> type[Unit]:
    """The class of a unit, whose name stands under ``unit``.

    Raises:
        ConfigError: there is none of that name.

    >>> find_unit({"unit": "window"}).source
    'tier'
    """
    name, known = unit.get("unit", "recording"), parts(Unit)
    if not isinstance(name, str) or ("." not in name and name not in known):
        raise ConfigError(f"task.unit: there is no unit {brief(name)}. {suggest(str(name)[:50], known)}")
    return find(Unit, name, "task.unit")[0]


def full_unit(unit: Mapping[str, object]) -> Options:
    """The unit with every default written out.

    Raises:
        ConfigError: an unknown unit or option, one that is missing, or a wrong value; all at once.

    >>> full_unit({"unit": "window", "tier": "stress", "length": 30})["hop"]
    30
    """
    full = {"unit": unit.get("unit", "recording"), **_options(unit), **make_unit(unit).resolved()}
    return full | {key: unit[key] for key in ASKED[1:] if key in unit}


def make_unit(unit: Mapping[str, Any]) -> Unit:
    """The unit that a recipe describes.

    Raises:
        ConfigError: as `full_unit`.
    """
    cls, options, name = find_unit(unit), _options(unit), unit.get("unit", "recording")
    problems = [_unknown(key, name, cls) for key in unit if key not in options and key not in ASKED]
    free = {cls.source} if unit.get("asks", "label") != "label" and not cls.annotated else set()
    missing = {key for key in _required(cls) if options[key] is None}
    problems += [_missing(key, name, cls) for key in options if key in missing - free]
    said = {key: options[key] for key in options if key in unit and key not in missing}
    wrong = option_problems(cls, said, "task")
    made: list[Unit] = []
    if not wrong and not missing - free:
        with gathering(problems):
            made.append(build(Unit, {"name": name, **options}, where="task"))
    raise_all(ConfigError, problems + wrong)
    return made[0]


def _options(unit: Mapping[str, object]) -> dict[str, object]:
    known = options_of(find_unit(unit))
    return {**known, **{key: value for key, value in unit.items() if key in known}}


def _required(cls: type[Unit]) -> list[str]:
    return [
        p.name
        for p in inspect.signature(cls).parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is inspect.Parameter.empty
    ]


def _unknown(key: str, name: str, cls: type[Unit]) -> str:
    homes = [unit for unit, other in parts(Unit).items() if key in options_of(other)]
    hint = f"It belongs to unit: {' or '.join(homes)}." if homes else suggest(key, options_of(cls))
    return f"task.{key}: unit {name} has no such option. {hint}"


def _missing(key: str, name: str, cls: type[Unit]) -> str:
    return f"task.{key}: missing. Unit {name} needs {cls.needs.get(key, 'it')}."
