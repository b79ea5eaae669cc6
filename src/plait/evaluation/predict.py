"""Predict from raw files: the run's own preparation, any stream absent."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from plait.errors import ConfigError, DataError
from plait.features.store import Store
from plait.recipe import CorpusPlan, Recipe
from plait.streams.clock import windows
from plait.streams.corpus import Corpus
from plait.streams.importing import import_files
from plait.streams.items import Item, measured_span
from plait.streams.recording import Recording
from plait.training.data import ItemData, loader
from plait.training.experiment import Experiment
from plait.training.run import Member, Run

__all__ = ["predict"]


def predict(
    run: Run,
    paths: Sequence[str | Path],
    *,
    cache: str | Path,
    segments: Sequence[tuple[float, float]] = (),
    member: str | None = None,
) -> list[dict[str, Any]]:
    """What the model says of raw files (or of a manifest's recordings).

    Files are put together to recordings by the naming convention that the run's corpus was imported by.
    Whole recordings, windows or segments are answered for, as the recipe's task says; segments are those
    given, else those of the task's tier, else the whole recording.

    Args:
        run: a finished run.
        paths: media files, folders, or one manifest.
        cache: where features are kept.
        segments: (start, stop) in seconds, for every recording.
        member: which of the run's models (``seed0``); the first by default.

    Returns:
        One dict an item: recording, start, stop, the task's answer, the modalities used and those missing.

    Raises:
        DataError: a file cannot be read, or none holds a stream that the run knows.
        ConfigError: no such member.
    """
    model = run.model(_member(run, member))
    with tempfile.TemporaryDirectory(prefix="plait-") as folder:
        corpus = _corpus(run.recipe, [Path(p) for p in paths], Path(folder))
        experiment = _experiment(run, corpus)
        items = [i for r in corpus for i in _items(r, experiment.unit, segments)]
        features = experiment.prepare(Store(cache), {i.recording for i in items})
        data = ItemData(items, features, torch.zeros(len(items)), experiment.modalities)
        answers = _answers(model, data)
    there = {m: data.present(m) for m in model.modalities if m in data.modalities}
    used = [[m for m in there if there[m][i]] for i in range(len(items))]
    return [_row(item, answer, ms, model.modalities) for item, answer, ms in zip(items, answers, used)]


def _member(run: Run, name: str | None) -> Member:
    if not run.finished:
        raise DataError(f"{run.folder}: no member is trained to its end. Go on with: plait fit")
    for member in run.finished:
        if name in (None, member.name):
            return member
    raise ConfigError(f"{run.folder}: has no member {name!r}; it has {', '.join(m.name for m in run.finished)}.")


def _corpus(recipe: Recipe, paths: list[Path], folder: Path) -> Corpus:
    if len(paths) == 1 and paths[0].suffix == ".jsonl":
        return Corpus(paths[0], allow_outside=recipe.allow_outside)
    options = recipe.corpus.options if isinstance(recipe.corpus, CorpusPlan) else {}
    manifest = folder / "manifest.jsonl"
    import_files(paths, out=manifest, options=options)
    return Corpus(manifest, allow_outside=True)


def _experiment(run: Run, corpus: Corpus) -> Experiment:
    there = {name for entry in corpus.entries for name in entry.streams}
    used = {m: s for m, s in run.info["modalities"].items() if s in there}
    if not used:
        wanted = ", ".join(run.info["modalities"].values())
        raise DataError(f"the files hold the streams {', '.join(sorted(there)) or 'none'}; the run knows {wanted}.")
    return Experiment.bare(run.recipe, corpus, used, run.info["features"])


def _items(recording: Recording, unit: dict[str, Any], segments: Sequence[tuple[float, float]]) -> list[Item]:
    start, stop = recording.span
    whole = Item(recording.id, start, stop, "", recording.group, whole=True)
    kind = unit.get("unit", "recording")
    pad = float(unit.get("pad", 0.0))
    if segments:
        return [Item(recording.id, a - pad, b + pad, "", recording.group) for a, b in segments]
    if kind == "window":
        start, stop = measured_span(recording) or (start, stop)
        length = float(unit["length"])
        found = list(windows(start, stop, length, float(unit.get("hop") or length)))
        padded = [(max(a - pad, start), min(b + pad, stop)) for a, b in found]
        return [Item(recording.id, a, b, "", recording.group) for a, b in padded] or [whole]
    if kind == "segment":
        tier = [(a.start - pad, a.stop + pad) for a in recording.tier(unit.get("tier", "label"))]
        return [Item(recording.id, a, b, "", recording.group) for a, b in tier] or [whole]
    return [whole]


def _answers(model: Any, data: ItemData) -> list[dict[str, Any]]:
    model.eval()
    found: list[dict[str, Any]] = []
    with torch.inference_mode():
        for tokens, _, _ in loader(data, {m: model.dims[m] for m in data.modalities}, batch=64):
            found += model.task.decode(model(tokens)[""])
    return found


def _row(item: Item, answer: dict[str, Any], used: list[str], modalities: list[str]) -> dict[str, Any]:
    return {
        "recording": item.recording,
        "start": item.start,
        "stop": item.stop,
        **answer,
        "used": used,
        "missing": [m for m in modalities if m not in used],
    }
