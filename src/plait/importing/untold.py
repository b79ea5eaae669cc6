"""Arrays without a known rate, and the rates that a corpus gives for arrays of the same streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from plait.core.errors import DataError, raise_all
from plait.corpus.corpus import RecordingEntry, StreamEntry
from plait.importing.found import Found
from plait.streams.clock import rational

__all__ = ["TIMES", "Rates", "give_rates", "lacks_rate", "rate_notes", "told_rates"]

TIMES = ".times.npy"
"""Ending of the file with the times of the array of the same name."""

Rates = Mapping[str, float | str | None]
"""Observations per second by stream; None where they differ between recordings or are not known."""


def lacks_rate(entry: StreamEntry) -> bool:
    """Whether a stream is an array without rate, duration or times."""
    told = entry.rate is not None or entry.duration is not None or {"rate", "times", "row"} & set(entry.options)
    is_array = entry.reader == "array" or Path(entry.path or "").suffix.lower() in (".npy", ".npz", ".mat")
    return is_array and not told


def told_rates(entries: Iterable[RecordingEntry]) -> dict[str, str | None]:
    """The rate of each stream if all manifest lines give the same one, else None; arrays without a rate have 1 Hz.

    >>> streams = {"imu": StreamEntry(path="a.npy", rate=50), "mic": StreamEntry(path="a.wav")}
    >>> told_rates([RecordingEntry(id="a", streams=streams)])
    {'imu': '50', 'mic': None}
    """
    found: dict[str, set[str | None]] = {}
    for entry in entries:
        for name, stream in entry.streams.items():
            found.setdefault(name, set()).add(_told(stream))
    return {name: rates.pop() if len(rates) == 1 else None for name, rates in found.items()}


def _told(entry: StreamEntry) -> str | None:
    rate = 1 if lacks_rate(entry) else entry.rate if entry.rate is not None else entry.options.get("rate")
    return None if rate is None else str(rational(rate))


def rate_notes(found: Iterable[Found]) -> list[str]:
    """Notes on arrays whose rate is not known."""
    return [
        f"{name!r}: arrays without rate or times are taken as 1 observation per second. "
        f"Give import.streams.{name}.rate, or times in {TIMES[1:]} beside them."
        for name in sorted({f.rule_name for f in found if _asks(f)})
    ]


def give_rates(found: Sequence[Found], rates: Rates) -> None:
    """Give arrays without a known rate that of their stream; in place. Streams that are not in ``rates`` stay.

    Raises:
        DataError: the rate of some of them is not known.
    """
    asking = [f for f in found if _asks(f) and f.name in rates]
    unknown = {f.name: f.place.path for f in reversed(asking) if rates[f.name] is None}
    raise_all(
        DataError,
        [
            f"{path}: nothing says how many observations per second {name!r} has here, and the corpus that the model "
            f"was trained on has no single rate for it. Give --rate {name}=HZ (in Python rates=), or the times of each "
            f"array beside it, here in {Path(path).stem}{TIMES}."
            for name, path in unknown.items()
        ],
    )
    for f in asking:
        rate = rational(rates[f.name] or 1)
        f.entry = f.entry.model_copy(update={"rate": str(rate)})
        f.facts = replace(f.facts, rate=float(rate), stop=f.facts.start + f.facts.n / float(rate))


def _asks(found: Found) -> bool:
    # A single observation needs no rate.
    return lacks_rate(found.entry) and found.facts.n > 1
