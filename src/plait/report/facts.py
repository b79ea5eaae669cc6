"""The facts of a report: training and test data, whether the test groups were new, date and version."""

from __future__ import annotations

from collections.abc import Sequence

from plait.evaluation.schema import Evaluation, FoldFacts, Size
from plait.report.words import counted, listed

__all__ = ["data", "facts"]


def facts(evaluation: Evaluation) -> list[str]:
    """The known facts, one per line.

    >>> facts({"task": {"name": "regress", "target": "age", "unit": "segment"}, "items": 9, "groups": 3, "seeds": [0]})
    ['Task: regress age, one answer per segment.', 'Tested on 9 items of 3 groups.', '1 seed.']
    >>> facts({"task": {"name": "tag", "target": "move", "rate": 4.0}, "items": 9, "groups": 3, "seeds": [0]})[0]
    'Task: tag move, 4 answers per second.'
    """
    found = [_task(evaluation), _trained(evaluation), _tested(evaluation), _replicates(evaluation), _made(evaluation)]
    return [line for line in found if line]


def _task(evaluation: Evaluation) -> str:
    task = evaluation["task"]
    corpus = f"Corpus {evaluation['corpus']}. " if evaluation.get("corpus") else ""
    what = f"{task['name']} {task.get('target') or ''}".strip()
    if rate := task.get("rate"):
        return f"{corpus}Task: {what}, {rate:g} answer{'s' * (rate != 1)} per second."
    return f"{corpus}Task: {what}" + (f", one answer per {task['unit']}." if task.get("unit") else ".")


def _folds(evaluation: Evaluation) -> list[FoldFacts]:
    parts = evaluation.get("parts")
    return parts["folds"] if parts else []


def _trained(evaluation: Evaluation) -> str:
    """'Trained on 431 items of 4 groups, validated on 40 items of 1 group.'"""
    folds = _folds(evaluation)
    if not folds:
        return ""
    each = f" in each of {len(folds)} folds" if len(folds) > 1 else ""
    train = f"Trained on {_sizes([f['train'] for f in folds])}{each}"
    valid = [f["valid"] for f in folds if f["valid"] and f["valid"]["items"]]
    return f"{train}, {f'validated on {_sizes(valid)}' if valid else 'without a validation part'}."


def _sizes(parts: Sequence[Size]) -> str:
    items = _range([p["items"] for p in parts], "item")
    groups = [p["groups"] for p in parts if p["groups"] is not None]
    if len(groups) < len(parts):
        return items
    return f"{items} of {_range(groups, 'group')}"


def _range(numbers: Sequence[int], what: str) -> str:
    low, high = min(numbers), max(numbers)
    return counted(low, what) if low == high else f"{low:,} to {counted(high, what)}"


def _tested(evaluation: Evaluation) -> str:
    """The size of the test part, and whether its groups (people, for example) were seen in training."""
    size = f"Tested on {counted(evaluation['items'], 'item')} of {counted(evaluation['groups'], 'group')}"
    folds, parts = _folds(evaluation), evaluation.get("parts")
    seen = [f["seen"] for f in folds if f["seen"] is not None]
    if not parts or not folds:
        return f"{size}."
    if len(seen) < len(folds):
        return f"{size}, all of another corpus than that of the training."
    if not parts["named_groups"]:
        return (
            f"{size}: the corpus names no groups, so each recording counts as a group, and the person in it may "
            "have been seen in training."
        )
    if sum(seen):
        return f"{size}, of which {sum(seen)} were seen in training too."
    return f"{size}, none of them seen in training."


def _replicates(evaluation: Evaluation) -> str:
    folds = len(evaluation.get("folds") or [])
    return counted(len(evaluation["seeds"]), "seed") + (f", {folds} folds." if folds > 1 else ".")


def _made(evaluation: Evaluation) -> str:
    date = str(evaluation.get("date") or "").replace("T", " ").replace("+00:00", " UTC")
    version = (evaluation.get("versions") or {}).get("plait")
    parts = [f"plait {version}"] if version else []
    return f"Evaluated {listed([p for p in (date, *parts) if p], 'with')}." if date or parts else ""


def data(evaluation: Evaluation) -> dict[str, object]:
    """The known facts of the data, without empty ones."""
    found = evaluation.get("data")
    new = (found.get("new") if found else None) or None
    missing = {m: n for m, n in (found.get("missing_streams") or {}).items() if n} if found else {}
    known = {k: v for k, v in found.items() if k not in ("new", "missing_streams")} if found else {}
    rows = {"test items": evaluation["items"], "test groups": evaluation["groups"]}
    folds = [f for f in evaluation.get("folds") or [] if f]
    every = {**rows, "folds": folds, **known, "new since the run was begun": new, "missing streams": missing}
    return {name: value for name, value in every.items() if value not in ({}, [], None)}
