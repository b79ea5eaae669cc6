"""Arrays of which nothing says how fast they tick, and what a corpus says of others like them."""

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
"""By stream, observations a second; None where they are not the same everywhere, or not known."""


def lacks_rate(entry: StreamEntry) -> bool:
    """Whether a stream is an array of which nothing says how fast it ticks."""
    told = entry.rate is not None or entry.duration is not None or {"rate", "times", "row"} & set(entry.options)
    is_array = entry.reader == "array" or Path(entry.path or "").suffix.lower() in (".npy", ".npz", ".mat")
    return is_array and not told


def told_rates(entries: Iterable[RecordingEntry]) -> dict[str, str | None]:
    """By stream the rate that its manifest lines tell, if it is one and the same; an array without one ticks at 1 Hz.

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
    """What is to be told of arrays whose rate nothing tells."""
    return [
        f"{name!r}: arrays without rate or times are taken as 1 observation a second. "
        f"Give import.streams.{name}.rate, or times in {TIMES[1:]} beside them."
        for name in sorted({f.rule_name for f in found if _asks(f)})
    ]


def give_rates(found: Sequence[Found], rates: Rates) -> None:
    """Give arrays whose rate nothing tells that of their stream; in place. Streams that are not in ``rates`` stay.

    Raises:
        DataError: the rate of some of them is not known.
    """
    asking = [f for f in found if _asks(f) and f.name in rates]
    unknown = {f.name: f.place.path for f in reversed(asking) if rates[f.name] is None}
    raise_all(
        DataError,
        [
            f"{path}: nothing says how many observations a second {name!r} has here, and the corpus that the model was "
            f"trained on has no single rate for it. Give --rate {name}=HZ (in Python rates=), or the times of each "
            f"array beside it, here in {Path(path).stem}{TIMES}."
            for name, path in unknown.items()
        ],
    )
    for f in asking:
        rate = rational(rates[f.name] or 1)
        f.entry = f.entry.model_copy(update={"rate": str(rate)})
        f.facts = replace(f.facts, rate=float(rate), stop=f.facts.start + f.facts.n / float(rate))


def _asks(found: Found) -> bool:
    return lacks_rate(found.entry) and found.facts.n > 1
