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
from plait.streams.corpus import Corpus
from plait.streams.importing import import_folder
from plait.streams.synth import make_world
from plait.sync import SyncReport, synchronise, write_synced
from plait.sync.truth import against_truth, recovery
from plait.training.fit import fit

__all__ = ["demo"]

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
        ``sync`` (shares and counts of clocks recovered), ``clocks``, ``evaluation`` and the path of the ``report``.

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
            workers=jobs,
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
        found = synchronise(corpus, reference=("video", "audio"), progress=progress, workers=jobs)
    write_synced(corpus, found, corpus_folder / "synced.jsonl")
    clocks = _clock_rows(corpus, found, truth)
    summary = recovery(against_truth(corpus, found, truth), len(corpus), LIMIT_MS)
    console.print(_clock_table(clocks, summary))
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
        "sync": summary,
        "clocks": clocks,
        "evaluation": evaluation,
        "report": str(run.folder / "report.html"),
    }


def _clock_rows(corpus: Corpus, report: SyncReport, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Planted against recovered clocks, as the report shows them."""
    found = []
    for row in against_truth(corpus, report, truth):
        fix = report.of(row.recording, row.device)
        found.append(
            {
                "recording": row.recording,
                "device": row.device,
                "planted_offset": row.planted_offset,
                "planted_ppm": row.planted_drift_ppm,
                "offset": row.offset,
                "drift_ppm": row.drift_ppm,
                "max_error_ms": row.worst_ms,
                "confidence": fix.confidence if fix else None,
                "flagged": row.flagged,
                "reason": row.reason,
            }
        )
    return found


def _clock_table(clocks: list[dict[str, Any]], summary: dict[str, Any], most: int = 12) -> Table:
    title = (
        f"clocks: {summary['share_within']:.1%} of recordings within {LIMIT_MS:g} ms everywhere, "
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
            "flagged" if r["flagged"] else "",
        )  # fmt: skip
    if len(clocks) > most:
        table.caption = f"the worst {most} of {len(clocks)}; the others are better"
    return table
