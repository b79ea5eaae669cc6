"""Units: how a recipe says what the task looks at. One file per unit.

Training, evaluation and prediction all get their intervals from the unit, so that all of them see the same examples.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from plait.core.errors import ConfigError, PlaitError, gathering, raise_all
from plait.core.options import option_problems
from plait.core.parts import Options, build, find, options_of, parts, suggest
from plait.core.safe_yaml import brief
from plait.examples.units.around import Around
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


ASKED = ("unit", "asks", "annotations", "names", "causal", "sees", "future", "ahead", "numbered", "object_stream")
"""Keys of a unit's description that are not its options: its name; what is asked of an item (``label``, ``several``,
``annotations``, ``relations``, ``future`` or ``nothing``); the tier of the annotations; the names of several labels;
whether context after the item is forbidden; the streams whose future is asked, and how many seconds of it; whether an
item knows the number of its annotation, as its text is an input; the stream of objects between which relations are
asked."""


class Unit(ABC):
    """Which intervals of a recording a task looks at, each with its target.

    The task section of a recipe names it: ``task: {name: classify, unit: window, tier: stress, length: 30}``. Its
    options are its keyword-only arguments; those without a default are required. All other keys belong to the task.
    """

    source: ClassVar[str] = ""
    """The option that says where targets come from: ``target``, the name of a label or a meta field, or ``tier``, the
    name of an annotation tier or a stream of words. A task without targets does not need it. Empty: no such option."""

    annotated: ClassVar[bool] = False
    """Whether every item is an annotation. Then ``source`` is required even for tasks without targets."""

    needs: ClassVar[Mapping[str, str]] = {}
    """What the required options expect, in words for error messages: 'the name of an annotation tier'."""

    around: Around | None = None
    """The context of its items in other segments; None: they have none."""

    @abstractmethod
    def cut(self, recording: Recording, dropped: Counter[str], *, asked: bool) -> list[Cut]:
        """The intervals of a recording.

        Args:
            recording: its clocks are read, and its labels or annotations.
            dropped: counts what is left out, by reason.
            asked: whether the items are for prediction, where targets need not be known: recordings without a
                label and windows without annotations stay. Every item found without ``asked`` must be found with it
                too, in the same order, with the same start and stop.

        Returns:
            Start and stop in the recording's seconds, including the unit's context; the target, a text or a finite
            number, or None where ``asked``.
        """

    def at(self, recording: Recording, segments: Sequence[tuple[float, float]]) -> list[Cut]:
        """Segments that the user asks about, with the unit's context; by default without context.

        Args:
            recording: its clocks are read.
            segments: (start, stop) in seconds.

        Raises:
            DataError: a segment has no duration or lies outside the recording; all of them in one message.
        """
        return cuts_at(recording, segments)

    def resolved(self) -> dict[str, object]:
        """Values of options that depend on other options where the user left them out, as JSON; none by default."""
        return {}

    def context(self) -> tuple[float, float] | None:
        """Seconds of every item, and of its context on each side. None where items differ, or have no context."""
        return None


def unit_of(section: Mapping[str, object]) -> dict[str, object]:
    """The keys of a recipe's ``task`` section that describe the unit; the others are the task's own.

    >>> unit_of({"name": "classify", "target": "gait", "label_smoothing": 0.1})
    {'target': 'gait'}
    """
    # The options of all units, not only of the named one: a misplaced option is told by `make_unit`, with its home.
    known = {*ASKED, *unit_options(section)}.union(*map(options_of, parts(Unit).values()))
    return {key: value for key, value in section.items() if key in known}


def unit_options(section: Mapping[str, object]) -> dict[str, object]:
    """The options of the unit that a ``task`` section names, with their defaults; empty if there is no such unit."""
    try:
        return options_of(find_unit(section))
    except PlaitError:
        return {}


def find_unit(unit: Mapping[str, object]) -> type[Unit]:
    """The class of the unit that the key ``unit`` names.

    Raises:
        ConfigError: there is no unit of that name.

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
        ConfigError: an unknown unit, an unknown or missing option, or a wrong value; all problems at once.

    >>> full_unit({"unit": "window", "tier": "stress", "length": 30})["hop"]
    30
    """
    full = {"unit": unit.get("unit", "recording"), **_options(unit), **make_unit(unit).resolved()}
    return full | {key: unit[key] for key in ASKED[1:] if key in unit}


def make_unit(unit: Mapping[str, object]) -> Unit:
    """The unit that a recipe describes.

    Raises:
        ConfigError: as `full_unit`.
    """
    cls, options, name = find_unit(unit), _options(unit), str(unit.get("unit", "recording"))
    problems = [_unknown(key, name, cls) for key in unit if key not in options and key not in ASKED]
    # Without labels to predict the source of targets may stay out, unless it also says where the items lie.
    free = {cls.source} if unit.get("asks", "label") != "label" and not cls.annotated else set()
    missing = {key for key in _required(cls) if options[key] is None}
    problems += [_missing(key, name, cls) for key in options if key in missing - free]
    said = {key: options[key] for key in options if key in unit and key not in missing}
    wrong = option_problems(cls, said, "task")
    # Only sound options reach the constructor: its own complaint would tell the same problem twice.
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
