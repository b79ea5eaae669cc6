"""Facts of an evaluation: task and target, sizes of the parts, groups they share, when and with which versions."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from typing_extensions import TypedDict

from plait.core.parts import part_name
from plait.core.version import __version__
from plait.evaluation.schema import FoldFacts, Parts, Size
from plait.examples.items import Fold, Item
from plait.examples.units import find_unit
from plait.recipe import CorpusPlan
from plait.training.experiment import Experiment

__all__ = ["about_of", "item_facts", "made_with", "parts_of"]


def about_of(experiment: Experiment) -> dict[str, str]:
    """The ``corpus``; the task's ``name``, its ``target`` (a label, or the tier of annotations), and its ``unit``."""
    unit, corpus = experiment.items.unit, experiment.recipe.corpus
    cls = find_unit(unit)
    folder = Path(corpus.folder) if isinstance(corpus, CorpusPlan) else experiment.corpus.path.resolve().parent
    target = unit.get("annotations") or unit.get(cls.source) or ""
    task = {"name": experiment.task["name"], "target": str(target), "unit": part_name(cls)}
    return {"corpus": folder.name, **task}


def item_facts(experiment: Experiment) -> dict[str, dict[str, object]]:
    """What is known of each item, by its id: its length in seconds, and its recording's metadata and other labels."""
    unit = experiment.items.unit
    target = unit.get(find_unit(unit).source)
    entries = {entry.id: entry for entry in experiment.corpus.entries}
    found = {}
    for item in experiment.items.items:
        entry = entries[item.recording]
        labels = {name: value for name, value in entry.labels.items() if name != target}
        found[item.id] = {"length": round(item.stop - item.start, 3), **labels, **entry.meta}
    return found


class Made(TypedDict):
    """When, to the second and with the zone, and with which versions."""

    date: str
    versions: dict[str, str]


def made_with() -> Made:
    """When, to the second and with the zone, and with which versions."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "date": now,
        "versions": {"plait": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def parts_of(experiment: Experiment, trained_on: Sequence[int], *, elsewhere: bool) -> Parts:
    """Sizes of the parts of every fold, and how many of a fold's test groups were in its training or validation part.

    Args:
        experiment: the recipe with the corpus that is evaluated on.
        trained_on: the number of training items of each replicate; on another corpus nothing else is known.
        elsewhere: whether the corpus is another than that of the training.

    Returns:
        The folds; ``named_groups``: whether the corpus names groups, or else each recording is its own group.
    """
    items = experiment.items.items
    named = any(i.group != i.recording for i in items)
    if elsewhere:
        train: Size = {"items": max(trained_on), "groups": None}
        whole: FoldFacts = {"name": "", "train": train, "valid": None, "test": _size(items), "seen": None}
        return {"folds": [whole], "named_groups": named}
    return {"folds": [_fold(fold) for fold in experiment.folds], "named_groups": named}


def _fold(fold: Fold) -> FoldFacts:
    before = {i.group for i in [*fold.train, *fold.valid]}
    return {
        "name": fold.name,
        "train": _size(fold.train),
        "valid": _size(fold.valid),
        "test": _size(fold.test),
        "seen": len({i.group for i in fold.test} & before),
    }


def _size(items: Sequence[Item]) -> Size:
    return {"items": len(items), "groups": len({i.group for i in items})}
