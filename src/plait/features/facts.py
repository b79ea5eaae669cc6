"""What each feature declares of itself, for people and for JSON."""

from __future__ import annotations

from typing import Any

from plait.core.errors import PlaitError
from plait.features import Feature

__all__ = ["declared", "in_words"]


def declared(cls: type[Feature]) -> dict[str, Any]:
    """What a feature takes; rate, receptive field and causality with its default options; None: its options decide.

    >>> from plait.features.spectral import LogMel
    >>> declared(LogMel)
    {'takes': ['waveform'], 'rate': '100', 'receptive_field': 0.0375, 'causal': True}
    """
    found: dict[str, Any] = {"takes": list(cls.kinds), "rate": None, "receptive_field": None, "causal": None}
    try:
        feature = cls()
        rate = feature.rate
        found["receptive_field"], found["causal"] = round(float(feature.receptive_field), 4), feature.causal
    except PlaitError:  # it needs a model or a file
        return found
    return {**found, "rate": "own" if rate is None else str(rate)}


def in_words(facts: dict[str, Any]) -> str:
    """The same in a line.

    >>> in_words({"takes": ["frames"], "rate": "own", "receptive_field": 0.5, "causal": True})
    "takes frames; a row each of the stream's own observations; sees 0.5 s to either side; causal"
    """
    said = [f"takes {' or '.join(facts['takes'])}"]
    if facts["receptive_field"] is None:
        return f"{said[0]}; rate and receptive field as its options say"
    own = "a row each of the stream's own observations"
    said.append(own if facts["rate"] == "own" else f"{facts['rate']} rows a second")
    field = facts["receptive_field"]
    said.append(f"sees {field:g} s to either side" if field else "sees nothing beside")
    return "; ".join([*said, "causal" if facts["causal"] else "not causal: it uses the whole recording"])
