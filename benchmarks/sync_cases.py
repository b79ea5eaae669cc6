"""Pairs of recordings with planted clocks for `sync.py`, on real sound and motion and on made-up worlds.

The first device of a pair keeps the true time; the second reads ``t`` where the first reads ``t + truth.at(t)``.
Everything is drawn from a seed and from one half of the data: ``dev`` (the one that the estimators were tuned on) or
``test``: odd and even clips of GRID, people of Stress-Predict, UTD-MHAD and FSDD.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from plait.clocks.drift import Curve
from plait.readers import open_streams
from plait.streams.clock import Ticks
from plait.streams.stream import Stream

Array = NDArray[Any]

MARGIN = 12.0
"""Things happen for so many seconds before and after the first recording."""


@dataclass(frozen=True)
class Case:
    """Two streams, and the truth: the lag over the second's seconds, or None where they share nothing.

    ``tolerance`` is the error, anywhere in the recording, up to which an answer is a success.
    """

    pair: str
    name: str
    x: Stream
    y: Stream
    truth: Curve | None
    tolerance: float


def planted(rng: Generator, seconds: float, *, bends: int = 0, drops: int = 0, drift: float = 150.0) -> Curve:
    """A clock: an offset of up to 5 s, a drift (ppm, either way), that changes ``bends`` times, and lost samples."""
    times = np.concatenate([[0.0], _apart(rng, seconds, bends), [seconds]])
    slopes = rng.uniform(-drift, drift, bends + 1) * 1e-6
    for i in range(bends):
        slopes[i + 1] = slopes[i] + rng.choice([-1, 1]) * rng.uniform(100e-6, 250e-6)
    lags = rng.uniform(-5, 5) + np.concatenate([[0.0], np.cumsum(slopes * np.diff(times))])
    knots = list(zip(times.tolist(), lags.tolist()))
    if not bends and not drops:
        return _plain(lags[0], float(slopes[0]))
    change_points = tuple((float(t), float(rng.uniform(0.03, 1.0))) for t in _apart(rng, seconds, drops))
    for t, size in change_points:
        before = float(np.interp(t, *zip(*knots)))
        left = [k for k in knots if k[0] < t]
        knots = [*left, (t, before), (t, before + size), *((x, y + size) for x, y in knots if x > t)]
    return replace(_plain(lags[0], 0.0), knots=tuple(knots), change_points=change_points, errors=(0.0,) * len(knots))


def _plain(offset: float, drift: float) -> Curve:
    return Curve(float(offset), drift, 0.0, np.zeros((2, 2)), 0.0, 1.0, 0)


def _apart(rng: Generator, seconds: float, n: int) -> Array:
    """n instants in order, away from the ends and from one another."""
    share = (np.arange(n) + rng.uniform(0.35, 0.65, n)) / max(n, 1)
    return np.asarray(seconds * (0.12 + 0.76 * share))


def own_times(truth: Curve, world: Array) -> Array:
    """What the second device reads at true seconds (nan where it lost its samples)."""
    t = world - float(truth.at(0.0))
    for _ in range(30):
        t = world - truth.at(t)
    return np.where(np.abs(t + truth.at(t) - world) < 1e-6, t, np.nan)


@dataclass(frozen=True)
class Data:
    """The real data, one half of it. ``folder`` is the one that holds grid_s1, fsdd, stress_predict, utd_mhad."""

    folder: Path
    test: bool

    def half(self, things: list[Path]) -> list[Path]:
        return sorted(things)[int(self.test) :: 2]

    @cached_property
    def clips(self) -> list[Path]:
        return self.half(list((self.folder / "grid_s1").rglob("*.mp4")))

    @cached_property
    def people(self) -> list[Path]:
        return self.half([p for p in (self.folder / "stress_predict" / "Raw_data").iterdir() if p.is_dir()])

    @cached_property
    def digits(self) -> list[tuple[str, Array]]:
        """(digit, sound at 8 kHz) of every recording of half the speakers."""
        files = sorted((self.folder / "fsdd" / "recordings").glob("*.wav"))
        speakers = sorted({f.stem.split("_")[1] for f in files})[int(self.test) :: 2]
        kept = [f for f in files if f.stem.split("_")[1] in speakers and int(f.stem.split("_")[2]) < 25]
        return [(f.stem[0], next(iter(open_streams(f).values())).read()[:, 0]) for f in kept]

    @cache  # noqa: B019  one object a run
    def clip(self, path: Path) -> tuple[Array, Array]:
        """Sound [48000] at 16 kHz and grey pictures [75, 64, 96] of one sentence of three seconds."""
        streams = open_streams(path).values()
        sound = next(s for s in streams if s.kind == "waveform").read().mean(axis=1)
        film = next(s for s in streams if s.kind == "frames").read()[..., 0]
        film = np.concatenate([film, film[-1:].repeat(max(75 - len(film), 0), 0)])[:75]
        return np.pad(sound, (0, 48000 - len(sound)), mode="reflect").astype(np.float32), film

    def marks(self, path: Path) -> list[tuple[float, float, str]]:
        """Words of one sentence: (start, stop, word), seconds."""
        file = next((self.folder / "grid_s1").rglob(path.stem + ".align"))
        rows = [line.split() for line in file.read_text().splitlines()]
        return [(int(a) / 25000, int(b) / 25000, w) for a, b, w in rows if w not in ("sil", "sp")]

    @cached_property
    def actions(self) -> list[tuple[Array, Array]]:
        """(acceleration [n, 3] in g at 78 Hz, joints [m, 20, 3] in metres at 30 Hz) of half the people's actions."""
        from scipy.io import loadmat

        found = []
        for path in sorted((self.folder / "utd_mhad" / "Inertial").glob("*.mat")):
            if int(path.stem.split("_")[1][1:]) % 2 == int(self.test):
                body = path.parent.parent / "Skeleton" / path.name.replace("inertial", "skeleton")
                found.append((loadmat(path)["d_iner"][:, :3], loadmat(body)["d_skel"].transpose(2, 0, 1)))
        return found


@dataclass(frozen=True)
class Talk:
    """Sentences one after another with pauses: sound at 16 kHz, film at 25 Hz, words; all begin at -`MARGIN`."""

    sound: Array
    film: Array | None
    words: list[tuple[float, float, str]]


def talk(data: Data, rng: Generator, seconds: float, *, film: bool = False) -> Talk:
    """A long recording of one speaker, with pauses in which the picture stands still and the room is heard."""
    sound, pictures, words, t = [], [], [], 0
    order: list[Path] = []
    while t < (seconds + 2 * MARGIN) * 25:
        order = order or [data.clips[i] for i in rng.permutation(len(data.clips))]
        path = order.pop()
        voice, seen = data.clip(path)
        pause = int(rng.integers(4, 50))
        sound += [_room(rng, voice, pause * 640), voice]
        if film:
            pictures += [_blend(pictures[-1][-1] if pictures else seen[0], seen[0], pause), seen]
        t += pause
        words += [(t / 25 + a - MARGIN, t / 25 + b - MARGIN, w) for a, b, w in data.marks(path)]
        t += 75
    return Talk(np.concatenate(sound), np.concatenate(pictures) if film else None, words)


def _blend(one: Array, other: Array, n: int) -> Array:
    """Pictures that pass slowly from one to the other, so that no cut tells where a sentence begins."""
    share = ((np.arange(n) + 1) / (n + 1))[:, None, None]
    return np.asarray(one + share * (other.astype(float) - one), np.uint8)


def _room(rng: Generator, heard: Array, n: int) -> Array:
    return (rng.standard_normal(n) * max(float(heard[:2000].std()), 1e-4)).astype(np.float32)


def spoken_digits(data: Data, rng: Generator, seconds: float) -> tuple[Array, list[tuple[float, float, str]]]:
    """Digits with pauses, at 8 kHz from -`MARGIN`, and when each was said."""
    length = round((seconds + 2 * MARGIN) * 8000)
    out, words, t = (rng.standard_normal(length) * 1e-4).astype(np.float32), [], 0
    while True:
        t += int(rng.uniform(0.2, 1.5) * 8000)
        digit, sound = data.digits[int(rng.integers(len(data.digits)))]
        if t + len(sound) > length:
            return out, words
        out[t : t + len(sound)] += sound
        words.append((t / 8000 - MARGIN, (t + len(sound)) / 8000 - MARGIN, digit))
        t += len(sound)


def coloured(rng: Generator, n: int, kind: str, rate: float) -> Array:
    """Noise of deviation 1: white, pink, or a hum of voices' loudness (pink, swelling at 4 Hz)."""
    white = rng.standard_normal(n).astype(np.float32)
    if kind == "white":
        return white
    spectrum = np.fft.rfft(white)
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 50.0 * n / rate))
    out = np.fft.irfft(spectrum, n).astype(np.float32)
    if kind == "swelling":
        size = int(rate / 4)
        knots = np.arange(0, n + size, size)
        out *= np.interp(np.arange(n), knots, rng.gamma(2.0, 1.0, n // size + 2)[: len(knots)])
    return np.asarray(out / out.std())


def noisy(rng: Generator, sound: Array, snr_db: float, rate: float) -> Array:
    """Sound with noise of a random colour so many dB below it."""
    kind = str(rng.choice(["white", "pink", "swelling"]))
    return np.asarray(sound + coloured(rng, len(sound), kind, rate) * (sound.std() * 10 ** (-snr_db / 20)), np.float32)


def heard(sound: Array, rate: int, world: Array) -> Array:
    """Sound that begins at -`MARGIN`, at any true seconds: by interpolation, four times oversampled."""
    import soxr

    fine = soxr.resample(sound, rate, 4 * rate, quality="VHQ")
    return np.interp((world + MARGIN) * 4 * rate, np.arange(len(fine)), fine).astype(np.float32)


def two_microphones(
    rng: Generator, sound: Array, rate: int, seconds: float, truth: Curve, snr_db: float
) -> list[Stream]:
    """What two devices hear at 8 kHz, each with its own noise and loudness."""
    t = np.arange(round(seconds * 8000)) / 8000
    streams = []
    for world in (t, t + truth.at(t)):
        values = noisy(rng, heard(sound, rate, world), snr_db, 8000) * rng.uniform(0.2, 1)
        streams.append(Stream.of(values[:, None], rate=8000, kind="waveform"))
    return streams


def reclocked(rng: Generator, values: Array, world: Array, truth: Curve, seconds: float, **kind: str) -> Stream:
    """A stream whose observations were made at true seconds, as the second device dates them."""
    own = own_times(truth, world)
    kept = (own >= 0) & (own < seconds)
    return Stream.of(values[kept], times=own[kept], **kind)


Build = Callable[[Data, Generator, float], Case]


def sound_to_sound(
    data: Data, rng: Generator, seconds: float, snr_db: float, *, digits: bool = False, bends: int = 0, drops: int = 0
) -> Case:
    truth = planted(rng, seconds, bends=bends, drops=drops)
    sound, rate = (spoken_digits(data, rng, seconds)[0], 8000) if digits else (talk(data, rng, seconds).sound, 16000)
    x, y = two_microphones(rng, sound, rate, seconds, truth, snr_db)
    return Case("sound ~ sound", f"{'digits' if digits else 'speech'} {snr_db:g} dB", x, y, truth, 0.001)


def unrelated_sounds(data: Data, rng: Generator, seconds: float) -> Case:
    one, two = (
        two_microphones(rng, talk(data, rng, seconds).sound, 16000, seconds, planted(rng, seconds), 20.0)[0]
        for _ in range(2)
    )
    return Case("sound ~ sound", "unrelated", one, two, None, 0.001)


def sound_to_film(data: Data, rng: Generator, seconds: float, *, bends: int = 0, drops: int = 0) -> Case:
    truth = planted(rng, seconds, bends=bends, drops=drops)
    said = talk(data, rng, seconds, film=True)
    t = np.arange(round(seconds * 16000)) / 16000
    x = Stream.of(noisy(rng, heard(said.sound, 16000, t), 20.0, 16000)[:, None], rate=16000, kind="waveform")
    world = np.arange(len(said.film)) / 25 - MARGIN
    y = reclocked(rng, said.film[..., None], world, truth, seconds, kind="frames")
    return Case("sound ~ mouth", "speech", x, y, truth, 0.04)


def words_to_sound(data: Data, rng: Generator, seconds: float, *, digits: bool = False) -> Case:
    truth = planted(rng, seconds)
    if digits:
        (sound, words), rate = spoken_digits(data, rng, seconds), 8000
    else:
        said = talk(data, rng, seconds)
        sound, words, rate = said.sound, said.words, 16000
    t = np.arange(round(seconds * rate)) / rate
    x = Stream.of(noisy(rng, heard(sound, rate, t), 20.0, rate)[:, None], rate=rate, kind="waveform")
    return Case("words ~ speech", "digits" if digits else "speech", x, words_stream(words, truth, seconds), truth, 0.05)


def words_stream(words: list[tuple[float, float, str]], truth: Curve, seconds: float) -> Stream:
    own = own_times(truth, np.array([w[:2] for w in words]))
    kept = (own[:, 0] >= 0) & (own[:, 1] < seconds)
    texts = np.array([w[2] for w in words], object)
    return Stream.of(texts[kept], spans=(own[kept, 0], own[kept, 1]))


@cache
def _e4(path: Path) -> dict[str, tuple[Array, float]]:
    streams = open_streams(path)
    return {n: (streams[n].read().astype(np.float64), float(streams[n].clock.rate)) for n in ("acc", "bvp")}


def two_wristbands(data: Data, rng: Generator, seconds: float, *, bends: int = 0, drops: int = 0) -> Case:
    """The same arm's acceleration by two sensors: turned, scaled, with noise of their own, at 32 and 50 Hz."""
    acc = _e4(data.people[int(rng.integers(len(data.people)))])["acc"][0]
    begin = rng.uniform(60, len(acc) / 32 - seconds - 60)
    truth = planted(rng, seconds, bends=bends, drops=drops)
    streams = []
    for rate in (32, 50):
        t = np.arange(round(seconds * rate)) / rate + rng.uniform(0, 1 / rate)
        world = (t if rate == 32 else t + truth.at(t)) + begin
        seen = np.column_stack([np.interp(world * 32, np.arange(len(acc)), a) for a in acc.T]) @ turned_axes(rng)
        streams.append(Stream.of(seen + rng.normal(0, 0.02, seen.shape), times=t))
    return Case("inertial ~ inertial", "two wristbands", *streams, truth, 1 / 32)


def turned_axes(rng: Generator) -> Array:
    return np.asarray(np.linalg.qr(rng.standard_normal((3, 3)))[0])


def _movements(data: Data, rng: Generator, seconds: float, which: int, rate: float) -> tuple[Array, Array]:
    """Times from -`MARGIN` on and values of actions one after another, with pauses in which nothing moves fast."""
    times, values, t = [], [], -MARGIN
    while t < seconds + MARGIN:
        action = data.actions[int(rng.integers(len(data.actions)))][which]
        times.append(t + np.arange(len(action)) / rate)
        values.append(action.reshape(len(action), -1))
        t += len(action) / rate + rng.uniform(0.3, 2.0)
    return np.concatenate(times), np.concatenate(values)


def two_sensors(data: Data, rng: Generator, seconds: float, *, bends: int = 0, drops: int = 0) -> Case:
    """The acceleration of people's actions by two sensors, turned, with noise of their own, at 50 and 40 Hz."""
    truth = planted(rng, seconds, bends=bends, drops=drops)
    times, values = _movements(data, rng, seconds, 0, 78.0)
    streams = []
    for rate in (50, 40):
        t = np.arange(round(seconds * rate)) / rate + rng.uniform(0, 1 / rate)
        world = t if rate == 50 else t + truth.at(t)
        seen = np.column_stack([np.interp(world, times, a) for a in values.T]) @ turned_axes(rng)
        streams.append(Stream.of(seen + rng.normal(0, 0.03, seen.shape), times=t))
    return Case("inertial ~ inertial", "two sensors, actions", *streams, truth, 1 / 40)


def wrist_and_film(data: Data, rng: Generator, seconds: float) -> Case:
    """A recorded skeleton drawn as a film at 30 Hz, and the acceleration of its right wrist at 50 Hz, with noise."""
    from scipy.interpolate import PchipInterpolator
    from scipy.ndimage import gaussian_filter1d

    truth = planted(rng, seconds)
    times, joints = _movements(data, rng, seconds, 1, 30.0)
    path = PchipInterpolator(times, gaussian_filter1d(joints, 1.0, axis=0))
    shown = np.arange(0, seconds, 1 / 30)
    x = Stream.of(drawn(path(shown).reshape(len(shown), 20, 3), rng), rate=30, kind="frames")
    world = np.arange(-MARGIN, seconds + MARGIN, 1 / 50)
    wrist = path(world + np.array([-0.02, 0, 0.02])[:, None]).reshape(3, len(world), 20, 3)[:, :, 10]
    force = (wrist[0] - 2 * wrist[1] + wrist[2]) / 0.02**2 + [0, 9.81, 0]
    sensed = force @ turned_axes(rng) + rng.normal(0, 0.3, force.shape)
    return Case("inertial ~ film", "wrist, drawn body", x, reclocked(rng, sensed, world, truth, seconds), truth, 1 / 30)


def drawn(joints: Array, rng: Generator) -> Array:
    """Bodies [n, 20, 3] as grey pictures [n, 48, 64, 1] with noise."""
    across, up = np.arange(64), np.arange(48)
    place = joints[..., :2] - np.median(joints[..., :2], axis=(0, 1))
    x = np.exp(-0.5 * ((across - 32 - 22 * place[..., 0, None]) / 2) ** 2)
    y = np.exp(-0.5 * ((up - 24 + 22 * place[..., 1, None]) / 2) ** 2)
    pictures = 60 + 120 * np.clip(np.einsum("njy,njx->nyx", y, x), 0, 1)
    noise = rng.normal(0, 3, (31, 48, 64))[rng.integers(0, 31, len(joints))]
    return np.clip(pictures + noise, 0, 255).astype(np.uint8)[..., None]


def two_pulses(data: Data, rng: Generator, seconds: float) -> Case:
    """Blood volume pulse by two devices at 64 and 50 Hz, each with its own noise and wandering base line."""
    pulse = _e4(data.people[int(rng.integers(len(data.people)))])["bvp"][0][:, 0]
    begin, truth, streams = rng.uniform(60, len(pulse) / 64 - seconds - 60), planted(rng, seconds), []
    for rate in (64, 50):
        t = np.arange(round(seconds * rate)) / rate
        world = (t if rate == 64 else t + truth.at(t)) + begin
        seen = np.interp(world * 64, np.arange(len(pulse)), pulse)
        seen = seen / seen.std() + 0.3 * rng.standard_normal(len(t)) + 0.5 * coloured(rng, len(t), "pink", rate * 100)
        streams.append(Stream.of(seen, times=t))
    return Case("pulse ~ pulse", "wrist", *streams, truth, 1 / 50)


def presses_to_acc(data: Data, rng: Generator, seconds: float) -> Case:
    """Presses of a button, logged within 5 ms, and the jolts that they give to an arm that moves anyway."""
    acc = _e4(data.people[int(rng.integers(len(data.people)))])["acc"][0]
    begin, truth = rng.uniform(60, len(acc) / 32 - seconds - 60), planted(rng, seconds)
    at = np.cumsum(rng.uniform(2, 10, int(seconds))) - MARGIN
    at = at[at < seconds + MARGIN]
    t = np.arange(round(seconds * 32)) / 32
    seen = np.column_stack([np.interp((t + begin) * 32, np.arange(len(acc)), a) for a in acc.T])
    for press in at:
        way = rng.standard_normal(3) * 0.3
        seen += np.exp(-0.5 * ((t - press) / 0.03) ** 2)[:, None] * way
    own = own_times(truth, at + rng.normal(0, 0.005, len(at)))
    own = own[(own >= 0) & (own < seconds)]
    y = Stream.of(np.array(["press"] * len(own), object), spans=(own, own))
    return Case("marks ~ acceleration", "presses", Stream.of(seen, times=t), y, truth, 1 / 32)


def of_worlds(seed: int, recordings: int, seconds: float = 60.0) -> Iterator[Case]:
    """Pairs of a made-up world: sensor and film, sensor and sound, words and sensor, sound and film."""
    from plait.demo.synth import make_world

    with tempfile.TemporaryDirectory() as folder:
        truth = make_world(folder, recordings=recordings, seconds=seconds, missing=0.0, seed=seed, idle=0)
        for name, known in truth["recordings"].items():
            film = open_streams(Path(folder) / f"{name}.mp4").values()
            seen = next(s for s in film if s.kind == "frames")
            said = next(s for s in film if s.kind == "waveform")
            imu = next(iter(open_streams(Path(folder) / f"{name}.imu.csv").values()))
            words = next(iter(open_streams(Path(folder) / f"{name}.srt").values()))
            clocks = {d: _plain(c["offset"], c["drift_ppm"] * 1e-6) for d, c in known["devices"].items()}
            yield Case("inertial ~ film", "made-up", _held(seen), imu, clocks["imu"], 0.04)
            yield Case("inertial ~ sound", "made-up", _held(said), imu, clocks["imu"], 0.01)
            yield Case("words ~ sound", "made-up", _held(said), words, clocks["words"], 0.01)
            yield Case("words ~ inertial", "made-up", imu, words, _between(clocks["imu"], clocks["words"]), 0.01)


def _between(x: Curve, y: Curve) -> Curve:
    """The lag between two devices whose lags on a third are known: y's seconds onto x's, straight."""
    ends = np.array([0.0, 60.0])
    onto = (ends + y.at(ends) - float(x.offset)) / (1 + x.drift)
    lag = onto - ends
    return _plain(float(lag[0]), float((lag[1] - lag[0]) / 60.0))


def _held(stream: Stream) -> Stream:
    """The same stream with its values in memory, for the files go."""
    values = stream.read()
    if isinstance(stream.clock, Ticks):
        return Stream.of(values, times=stream.clock.times, kind=stream.kind)
    return replace(Stream.of(values, rate=str(stream.clock.rate), start=stream.clock.start, kind=stream.kind))


def noise_like(rng: Generator, stream: Stream) -> Stream:
    """A sensor that lay still: a stream's clock with nothing but noise."""
    return Stream.of(rng.normal(0, 0.03, stream.shape), times=stream.clock.times)


def even_beat(rng: Generator, seconds: float) -> Case:
    """Two recordings of a metronome: any whole number of beats fits as well as any other."""
    sound = np.zeros(round((seconds + 2 * MARGIN) * 8000), np.float32)
    for at in np.arange(0, len(sound) - 400, 4000):
        sound[at : at + 400] = rng.standard_normal(400) * np.exp(-np.arange(400) / 80)
    x = two_microphones(rng, sound, 8000, seconds, planted(rng, seconds), 10.0)[0]
    marks = np.arange(0.25, seconds, 0.5)
    beats = Stream.of(np.array(["beat"] * len(marks), object), spans=(marks, marks))
    return Case("words ~ sound", "an even beat", x, beats, None, 0.01)


def little_in_common(data: Data, rng: Generator) -> Case:
    """Of the second recording, all but two seconds were made elsewhere."""
    case, other = (sound_to_sound(data, rng, 60.0, 0.0) for _ in range(2))
    values = other.y.read().copy()
    values[160000:176000] = case.y.read()[160000:176000]
    y = Stream.of(values, rate=8000, kind="waveform")
    return replace(case, y=y, truth=None, name="two seconds in common")
