"""The data of the relations' benchmark: VRD as a corpus, and generated scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.corpus.corpus import CorpusWriter
from plait.streams.objects import object_text
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

__all__ = ["Picture", "pictures_of", "vrd_corpus"]

SECOND = 1.0
"""A picture lasts a second."""


class Picture:
    """An annotated picture of VRD: objects without duplicates, and the predicates of each annotated pair."""

    def __init__(self, name: str, triples: Sequence[Mapping[str, Any]]) -> None:
        self.name = name
        objects: dict[tuple[int, ...], int] = {}
        pairs: dict[tuple[int, int], list[int]] = {}
        for triple in triples:
            one, two = (objects.setdefault(_key(triple[side]), len(objects)) for side in ("subject", "object"))
            found = pairs.setdefault((one, two), [])
            if triple["predicate"] not in found:
                found.append(triple["predicate"])
        table = np.array(list(objects), np.int64).reshape(-1, 5)
        self.classes, self.boxes, self.pairs = table[:, 0], table[:, 1:].astype(np.float64), pairs


def _key(side: Mapping[str, Any]) -> tuple[int, ...]:
    top, bottom, left, right = side["bbox"]
    return side["category"], left, top, right, bottom


def pictures_of(data: Path, side: str) -> list[Picture]:
    """The pictures with relations of ``train`` or ``test``."""
    found = json.loads((data / f"vrd_{side}" / f"annotations_{side}.json").read_text())
    return [Picture(name, triples) for name, triples in found.items() if triples]


def vrd_corpus(data: Path, folder: Path) -> tuple[Path, dict[str, int]]:
    """Write VRD as a corpus with its official sides, one recording a picture; the manifest, and counts of what was left
    out: boxes without area, with their relations."""
    names, predicates = (json.loads((data / "vrd_test" / f"{w}.json").read_text()) for w in ("objects", "predicates"))
    dropped = {"boxes without area": 0, "relations of such boxes": 0}
    with CorpusWriter(folder) as corpus:
        for side in ("train", "test"):
            for picture in pictures_of(data, side):
                boxes = picture.boxes
                good = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
                dropped["boxes without area"] += int((~good).sum())
                notes = []
                for (one, two), kinds in picture.pairs.items():
                    if not good[one] or not good[two]:
                        dropped["relations of such boxes"] += len(kinds)
                    else:
                        notes += [Annotation(0.0, SECOND, f"{one} {predicates[k]} {two}", "relations") for k in kinds]
                rows = [i for i in range(len(good)) if good[i]]
                texts = [object_text(names[picture.classes[i]], _corner_and_size(boxes[i]), id=i) for i in rows]
                stream = Stream.of(np.array(texts, object), spans=([0.0] * len(rows), [SECOND] * len(rows)))
                corpus.add(f"{side}/{picture.name}", {"objects": stream}, annotations=notes, split=side)
    return folder / "manifest.jsonl", dropped


def _corner_and_size(box: NDArray[np.float64]) -> list[int]:
    left, top, right, bottom = (int(x) for x in box)
    return [left, top, right - left, bottom - top]
