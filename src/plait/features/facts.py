"""The properties that each feature declares, as text and for JSON."""

from __future__ import annotations

from collections.abc import Mapping

from plait.core.errors import PlaitError
from plait.features import Feature

__all__ = ["declared", "in_words"]


def declared(cls: type[Feature]) -> dict[str, object]:
    """A feature's kinds of stream, and rate, receptive field and causality with default options; None: options decide.

    >>> from plait.features.spectral import LogMel
    >>> declared(LogMel)
    {'takes': ['waveform'], 'rate': '100', 'receptive_field': 0.0375, 'causal': True}
    """
    found: dict[str, object] = {"takes": list(cls.kinds), "rate": None, "receptive_field": None, "causal": None}
    try:
        feature = cls()
        rate = feature.rate
        found["receptive_field"], found["causal"] = round(float(feature.receptive_field), 4), feature.causal
    except PlaitError:  # a feature that needs a model or a file
        return found
    return {**found, "rate": "own" if rate is None else str(rate)}


def in_words(facts: Mapping[str, object]) -> str:
    """The same in one line.

    >>> in_words({"takes": ["frames"], "rate": "own", "receptive_field": 0.5, "causal": True})
    'takes frames; one row per observation; receptive field 0.5 s to either side; causal'
    """
    kinds, field = facts["takes"], facts["receptive_field"]
    said = [f"takes {' or '.join(kinds) if isinstance(kinds, list) else kinds}"]
    if not isinstance(field, float):
        return f"{said[0]}; rate and receptive field depend on its options"
    said.append("one row per observation" if facts["rate"] == "own" else f"{facts['rate']} rows per second")
    said.append(f"receptive field {field:g} s to either side" if field else "no context")
    return "; ".join([*said, "causal" if facts["causal"] else "not causal: it uses the whole recording"])
