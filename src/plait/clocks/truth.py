"""Planted clocks against recovered ones, for worlds whose truth is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from plait.clocks.estimate import ClockFix
from plait.clocks.report import SyncReport
from plait.corpus.corpus import Corpus, StreamEntry
from plait.streams.warp import Warp

__all__ = ["Recovered", "against_truth", "recovery"]

Array = NDArray[np.float64]


class _Device(BaseModel):
    """The true clock of one device, as in a manifest."""

    offset: float
    drift_ppm: float
    warp: list[tuple[float, float]] | None = None
    file: str = ""


class _Recording(BaseModel):
    seconds: float
    devices: dict[str, _Device]


class _Truth(BaseModel):
    """The contents of ``truth.json`` that are read here."""

    recordings: dict[str, _Recording]


@dataclass(frozen=True)
class Recovered:
    """One device of one recording: the planted clock, the recovered clock, and its largest error.

    ``offset`` and ``drift_ppm`` are those applied (0 where the clock was not corrected). ``worst_ms`` is the largest
    error anywhere in the recording after correction, ``before_ms`` the largest error before.
    """

    recording: str
    device: str
    planted_offset: float
    planted_drift_ppm: float
    offset: float
    drift_ppm: float
    before_ms: float
    worst_ms: float
    flagged: bool
    reason: str


def against_truth(corpus: Corpus, report: SyncReport, truth: Mapping[str, object]) -> list[Recovered]:
    """Compare a report with the ``truth.json`` of `plait.demo.synth.make_world`, device by device.

    A device whose clock was bent has ``warp`` beside ``offset`` and ``drift_ppm``, as in a manifest. A planted device
    that is not in the report counts as not corrected and not flagged. Devices are matched by their files, whatever the
    import named their streams.
    """
    rows = []
    planted_clocks = _Truth.model_validate(truth).recordings
    for entry in corpus.entries:
        known = planted_clocks[entry.id]
        streams = {s.path: name for name, s in entry.streams.items() if s.path}
        for device, planted in known.devices.items():
            name = streams.get(planted.file)
            if name is None:
                continue
            fix = report.of(entry.id, name)
            found = fix if fix is not None and fix.applied else ClockFix("", "", (), "", offset=0.0, drift_ppm=0.0)
            true = _planted(planted)
            rows.append(
                Recovered(
                    *(entry.id, device, true.offset, true.drift_ppm, found.offset, found.drift_ppm),
                    before_ms=_worst_ms(lambda t: t, true, known.seconds),
                    worst_ms=_worst_ms(found.seconds, true, known.seconds),
                    flagged=fix is not None and fix.flagged,
                    reason=fix.reason if fix is not None else "",
                )
            )
    return rows


def _planted(planted: _Device) -> StreamEntry:
    return StreamEntry(offset=planted.offset, drift_ppm=planted.drift_ppm, warp=planted.warp)


def _worst_ms(found: Callable[[Array], Array], true: StreamEntry, seconds: float) -> float:
    """The largest difference at ten instants per second; two straight lines differ most at an end."""
    t = np.linspace(0.0, seconds, max(round(seconds * 10), 1) + 1)
    want = Warp(true.warp or ())(t * (1 + true.drift_ppm * 1e-6) + true.offset)
    return float(np.abs(found(t) - want).max() * 1e3)


def recovery(rows: Iterable[Recovered], recordings: int, tolerance_ms: float = 10.0) -> dict[str, object]:
    """Summary: recordings with every stream within tolerance, and errors without a flag."""
    worst: dict[str, float] = defaultdict(float)
    by_device: dict[str, list[Recovered]] = defaultdict(list)
    for row in rows:
        worst[row.recording] = max(worst[row.recording], row.worst_ms)
        by_device[row.device].append(row)
    off = [r for each in by_device.values() for r in each if r.worst_ms > tolerance_ms]
    return {
        "recordings": recordings,
        "within": sum(v <= tolerance_ms for v in worst.values()) + recordings - len(worst),
        "share_within": 1 - sum(v > tolerance_ms for v in worst.values()) / max(recordings, 1),
        "wrong_unflagged": sum(not r.flagged for r in off),
        "flagged": sum(r.flagged for each in by_device.values() for r in each),
        "devices": {name: _of_device(each) for name, each in sorted(by_device.items())},
    }


def _of_device(rows: list[Recovered]) -> dict[str, float]:
    good = [r.worst_ms for r in rows if not r.flagged]
    return {
        "n": len(rows),
        "flagged": sum(r.flagged for r in rows),
        "median_ms": round(float(np.median(good)), 3) if good else float("nan"),
        "worst_ms": round(max(good), 3) if good else float("nan"),
    }
