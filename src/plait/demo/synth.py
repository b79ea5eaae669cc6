"""A small synthetic corpus, written as real media files, in which the truth about every clock is known.

People make gestures. A gesture is a few sharp, irregular strokes. Each stroke moves a blob in the picture, makes a
sound, shakes an inertial sensor and is named by a word. A gesture is one of eight kinds (three hidden bits), which no
stream tells alone: the picture shows the first and second bit, the sound the second and third, the sensor the first and
third, and each word one bit, sometimes wrongly. Every device has its own clock, and some streams are missing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.random import Generator

from plait.core.errors import DataError
from plait.core.jobs.work import in_order
from plait.demo.media import STREAMS, Device, Gesture, Scene, write_scene

__all__ = ["make_world"]

KINDS_OF_GESTURE = ("amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heath")
PEOPLE = ("ada", "ben", "cleo", "dag", "eva", "finn", "gus", "hana", "ivo", "june", "kai", "lea")

MARGIN = 6.0
"""Seconds before and after a recording in which gestures happen too, since the devices do not start together."""


def make_world(
    folder: str | Path,
    *,
    recordings: int = 60,
    seconds: float = 60.0,
    missing: float = 0.2,
    seed: int = 0,
    idle: int | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, object]:
    """Write a synthetic corpus as media files, tables and subtitles, ready for `plait import`.

    Args:
        folder: the folder to write; made if needed.
        recordings: number of recordings, each with one person of twelve.
        seconds: length of each recording by the device's own clock.
        missing: share of the streams that were never recorded (a recording keeps picture or sound).
        seed: of everything random.
        idle: number of recordings in which the sensor does not move, so that it cannot be placed in time.
            Default: one in thirty.
        workers: processes that write recordings (see `plait.core.jobs.work`).
        progress: called with (done, of all) after each recording.

    Returns:
        The truth, as in ``truth.json``. For each recording: ``devices`` (the planted ``offset`` in seconds and
        ``drift_ppm`` from the device's seconds to the camera's, by ``camera = device * (1 + drift_ppm / 1e6) +
        offset``, and the ``file``), the recorded ``streams``, and ``idle``, the devices that recorded no gesture.

    Raises:
        DataError: a number is out of its range.

    >>> import tempfile
    >>> truth = make_world(tempfile.mkdtemp(), recordings=1, seconds=4, missing=0)
    >>> sorted(truth["recordings"]["rec001"]["devices"])
    ['camera', 'imu', 'words']
    """
    if recordings < 1 or seconds <= 0 or not 0 <= missing < 1:
        raise DataError(
            f"recordings={recordings}, seconds={seconds}, missing={missing}; "
            "expected at least 1, above 0, and 0 up to below 1."
        )
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    idle = recordings // 30 if idle is None else idle
    known: dict[str, object] = {}
    truth: dict[str, object] = {"seed": seed, "reference": "camera", "recordings": known}
    rows: list[list[str]] = []
    # A seed for each recording: its files are the same however many processes write, and in which order.
    jobs = [(target, scene, [seed, 1, i]) for i, scene in enumerate(_scenes(recordings, seconds, missing, seed, idle))]
    for number, scene in enumerate(in_order(_write, jobs, workers), 1):
        rows += _labels(scene)
        known[scene.name] = _truth_of(scene)
        if progress:
            progress(number, recordings)
    with open(target / "labels.csv", "w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["recording", "start", "stop", "label", "speaker"], *rows])
    (target / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
    return truth


def _write(job: tuple[Path, Scene, list[int]]) -> Scene:
    folder, scene, seed = job
    write_scene(folder, scene, np.random.default_rng(seed))
    return scene


def _truth_of(scene: Scene) -> dict[str, object]:
    devices: dict[str, dict[str, object]] = {"camera": {"offset": 0.0, "drift_ppm": 0.0}}
    if "imu" in scene.present:
        devices["imu"] = {"file": f"{scene.name}.imu.csv", **scene.sensor.onto(scene.camera)}
    if "words" in scene.present:
        devices["words"] = {"file": f"{scene.name}.srt", **scene.captions.onto(scene.camera)}
    idle = ["imu"] if scene.idle_sensor else []
    return {"devices": devices, "streams": sorted(scene.present), "idle": idle, "seconds": scene.seconds}


def _scenes(recordings: int, seconds: float, missing: float, seed: int, idle: int) -> Iterator[Scene]:
    rng = np.random.default_rng([seed, 0])
    kinds = tuple(rng.permutation(KINDS_OF_GESTURE).tolist())
    present = [_present(rng, missing) for _ in range(recordings)]
    able = [i for i, p in enumerate(present) if "imu" in p]
    asleep = set(rng.permutation(able)[:idle].tolist())
    for i in range(recordings):
        camera, sensor, captions = (Device(*rng.uniform([-2, -200], [2, 200])) for _ in range(3))
        yield Scene(
            name=f"rec{i + 1:03d}",
            # Everyone once, then at random: each person is there, if there are twelve recordings.
            person=int(rng.integers(len(PEOPLE))) if i >= len(PEOPLE) else i,
            seconds=seconds,
            gestures=_gestures(rng, -MARGIN, seconds + MARGIN),
            camera=camera,
            sensor=sensor,
            captions=captions,
            present=present[i],
            idle_sensor=i in asleep,
            fps=str(rng.choice(["25", "30000/1001"])),
            kinds=kinds,
        )


def _present(rng: Generator, missing: float) -> frozenset[str]:
    """The streams that were recorded, with picture or sound at least."""
    there = {s for s in STREAMS if rng.random() >= missing}
    if not there & {"video", "audio"}:
        there.add(str(rng.choice(["video", "audio"])))
    return frozenset(there)


def _gestures(rng: Generator, start: float, stop: float) -> list[Gesture]:
    found, t = [], start + rng.uniform(0, 2)
    while t < stop:
        length = rng.uniform(1.0, 1.5)
        n = int(rng.integers(4, 7))
        rest = length - 0.2 - 0.13 * (n - 1)
        gaps = 0.13 + rest * rng.dirichlet(np.full(n + 1, 1.5))[1:n]
        strokes = t + 0.1 + np.concatenate([[rng.uniform(0, 0.05)], np.cumsum(gaps)])
        bits = (int(rng.integers(2)), int(rng.integers(2)), int(rng.integers(2)))
        found.append(Gesture(t, t + length, bits, np.minimum(strokes, t + length - 0.02), rng.uniform(0.7, 1.3, n)))
        t += length + 1.0 + min(rng.exponential(1.5), 6.0)
    return found


def _labels(scene: Scene) -> Iterator[list[str]]:
    for g in scene.gestures:
        start, stop = (float(x) for x in scene.camera.reads(np.array([g.start, g.stop])))
        # A gesture that the border of the recording cuts has no label.
        if start > 0.2 and stop < scene.seconds - 0.2:
            label = scene.kinds[g.bits[0] * 4 + g.bits[1] * 2 + g.bits[2]]
            yield [scene.name, f"{start:.3f}", f"{stop:.3f}", label, PEOPLE[scene.person]]
