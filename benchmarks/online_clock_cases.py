"""Pairs of streams with a planted clock for `online_clock.py`: made-up signals of several kinds, real sound, arrivals.

The reference keeps the true time; the other one reads ``t`` where the reference reads ``t + lag(t)``: 2 s and 200 ppm,
either way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt
from sync_cases import MARGIN as EDGE
from sync_cases import Data, heard, noisy, talk

from plait.readers import open_streams

Array = NDArray[Any]
Lag = Callable[[Array], Array]

OFFSET, DRIFT = 2.0, 200e-6
MARGIN = 15.0
FINE = 400
"""Observations per second of a world."""


@dataclass(frozen=True)
class Case:
    """Two streams as (times, values), or pairs of times; ``lag`` is the truth, None where they share nothing."""

    group: str
    kind: str
    reference: tuple[Array, Array]
    own: tuple[Array, Array]
    lag: Lag | None

    @property
    def pairs(self) -> bool:
        return self.kind in ("pairs", "pulses")


def planted(rng: Generator, jump_at: float = np.inf, jump: float = 0.0) -> Lag:
    offset, drift = rng.choice([-1, 1], 2) * (OFFSET, DRIFT)
    return lambda t: offset + drift * np.asarray(t) + jump * (np.asarray(t) >= jump_at)


def speech(rng: Generator, n: int) -> Array:
    """Loudness of syllables, about four a second, in phrases with pauses."""
    out, at = np.zeros(n), 0
    while at < n:
        for _ in range(int(rng.integers(3, 12))):
            width = int(FINE * rng.uniform(0.08, 0.25))
            bump = rng.uniform(0.3, 1) * np.hanning(2 * width)[int(rng.uniform(0.4, 0.9) * width) :]
            stop = min(at + len(bump), n)
            out[at:stop] += bump[: max(stop - at, 0)]
            at += int(FINE * rng.uniform(0.1, 0.35))
        at += int(FINE * rng.uniform(0.2, 1.5))
    return out


def walking(rng: Generator, n: int) -> Array:
    """Steps nearly two a second, whose pace and force wander, with stops."""
    pace = 1.8 + 0.1 * np.cumsum(rng.standard_normal(n)) / np.sqrt(FINE) / 3
    force = 1 + 0.3 * between(rng.standard_normal(n), FINE // 2)
    goes = between((rng.random(n) > 0.2).astype(float), 8 * FINE)
    return np.asarray(np.maximum(np.sin(2 * np.pi * np.cumsum(pace) / FINE), 0) ** 4 * force * (goes > 0.5))


def between(values: Array, size: int) -> Array:
    """Values [n], of which every ``size``-th counts, with straight lines between those."""
    at = np.arange(0, len(values), size)
    return np.interp(np.arange(len(values)), at, values[at])


def claps(rng: Generator, n: int) -> Array:
    """A clap every three to nine seconds."""
    out, t = np.zeros(n), np.arange(-FINE // 5, FINE // 5) / FINE
    for at in np.cumsum(rng.uniform(3, 9, n // FINE // 3) * FINE).astype(int):
        if at + len(t) < n:
            out[at : at + len(t)] += rng.uniform(0.5, 1) * np.exp(-0.5 * (t / 0.02) ** 2)
    return out


def noise(rng: Generator, n: int) -> Array:
    """Noise up to 8 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum[np.fft.rfftfreq(n, 1 / FINE) > 8] = 0
    return np.asarray(np.fft.irfft(spectrum, n))


def beat(rng: Generator, n: int) -> Array:
    """A machine: the same stroke again and again, exactly."""
    period = rng.uniform(0.4, 1.5)
    return np.asarray(np.maximum(np.sin(2 * np.pi * np.arange(n) / FINE / period + rng.uniform(0, 6)), 0) ** 8)


WORLDS = {"speech": speech, "walking": walking, "claps": claps, "noise": noise}


def seen(rng: Generator, world: Array, lag: Lag, rate: float, snr_db: float, seconds: float) -> tuple[Array, Array]:
    """What a device measures at ``rate`` Hz, with noise of its own, that much below the signal."""
    times = rng.uniform(0, 1 / rate) + np.arange(int(seconds * rate)) / rate
    clean = np.interp((times + lag(times) + MARGIN) * FINE, np.arange(len(world)), world)
    clean = clean * rng.uniform(0.2, 5)
    return times, clean + rng.standard_normal(len(times)) * clean.std() * 10 ** (-snr_db / 20)


def still(t: Array) -> Array:
    return np.zeros(np.shape(t))


def length(seconds: float) -> int:
    return int((seconds + 2 * MARGIN) * FINE)


def of_world(rng: Generator, name: str, snr_db: float, seconds: float = 60.0, jump: bool = False) -> Case:
    size = float(rng.choice([-1, 1]) * rng.uniform(0.1, 1.0))
    lag = planted(rng, float(rng.uniform(20, seconds - 5)), size) if jump else planted(rng)
    world = WORLDS[name](rng, length(seconds))
    x, y = seen(rng, world, still, 100, snr_db, seconds), seen(rng, world, lag, 64, snr_db, seconds)
    return Case(f"{name}{', jump' if jump else ''}", "series", x, y, lag)


def strangers(rng: Generator, seconds: float = 60.0) -> Case:
    """Two streams of any two kinds that share nothing."""
    names = rng.choice([*WORLDS, "beat"], 2)
    worlds = [{**WORLDS, "beat": beat}[name](rng, length(seconds)) for name in names]
    streams = [seen(rng, w, still, rate, rng.uniform(0, 20), seconds) for w, rate in zip(worlds, (100, 64))]
    return Case("unrelated", "series", *streams, None)


def machine(rng: Generator, seconds: float = 60.0) -> Case:
    """A beat that both hear: every multiple of its period fits."""
    world, lag = beat(rng, length(seconds)), planted(rng)
    streams = [seen(rng, world, shift, rate, rng.uniform(0, 20), seconds) for shift, rate in ((still, 100), (lag, 64))]
    return Case("beat", "series", *streams, lag)


DELAYS: dict[str, Callable[[Generator, int], Array]] = {
    "exponential": lambda rng, n: rng.exponential(1.0, n),
    "gamma": lambda rng, n: rng.gamma(2.0, 0.5, n),
    "lognormal": lambda rng, n: rng.lognormal(-0.5, 1.0, n),
    "Pareto": lambda rng, n: rng.pareto(2.5, n),
}


def arrivals(rng: Generator, name: str, rate: float, mean: float, seconds: float = 60.0) -> Case:
    """Stamps of arrival: own time, and the reference's when the packet came."""
    own = np.sort(rng.uniform(0, seconds, int(seconds * rate)))
    lag = planted(rng)
    came = own + lag(own) + mean * DELAYS[name](rng, len(own))
    return Case(f"arrivals, {name}", "pairs", (own, came), (own, came), lag)


def pulses(rng: Generator, rate: float, jitter: float, seconds: float = 60.0) -> Case:
    """Pulses that both clocks saw, one in twenty misread by up to a second."""
    own, lag = np.sort(rng.uniform(0, seconds, int(seconds * rate))), planted(rng)
    off = jitter * rng.standard_normal(len(own)) + (rng.random(len(own)) < 0.05) * rng.uniform(-1, 1, len(own))
    return Case("pulses", "pulses", (own, own + lag(own) + off), (own, own), lag)


Sound = Callable[[Generator, float], tuple[Array, int]]


def spoken(folder: Path) -> Sound:
    """Sentences of GRID with pauses, of the half on which the offline estimators were not tuned."""
    data = Data(folder, test=True)
    return lambda rng, seconds: (talk(data, rng, seconds).sound, 16000)


def heard_in(folder: Path) -> Sound:
    """Clips of ESC-10 of all ten kinds, one after another."""
    files = sorted(p for p in (folder / "esc10").glob("*/*") if p.suffix in (".ogg", ".wav"))

    def build(rng: Generator, seconds: float) -> tuple[Array, int]:
        parts: list[Array] = []
        while sum(map(len, parts)) < (seconds + 2 * EDGE) * 16000:
            stream = next(iter(open_streams(files[int(rng.integers(len(files)))]).values()))
            rate = round(len(stream) / (stream.clock.stop - stream.clock.start))
            parts.append(soxr.resample(stream.read().mean(axis=1), rate, 16000).astype(np.float32))
        return np.concatenate(parts), 16000

    return build


def real_sound(rng: Generator, sound: Sound, raw: bool, seconds: float = 60.0) -> Case:
    """One recording by two devices: another bandwidth and noise each, 10 dB below; one is 200 ppm and 2 s off."""
    values, rate = sound(rng, seconds)
    lag, devices = planted(rng), []
    for shift, band in ((still, 3500.0), (lag, 1800.0)):
        times = np.arange(int(seconds * 8000)) / 8000
        seen_there = heard(values, rate, times + shift(times))
        # Forwards and backwards, so that the narrower band is not later.
        seen_there = sosfiltfilt(butter(4, band, fs=8000, output="sos"), seen_there)
        devices.append((times, noisy(rng, seen_there, 10.0, 8000)))
    x, y = devices if raw else (envelope(*device) for device in devices)
    return Case("real", "waveform" if raw else "series", x, y, lag)


def envelope(times: Array, sound: Array, size: int = 80) -> tuple[Array, Array]:
    """Root mean square of every 10 ms."""
    n = len(sound) // size * size
    return times[:n].reshape(-1, size).mean(axis=1), np.sqrt((sound[:n].reshape(-1, size) ** 2).mean(axis=1))
