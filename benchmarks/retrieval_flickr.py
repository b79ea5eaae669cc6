"""Flickr8k's part for `retrieval.py`: splits by picture, a recipe per split, and canonical correlation by itself."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plait import load_recipe
from plait.corpus.manifest import AnnotationEntry, RecordingEntry, StreamEntry, write_manifest
from plait.recipe import Recipe

__all__ = ["Part", "captions_of", "recipe_of", "splits_of", "write_part"]

RECIPE = Path(__file__).parents[1] / "recipes/flickr_retrieve.yaml"
TEST, VALID = 100, 100


@dataclass(frozen=True)
class Part:
    """A split of the pictures: its number, and the side of each."""

    number: int
    side: dict[str, str]


def captions_of(folder: Path) -> dict[str, list[str]]:
    """The captions of each picture that is there, in order of the pictures' names."""
    found: dict[str, list[str]] = {}
    with open(folder / "captions.txt", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["image"], []).append(row["caption"])
    return {name: found[name] for name in sorted(found) if (folder / "Images" / name).is_file()}


def splits_of(names: list[str], train: int, count: int = 5) -> Iterator[Part]:
    """Splits drawn by their number; fewer training pictures are the first of the same."""
    for number in range(count):
        order = [names[i] for i in np.random.default_rng(number).permutation(len(names))]
        first = len(order) - TEST - VALID
        side = dict.fromkeys(order[: min(train, first)], "train")
        side |= dict.fromkeys(order[first : first + VALID], "valid") | dict.fromkeys(order[first + VALID :], "test")
        yield Part(number, side)


def write_part(manifest: Path, data: Path, captions: dict[str, list[str]], part: Part) -> Path:
    """A manifest: one recording per picture, its captions on the tier ``caption``."""
    entries = []
    for name, side in part.side.items():
        said = [
            AnnotationEntry(start=0, stop=1, label=text, tier="caption", annotator=str(n))
            for n, text in enumerate(captions[name], 1)
        ]
        path = os.path.relpath(data / "Images" / name, manifest.parent)
        entries.append(
            RecordingEntry(id=Path(name).stem, streams={"image": StreamEntry(path=path)}, annotations=said, split=side)
        )
    write_manifest(manifest, entries)
    return manifest


def recipe_of(manifest: Path, name: str) -> Recipe:
    """The recipe on a split."""
    found = load_recipe(RECIPE)
    return found.model_copy(
        update={"corpus": str(manifest), "split": {"by": "manifest"}, "allow_outside": True, "name": name}
    )
