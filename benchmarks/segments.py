"""Space and segments against planted truth: speech, shots, words, homographies, and faces that hold still.

Needs: grid_s1, fsdd, sample_videos in PLAIT_DATA. Optional: flickr8k there.
Takes: minutes.

PLAIT_DATA=... python benchmarks/segments.py [--only speech shots words homography face]

What was chosen on data (the offset and slope of the energy detector, the limits of shots) was chosen on other clips,
speakers of digits and photographs; the four films are the same, joined elsewhere.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import needs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from segment_cases import (
    RATE,
    Pictures,
    Spans,
    cut_film,
    digits,
    moved_photograph,
    planted_homography,
    sentences,
    takes_of_films,
    takes_of_photographs,
    with_noise,
)
from targets import finish, target

from plait.demo.face import face_film
from plait.readers import open_streams
from plait.segment.forced import align_words
from plait.segment.shots import find_boundaries
from plait.segment.speech import find_speech
from plait.streams.stream import Stream
from plait.transforms.face import face_path
from plait.transforms.homography import Homography, homography_of_pictures

Targets = list[dict[str, Any]]

SPEECH_GOALS = {"GRID": {None: 0.93, 10.0: 0.92, 0.0: 0.88}, "FSDD": {None: 0.9, 10.0: 0.86, 0.0: 0.8}}
FACES = {  # in Flickr8k: x and y of the middle of a face, and its width
    "2075493556_b763648389": (98, 128, 138),
    "1836335410_de8313a64e": (298, 212, 141),
    "2083778090_3aecaa11cc": (153, 209, 119),
    "1798215547_ef7ad95be8": (262, 165, 105),
}


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table; numbers with three places."""
    table = Table(title=title)
    for name in columns:
        table.add_column(name)
    for row in rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row))
    Console(width=150).print(table)


def frames(spans: Spans, seconds: float) -> NDArray[np.bool_]:
    """Whether each hundredth of a second lies in one of the spans."""
    t, out = (np.arange(int(seconds * 100)) + 0.5) / 100, np.zeros(int(seconds * 100), bool)
    for start, stop in spans:
        out |= (t >= start) & (t < stop)
    return out


def f1(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return 2 * float((found & truth).sum()) / max(float(found.sum() + truth.sum()), 1.0)


def best_threshold(sound: NDArray[np.float32], rate: int, truth: NDArray[np.bool_]) -> float:
    """The most that any threshold on the power of a hundredth of a second can do, chosen with the truth in hand."""
    hop = rate // 100
    level = np.log10((sound[: len(truth) * hop].reshape(-1, hop) ** 2).mean(1) + 1e-12)
    return max(f1(level > edge, truth[: len(level)]) for edge in np.quantile(level, np.linspace(0.02, 0.98, 97)))


def speech(data: Path) -> Targets:
    """Frame F1 of both detectors, clean and in white and pink noise, and of the best threshold on loudness."""
    cases = {
        "GRID": sentences(data / "grid_s1", np.random.default_rng(3), 25),
        "FSDD": digits(data / "fsdd", np.random.default_rng(3), 60),
    }
    rows, out = [], Targets()
    for name, (clean, spans, rate) in cases.items():
        truth = frames(spans, len(clean) / rate)
        for db, goal in SPEECH_GOALS[name].items():
            heard = [clean]
            if db is not None:
                rng = np.random.default_rng(1)
                heard = [with_noise(clean, spans, rate, db, kind, rng) for kind in ("white", "pink")]
            mean = np.mean([_speech_row(one, rate, truth) for one in heard], 0).tolist()
            label = f"{name}, {'clean' if db is None else f'{db:g} dB'}"
            rows.append([label, *mean])
            out += [target(f"speech, {label}, {m}, F1", v, ">=", goal) for m, v in zip(("energy", "silero"), mean)]
    columns = ["", "energy", "silero", "best threshold on loudness", "ms, energy", "ms, silero"]
    show("speech: frame F1, and ms of processor a second of sound", columns, rows)
    return out


def _speech_row(heard: NDArray[np.float32], rate: int, truth: NDArray[np.bool_]) -> list[float]:
    stream, scores, took = Stream.of(heard, rate=rate, kind="waveform"), [], []
    for method in ("energy", "silero"):
        begin = time.process_time()
        found = find_speech(stream, method=method)
        took.append((time.process_time() - begin) / (len(heard) / rate) * 1e3)
        scores.append(f1(frames(found, len(heard) / rate), truth))
    return [*scores, best_threshold(heard, rate, truth), *took]


def hsv_cuts(film: Pictures) -> Spans:
    """The usual rule: mean change of hue, saturation and value above 27, at least 15 pictures apart (the default of
    PySceneDetect's ContentDetector)."""
    hsv = [cv2.cvtColor(one, cv2.COLOR_RGB2HSV).astype(int) for one in film]
    found, last = Spans(), -99
    for t in range(1, len(hsv)):
        if np.abs(hsv[t] - hsv[t - 1]).mean() >= 27 and t - last >= 15:
            found, last = [*found, (t / RATE, t / RATE)], t
    return found


def matched(found: Spans, truth: Spans) -> int:
    """How many planted joins are met by one found each, to a tenth of a second."""
    free = list(found)
    for start, stop in truth:
        hit = [b for b in free if b[0] - 0.1 <= stop and b[1] + 0.1 >= start]
        if hit:
            free.remove(hit[0])
    return len(found) - len(free)


def shots(data: Path) -> Targets:
    """Precision and recall of planted cuts, dissolves and fades between films, photographs and clips of one speaker."""
    films = takes_of_films(data / "sample_videos")
    pools: dict[str, tuple[list[Pictures], float, float]] = {"films": (films, 0.5, 0.35)}
    if photographs := sorted((data / "flickr8k/Images").glob("*.jpg"))[703::11]:
        still = takes_of_photographs(photographs)
        pools |= {"photographs": (still, 0.5, 0.35), "both": (films + still, 0.5, 0.35)}
    clips = [open_streams(p)["video"].read() for p in sorted((data / "grid_s1/s1").glob("*.mp4"))[9::60]]
    pools["one speaker (GRID), least 0.08"] = (clips, 0.0, 0.08)
    rows, out = [], Targets()
    for name, (takes, gradual, least) in pools.items():
        precision, recall, *others = _shot_scores(takes, gradual, least)
        rows.append([name, precision, recall, *others])
        if gradual:
            out.append(target(f"shots, {name}: precision", precision, ">=", 0.95))
            out.append(target(f"shots, {name}: recall", recall, ">=", 0.95))
    columns = ["between", "precision", "recall", "HSV rule: precision", "recall", "ms of processor a picture"]
    show("shots: planted cuts, dissolves, fades", columns, rows)
    return out


def _shot_scores(takes: list[Pictures], gradual: float, least: float) -> list[float]:
    sums, took, pictures = np.zeros(5), 0.0, 0
    for seed in range(500, 510):
        film, truth = cut_film(takes, np.random.default_rng(seed), gradual)
        begin = time.process_time()
        found = [(b.start, b.stop) for b in find_boundaries(Stream.of(film, rate=RATE), least=least)]
        took, pictures = took + time.process_time() - begin, pictures + len(film)
        naive = hsv_cuts(film)
        sums += [matched(found, truth), len(found), matched(naive, truth), len(naive), len(truth)]
    hit, n, naive_hit, naive_n, planted = sums.tolist()
    usual = [naive_hit / max(naive_n, 1), naive_hit / planted]
    return [hit / max(n, 1), hit / planted, *usual, 1e3 * took / pictures]


def words(data: Path) -> Targets:
    """Words of made posteriors, a quarter of them noise: how far their edges are off, in frames."""
    rng, off = np.random.default_rng(0), []
    for _ in range(200):
        rows, spelt, truth, at = [], [], Spans(), 0
        for _ in range(8):
            pause, word = int(rng.integers(2, 9)), rng.choice(np.arange(2, 30), int(rng.integers(1, 8)), replace=False)
            held = np.repeat(word, rng.integers(2, 6, len(word)))
            rows += [np.zeros(pause, int), held]
            truth.append((at + pause, at + pause + len(held)))
            spelt.append(word.tolist())
            at += pause + len(held)
        posterior = 0.75 * np.eye(30)[np.concatenate(rows)] + 0.25 * rng.dirichlet(np.ones(30), at)
        found = align_words(np.log(posterior), spelt)
        off.append(int(np.abs(np.column_stack([found.start, found.stop]) - truth).max()))
    begin = time.process_time()
    align_words(rng.normal(size=(30000, 32)), rng.integers(1, 32, (1600, 5)).tolist())
    took = time.process_time() - begin
    show("words in 200 made posteriors", ["worst edge, frames", "s for 10 minutes, 8,000 letters"], [[max(off), took]])
    return [target("words of made posteriors, worst edge, frames", max(off), "<=", 1)]


def homography(data: Path) -> Targets:
    """Planted on frames of films and photographs, with noise and other light: mean distance over a grid of points."""
    pictures = []
    for name in ("demo.mp4", "test.avi", "test.mp4", "demo_skeleton.mp4"):
        film = open_streams(data / "sample_videos" / name)["video"]
        for i in np.linspace(5, len(film) * 0.7, 4).astype(int):
            one = film[i : i + 1].read()[0]
            scale = min(1.0, 480 / one.shape[1])
            pictures.append(cv2.resize(one, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    films = len(pictures)
    photographs = sorted((data / "flickr8k/Images").glob("*.jpg"))[500:900:25]
    pictures += [cv2.imread(str(p))[..., ::-1].copy() for p in photographs]
    rows, out = [], Targets()
    for method, share in (("sift", 0.1), ("sift", 0.2), ("orb", 0.1), ("orb", 0.2)):
        rng, begin = np.random.default_rng(5), time.process_time()
        tried = [_homography_error(one, rng, share, method) for one in pictures]
        took = (time.process_time() - begin) / len(pictures)
        errors, expected = np.array([one for one in tried if one is not None]).T
        label = f"{method}, corners moved by {share:.0%}"
        rows.append([label, errors.mean(), errors.max(), float(np.median(errors / expected)),
                     f"{len(tried) - len(errors)} of {len(tried)}", took])  # fmt: skip
        if method == "sift":
            out.append(
                target(f"homography, {label}: worst mean error of those not refused, pixels", errors.max(), "<=", 1)
            )
            out.append(target(f"homography, {label}: share refused", 1 - len(errors) / len(tried), "<=", 0.1))
    show("homography", ["", "mean error, pixels", "worst", "error / stated uncertainty, median", "refused", "s"], rows)
    out.append(
        target("homography, of 60 pairs of different scenes, taken for one", _confused(pictures, films), "==", 0)
    )
    return out


def _homography_error(one: Pictures, rng: np.random.Generator, share: float, method: str) -> list[float] | None:
    """Mean error and stated uncertainty, pixels; None if refused."""
    high, wide = one.shape[:2]
    true = planted_homography(rng, high, wide, share)
    other = cv2.warpPerspective(one, true, (wide, high)) * 0.9 + 5 + rng.normal(0, 8, one.shape)
    found = homography_of_pictures([one], [np.clip(other, 0, 255).astype(np.uint8)], method=method)
    if not found.sure:
        return None
    grid = np.stack(np.meshgrid(np.linspace(0, wide - 1, 9), np.linspace(0, high - 1, 9)), -1).reshape(-1, 2)
    want = Homography(true, 0, 0, 0.0, 1.0).apply(grid)
    inside = ((want >= 0) & (want <= [wide - 1, high - 1])).all(1)
    return [float(np.linalg.norm(found.apply(grid) - want, axis=1)[inside].mean()), found.uncertainty]


def _confused(pictures: list[Pictures], films: int) -> int:
    rng, wrong, tried = np.random.default_rng(6), 0, 0
    while tried < 60:
        a, b = rng.choice(len(pictures), 2, replace=False)
        if a // 4 != b // 4 or max(a, b) >= films:  # two frames of one film may show one scene
            wrong, tried = wrong + homography_of_pictures([pictures[a]], [pictures[b]]).sure, tried + 1
    return wrong


def face(data: Path) -> Targets:
    """A drawn face, and faces of photographs, that sit or move: how the box moves beside the face."""
    t = np.arange(125) / 25
    moving = np.stack([160 + 50 * np.sin(2 * np.pi * t / 5), 120 + 22 * np.sin(2 * np.pi * t / 3.7)], 1)
    rows, out, ratios = [], Targets(), []
    for kind, path in {"still": np.tile([160.0, 120.0], (len(t), 1)), "moving": moving}.items():
        films = {"drawn": face_film(path, 80, mouth=np.abs(np.sin(9 * t)))}
        for name, (x, y, width) in FACES.items():
            if (file := data / f"flickr8k/Images/{name}.jpg").is_file():
                photo = cv2.imread(str(file))[..., ::-1].copy()
                films[name[:10]] = moved_photograph(photo, (x, y), width, path, np.random.default_rng(0))
        for name, film in films.items():
            boxes, ours, naive, most = _jitter(film, path)
            rows.append([f"{kind}, {name}", boxes, ours, naive, most])
            if kind == "still":
                out.append(target(f"face, still, {name}: different boxes", boxes, "==", 1))
            else:
                ratios.append(ours / naive)
                out.append(target(f"face, moving, {name}: farthest from the face's path, pixels", most, "<=", 4))
    columns = ["", "different boxes", "held still", "found in each picture", "held still: off at most, pixels"]
    show("face, 80 pixels wide: how the box moves beside it, RMS pixels a picture", columns, rows)
    out.append(target("face, moving: jitter relative to detection in each picture, worst", max(ratios), "<=", 0.34))
    return out


def _jitter(film: Pictures, path: NDArray[np.float64]) -> tuple[int, float, float, float]:
    stream = Stream.of(film, rate=RATE)
    centre, size, _ = face_path(stream).path.at(stream.clock.times)
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
    each = [path[0]]
    for one in film:
        grey = cv2.equalizeHist(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY))
        best = max(cascade.detectMultiScale(grey, 1.1, 5, minSize=(24, 24)), key=lambda b: b[2], default=None)
        each.append(each[-1] if best is None else np.array([best[0] + best[2] / 2, best[1] + best[3] / 2]))
    moved = [np.sqrt((np.diff(c - path, axis=0) ** 2).sum(1).mean()) for c in (centre, np.array(each[1:]))]
    off = centre - path - np.median(centre - path, axis=0)
    boxes = len(np.unique(np.column_stack([centre, size]), axis=0))
    return boxes, float(moved[0]), float(moved[1]), float(np.hypot(*off.T).max())


PARTS: dict[str, Callable[[Path], Targets]] = {
    "speech": speech,
    "shots": shots,
    "words": words,
    "homography": homography,
    "face": face,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    args = parser.parse_args()
    data = needs.check(["grid_s1", "fsdd", "sample_videos"])
    needs.check(["flickr8k"], fewest=0)
    finish([row for name in args.only for row in PARTS[name](data)])


if __name__ == "__main__":
    main()
