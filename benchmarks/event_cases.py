"""Recordings for benchmarks/events.py: actions and sounds at known times."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import soxr
from numpy.typing import NDArray

from plait import load_recipe
from plait.corpus.corpus import CorpusWriter
from plait.readers import open_streams
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.training.experiment import open_corpus

RECIPES = Path(__file__).parents[1] / "recipes"
Floats = NDArray[np.float64]

RATE, SECONDS = 16_000, 20
"""Of a scene's sound, Hz, and its length."""

HELD_OUT = 4
"""Fold of ESC-10 for the test scenes."""

SHAPES = {"Dog bark": 3, "Baby cry": 4, "Helicopter": 6, "Rooster": 40}
"""Corners of the shape that the camera shows."""

BACKGROUNDS = ("Rain", "Sea waves", "Fire crackling")


def make_actions(folder: Path, data: Path, *, again: int = 4) -> None:
    """A corpus of sequences; each training clip is in ``again`` of them, each test clip in one."""
    if (folder / "manifest.jsonl").exists():
        return
    recipe = load_recipe(RECIPES / "utd_mhad.yaml")
    clips: dict[str, list[Clip]] = {}
    for one in open_corpus(recipe, folder.parent / "clips"):
        pose, sensor = (np.asarray(one.streams[name].read(), np.float64) for name in ("skeleton", "inertial"))
        clips.setdefault(one.group, []).append((f"action {one.labels['action']}", pose, sensor))
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for person, own in sorted(clips.items()):
            train = int(person) % 2 == 1
            for turn in range(again if train else 1):
                order = rng.permutation(len(own))
                for n, start in enumerate(range(0, len(own), 6)):
                    streams, notes = joined(rng, [own[i] for i in order[start : start + 6]])
                    name = f"s{person}-{turn}-{n:02}"
                    out.add(name, streams, annotations=notes, group=person, split="train" if train else "test")


Clip = tuple[str, Floats, Floats]
"""Class, skeleton [frames, joints, 3] at 30 Hz, and inertial sensor over the same time."""


def joined(rng: np.random.Generator, clips: Sequence[Clip]) -> tuple[dict[str, Stream], list[Annotation]]:
    """Clips one after another with rests between, their streams on their own clocks."""
    poses, sensors, times, notes = [], [], [], []
    now = 0.0
    for i in range(len(clips) + 1):
        before, after = clips[max(i - 1, 0)], clips[min(i, len(clips) - 1)]
        rest = int(rng.integers(30, 60))
        share = np.linspace(0, 1, rest)[:, None, None]
        low, high = before[1][-1 if i else 0], after[1][0 if i < len(clips) else -1]
        poses.append((1 - share) * low + share * high + rng.normal(0, 0.003, (rest, *low.shape)))
        # The sensor's gravity turns from one clip's to the next; the gyroscope [deg/s] is still.
        turn = np.linspace(0, 1, 2 * rest)[:, None]
        still = (1 - turn) * before[2][-1 if i else 0] + turn * after[2][0 if i < len(clips) else -1]
        still[:, 3:] = 0
        sensors.append(still + rng.normal(0, 1, still.shape) * np.array([0.02] * 3 + [2.0] * 3))
        times.append(now + np.arange(2 * rest) / 60)
        now += rest / 30
        if i < len(clips):
            kind, pose, sensor = clips[i]
            long = len(pose) / 30
            poses.append(pose)
            sensors.append(sensor)
            times.append(now + np.arange(len(sensor)) / len(sensor) * long)
            notes.append(Annotation(now, now + long, kind, "action"))
            now += long
    skeleton = Stream.of(np.concatenate(poses).astype(np.float32), rate=30, kind="pose")
    inertial = Stream.of(np.concatenate(sensors).astype(np.float32), times=np.concatenate(times))
    return {"skeleton": skeleton, "inertial": inertial}, notes


def loud_part(sound: Floats) -> Floats:
    """A clip from the first to the last tenth of a second within 10 dB of its loudest; at most four seconds.

    What is more quiet cannot be heard over a background as loud as the clip.
    """
    step = RATE // 10
    power = np.array([np.square(sound[i : i + step]).mean() for i in range(0, len(sound) - step, step)])
    loud = np.flatnonzero(power > power.max() / 10)
    loud = loud[loud < loud[0] + 40]
    return sound[loud[0] * step : (loud[-1] + 1) * step]


def varied(rng: np.random.Generator, sound: Floats) -> Floats:
    """A sound at 0.85 to 1.18 of its speed, through a filter of -6 to 6 dB."""
    sound = soxr.resample(sound, float(np.exp(rng.uniform(-0.16, 0.16))), 1)
    spectrum = np.fft.rfft(sound)
    at = np.log(np.maximum(np.fft.rfftfreq(len(sound), 1 / RATE), 1))
    gain = np.interp(at, np.log(np.geomspace(60, RATE / 2, 7)), rng.uniform(-6, 6, 7))
    return np.fft.irfft(spectrum * 10 ** (gain / 20), len(sound))


def scene(
    rng: np.random.Generator, clips: Sequence[tuple[str, Floats]], behind: Sequence[Floats], *, vary: bool
) -> tuple[Floats, list[Annotation]]:
    """Three to five clips, one after another, over a background as loud as they are; and when each is heard.

    ``vary``: whether both are varied.
    """
    change = partial(varied, rng) if vary else np.copy
    noise = change(behind[int(rng.integers(len(behind)))])
    noise = np.roll(noise, int(rng.integers(len(noise))))
    sound = np.tile(noise, -(-SECONDS * RATE // len(noise)))[: SECONDS * RATE]
    sound = 0.1 * sound / sound.std()
    chosen = [clips[int(i)] for i in rng.choice(len(clips), int(rng.integers(3, 6)), replace=False)]
    chosen = [(kind, loud_part(change(clip))) for kind, clip in chosen]
    free = len(sound) - sum(len(clip) for _, clip in chosen)
    gaps = (rng.dirichlet(np.ones(len(chosen) + 1)) * free).astype(int)
    notes, at = [], 0
    for (kind, clip), gap in zip(chosen, gaps):
        at += int(gap)
        sound[at : at + len(clip)] += 0.1 * clip / clip.std()
        notes.append(Annotation(at / RATE, (at + len(clip)) / RATE, kind, "sound"))
        at += len(clip)
    return sound, notes


def camera(rng: np.random.Generator, notes: Sequence[Annotation]) -> NDArray[np.uint8]:
    """Ten noisy pictures per second; a coloured shape while a class sounds that has one, [n, 48, 48, 3]."""
    pictures = rng.normal(110, 25, (SECONDS * 10, 48, 48, 3)).clip(0, 255).astype(np.uint8)
    for note in notes:
        if note.label in SHAPES:
            corners, colour = SHAPES[str(note.label)], [int(c) for c in rng.integers(0, 256, 3)]
            angle = rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners
            place = rng.uniform(16, 32, 2) + 12 * np.stack([np.cos(angle), np.sin(angle)], 1)
            for i in range(round(note.start * 10), round(note.stop * 10)):
                pictures[i] = cv2.fillPoly(np.ascontiguousarray(pictures[i]), [place.astype(np.int32)], colour)
    return pictures


def make_scenes(folder: Path, data: Path, *, train: int = 200, test: int = 80) -> None:
    """A corpus of scenes, ``train`` of each training fold; no recording of ESC-10 is in two folds.

    A training scene's group is its fold, so that what is held out of training has other recordings.
    """
    if (folder / "manifest.jsonl").exists():
        return
    clips: dict[int, list[tuple[str, Floats]]] = {}
    behind: dict[int, list[Floats]] = {}
    for path in sorted(data.glob("*/*.ogg")):
        (stream,) = open_streams(path).values()
        heard = np.asarray(stream.read(), np.float64).reshape(len(stream), -1).mean(1)
        sound = soxr.resample(heard, float(stream.clock.rate), RATE)
        fold, kind = int(path.name[0]), path.parent.name[6:]
        if kind in BACKGROUNDS:
            behind.setdefault(fold, []).append(sound)
        else:
            clips.setdefault(fold, []).append((kind, sound))
    with CorpusWriter(folder) as out:
        for fold in sorted(clips):
            held_out, rng = fold == HELD_OUT, np.random.default_rng(fold)
            for i in range(test if held_out else train):
                sound, notes = scene(rng, clips[fold], behind[fold], vary=not held_out)
                name, split = f"scene{fold}-{i:03}", "test" if held_out else "train"
                streams = {
                    "sound": Stream.of(sound[:, None].astype(np.float32), rate=RATE, kind="waveform"),
                    "camera": Stream.of(camera(rng, notes), rate=10),
                }
                group = name if held_out else f"fold {fold}"
                out.add(name, streams, annotations=notes, group=group, split=split)
