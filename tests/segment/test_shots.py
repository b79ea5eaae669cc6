"""Shots: planted cuts, dissolves and fades are found; pans, flashes and noise are not taken for them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.readers import open_streams
from plait.segment import shots as shots_module
from plait.segment.scenes import find_scenes
from plait.segment.segment import shots
from plait.segment.shots import Boundary, find_boundaries
from plait.streams.stream import Stream


def take(seed: int, n: int = 40, pan: float = 0.2) -> np.ndarray:
    """A scene of blocks of colour through which a camera slowly moves, with noise, [n, 48, 64, 3]."""
    rng = np.random.default_rng(seed)
    wall = np.full((110, 150, 3), rng.integers(30, 220, 3), np.uint8)
    for _ in range(60):
        h, w = rng.integers(5, 45, 2)
        y, x = rng.integers(0, 110 - h), rng.integers(0, 150 - w)
        wall[y : y + h, x : x + w] = rng.integers(0, 255, 3)
    start, way = rng.uniform(5, 15, 2), rng.uniform(0.3, 1, 2) * pan
    at = start + np.arange(n)[:, None] * way
    views = [cv2.getRectSubPix(wall, (64, 48), (float(x) + 32, float(y) + 24)) for x, y in at]
    return np.clip(np.stack(views) + rng.normal(0, 3, (n, 48, 64, 3)), 0, 255).astype(np.uint8)


def dissolve(a: np.ndarray, b: np.ndarray, length: int) -> np.ndarray:
    share = (np.arange(1, length + 1) / (length + 1))[:, None, None, None]
    mixed = (1 - share) * a[-length:] + share * b[:length]
    return np.concatenate([a[:-length], mixed.astype(np.uint8), b[length:]])


def fade(a: np.ndarray, b: np.ndarray, length: int) -> np.ndarray:
    share = np.linspace(0, 1, length)[:, None, None, None]
    out, back = a[-length:] * (1 - share), b[:length] * share
    return np.concatenate([a[:-length], out.astype(np.uint8), back.astype(np.uint8), b[length:]])


def film(values: np.ndarray) -> Stream:
    return Stream.of(values, rate=25)


def alike(b: Boundary) -> tuple[float, float, str]:
    return round(b.start, 6), round(b.stop, 6), b.kind


def test_cuts_are_found_to_the_frame() -> None:
    found = find_boundaries(film(np.concatenate([take(i, n) for i, n in enumerate((30, 41, 25, 33))])))
    assert [(b.kind, round(b.start * 25), b.stop == b.start) for b in found] == [
        ("cut", 30, True),
        ("cut", 71, True),
        ("cut", 96, True),
    ]


@pytest.mark.parametrize("length", [8, 15, 30])
def test_dissolves_and_fades_are_found(length: int) -> None:
    mixed = find_boundaries(film(dissolve(take(1, 70), take(2, 70), length)))
    assert [b.kind for b in mixed] == ["gradual"]
    assert mixed[0].start - 0.2 <= (70 - length / 2) / 25 <= mixed[0].stop + 0.2
    assert mixed[0].stop - mixed[0].start == pytest.approx(length / 25, abs=0.35)
    faded = find_boundaries(film(fade(take(1, 70), take(2, 70), length)))
    assert [b.kind for b in faded] == ["gradual"]
    assert faded[0].start < 70 / 25 < faded[0].stop


def test_what_is_no_boundary_is_not_taken_for_one() -> None:
    flashing = take(3, 80, pan=1.0)
    flashing[[20, 50]] = np.clip(flashing[[20, 50]].astype(int) + 120, 0, 255)
    assert find_boundaries(film(flashing)) == []
    assert find_boundaries(film(take(4, 60, pan=2.0))) == [], "a quick pan"
    assert find_boundaries(film(np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3)).astype(np.uint8))) == []
    brighter = np.clip(take(5, 60, pan=0.03) * np.linspace(0.6, 1.2, 60)[:, None, None, None], 0, 255)
    assert find_boundaries(film(brighter.astype(np.uint8))) == [], "light that rises"
    blink = take(6, 60, pan=0.1)
    blink[25:32] = 0
    assert find_boundaries(film(blink)) == [], "black, and back to the same"


@pytest.mark.slow
def test_blocks_change_nothing_and_few_pictures_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    takes = [take(i, 45) for i in range(8)]
    whole = np.concatenate([*takes[:4], dissolve(takes[4], takes[5], 12), fade(takes[6], takes[7], 10)])
    grey = film(whole.mean(3, keepdims=True).astype(np.uint8))
    want = find_boundaries(film(whole))
    assert len(want) == 7
    for block in (5.1, 30.0):
        monkeypatch.setattr(shots_module, "BLOCK", block)
        assert [alike(b) for b in find_boundaries(film(whole))] == [alike(b) for b in want]
    monkeypatch.setattr(shots_module, "BYTES", 10 * 48 * 64 * 3)
    asked = []

    class Watched:
        shape = (48, 64, 3)

        def read(self, lo: int, hi: int) -> np.ndarray:
            asked.append(hi - lo)
            return whole[lo:hi]

    assert len(find_boundaries(Stream(film(whole).clock, Watched(), "frames"))) == 7
    assert max(asked) == 10
    assert sum(asked) == len(whole), "each picture is decoded once"
    assert len(find_boundaries(grey)) == 7


def test_edges() -> None:
    assert find_boundaries(film(take(0, 1))) == []
    assert find_boundaries(film(take(0, 1)[:0])) == []
    assert shots(film(take(0, 1)[:0])) == []
    with pytest.raises(DataError, match="shots need pictures"):
        find_boundaries(Stream.of(np.zeros((5, 2)), rate=1))
    with pytest.raises(ConfigError, match=r"shots\.least"):
        find_boundaries(film(take(0, 4)), least=0)


def test_shots_cover_the_stream_and_scenes_join_what_comes_back() -> None:
    order = [0, 1, 0, 1, 2, 3, 2, 4, 4]
    takes = {i: take(i + 20, 200, pan=0.05) for i in set(order)}
    seen = dict.fromkeys(takes, 0)
    parts = []
    for i in order:
        parts.append(takes[i][seen[i] : seen[i] + 25])
        seen[i] += 25
    stream = Stream.of(np.concatenate(parts[:-1]), rate=25, start=100.0)
    found = shots(stream, scenes=True)
    takes_found = [a for a in found if a.tier == "shot"]
    assert [a.label for a in takes_found] == list(range(1, 9))
    assert (takes_found[0].start, takes_found[-1].stop) == (100.0, 108.0)
    assert all(a.stop == b.start for a, b in pairwise(takes_found))
    scenes = [(a.start, a.stop, a.label) for a in found if a.tier == "scene"]
    assert scenes == [(100.0, 104.0, 1), (104.0, 107.0, 2), (107.0, 108.0, 3)]
    assert find_scenes(stream, [(a.start, a.stop) for a in takes_found], within=0.5) == [0, 1, 2, 3, 4, 5, 6, 7]


def matched(found: list[Boundary], truth: list[tuple[int, int]], rate: float = 25.0) -> int:
    """How many planted boundaries are met by one found each, to a tenth of a second."""
    free = list(found)
    for start, stop in truth:
        hit = [b for b in free if b.start - 0.1 <= stop / rate and b.stop + 0.1 >= start / rate]
        if hit:
            free.remove(hit[0])
    return len(found) - len(free)


@pytest.mark.slow
def test_real_films(real_data: Path) -> None:
    """Planted between four real films: at least nine in ten are found, and nine in ten of what is found is planted."""
    pool = []
    for name, last in (("demo.mp4", 230), ("test.avi", 164), ("test.mp4", 300), ("demo_skeleton.mp4", 72)):
        stream = open_streams(real_data / "sample_videos" / name)["video"][:last]
        small = [cv2.resize(one, (96, 72), interpolation=cv2.INTER_AREA) for b in stream.blocks(40) for one in b.read()]
        pool.append(np.stack(small))
    rng, hits, planted, found_ = np.random.default_rng(8), 0, 0, 0
    for _ in range(4):
        whole, truth, last = pool[0][:50], list[tuple[int, int]](), 0
        for _ in range(12):
            last = int(rng.choice([i for i in range(4) if i != last]))
            at = int(rng.integers(0, len(pool[last]) - 60))
            new, length = pool[last][at : at + 60], int(rng.integers(8, 25))
            kind = rng.choice(["cut", "dissolve", "fade"], p=[0.5, 0.25, 0.25])
            span = {"cut": (0, 0), "dissolve": (-length, 0), "fade": (-length, length)}[kind]
            truth.append((len(whole) + span[0], len(whole) + span[1]))
            join = {"dissolve": dissolve, "fade": fade}.get(kind)
            whole = join(whole, new, length) if join else np.concatenate([whole, new])
        found = find_boundaries(film(whole))
        hits, planted, found_ = hits + matched(found, truth), planted + len(truth), found_ + len(found)
    assert hits / planted > 0.9
    assert hits / found_ > 0.9
