"""What an evaluation is of: task and target, the sizes of the parts, whether their groups meet, when and with what."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from plait.core.parts import part_name
from plait.core.version import __version__
from plait.examples.items import Fold, Item
from plait.examples.units import find_unit
from plait.recipe import CorpusPlan
from plait.training.experiment import Experiment

__all__ = ["about_of", "made_with", "parts_of"]


def about_of(experiment: Experiment) -> dict[str, str]:
    """The ``corpus``; the task's ``name``, its ``target`` (a label, or the tier of annotations), and its ``unit``."""
    unit, corpus = experiment.items.unit, experiment.recipe.corpus
    cls = find_unit(unit)
    folder = Path(corpus.folder) if isinstance(corpus, CorpusPlan) else experiment.corpus.path.resolve().parent
    target = unit.get("annotations") or unit.get(cls.source) or ""
    task = {"name": experiment.task["name"], "target": str(target), "unit": part_name(cls)}
    return {"corpus": folder.name, **task}


def made_with() -> dict[str, object]:
    """When, to the second and with the zone, and with which versions."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "date": now,
        "versions": {"plait": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def parts_of(experiment: Experiment, trained_on: Sequence[int], *, elsewhere: bool) -> dict[str, object]:
    """Sizes of the parts of every fold, and how many of a fold's test groups were in its training or validation part.

    Args:
        experiment: the recipe met with the corpus that is evaluated on.
        trained_on: how many items each member was trained on; all that is known where the corpus is another one.
        elsewhere: whether it is.

    Returns:
        ``folds``, of each its ``name``, ``train``, ``valid``, ``test`` (``items`` and ``groups``, None where they are
        not known) and ``seen``; ``named_groups``: whether the corpus names groups, or each recording is one of its own.
    """
    items = experiment.items.items
    named = any(i.group != i.recording for i in items)
    if elsewhere:
        train = {"items": max(trained_on), "groups": None}
        folds = [{"name": "", "train": train, "valid": None, "test": _size(items), "seen": None}]
        return {"folds": folds, "named_groups": named}
    return {"folds": [_fold(fold) for fold in experiment.folds], "named_groups": named}


def _fold(fold: Fold) -> dict[str, Any]:
    before = {i.group for i in [*fold.train, *fold.valid]}
    sizes = {side: _size(items) for side, items in fold.sides.items()}
    return {"name": fold.name, **sizes, "seen": len({i.group for i in fold.test} & before)}


def _size(items: Sequence[Item]) -> dict[str, int]:
    return {"items": len(items), "groups": len({i.group for i in items})}
