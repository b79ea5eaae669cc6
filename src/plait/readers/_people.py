"""People in pictures, from the JSON of pose estimators: points, their confidence, and identities."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError

__all__ = ["People", "Person", "Picture", "follow", "largest", "people_of"]

LANDMARKS = (
    "pose_world_landmarks",
    "poseWorldLandmarks",
    "world_landmarks",
    "worldLandmarks",
    "pose_landmarks",
    "poseLandmarks",
    "landmarks",
    "landmark",
    "keypoints",
    "pose_keypoints_3d",
    "pose_keypoints_2d",
)
"""Keys of points; the first one that a picture has is used. World landmarks, in metres, come first."""

SECONDS = {"time": 1.0, "timestamp": 1.0, "seconds": 1.0, "timestamp_ms": 1e-3, "time_ms": 1e-3, "timestamp_us": 1e-6}
NUMBERS = ("frame", "frame_id", "frame_index", "frame_number", "index")
TRACKS = ("track_id", "idx", "person_id")
SURE = ("visibility", "score", "confidence", "presence")


@dataclass(frozen=True)
class Person:
    """Points [joints, 2 or 3], their confidence [joints], and an id where the file gives one."""

    points: NDArray[np.float64]
    sure: NDArray[np.float64]
    track: int | None = None

    @property
    def size(self) -> float:
        """Diagonal of the box around the points that are there."""
        there = self.points[(self.sure > 0) & np.isfinite(self.points).all(1)]
        return float(np.linalg.norm(np.ptp(there, axis=0))) if len(there) else 0.0


@dataclass
class Picture:
    """The people of one picture; its number and time in seconds, where the file gives them."""

    people: list[Person]
    number: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class People:
    """The content of a file: pictures, the joints' names if it has them, and the number of its first picture."""

    pictures: list[Picture]
    names: tuple[str, ...] = ()
    first: int = 0
    listed: bool = False
    """Whether the numbers of pictures are their places in a list."""


def people_of(data: object, where: str, key: str | None = None) -> People:
    """The people in a JSON document of any known form.

    COCO annotations (``images``, ``annotations``) and results (a list with ``image_id``, as AlphaPose's), MMPose
    (``instance_info``), one OpenPose picture (``people``), else a list of pictures, or one under ``frames``.

    Args:
        key: the key of the points, one of `LANDMARKS` or another.

    Raises:
        DataError: it is none of these, or points are not numbers.
    """
    if isinstance(data, Mapping):
        if "annotations" in data and "images" in data:
            return _coco(data, where)
        if isinstance(data.get("instance_info"), list):
            names = _mmpose_names(data.get("meta_info"))
            return People([picture_of(p, f"{where}: {i}", key) for i, p in enumerate(data["instance_info"])], names, 1)
        if "people" in data:
            return People([picture_of(data, where, key)])
        data = data.get("frames", data)
    if not isinstance(data, list):
        raise DataError(f"{where}: has no 'annotations', 'instance_info', 'people' or 'frames'; expected keypoints.")
    if data and all(isinstance(d, Mapping) and "image_id" in d and "keypoints" in d for d in data):
        return People(_merged(data, where))
    return People([picture_of(p, f"{where}: picture {i}", key) for i, p in enumerate(data)])


def picture_of(data: object, where: str, key: str | None = None) -> Picture:
    """One picture: ``people`` or ``instances`` or points of one or several people, and number and time if given.

    Raises:
        DataError: points are not rows of numbers.

    >>> picture_of({"time_ms": 40, "landmarks": [{"x": 0.5, "y": 0.1, "z": 0, "visibility": 0.9}]}, "a").people[0].sure
    array([0.9])
    """
    if not isinstance(data, Mapping):
        return Picture(_several(data, where, None))
    number = next((_number(data[k]) for k in NUMBERS if k in data), None)
    seconds = next((_seconds(data[k], where) * unit for k, unit in SECONDS.items() if k in data), None)
    grouped = next((data[k] for k in ("people", "instances") if isinstance(data.get(k), list)), None)
    if grouped is not None:
        people = [_one(p, where, key) for p in grouped if isinstance(p, Mapping)]
        return Picture([one for one in people if len(one.points)], number, seconds)
    keys = (key,) if key else LANDMARKS
    found = next((data[k] for k in keys if data.get(k) is not None), None)
    return Picture([] if found is None else _several(found, where, data), number, seconds)


def _number(value: object) -> int | None:
    """A picture's number: itself, or the last digits of a file's name."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    # Bounded: int() of a run of thousands of digits is slow, and refused from 4,300 on.
    digits = re.findall(r"\d+", value.rpartition("/")[2].rpartition(".")[0] or value) if isinstance(value, str) else []
    number = value if isinstance(value, int) else int(digits[-1][-15:]) if digits else None
    return number if number is not None and 0 <= number < 10**15 else None


def _seconds(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise DataError(f"{where}: a time of {str(value)[:40]!r}; expected a finite number.")
    return float(value)


def _one(person: Mapping[str, object], where: str, key: str | None) -> Person:
    name = next((k for k in ((key,) if key else LANDMARKS) if person.get(k) is not None), "")
    flat = 4 if name.endswith("_3d") else None
    return _person(person.get(name, []), where, person.get("keypoint_scores"), _track(person), flat)


def _track(person: Mapping[str, object]) -> int | None:
    found = next((person[k] for k in TRACKS if k in person), None)
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if isinstance(found, float) and found == found and abs(found) < 1e15:
        found = int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 10**15 else None


def _several(found: object, where: str, picture: Mapping[str, object] | None) -> list[Person]:
    """The points of one person, or a list with those of several."""
    if isinstance(found, Mapping):
        found = found.get("landmark", found.get("landmarks", []))
    if not isinstance(found, list):
        raise DataError(f"{where}: points are {str(found)[:40]!r}; expected a list.")
    if found and isinstance(found[0], list) and found[0] and isinstance(found[0][0], list | Mapping):
        return [_person(p, where, None, None) for p in found if p]
    scores = picture.get("keypoint_scores") if picture else None
    return [_person(found, where, scores, _track(picture or {}))] if found else []


def _person(points: Any, where: str, scores: Any, track: int | None, flat: int | None = None) -> Person:
    """One person from points given as {"x": ...}, as rows, or as one flat list x, y, sure, ... (or x, y, z, sure).

    ``flat``: how many numbers a point has in a flat list, where that is known.
    """
    try:
        if points and isinstance(points[0], Mapping):
            axes = ("x", "y", "z") if "z" in points[0] else ("x", "y")
            rows = np.array([[p[a] for a in axes] for p in points], np.float64)
            named = next((s for s in SURE if s in points[0]), None)
            sure = np.array([p[named] if named else 1.0 for p in points], np.float64)
        elif points and isinstance(points[0], list):
            rows = np.array(points, np.float64)
            sure = np.ones(len(rows)) if scores is None else np.array(scores, np.float64)
        else:
            # Else only the length tells 4 numbers per point from 3; where both fit it is 3, the form of COCO.
            width = flat or (4 if len(points) % 3 else 3)
            both = np.array(points, np.float64).reshape(-1, width)
            rows, sure = both[:, :-1], both[:, -1]
        if rows.ndim != 2 or rows.shape[1] not in (2, 3) or sure.shape != rows.shape[:1]:
            raise ValueError(f"points of shape {rows.shape} with {sure.shape} scores")
        if (np.abs(rows) > 1e12).any():
            raise ValueError("a point is further away than 1e12")
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError) as error:
        raise DataError(
            f"{where}: points are not rows of 2 or 3 numbers, nor runs of x, y, confidence ({str(error)[:80]}). "
            "Correct the file, or name the key that holds them with the option points."
        ) from error
    return Person(rows, sure, track)


def _merged(entries: Iterable[Mapping[str, object]], where: str) -> list[Picture]:
    """Results with one entry per person, grouped by picture, in the order of the pictures' numbers."""
    found: dict[int, Picture] = {}
    for i, entry in enumerate(entries):
        number = _number(entry["image_id"])
        if number is None:
            raise DataError(f"{where}: {i}: image_id {str(entry['image_id'])[:40]!r} has no number in it.")
        one = _one(entry, f"{where}: {i}", "keypoints")
        found.setdefault(number, Picture([], number)).people.extend([one] if len(one.points) else [])
    return [found[number] for number in sorted(found)]


def _coco(data: Mapping[str, Any], where: str) -> People:
    """COCO annotations: pictures in the order of ``images``, with the people annotated in each."""
    try:
        order = {image["id"]: i for i, image in enumerate(data["images"])}
        pictures = [Picture([], i) for i in range(len(order))]
        for entry in data["annotations"]:
            if entry.get("keypoints") and entry["image_id"] in order:
                place = f"{where}: annotation {entry.get('id')}"
                pictures[order[entry["image_id"]]].people.append(_one(entry, place, "keypoints"))
        names = next((tuple(map(str, c["keypoints"])) for c in data.get("categories", []) if c.get("keypoints")), ())
    except (TypeError, KeyError, AttributeError, IndexError) as error:
        raise DataError(f"{where}: is not of COCO's form ({error!r}). Expected images and annotations.") from error
    return People(pictures, names, listed=True)


def _mmpose_names(meta: object) -> tuple[str, ...]:
    table = meta.get("keypoint_id2name") if isinstance(meta, Mapping) else None
    if not isinstance(table, Mapping):
        return ()
    numbered = [(_number(k), str(v)) for k, v in table.items()]
    return tuple(name for _, name in sorted((n, v) for n, v in numbered if n is not None))


def largest(pictures: Sequence[Picture]) -> list[Person | None]:
    """The largest person of each picture by itself."""
    return [max(p.people, key=lambda one: one.size, default=None) for p in pictures]


def follow(pictures: Sequence[Picture], rank: int) -> list[Person | None]:
    """One person through all pictures: the ``rank``-th most seen (0: the most), weighted by confidence and size.

    If everyone has an id in the file, ids link the pictures; else each person continues as the nearest one of the
    last pictures, if that is at most one body size away.
    """
    known = all(one.track is not None for p in pictures for one in p.people)
    tracks = _by_id(pictures) if known else _by_place(pictures)
    weight = {
        name: sum(one.size * float(np.nan_to_num(one.sure).mean()) for _, one in own) for name, own in tracks.items()
    }
    order = sorted(tracks, key=lambda name: (-weight[name], name))
    out: list[Person | None] = [None] * len(pictures)
    for i, one in tracks[order[rank]] if rank < len(order) else []:
        out[i] = one
    return out


Tracks = dict[int, list[tuple[int, Person]]]


def _by_id(pictures: Sequence[Picture]) -> Tracks:
    tracks: Tracks = {}
    for i, picture in enumerate(pictures):
        for one in picture.people:
            tracks.setdefault(one.track or 0, []).append((i, one))
    return tracks


def _by_place(pictures: Sequence[Picture], patience: int = 30) -> Tracks:
    """Tracks by distance, the nearest pairs first; a track ends if it is not seen for ``patience`` pictures."""
    tracks: Tracks = {}
    for i, picture in enumerate(pictures):
        alive = [name for name, own in tracks.items() if i - own[-1][0] <= patience]
        pairs = sorted(_pairs(picture.people, [tracks[name][-1][1] for name in alive]))
        free, open_ = set(range(len(picture.people))), set(alive)
        for _, person, track in pairs:
            if person in free and alive[track] in open_:
                tracks[alive[track]].append((i, picture.people[person]))
                free.discard(person)
                open_.discard(alive[track])
        for person in sorted(free):
            tracks[len(tracks)] = [(i, picture.people[person])]
    return tracks


def _pairs(people: Sequence[Person], last: Sequence[Person]) -> Iterator[tuple[float, int, int]]:
    for a, one in enumerate(people):
        for b, other in enumerate(last):
            if one.points.shape != other.points.shape:
                continue
            moved = one.points - other.points
            both = (one.sure > 0) & (other.sure > 0) & np.isfinite(moved).all(1)
            if not both.any():
                continue
            # The mean shift, not the mean distance: moving arms do not make another person.
            far = float(np.linalg.norm(moved[both].mean(0)))
            if far <= max(one.size, other.size):
                yield far, a, b
