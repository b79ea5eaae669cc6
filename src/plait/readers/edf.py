"""Physiology: EDF, EDF+ and BDF."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import suggest
from plait.readers import Reader
from plait.readers._edf_header import Header, Signal, read_header
from plait.readers._words import words
from plait.streams.clock import Clock, Grid, Ticks
from plait.streams.stream import Stream, Values

__all__ = ["Edf"]


class Edf(Reader):
    """Stream ``signals``: all channels of one rate, in physical units; ``annotations``: words with intervals.

    Where channels have several rates there is one stream per rate: ``signals_256hz``, ``signals_1hz`` ... Values are
    float64, exactly as the header scales them; they are read when asked for, through a memory map. A file with gaps
    (EDF+D) has `Ticks`, any other a `Grid` of the exact rate. Second 0 is the start in the header (which has no
    time zone); with ``dated`` times are Unix seconds, with the header's date taken as UTC.

    Sources: Kemp, Värri, Rosa, Nielsen, Gade, "A simple format for exchange of digitized polygraphic recordings",
    Electroencephalography and Clinical Neurophysiology 82, 1992; Kemp, Olivan, "European data format 'plus' (EDF+)",
    Clinical Neurophysiology 114, 2003; BioSemi, "Which file format does BioSemi use" (BDF: 24 bits).

    Args:
        channels: labels of the channels to take; default: all.
        by: ``rate``: one stream per rate; ``channel``: one stream per channel, named by its label.
        dated: whether times are dates.

    Raises:
        ConfigError: another word for ``by``.
        DataError: on opening: a header that makes no sense, a file cut short, no such channel, a channel without a
            scale; all of them at once.

    >>> Edf().suffixes
    ('.edf', '.bdf', '.rec')
    """

    suffixes: ClassVar[tuple[str, ...]] = (".edf", ".bdf", ".rec")

    def __init__(self, *, channels: list[str] | None = None, by: str = "rate", dated: bool = False) -> None:
        if by not in ("rate", "channel"):
            raise ConfigError(f"edf.by: {by!r} is unknown. {suggest(by, ('rate', 'channel'))}")
        self.channels, self.by, self.dated = channels, by, dated

    def open(self, path: Path) -> dict[str, Stream]:
        header = read_header(path)
        shift = header.begun if self.dated else 0.0
        onsets, notes = _annotations(header)
        found: dict[str, Stream] = {}
        for name, signals in self._groups(path, header).items():
            clock = _clock(header, signals[0], onsets, shift)
            labels = tuple(s.label for s in signals)
            found[name] = Stream(clock, _Records(header, tuple(signals)), "series", labels, str(path))
        if notes:
            found["annotations"] = words(path, sorted((a + shift, b + shift, text) for a, b, text in notes))
        if not found:
            raise DataError(f"{path}: has neither signals nor annotations. Leave it out.")
        return found

    def _groups(self, path: Path, header: Header) -> dict[str, list[Signal]]:
        """Signals by the name of their stream."""
        known = {s.label: s for s in header.signals}
        absent = [c for c in self.channels or () if c not in known]
        raise_all(DataError, [f"{path}: has no channel {c!r}. {suggest(c, known)}" for c in absent])
        chosen = [known[c] for c in self.channels] if self.channels else list(header.signals)
        raise_all(DataError, [f"{path}: {s.problem}" for s in chosen if s.problem])
        if self.by == "channel":
            return {s.label: [s] for s in chosen}
        rates: dict[int, list[Signal]] = defaultdict(list)
        for s in chosen:
            rates[s.samples].append(s)
        several = len(rates) > 1
        return {f"signals_{float(n / header.duration):g}hz" if several else "signals": own for n, own in rates.items()}


def _clock(header: Header, signal: Signal, onsets: NDArray[np.float64], shift: float) -> Clock:
    rate = signal.samples / header.duration
    first = float(onsets[0]) if len(onsets) else 0.0
    strays = onsets - (first + np.arange(len(onsets)) * float(header.duration))
    if not header.gaps or not (np.abs(strays) * float(rate) > 0.5).any():
        exact = Fraction(first).limit_denominator(10**7)  # a decimal fraction in the file
        return Grid(exact + Fraction(shift), rate, len(onsets) * signal.samples)
    try:
        times = onsets[:, None] + np.arange(signal.samples) / float(rate)
        return Ticks(times.reshape(-1) + shift)
    except DataError as error:
        raise DataError(f"{header.path}: {error}") from error


def _annotations(header: Header) -> tuple[NDArray[np.float64], list[tuple[float, float, str]]]:
    """Start of each record in seconds, and all annotations; without annotations, records are contiguous."""
    onsets = np.arange(header.records, dtype=np.float64) * float(header.duration)
    if not header.notes or not header.records:
        return onsets, []
    found: list[tuple[float, float, str]] = []
    data = header.mapped()
    for i in range(header.records):
        for k, (at, size) in enumerate(header.notes):
            own = _tals(header.path, i, data[i, at : at + size].tobytes())
            if k == 0:
                onsets[i] = _onset(header, i, own, onsets)
            found += [(a, b, text) for a, b, texts in own for text in texts if text]
    if not header.gaps:
        onsets = onsets[0] + np.arange(header.records, dtype=np.float64) * float(header.duration)
    return onsets, found


def _onset(header: Header, i: int, own: list[tuple[float, float, list[str]]], onsets: NDArray[np.float64]) -> float:
    if own and own[0][2][:1] == [""]:
        return own[0][0]
    if header.gaps:
        raise DataError(f"{header.path}: record {i} of a file with gaps does not say when it begins. Export it anew.")
    return float(onsets[i])


def _tals(path: Path, record: int, data: bytes) -> list[tuple[float, float, list[str]]]:
    """(start, stop, texts) of each time-stamped annotation list (EDF+, section 2.2.2)."""
    found = []
    for tal in data.split(b"\0"):
        if not tal.strip():
            continue
        head, *texts = tal.split(b"\x14")
        onset, _, duration = head.partition(b"\x15")
        try:
            start, length = float(onset), float(duration or 0)
            if not (abs(start) < 1e12 and 0 <= length < 1e12) or not texts:
                raise ValueError
        except ValueError:
            raise DataError(
                f"{path}: record {record} has an annotation at {head[:40]!r}; expected seconds. Export the file anew."
            ) from None
        found.append(
            (start, start + length, [t.decode("utf-8", "replace").strip() for t in texts[: len(texts) - 1 or 1]])
        )
    return found


@dataclass(eq=False)
class _Records:
    """Samples of channels of one rate, [n, channels] float64; `plait.streams.stream.Source`."""

    header: Header
    signals: tuple[Signal, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.signals),)

    def read(self, lo: int, hi: int) -> Values:
        size = self.signals[0].samples
        lo, hi = max(lo, 0), min(hi, size * self.header.records)
        out = np.empty((max(hi - lo, 0), len(self.signals)))
        if not len(out):
            return out
        first, last = lo // size, -(-hi // size)
        data = self.header.mapped()
        width = self.header.bytes_a_sample
        for k, s in enumerate(self.signals):
            digital = _integers(np.ascontiguousarray(data[first:last, s.at : s.at + size * width]), width)
            out[:, k] = (digital[lo - first * size : hi - first * size] + s.offset) * s.gain
        return out


def _integers(raw: NDArray[np.uint8], width: int) -> NDArray[np.int32]:
    """Little-endian numbers of 2 or 3 bytes."""
    if width == 2:
        return raw.view("<i2").reshape(-1).astype(np.int32)
    wide = np.zeros((raw.size // 3, 4), np.uint8)
    # The three bytes go to the top of 32 bits; shifting them down extends the sign.
    wide[:, 1:] = raw.reshape(-1, 3)
    return wide.view("<i4").reshape(-1) >> 8
