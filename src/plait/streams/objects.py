"""Objects in pictures, as detectors and annotators give them: a stream of words, each text one object in JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plait.core.errors import DataError, raise_all
from plait.core.safe_yaml import brief
from plait.streams.stream import Stream

__all__ = ["Objects", "object_text", "objects_of"]

SLACK = 1.0
"""Pixels by which a box may lie outside its picture: annotators count them from 0 or from 1."""

SHOWN = 10
"""Most problems listed per stream; the rest is counted."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Floats = NDArray[np.float64]


class _Entry(BaseModel):
    """One object: its class, its box in pixels (left, top, width, height, as COCO has it), and what else is known."""

    model_config = ConfigDict(extra="forbid")
    kind: str = Field(alias="class", min_length=1, pattern=r"\S")
    box: tuple[Finite, Finite, Finite, Finite]
    id: str | int | None = None
    confidence: float = Field(1.0, ge=0, le=1)
    picture: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None


@dataclass(frozen=True)
class Objects:
    """The objects of a stream, a row each, in order of time.

    Attributes:
        times: of each, as its clock has them (the middle of a span), seconds, [n].
        ids: which object it is, the same over time; without an id its place among the objects of its instant.
        classes: of each.
        boxes: left, top, right, bottom in pixels, [n, 4].
        sizes: width and height of the picture, [n, 2]; where no row gives it, the furthest edges of all boxes.
        confidence: of the detector, [n]; 1 if it gives none.
    """

    times: Floats
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    boxes: Floats
    sizes: Floats
    confidence: Floats

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, part: slice) -> Objects:
        rest = (x[part] for x in (self.boxes, self.sizes, self.confidence))
        return Objects(self.times[part], self.ids[part], self.classes[part], *rest)


def object_text(
    kind: str,
    box: Sequence[float],
    *,
    id: str | int | None = None,
    confidence: float | None = None,
    picture: Sequence[float] | None = None,
) -> str:
    """The text of one object.

    Args:
        kind: its class.
        box: left, top, width, height, in pixels.
        id: which object it is, if it is seen several times or named by relations; without spaces.
        confidence: of the detector, 0 to 1.
        picture: width and height of the picture, in pixels.

    >>> object_text("dog", (10, 20, 30, 40), id="d")
    '{"class": "dog", "box": [10, 20, 30, 40], "id": "d"}'
    """
    told: dict[str, object] = {"class": kind, "box": list(box)}
    more = {"id": id, "confidence": confidence, "picture": picture and list(picture)}
    return json.dumps(told | {k: v for k, v in more.items() if v is not None}, ensure_ascii=False)


def objects_of(stream: Stream) -> Objects:
    """The objects of a stream of words.

    Raises:
        DataError: a text that is no object; a box without area or outside its picture; an id with spaces, or twice at
            one instant; all in one message, each with its row and time.

    >>> texts = [object_text("man", (0, 0, 5, 9)), object_text("horse", (2, 4, 9, 9), id="h")]
    >>> found = objects_of(Stream.of(texts, spans=([0, 0], [1, 1])))
    >>> found.ids, found.boxes.tolist()
    (('0', 'h'), [[0.0, 0.0, 5.0, 9.0], [2.0, 4.0, 11.0, 13.0]])
    """
    where = stream.where or "objects"
    if stream.kind != "words":
        raise DataError(f"{where}: is {stream.kind}; expected texts, one object in JSON each.")
    times, problems, entries = stream.clock.times, list[str](), list[_Entry]()
    for row, (time, text) in enumerate(zip(times.tolist(), stream.read())):
        place = f"{where} object {row} ({time:.3f} s)"
        try:
            entries.append(_Entry.model_validate_json(str(text)))
        except ValidationError as error:
            problems.append(f"{place}: {_reason(error)}; got {brief(str(text))}.")
        else:
            problems += [f"{place}: {problem}" for problem in _problems(entries[-1])]
    if not problems:
        ids = _ids(times, entries)
        problems = _twice(where, times, ids)
    if len(problems) > SHOWN:
        problems[SHOWN:] = [f"{where}: and {len(problems) - SHOWN} more such objects."]
    raise_all(DataError, problems)
    return _joined(times, ids, entries)


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(p) for p in first["loc"])
    what = f"{place}: {first['msg']}" if place else str(first["msg"])
    return f'{what}; expected {{"class": text, "box": [left, top, width, height]}}'


def _problems(entry: _Entry) -> list[str]:
    left, top, width, height = entry.box
    found = []
    if not (width > 0 and height > 0):
        found.append(f"the box {list(entry.box)} has no area; expected a width and a height above 0.")
    across, down = entry.picture or (math.inf, math.inf)
    if min(left, top) < -SLACK or left + width > across + SLACK or top + height > down + SLACK:
        size = f", {across:g} x {down:g} pixels" if entry.picture else ""
        found.append(f"the box {list(entry.box)} lies outside the picture{size}. Clip it, or leave the object out.")
    if entry.id is not None and len(str(entry.id).split()) != 1:
        found.append(f"the id {entry.id!r} has spaces or is empty; expected one word or number.")
    return found


def _ids(times: Floats, entries: Sequence[_Entry]) -> tuple[str, ...]:
    found, before, place = [], math.nan, 0
    for time, entry in zip(times.tolist(), entries):
        place = place + 1 if time == before else 0
        before = time
        found.append(str(place) if entry.id is None else str(entry.id))
    return tuple(found)


def _twice(where: str, times: Floats, ids: Sequence[str]) -> list[str]:
    seen: set[tuple[float, str]] = set()
    problems = []
    for row, key in enumerate(zip(times.tolist(), ids)):
        if key in seen:
            problems.append(f"{where} object {row} ({key[0]:.3f} s): the id {key[1]!r} is there twice; ids are unique.")
        seen.add(key)
    return problems


def _joined(times: Floats, ids: tuple[str, ...], entries: Sequence[_Entry]) -> Objects:
    boxes = np.array([e.box for e in entries], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    furthest = boxes[:, 2:].max(0, initial=1.0)
    sizes = np.array([e.picture or furthest for e in entries], np.float64).reshape(-1, 2)
    sure = np.array([e.confidence for e in entries], np.float64)
    return Objects(times, ids, tuple(e.kind for e in entries), boxes, sizes, sure)
