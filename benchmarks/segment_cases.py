"""Planted truth for benchmarks/segments.py: films with known cuts, sound with known speech, faces on known paths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from plait.readers import open_streams

Pictures = NDArray[np.uint8]
Spans = list[tuple[float, float]]

SIZE = (144, 192)
RATE = 25


def takes_of_films(folder: Path) -> list[Pictures]:
    """The sample films, small; of demo.mp4 what is whole (from picture 230 on the file itself is damaged)."""
    out = []
    for name, last in (("demo.mp4", 230), ("test.avi", 164), ("test.mp4", 300), ("demo_skeleton.mp4", 72)):
        film = open_streams(folder / name)["video"][:last]
        small = [cv2.resize(one, SIZE[::-1], interpolation=cv2.INTER_AREA) for b in film.blocks(30) for one in b.read()]
        out.append(np.stack(small))
    return out


def takes_of_photographs(paths: Sequence[Path]) -> list[Pictures]:
    """Photographs over which a camera wanders, with noise, 3 s each."""
    out = []
    for number, path in enumerate(paths):
        rng, photo = np.random.default_rng(number), cv2.imread(str(path))[..., ::-1]
        grow = 1.35 * max(SIZE[0] / photo.shape[0], SIZE[1] / photo.shape[1])
        photo = cv2.resize(photo, None, fx=grow, fy=grow, interpolation=cv2.INTER_AREA)
        room = np.array([photo.shape[1] - SIZE[1], photo.shape[0] - SIZE[0]])
        start, stop = rng.uniform(0, 1, (2, 2)) * room
        views = []
        for share in np.linspace(0, 1, 75):
            x, y = start + (stop - start) * share
            views.append(cv2.getRectSubPix(photo, SIZE[::-1], (x + SIZE[1] / 2 - 0.5, y + SIZE[0] / 2 - 0.5)))
        out.append(np.clip(np.stack(views) + rng.normal(0, 3, (75, *SIZE, 3)), 0, 255).astype(np.uint8))
    return out


def cut_film(takes: Sequence[Pictures], rng: np.random.Generator, gradual: float) -> tuple[Pictures, Spans]:
    """Twelve takes joined by cuts, dissolves and fades, and (start, stop) of each join, seconds; three flashes."""
    whole: list[NDArray[np.float64]] = []
    truth: Spans = []
    last = -1
    for _ in range(12):
        last = int(rng.choice([i for i in range(len(takes)) if i != last]))
        n = int(rng.integers(30, min(len(takes[last]), 110) + 1))
        at = int(rng.integers(0, len(takes[last]) - n + 1))
        new = list(takes[last][at : at + n].astype(float))
        length, kind = min(int(rng.integers(8, 26)), n // 2 - 2), rng.random()
        end = len(whole)
        if whole and kind < gradual / 2:
            shares = np.arange(1, length + 1) / (length + 1)
            mixed = [(1 - s) * a + s * b for s, a, b in zip(shares, whole[-length:], new[:length])]
            whole[-length:], new = mixed, new[length:]
            truth.append(((end - length) / RATE, end / RATE))
        elif whole and kind < gradual:
            whole[-length:] = [a * s for a, s in zip(whole[-length:], np.linspace(1, 0, length))]
            new[:length] = [b * s for b, s in zip(new[:length], np.linspace(0, 1, length))]
            truth.append(((end - length) / RATE, (end + length) / RATE))
        elif whole:
            truth.append((end / RATE, end / RATE))
        whole += new
    film = np.stack(whole).astype(np.uint8)
    near = np.concatenate([np.arange(int(a * RATE) - 15, int(b * RATE) + 15) for a, b in truth])
    free = np.setdiff1d(np.arange(20, len(film) - 20), near)
    for t in rng.choice(free, 3, replace=False):
        film[t] = np.clip(film[t].astype(int) + 90, 0, 255)
    return film, truth


def sentences(folder: Path, rng: np.random.Generator, step: int) -> tuple[NDArray[np.float32], Spans, int]:
    """GRID clips with planted pauses; speech is where the alignments have words."""
    values, truth, at = [], Spans(), 0.0
    for clip in sorted((folder / "s1").glob("*.mp4"))[7::step]:
        stream = open_streams(clip)["audio"]
        rows = [line.split() for line in (folder / f"align/s1/{clip.stem}.align").read_text().splitlines()]
        for start, stop, word in rows:
            if word not in ("sil", "sp"):
                truth.append(
                    (at + int(start) / 25000 - stream.clock.start, at + int(stop) / 25000 - stream.clock.start)
                )
        pause = 1e-4 * rng.standard_normal(int(rng.uniform(0.3, 1.5) * 16000))
        values += [stream.read()[:, 0], pause]
        at += (len(stream) + len(pause)) / 16000
    return np.concatenate(values).astype(np.float32), truth, 16000


def digits(folder: Path, rng: np.random.Generator, count: int) -> tuple[NDArray[np.float32], Spans, int]:
    """FSDD digits of three speakers between planted pauses; all of a (trimmed) recording counts as speech."""
    paths = sorted(
        p for name in ("george", "theo", "yweweler") for p in (folder / "recordings").glob(f"*_{name}_*.wav")
    )
    values, truth, at = [], Spans(), 0.0
    for path in rng.choice(np.array(paths, object), count, replace=False):
        one = open_streams(path)["audio"].read()[:, 0]
        pause = 1e-4 * rng.standard_normal(int(rng.uniform(0.2, 1.5) * 8000))
        values += [pause, 0.5 * one / np.abs(one).max()]
        truth.append((at + len(pause) / 8000, at + (len(pause) + len(one)) / 8000))
        at += (len(pause) + len(one)) / 8000
    return np.concatenate(values).astype(np.float32), truth, 8000


def with_noise(
    sound: NDArray[np.float32], speech: Spans, rate: int, db: float, kind: str, rng: np.random.Generator
) -> NDArray[np.float32]:
    """White or pink noise at a ratio to the power of what is spoken."""
    power = np.mean(np.concatenate([sound[int(a * rate) : int(b * rate)] for a, b in speech]) ** 2)
    noise = rng.standard_normal(len(sound))
    if kind == "pink":
        spectrum = np.fft.rfft(noise) / np.sqrt(np.maximum(np.arange(len(noise) // 2 + 1), 1))
        noise = np.fft.irfft(spectrum, len(noise))
    noise *= np.sqrt(power / 10 ** (db / 10)) / noise.std()
    return (sound + noise).astype(np.float32)


def planted_homography(rng: np.random.Generator, high: int, wide: int, share: float) -> NDArray[np.float64]:
    """One that moves the corners of a picture by up to a share of it."""
    corners = np.array([[0, 0], [wide - 1, 0], [wide - 1, high - 1], [0, high - 1]], np.float32)
    moved = corners + rng.uniform(-share, share, (4, 2)) * [wide, high]
    return np.asarray(cv2.getPerspectiveTransform(corners, moved.astype(np.float32)))


def moved_photograph(
    photo: Pictures, centre: tuple[float, float], width: float, path: NDArray[np.float64], rng: np.random.Generator
) -> Pictures:
    """A film in which a photograph moves so that its face follows a path, 80 pixels wide, with noise."""
    out = []
    scale = 80 / width
    for x, y in path:
        onto = np.array([[scale, 0, x - scale * centre[0]], [0, scale, y - scale * centre[1]]])
        view = cv2.warpAffine(photo, onto, (320, 240), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        bright = view * (1 + 0.03 * rng.standard_normal()) + rng.normal(0, 6, view.shape)
        out.append(np.clip(bright, 0, 255).astype(np.uint8))
    return np.stack(out)
