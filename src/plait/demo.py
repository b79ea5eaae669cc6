"""The whole way on a small made-up corpus: real media files, device clocks that disagree, streams missing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from plait.errors import DataError
from plait.evaluation.evaluate import evaluate
from plait.evaluation.report import write_report
from plait.evaluation.table import subset_table
from plait.progress import bar
from plait.recipe import load_recipe
from plait.streams.check import check_corpus
from plait.streams.corpus import Corpus, StreamEntry
from plait.streams.importing import import_folder
from plait.streams.synth import make_world
from plait.sync import synchronise, write_synced
from plait.training.fit import fit

__all__ = ["clock_errors", "demo"]

LIMIT_MS = 10.0
RECIPE = """\
# What the demo trains: eight kinds of gesture, from whatever was recorded of them.
corpus: corpus/synced.jsonl
task: {name: classify, unit: segment, tier: label}
split: {hash: group, test: 0.25}
"""


def demo(
    out: str | Path,
    *,
    seed: int = 0,
    jobs: int = 2,
    recordings: int = 60,
    epochs: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Make a corpus, then import, check, sync, fit and evaluate it, and write the report.

    Args:
        out: folder for everything.
        seed: of the world and of the training.
        jobs: processes for sync and features.
        recordings: how many, a minute each.
        epochs: of training; the recipe's own number by default.
        quiet: print nothing.

    Returns:
        ``clocks``, ``clocks_within_10_ms`` (a share), ``wrong_unflagged`` (a count), ``evaluation``, ``report``.

    Raises:
        DataError: the made corpus does not pass its check.
    """
    folder, console = Path(out), Console(quiet=quiet)
    corpus_folder, started = folder / "corpus", time.monotonic()

    def step(text: str) -> None:
        console.print(f"[bold]{time.monotonic() - started:5.0f} s[/bold]  {text}")

    step(f"making {recordings} recordings of a minute: mp4 with sound, inertial CSV, SRT; clocks off, streams missing")
    with bar("make", quiet=quiet) as progress:
        truth = make_world(
            corpus_folder,
            recordings=recordings,
            seed=seed,
            progress=progress,
        )
    step("plait import")
    manifest = corpus_folder / "manifest.jsonl"
    for line in import_folder(corpus_folder, options={"skip": ["truth.json"]}, overwrite=True).lines():
        console.print(f"         {line}", highlight=False)
    step("plait check")
    report = check_corpus(manifest)
    if report.problems:
        raise DataError(report.problems)
    step("plait sync")
    corpus = Corpus(manifest)
    with bar("sync", quiet=quiet) as progress:
        found = synchronise(corpus, progress=progress, workers=jobs)
    write_synced(corpus, found, corpus_folder / "synced.jsonl")
    clocks = clock_errors(Corpus(corpus_folder / "synced.jsonl"), truth)
    console.print(_clock_table(clocks))
    step("plait fit")
    recipe_file = folder / "recipe.yaml"
    recipe_file.write_text(RECIPE, encoding="utf-8")
    overrides = [f"train.seeds=[{seed}]"] + ([f"train.epochs={epochs}"] if epochs else [])
    recipe = load_recipe(recipe_file, overrides)
    run = fit(recipe, folder / "run", cache=folder / "cache", jobs=jobs, overwrite=True, quiet=quiet)
    step("plait evaluate")
    evaluation = evaluate(run, cache=folder / "cache")
    evaluation["sync"] = clocks
    (run.folder / "evaluation.json").write_text(json.dumps(evaluation, ensure_ascii=False), encoding="utf-8")
    write_report(evaluation, run.folder / "report.html")
    console.print(subset_table(evaluation))
    step(f"done; the report: {run.folder / 'report.html'}")
    return {
        **clock_summary(clocks),
        "clocks": clocks,
        "evaluation": evaluation,
        "report": str(run.folder / "report.html"),
    }


def clock_errors(corpus: Corpus, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Planted against recovered clocks, and the largest error anywhere in the recording, a row a device."""
    rows = []
    for entry in corpus.entries:
        planted = truth["recordings"][entry.id]
        for device, clock in planted["devices"].items():
            if device in entry.streams:
                rows.append(_clock_row(entry.id, device, entry.streams[device], clock, planted["seconds"]))
    return rows


def _clock_row(
    recording: str, device: str, entry: StreamEntry, clock: dict[str, float], seconds: float
) -> dict[str, Any]:
    shift, slope = entry.offset - clock["offset"], (entry.drift_ppm - clock["drift_ppm"]) * 1e-6
    sync = entry.sync or {}
    return {
        "recording": recording,
        "device": device,
        "planted_offset": clock["offset"],
        "planted_ppm": clock["drift_ppm"],
        "offset": entry.offset,
        "drift_ppm": entry.drift_ppm,
        "max_error_ms": 1000 * max(abs(shift), abs(shift + slope * seconds)),
        "confidence": sync.get("confidence", 0.0),
        "flagged": not sync.get("applied", False),
        "reason": sync.get("reason", ""),
    }


def clock_summary(clocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Share of recordings whose every stream is within 10 ms, and how many wrong ones were not flagged."""
    by_recording: dict[str, list[dict[str, Any]]] = {}
    for row in clocks:
        by_recording.setdefault(row["recording"], []).append(row)
    good = [all(r["max_error_ms"] <= LIMIT_MS for r in rows) for rows in by_recording.values()]
    wrong = [r for r in clocks if r["max_error_ms"] > LIMIT_MS and not r["flagged"]]
    return {"clocks_within_10_ms": sum(good) / max(len(good), 1), "wrong_unflagged": len(wrong)}


def _clock_table(clocks: list[dict[str, Any]], most: int = 12) -> Table:
    summary = clock_summary(clocks)
    title = (
        f"clocks: {summary['clocks_within_10_ms']:.1%} of recordings within {LIMIT_MS:g} ms everywhere, "
        f"{summary['wrong_unflagged']} wrong and not flagged"
    )
    table = Table(title=title)
    for name in (
        "recording",
        "device",
        "planted s",
        "found s",
        "planted ppm",
        "found ppm",
        "worst error ms",
        "",
    ):
        table.add_column(name, justify="left" if name in ("recording", "device", "") else "right")
    shown = sorted(clocks, key=lambda r: (not r["flagged"], -r["max_error_ms"]))[:most]
    for r in shown:
        table.add_row(
            r["recording"], r["device"], f"{r['planted_offset']:+.4f}", f"{r['offset']:+.4f}",
            f"{r['planted_ppm']:+.1f}", f"{r['drift_ppm']:+.1f}", f"{r['max_error_ms']:.2f}",
            "flagged, left as it was" if r["flagged"] else "",
        )  # fmt: skip
    if len(clocks) > most:
        table.caption = f"the worst {most} of {len(clocks)}; the others are better"
    return table
