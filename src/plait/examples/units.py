"""Units: how a recipe says what the task looks at, checked and written out with its defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plait.core.errors import ConfigError, raise_all
from plait.core.parts import suggest
from plait.core.safe_yaml import brief

__all__ = ["UNITS", "full_unit", "unit_of"]

UNITS: dict[str, dict[str, Any]] = {
    "recording": {"target": None},
    "segment": {"tier": None, "labels": None, "match": None, "index": None, "pad": 0.0},
    "window": {"tier": None, "length": None, "hop": None, "average": False, "coverage": 0.5, "pad": 0.0},
}
"""The options of each unit and their defaults; None under target, tier and length: must be given.

With ``labelled: false``, which a task without targets says for itself, target and the windows' tier need not be.
"""

_TYPES: dict[str, tuple[type, ...]] = {
    "target": (str,),
    "tier": (str,),
    "labels": (list, tuple),
    "match": (str,),
    "index": (int,),
    "pad": (int, float),
    "length": (int, float),
    "hop": (int, float),
    "average": (bool,),
    "coverage": (int, float),
}
_EXAMPLES = {
    "target": "the name of a label or of a meta field of the recordings",
    "tier": "the name of an annotation tier or of a stream of words",
    "length": "seconds, above 0",
}


def unit_of(section: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a recipe's ``task`` section that says which items there are (the rest is the task's own).

    >>> unit_of({"name": "classify", "target": "gait", "label_smoothing": 0.1})
    {'target': 'gait'}
    """
    known = {"unit", "labelled"}.union(*UNITS.values())
    return {key: value for key, value in section.items() if key in known}


def full_unit(unit: Mapping[str, Any]) -> dict[str, Any]:
    """The unit with every default written out.

    Raises:
        ConfigError: an unknown unit or option, one that is missing, or a wrong value; all at once.

    >>> full_unit({"unit": "window", "tier": "stress", "length": 30})["hop"]
    30
    """
    name = unit.get("unit", "recording")
    if not isinstance(name, str) or name not in UNITS:
        raise ConfigError(f"task.unit: there is no unit {brief(name)}. {suggest(str(name)[:50], UNITS)}")
    known = UNITS[name]
    problems = [_unknown(key, name) for key in unit if key not in known and key not in ("unit", "labelled")]
    full = {"unit": name, **known, **{k: v for k, v in unit.items() if k in known}}
    bare = unit.get("labelled", True) is False
    if bare:
        full["labelled"] = False
    for key in known:
        if not (bare and full[key] is None and (key == "target" or (key, name) == ("tier", "window"))):
            problems += _wrong(key, full[key], name)
    raise_all(ConfigError, problems)
    if name == "window" and full["hop"] is None:
        full["hop"] = full["length"]
    return full


def _unknown(key: str, name: str) -> str:
    homes = [unit for unit, options in UNITS.items() if key in options]
    hint = f"It belongs to unit: {' or '.join(homes)}." if homes else suggest(key, UNITS[name])
    return f"task.{key}: unit {name} has no such option. {hint}"


def _wrong(key: str, value: Any, unit: str) -> list[str]:
    if value is None:
        return [f"task.{key}: missing. Unit {unit} needs {_EXAMPLES[key]}."] if key in _EXAMPLES else []
    place = f"task.{key}: got {brief(value)}; expected"
    is_flag = isinstance(value, bool)
    fits: bool = isinstance(value, _TYPES[key])
    if not fits or is_flag != (key == "average"):
        return [f"{place} {' or '.join(t.__name__ for t in _TYPES[key])}."]
    if key in ("length", "hop") and not value > 0:
        return [f"{place} seconds above 0."]
    if key == "pad" and not value >= 0:
        return [f"{place} 0 or more seconds."]
    if key == "coverage" and not 0 <= value <= 1:
        return [f"{place} a share from 0 to 1."]
    if key == "match":
        try:
            re.compile(value)
        except re.error as error:
            return [f"{place} a regular expression ({error})."]
    return []
