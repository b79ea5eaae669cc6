"""The media files of `plait.demo.synth`: how a gesture looks, sounds and shakes, and which words name it."""

from __future__ import annotations

import math
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from plait.streams.clock import rational

__all__ = ["STREAMS", "WORDS", "Device", "Gesture", "Scene", "write_scene"]

Array = NDArray[np.float64]

STREAMS = ("video", "audio", "imu", "words")
WORDS = (
    (("left", "near"), ("right", "far")),
    (("dark", "low"), ("bright", "high")),
    (("smooth", "soft"), ("rough", "hard")),
)
FILLERS = ("um", "and", "so", "well")
SOUND_RATE, SENSOR_RATE, WIDTH, HEIGHT = 16000, 100.0, 64, 48


@dataclass(frozen=True)
class Device:
    """A clock that reads ``(t - offset) * (1 + drift / 1e6)`` at true second t."""

    offset: float
    drift: float

    def reads(self, true: Array) -> Array:
        return (true - self.offset) * (1 + self.drift * 1e-6)

    def true(self, reading: Array) -> Array:
        return reading / (1 + self.drift * 1e-6) + self.offset

    def onto(self, other: Device) -> dict[str, float]:
        """``other's seconds = seconds * (1 + drift_ppm / 1e6) + offset``."""
        scale = (1 + other.drift * 1e-6) / (1 + self.drift * 1e-6)
        return {"offset": float(other.reads(np.array(self.offset))), "drift_ppm": float((scale - 1) * 1e6)}


@dataclass(frozen=True)
class Gesture:
    start: float
    stop: float
    bits: tuple[int, int, int]
    strokes: Array
    gains: Array


@dataclass(frozen=True)
class Scene:
    """The events of one recording, in true seconds, and the devices that recorded it."""

    name: str
    person: int
    seconds: float
    gestures: list[Gesture]
    camera: Device
    sensor: Device
    captions: Device
    present: frozenset[str]
    idle_sensor: bool
    fps: str
    kinds: tuple[str, ...]


def write_scene(folder: Path, scene: Scene, rng: Generator) -> None:
    """Write the files of one recording's devices."""
    sound = _sound(scene, rng) if "audio" in scene.present else None
    if "video" in scene.present:
        _write_film(folder / f"{scene.name}.mp4", scene.fps, _pictures(scene, rng), sound)
    elif sound is not None and rng.random() < 0.5:
        _write_film(folder / f"{scene.name}.m4a", scene.fps, None, sound)
    elif sound is not None:
        _write_wave(folder / f"{scene.name}.wav", sound)
    if "imu" in scene.present:
        _write_sensor(folder / f"{scene.name}.imu.csv", scene, rng)
    if "words" in scene.present:
        _write_words(folder / f"{scene.name}.srt", scene, rng)


def _sound(scene: Scene, rng: Generator) -> NDArray[np.float32]:
    """The camera's microphone: strokes, other people's noises, and background; [n] in -1..1."""
    n = round(scene.seconds * SOUND_RATE)
    out = 0.012 * _pink(rng, n) + 0.003 * np.sin(2 * np.pi * 50 * np.arange(n) / SOUND_RATE)
    voice = 1 + 0.06 * math.sin(2.4 * scene.person)
    for g in scene.gestures:
        pitch = voice * (420, 800)[g.bits[1]] * math.exp(rng.normal(0, 0.17))
        rough = float(np.clip((0.25, 0.75)[g.bits[2]] + rng.normal(0, 0.13), 0, 1))
        for at, gain in zip(scene.camera.reads(g.strokes), g.gains):
            _strike(out, at, 0.3 * gain, pitch, rough, rng)
    for at in rng.uniform(0, scene.seconds, rng.poisson(scene.seconds / 8)):
        _strike(out, at, rng.uniform(0.05, 0.25), rng.uniform(200, 1500), rng.random(), rng)
    return np.clip(out, -1, 1).astype(np.float32)


def _pink(rng: Generator, n: int) -> Array:
    spectrum = np.fft.rfft(rng.standard_normal(n))
    # 1 / f in power, flat below bin 20: it has no limit at 0.
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20))
    noise = np.fft.irfft(spectrum, n)
    return np.asarray(noise / (noise.std() + 1e-12))


def _strike(out: Array, at: float, gain: float, pitch: float, rough: float, rng: Generator) -> None:
    """Add a sound that rises within 3 ms about ``at`` seconds and dies away; tone and hiss by ``rough``."""
    lo, hi = max(0, math.floor((at - 0.004) * SOUND_RATE)), min(len(out), math.ceil((at + 0.2) * SOUND_RATE))
    if hi <= lo:
        return
    t = np.arange(lo, hi) / SOUND_RATE - at
    # Clipped, as exp overflows long before the stroke.
    envelope = gain / (1 + np.exp(-np.clip(t / 0.0006, -60, 60))) * np.exp(-np.maximum(t, 0) / 0.035)
    tone = sum(np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) / k for k in (1, 2, 3))
    out[lo:hi] += envelope * ((1 - rough) * tone + rough * rng.standard_normal(hi - lo))


def _pictures(scene: Scene, rng: Generator) -> NDArray[np.uint8]:
    """Grey pictures [n, HEIGHT, WIDTH]: each gesture's strokes move a blob; another blob moves on its own."""
    rate = float(rational(scene.fps))
    t = scene.camera.true(np.arange(round(scene.seconds * rate)) / rate)
    pictures = np.full((len(t), HEIGHT, WIDTH), 118.0, np.float32)
    pictures += (4 * np.sin(2 * np.pi * t / rng.uniform(7, 20) + rng.uniform(0, 6))).astype(np.float32)[:, None, None]
    taste = 5 * math.sin(1.7 * scene.person)
    for g in scene.gestures:
        lo, hi = np.searchsorted(t, [g.start - 0.4, g.stop + 0.4])
        if hi > lo:
            pictures[lo:hi] += _blob(g, t[lo:hi], taste, rng)
    x, y = _wander(t, scene, rng)
    pictures += 14 * _bump(x, WIDTH, 4.0)[:, None, :] * _bump(y, HEIGHT, 4.0)[:, :, None]
    noise = (2.5 * rng.standard_normal((61, HEIGHT, WIDTH))).astype(np.float32)
    pictures += noise[rng.integers(0, 61, len(t))]
    return np.clip(pictures, 16, 235).astype(np.uint8)  # the range of luma in video (ITU-R BT.601)


def _blob(g: Gesture, t: Array, taste: float, rng: Generator) -> NDArray[np.float32]:
    side = (0.33, 0.67)[g.bits[0]] * WIDTH + rng.normal(0, 4.5)
    level = HEIGHT / 2 + rng.normal(0, 5)
    light = (-45, 45)[g.bits[1]] + taste + rng.normal(0, 18)
    edge = np.clip((t - g.start + 0.35) / 0.3, 0, 1) * np.clip((g.stop + 0.35 - t) / 0.3, 0, 1)
    steps = _steps(t, g.strokes) * g.gains
    turn = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(np.pi, 0.5, len(g.strokes)))
    x = side + 6 * (steps * np.cos(turn)).sum(1)
    y = level + 6 * (steps * np.sin(turn)).sum(1)
    shown = (light * (3 - 2 * edge) * edge**2)[:, None, None]
    return (shown * _bump(y, HEIGHT, 6.0)[:, :, None] * _bump(x, WIDTH, 6.0)[:, None, :]).astype(np.float32)


def _steps(t: Array, at: Array) -> Array:
    """Smooth steps of width 20 ms, [len(t), len(at)]."""
    return np.asarray(0.5 + 0.5 * np.tanh((t[:, None] - at) / 0.02))


def _bump(centre: Array, size: int, width: float) -> NDArray[np.float32]:
    return np.exp(-0.5 * ((np.arange(size) - centre[:, None]) / width) ** 2).astype(np.float32)


def _wander(t: Array, scene: Scene, rng: Generator) -> tuple[Array, Array]:
    """The path of the other blob: slow, with a quick move now and then."""
    moves = rng.uniform(t[0], t[-1], rng.poisson(scene.seconds / 8))
    steps = _steps(t, moves)
    slow = 2 * np.pi * t / rng.uniform(15, 30)
    x = WIDTH / 2 + 20 * np.sin(slow) + steps @ rng.normal(0, 5, len(moves))
    y = HEIGHT / 2 + 14 * np.cos(1.3 * slow) + steps @ rng.normal(0, 5, len(moves))
    return x, y


def _write_film(path: Path, fps: str, pictures: NDArray[np.uint8] | None, sound: NDArray[np.float32] | None) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        film = container.add_stream("libx264", rate=rational(fps)) if pictures is not None else None
        voice = container.add_stream("aac", rate=SOUND_RATE, layout="mono") if sound is not None else None
        if film is not None and pictures is not None:
            film.width, film.height, film.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            film.thread_count = 1
            film.options = {"preset": "ultrafast", "crf": "25", "tune": "zerolatency"}
            for packet in _film_packets(film, pictures):
                container.mux(packet)
        if voice is not None and sound is not None:
            voice.bit_rate = 48000
            voice.options = {"aac_coder": "fast"}
            for packet in _sound_packets(voice, sound):
                container.mux(packet)


def _film_packets(film: av.VideoStream, pictures: NDArray[np.uint8]) -> Iterator[av.Packet]:
    # yuv420p in one array: the rows of luma, then both planes of chroma, where 128 is no colour.
    full = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    for i, picture in enumerate(pictures):
        full[:HEIGHT] = picture
        frame = av.VideoFrame.from_ndarray(full, format="yuv420p")
        frame.pts = i
        yield from film.encode(frame)
    yield from film.encode(None)  # what the encoder still holds


def _sound_packets(voice: av.AudioStream, sound: NDArray[np.float32]) -> Iterator[av.Packet]:
    for lo in range(0, len(sound), SOUND_RATE):
        block = np.ascontiguousarray(sound[None, lo : lo + SOUND_RATE])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SOUND_RATE, lo
        yield from voice.encode(frame)
    yield from voice.encode(None)


def _write_wave(path: Path, sound: NDArray[np.float32]) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SOUND_RATE)
        out.writeframes((sound * 32767).astype("<i2").tobytes())


def _write_sensor(path: Path, scene: Scene, rng: Generator) -> None:
    regular = np.arange(round(scene.seconds * SENSOR_RATE)) / SENSOR_RATE
    stamps: Array = np.round(regular + 0.001 + rng.uniform(-0.0008, 0.0008, len(regular)), 4)
    values = _shaking(scene, scene.sensor.true(stamps), rng)
    with open(path, "w", encoding="utf-8") as out:
        out.write("time,ax,ay,az,gx,gy,gz\n")
        np.savetxt(out, np.column_stack([stamps, values]), fmt=["%.4f"] + ["%.3f"] * 6, delimiter=",")


def _shaking(scene: Scene, t: Array, rng: Generator) -> Array:
    """Acceleration (m/s2) and angular velocity (rad/s), three axes each, at true seconds t, [n, 6]."""
    out = rng.normal(0, [0.25] * 3 + [0.06] * 3, (len(t), 6))
    out[:, 2] += 9.81
    if scene.idle_sensor:
        return out
    sway = 2 * np.pi * t[:, None] / rng.uniform(2, 7, 6) + rng.uniform(0, 6, 6)
    out += np.sin(sway) * [0.5, 0.5, 0.3, 0.1, 0.1, 0.1]
    strength = 1 + 0.15 * math.cos(3.1 * scene.person)
    for g in scene.gestures:
        _shake(out, t, g, strength, rng)
    for at in rng.uniform(t[0], t[-1], rng.poisson(scene.seconds / 8)):
        out += _pulse(t, at)[:, None] * rng.normal(0, [2.5] * 3 + [0.6] * 3)
    return out


def _shake(out: Array, t: Array, g: Gesture, strength: float, rng: Generator) -> None:
    angle = (0.1, 0.4)[g.bits[0]] * np.pi + rng.normal(0, 0.25)
    turn = (-1, 1)[g.bits[2]] * 0.8 + rng.normal(0, 0.42)
    lo, hi = np.searchsorted(t, [g.start - 0.1, g.stop + 0.1])
    out[lo:hi, 5] += turn * np.sin(np.pi * np.clip((t[lo:hi] - g.start) / (g.stop - g.start), 0, 1))
    for at, gain in zip(g.strokes, g.gains * strength):
        way = np.array([math.cos(angle), math.sin(angle), 0.3, 0.1, 0.1, 0.0])
        out += _pulse(t, at)[:, None] * way * (7 * gain * rng.choice([-1, 1]))


def _pulse(t: Array, at: float) -> Array:
    """A damped shake, symmetric about ``at``: 14 ms wide, 20 Hz."""
    out = np.zeros(len(t))
    lo, hi = np.searchsorted(t, [at - 0.07, at + 0.07])
    near = t[lo:hi] - at
    out[lo:hi] = np.exp(-0.5 * (near / 0.014) ** 2) * np.cos(2 * np.pi * 20 * near)
    return out


def _write_words(path: Path, scene: Scene, rng: Generator) -> None:
    spoken = sorted(_spoken(scene, rng))
    with open(path, "w", encoding="utf-8") as out:
        number = 0
        for (start, word), following in zip(spoken, [s for s, _ in spoken[1:]] + [math.inf]):
            stop = min(start + 0.25, following - 0.01)
            if 0 <= start < scene.seconds and stop > start + 0.02:
                number += 1
                out.write(f"{number}\n{_stamp(start)} --> {_stamp(stop)}\n{word}\n\n")


def _spoken(scene: Scene, rng: Generator) -> Iterator[tuple[float, str]]:
    """(second of the captions' clock, word): most strokes are named, one in five wrongly; some words are filler."""
    for g in scene.gestures:
        for at in g.strokes[rng.random(len(g.strokes)) < 0.85]:
            about = int(rng.integers(3))
            value = g.bits[about] ^ int(rng.random() < 0.2)
            yield float(scene.captions.reads(at + rng.normal(0, 0.004))), str(rng.choice(WORDS[about][value]))
    for at in rng.uniform(-4, scene.seconds + 4, rng.poisson(scene.seconds / 12)):
        yield float(scene.captions.reads(at)), str(rng.choice(FILLERS))


def _stamp(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"
