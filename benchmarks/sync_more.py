"""More pairs with planted clocks, for `sync_coverage.py`: sensor tables of speech, whole bodies, films, pulses.

As in `sync_cases.py`, the first device keeps the true time, and all is drawn from a seed and one half of the data.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sync_cases import (
    MARGIN,
    Case,
    Data,
    Talk,
    _e4,
    heard,
    noisy,
    planted,
    reclocked,
    talk,
    turned_axes,
    words_stream,
)

from plait.clocks.drift import Curve
from plait.readers import open_streams
from plait.streams.stream import Stream

Array = NDArray[Any]


def mouth_to_table(data: Data, rng: Generator, seconds: float, what: str, **cuts: int) -> Case:
    """A film of a mouth, and what a table says of the same speech on a clock of its own."""
    truth = planted(rng, seconds, **cuts)
    said = talk(data, rng, seconds, film=True)
    x = Stream.of(said.film[_from_zero(said, seconds)][..., None], rate=25, kind="frames")
    return Case("mouth ~ table", what, x, table_of(rng, said, what, truth, seconds), truth, 0.02)


def sound_to_table(data: Data, rng: Generator, seconds: float, what: str, **cuts: int) -> Case:
    """Speech, and what a table says of it."""
    truth = planted(rng, seconds, **cuts)
    said = talk(data, rng, seconds, film=True)
    t = np.arange(round(seconds * 16000)) / 16000
    x = Stream.of(noisy(rng, heard(said.sound, 16000, t), 20.0, 16000)[:, None], rate=16000, kind="waveform")
    return Case("sound ~ table", what, x, table_of(rng, said, what, truth, seconds), truth, 0.02)


def table_to_words(data: Data, rng: Generator, seconds: float, what: str) -> Case:
    """A table that says something of speech, and its words."""
    truth = planted(rng, seconds)
    said = talk(data, rng, seconds, film=True)
    x = table_of(rng, said, what, planted_none(), seconds)
    return Case("table ~ words", what, x, words_stream(said.words, truth, seconds), truth, 0.05)


def mouth_to_words(data: Data, rng: Generator, seconds: float) -> Case:
    truth = planted(rng, seconds)
    said = talk(data, rng, seconds, film=True)
    x = Stream.of(said.film[_from_zero(said, seconds)][..., None], rate=25, kind="frames")
    return Case("mouth ~ words", "speech", x, words_stream(said.words, truth, seconds), truth, 0.05)


def planted_none() -> Curve:
    return Curve(0.0, 0.0, 0.0, np.zeros((2, 2)), 0.0, 1.0, 0)


def _from_zero(said: Talk, seconds: float) -> slice:
    first = round(MARGIN * 25)
    return slice(first, first + round(seconds * 25))


def table_of(rng: Generator, said: Talk, what: str, truth: Curve, seconds: float) -> Stream:
    """Rows of a table at 40 to 100 Hz: the jaw's height and the mouth's opening, or the loudness of the voice."""
    rate = float(rng.choice([40.0, 60.0, 100.0]))
    world = np.arange(-MARGIN, seconds + MARGIN, 1 / rate)
    if what == "envelope":
        times, columns = envelope(said.sound)
    else:
        times, columns = np.arange(len(said.film)) / 25 - MARGIN, jaw(said.film)
    seen = np.column_stack([np.interp(world, times, column) for column in columns])
    seen = seen + 0.1 * seen.std(axis=0) * rng.standard_normal(seen.shape)
    return reclocked(rng, seen, world, truth, seconds)


def envelope(sound: Array) -> tuple[Array, Array]:
    """Instants from -`MARGIN` on, and the root mean square over 20 ms about each, [1, n]; sound at 16 kHz."""
    power = np.convolve(np.asarray(sound, np.float64) ** 2, np.ones(320) / 320, "same")
    return np.arange(0, len(sound), 80) / 16000 - MARGIN, np.sqrt(power[::80])[None]


def jaw(film: Array) -> Array:
    """How far chin and nose are apart, pixels, and how dark it is between the lips, [2, frames]."""
    low, high = (_height(film[:, rows]) for rows in (slice(42, 64), slice(0, 24)))
    dark = -np.sort(film[:, 30:50, 28:68].reshape(len(film), -1), axis=1)[:, :80].mean(axis=1)
    return np.stack([low - high, dark])


def _height(part: Array) -> Array:
    """By how many pixels each picture lies below the first one of its three seconds."""
    small, window = part.astype(np.float32), cv2.createHanningWindow(part.shape[:0:-1], cv2.CV_32F)
    return np.array([cv2.phaseCorrelate(small[i // 75 * 75], one, window)[0][1] for i, one in enumerate(small)])


def body_and_sensor(data: Data, rng: Generator, seconds: float, **cuts: int) -> Case:
    """The joints that one device saw in people's actions, and the acceleration that another one felt on the wrist.

    The set has no times in common: both cover the same action, so they are laid from its beginning to its end.
    """
    truth = planted(rng, seconds, **cuts)
    times, joints, felt_at, felt, t = [], [], [], [], -MARGIN
    while t < seconds + MARGIN:
        force, body = data.actions[int(rng.integers(len(data.actions)))]
        length = len(body) / 30
        times.append(t + np.arange(len(body)) / 30)
        joints.append(body)
        felt_at.append(t + (np.arange(len(force)) + 0.5) / len(force) * length - 0.5 / 30)
        felt.append(force)
        t += length + rng.uniform(0.3, 2.0)
    when, seen = np.concatenate(times), np.concatenate(joints)
    here = (when >= 0) & (when < seconds)
    x = Stream.of(seen[here], times=when[here], kind="pose")
    values = np.concatenate(felt) @ turned_axes(rng)
    y = reclocked(rng, values + rng.normal(0, 0.02, values.shape), np.concatenate(felt_at), truth, seconds)
    return Case("inertial ~ skeleton", "actions", x, y, truth, 1 / 30)


def pulse_and_arm(data: Data, rng: Generator, seconds: float) -> Case:
    """Acceleration and pulse of one wristband, as if by two: movements shake the pulse."""
    person = _e4(data.people[int(rng.integers(len(data.people)))])
    acc, pulse = person["acc"][0], person["bvp"][0]
    begin, truth = rng.uniform(60, len(acc) / 32 - seconds - 60), planted(rng, seconds)
    t, u = np.arange(round(seconds * 32)) / 32, np.arange(round(seconds * 64)) / 64
    x = np.column_stack([np.interp((t + begin) * 32, np.arange(len(acc)), a) for a in acc.T])
    y = np.interp((u + truth.at(u) + begin) * 64, np.arange(len(pulse)), pulse[:, 0])
    return Case("inertial ~ pulse", "wrist", Stream.of(x, times=t), Stream.of(y, times=u), truth, 1 / 32)


def two_films(data: Data, rng: Generator, seconds: float, **cuts: int) -> Case:
    """A mouth seen by two cameras: the second at 30 Hz, further off, darker and noisier."""
    truth = planted(rng, seconds, **cuts)
    said = talk(data, rng, seconds, film=True)
    x = Stream.of(said.film[_from_zero(said, seconds)][..., None], rate=25, kind="frames")
    world = np.arange(-MARGIN, seconds + MARGIN - 1, 1 / 30)
    return Case("film ~ film", "mouth", x, _second_camera(rng, said.film, 25.0, world, truth, seconds), truth, 0.02)


def two_films_of_sports(data: Data, rng: Generator, seconds: float) -> Case:
    """The sample videos, each seen twice: as it is, and by a second camera (ten seconds, offsets of a second)."""
    film, rate = _sample(data.folder / "sample_videos" / str(rng.choice(["demo.mp4", "test.mp4"])))
    seconds, truth = len(film) / rate, short_clock(rng)
    x = Stream.of(film[..., None], rate=rate, kind="frames")
    world = np.arange(0, seconds - 0.1, 1 / 25)
    y = _second_camera(rng, film, rate, world, truth, seconds, begin=0.0)
    return Case("film ~ film", "sample videos", x, y, truth, 0.02)


def short_clock(rng: Generator) -> Curve:
    return Curve(rng.uniform(-1, 1), rng.uniform(-150e-6, 150e-6), 0.0, np.zeros((2, 2)), 0.0, 1.0, 0)


def _second_camera(
    rng: Generator, film: Array, rate: float, world: Array, truth: Curve, seconds: float, begin: float = -MARGIN
) -> Stream:
    """A film at other instants: in between the light of two pictures is mixed, as a long exposure would."""
    place = np.clip((world - begin) * rate, 0, len(film) - 1.001)
    left, share = place.astype(int), (place % 1)[:, None, None].astype(np.float32)
    mixed = film[left] * (1 - share) + film[left + 1] * share
    small = np.stack([cv2.resize(one, (72, 48), interpolation=cv2.INTER_AREA) for one in mixed])
    seen = np.clip(0.7 * small + rng.normal(0, 4, small.shape), 0, 255).astype(np.uint8)
    return reclocked(rng, seen[..., None], world, truth, seconds, kind="frames")


@cache
def _sample(path: Path) -> tuple[Array, float]:
    """Grey pictures of a sample video, 96 wide, and its rate."""
    film = next(s for s in open_streams(path).values() if s.kind == "frames")
    size, way = (96, 72), cv2.INTER_AREA
    grey = [cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), size, interpolation=way) for f in film.read()]
    return np.stack(grey), len(film) / (film.clock.stop - film.clock.start)


def sample_sound(data: Data, rng: Generator, seconds: float) -> Case:
    """The sound of a sample video, from its compressed track and from the wave file beside it."""
    one, other = (
        next(s for s in open_streams(data.folder / "sample_videos" / name).values() if s.kind == "waveform")
        for name in ("test.wav", "test.avi")
    )
    truth, rate = short_clock(rng), len(other) / (other.clock.stop - other.clock.start)
    values = other.read().astype(np.float32).mean(axis=1)
    values = noisy(rng, values, float(rng.uniform(0, 20)), rate)
    y = reclocked(rng, values[:, None], np.arange(len(values)) / rate, truth, 99.0, kind="waveform")
    return Case("sound ~ sound", "a sample video", one, y, truth, 0.001)
