"""Body keypoints as pose estimators write them: JSON and JSON Lines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.readers import Reader
from plait.readers._people import People, Person, Picture, follow, largest, people_of, picture_of
from plait.readers._words import read_text
from plait.streams.clock import Clock, Grid, Ticks, rational
from plait.streams.stream import ArraySource, Stream

__all__ = ["Keypoints"]

_OPENPOSE = "_keypoints.json"


class Keypoints(Reader):
    """A stream ``pose`` [n, joints, 2 or 3] float32 of one person; NaN where a point was not seen or is too unsure.

    It reads COCO annotations and results (so AlphaPose's), MMPose's predictions, a folder of OpenPose's files (one per
    picture), and MediaPipe's landmarks: a list of pictures (or a line each, in ``.jsonl``) with ``landmarks``,
    ``pose_world_landmarks``, ``keypoints`` or the like. Of MediaPipe's, world landmarks come before those of the
    picture. A file of any other name is read with ``reader: keypoints``. It is parsed whole when opened.

    Times in the file are used; without them picture i is at i / ``rate`` seconds (without that, at i seconds), and
    pictures that the file leaves out are rows of NaN. COCO annotations are in the order of their ``images``.

    Sources: https://cocodataset.org/#format-data, OpenPose's doc/02_output.md, AlphaPose's docs/output.md,
    https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker.

    Args:
        rate: pictures per second; it overrides times in the file.
        person: 0, 1, ...: the most seen person, the next, each tracked through the pictures; ``largest``: the
            largest of each picture by itself; ``all``: everyone, a row each, at the time of their picture, in the order
            of the file.
        least: lowest confidence of a point (confidence, score or visibility; COCO's flag).
        points: the key that holds the points, where there are several.
        first: number of the first picture, at 0 s (default: 1 for MMPose, else 0).
        width, height: pixels by which x (with z) and y are multiplied, for landmarks in 0..1 of the picture.

    Raises:
        ConfigError: an option out of its range.
        DataError: on opening: missing, no JSON, not of a known form, or people with different numbers of joints.

    >>> Keypoints().claims(Path("talk01.keypoints.json")), Keypoints().claims(Path("labels.json"))
    (True, False)
    """

    version = 2
    suffixes: ClassVar[tuple[str, ...]] = (
        *(f".{word}.{end}" for word in ("keypoints", "pose", "landmarks") for end in ("json", "jsonl")),
        _OPENPOSE,
        "alphapose-results.json",
    )

    def __init__(
        self,
        *,
        rate: float | str | None = None,
        person: int | str = 0,
        least: float = 0.3,
        points: str | None = None,
        first: int | None = None,
        width: float = 1.0,
        height: float = 1.0,
    ) -> None:
        number = isinstance(person, int) and not isinstance(person, bool) and person >= 0
        if not number and person not in ("largest", "all"):
            raise ConfigError(f"keypoints.person: got {person!r}; expected 0, 1, ..., largest or all.")
        if not (width > 0 and height > 0):
            raise ConfigError(f"keypoints: width {width} and height {height}; expected above 0.")
        self.rate = rational(rate) if rate is not None else None
        self.person, self.least, self.points, self.first = person, least, points, first
        self.scale = np.array([width, height, width])

    def claims(self, path: Path) -> bool:
        """Whether it is a file of such a name, or a folder of OpenPose's."""
        if path.is_dir():
            return any(True for _ in path.glob(f"*{_OPENPOSE}"))
        return super().claims(path)

    def open(self, path: Path) -> dict[str, Stream]:
        found = self._people(path)
        pictures = found.pictures
        if not any(p.people for p in pictures):
            raise DataError(f"{path}: it shows no people. Expected points of at least one person in one picture.")
        shape = _one_shape(pictures, path)
        if self.person == "all":
            return {"pose": self._everyone(found, path, shape)}
        chosen = follow(pictures, self.person) if isinstance(self.person, int) else largest(pictures)
        if not any(chosen):
            raise DataError(f"{path}: there is no person {self.person} (they count from 0). Choose a smaller number.")
        clock, rows = self._clock(found, path)
        return {"pose": _stream(clock, self._values(path, chosen, rows, (len(clock), *shape)), found, path)}

    def _everyone(self, found: People, path: Path, shape: tuple[int, int]) -> Stream:
        clock, rows = self._clock(found, path)
        order = np.argsort(rows, kind="stable").tolist()
        people = [(rows[i], one) for i in order for one in found.pictures[i].people]
        own = Ticks(clock.times[[row for row, _ in people]])
        values = self._values(path, [one for _, one in people], np.arange(len(people)), (len(people), *shape))
        return _stream(own, values, found, path)

    def _people(self, path: Path) -> People:
        if path.is_dir():
            return self._folder(path)
        if path.suffix.lower() != ".jsonl":
            return people_of(_parsed(read_text(path), str(path)), str(path), self.points)
        return People([picture_of(data, where, self.points) for where, data in _lines(path)])

    def _folder(self, path: Path) -> People:
        """OpenPose's: VIDEO_000000000012_keypoints.json is picture 12."""
        pictures: list[Picture] = []
        films = set()
        for file in sorted(path.glob(f"*{_OPENPOSE}")):
            film, _, number = file.name.removesuffix(_OPENPOSE).rpartition("_")
            data = _parsed(read_text(file), str(file))
            pictures += people_of(data, str(file), self.points).pictures
            pictures[-1].number = int(number[-15:]) if number.isdecimal() else None
            films.add(film)
        if len(films) != 1:
            listed = ", ".join(sorted(films)[:3]) or "none"
            raise DataError(f"{path}: holds the pictures of {len(films)} films ({listed}). Put each in its own folder.")
        return People(pictures)

    def _clock(self, found: People, path: Path) -> tuple[Clock, NDArray[np.int64]]:
        """The clock, and of each picture its place on it."""
        seconds = [p.seconds for p in found.pictures if p.seconds is not None]
        if self.rate is None and len(seconds) == len(found.pictures):
            order = np.argsort(seconds, kind="stable")
            return Ticks(np.array(seconds)[order]), np.argsort(order, kind="stable")
        numbers = [p.number for p in found.pictures if p.number is not None]
        if numbers and len(numbers) != len(found.pictures):
            raise DataError(f"{path}: {len(numbers)} of {len(found.pictures)} pictures have a number; expected all.")
        first = 0 if found.listed or not numbers else found.first if self.first is None else self.first
        rows = np.array(numbers or range(len(found.pictures)), np.int64) - first
        if len(np.unique(rows)) != len(rows) or rows.min() < 0:
            raise DataError(f"{path}: pictures' numbers repeat or lie before the first, {first}. Set the option first.")
        n = int(rows.max()) + 1
        # A clip may begin late in a film; ids and time stamps are far above that, and would fill the memory with NaN.
        if n > 20 * len(rows) + 100_000:
            raise DataError(
                f"{path}: {len(rows)} pictures are numbered up to {n + first - 1}, so these are no numbers of frames. "
                "Set the option first, or write COCO annotations, whose order counts."
            )
        return Grid(0, self.rate or 1, n), rows

    def _values(
        self, path: Path, chosen: Sequence[Person | None], rows: NDArray[np.int64], shape: tuple[int, int, int]
    ) -> NDArray[np.float32]:
        files = [path, *path.glob(f"*{_OPENPOSE}")] if path.is_dir() else [path]
        size = sum(f.stat().st_size for f in files)
        self.budget.purse(path, size=size).check(4.0 * math.prod(shape), "points of all pictures")
        out = np.full(shape, np.nan, np.float32)
        for row, one in zip(rows, chosen):
            if one is not None:
                with np.errstate(over="ignore"):
                    here = (one.points * self.scale[: shape[2]]).astype(np.float32)
                # "Not at least", rather than "below", so that NaN counts as unsure.
                here[~(one.sure >= self.least)] = np.nan
                out[row] = here
        if np.isinf(out).any():
            raise DataError(f"{path}: points that are infinite; expected numbers, or null where nothing was seen.")
        return out


def _stream(clock: Clock, values: NDArray[np.float32], found: People, path: Path) -> Stream:
    names = found.names if len(found.names) == values.shape[1] else ()
    return Stream(clock, ArraySource(values), "pose", names, str(path))


def _one_shape(pictures: Sequence[Picture], path: Path) -> tuple[int, int]:
    """Joints and axes, the same for everyone."""
    shapes = {one.points.shape: i for i, picture in enumerate(pictures) for one in picture.people}
    if len(shapes) > 1:
        listed = ", ".join(f"{s[0]} x {s[1]} in picture {i}" for s, i in sorted(shapes.items())[:3])
        raise DataError(f"{path}: people of different joints ({listed}). Take one layout: set the option points.")
    joints, axes = next(iter(shapes))
    return joints, axes


def _lines(path: Path) -> Iterator[tuple[str, object]]:
    """Place and content of each line of JSON Lines, one at a time: such files are long."""
    try:
        with open(path, encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path}:{number}", _parsed(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error}). Correct the path or the file.") from error


def _parsed(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: is not JSON ({str(error)[:100]}). Write the file anew.") from error
