"""Numbers to answers, by the legend of an exported model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["decoded", "within"]

Numbers = NDArray[np.floating[Any]]
Answer = dict[str, Any]

NEAR = 1e-6
"""What single precision may change in a probability, as in `plait.models.conformal`."""


def decoded(row: Numbers, legend: Mapping[str, Any], times: Numbers | None = None) -> Answer:
    """One item's answer, as `plait predict --json` has it.

    Args:
        row: probabilities [classes], a value [1], or probabilities over time [steps, classes].
        legend: from ``answer.json``.
        times: the instants asked, [steps], in seconds from the start of the item.

    >>> decoded(np.array([0.25, 0.75]), {"kind": "classes", "classes": ["run", "walk"]})["label"]
    'walk'
    >>> decoded(np.array([2.5]), {"kind": "value"})
    {'value': 2.5}
    """
    kind = legend["kind"]
    if kind == "value":
        return {"value": float(row[0])}
    if kind == "classes":
        best = int(row.argmax())
        each = {_name(c): float(p) for c, p in zip(legend["classes"], row)}
        return {"label": legend["classes"][best], "confidence": float(row[best]), "probabilities": each}
    if kind == "several":
        parts = legend["parts"].items()
        return {"answers": {name: decoded(row[slice(*own["columns"])], own) for name, own in parts}}
    if times is None:
        raise ValueError("spans need the instants that were asked")
    return {"spans": sorted(_spans(row, legend, times), key=lambda span: (span["start"], span["stop"]))}


def _spans(row: Numbers, legend: Mapping[str, Any], times: Numbers) -> Iterator[Answer]:
    step = 1 / legend["rate"]
    held = row > 0.5 if legend["several"] else np.eye(row.shape[1], dtype=bool)[row.argmax(1)]
    start = times.astype(np.float64) - legend["place"] * step
    for k, label in enumerate(legend["classes"]):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], held[:, k], [False]]).astype(np.int8)))
        for a, b in zip(edges[::2], edges[1::2]) if label != legend["background"] else ():
            ends = {"start": round(float(start[a]), 6), "stop": round(float(start[b - 1] + step), 6)}
            yield {**ends, "label": label, "confidence": float(row[a:b, k].mean())}


def _name(label: Any) -> str:
    """The text of a class, as plait names it."""
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, str):
        return label
    return str(int(label)) if label == int(label) else repr(label)


def within(answer: Answer, calibrated: Sequence[Mapping[str, Any]], used: Sequence[str], place: int) -> Answer:
    """The conformal set or interval around an answer; empty where no thresholds of its modalities are kept.

    Args:
        answer: from `decoded`.
        calibrated: thresholds by subset of the modalities, from ``answer.json``.
        used: the modalities that the answer is from.
        place: of the level among those of ``answer.json``.

    >>> own = [{"modalities": ["imu"], "thresholds": [0.5, None]}]
    >>> within({"probabilities": {"run": 0.7, "walk": 0.3}}, own, ["imu"], 0), within({"value": 2.0}, own, ["imu"], 1)
    ({'set': ['run']}, {'interval': None})
    """
    kept = [one["thresholds"][place] for one in calibrated if set(one["modalities"]) == set(used)]
    if not kept:
        return {}
    found = kept[0]
    limit = np.inf if found is None else float(found)
    if "probabilities" in answer:
        return {"set": [name for name, p in answer["probabilities"].items() if 1 - p <= limit + NEAR]}
    if "value" not in answer:
        return {}
    return {"interval": None if found is None else [answer["value"] - limit, answer["value"] + limit]}
