"""The whole pipeline on a small synthetic corpus: real media files, clocks that disagree, missing streams."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TypedDict

from rich.console import Console, RenderableType
from rich.table import Table

from plait.clocks import SyncReport, synchronise, write_synced
from plait.clocks.truth import against_truth, recovery
from plait.core.errors import DataError, raise_all
from plait.core.progress import bar
from plait.corpus.corpus import Corpus
from plait.demo.synth import make_world
from plait.evaluation.evaluate import evaluate
from plait.evaluation.schema import Evaluation
from plait.importing.folder import import_folder
from plait.quality.check import check_corpus
from plait.recipe import Recipe, load_recipe
from plait.report.report import save_evaluation
from plait.report.table import summary_of
from plait.training.fit import fit

__all__ = ["demo"]

LIMIT_MS = 10.0
RECIPE = """\
# What the demo trains: eight kinds of gesture, from the streams that were recorded.
corpus: corpus/synced.jsonl
task: {name: classify, unit: segment, tier: label}
split: {hash: group, test: 0.3, salt: people}
train: {epochs: 20}
"""


def demo(
    out: str | Path,
    *,
    seed: int = 0,
    jobs: int = 2,
    recordings: int = 60,
    epochs: int | None = None,
    quiet: bool = False,
) -> dict[str, object]:
    """Make a corpus, then import, check, sync, fit and evaluate it, and write the report.

    Args:
        out: folder for everything.
        seed: of the recordings and of the training.
        jobs: processes for sync and features.
        recordings: number of recordings, one minute each.
        epochs: of training; by default those of the recipe.
        quiet: print nothing.

    Returns:
        ``sync`` (shares and counts of recovered clocks), ``clocks``, ``evaluation`` and the path of the ``report``.

    Raises:
        DataError: the corpus does not pass its check.
    """
    folder, say = Path(out), _Teller(quiet)
    say.step(f"making {recordings} recordings of a minute (mp4, CSV, SRT): clocks off, streams missing")
    with bar("make", quiet=quiet) as progress:
        truth = make_world(folder / "corpus", recordings=recordings, seed=seed, workers=jobs, progress=progress)
    corpus = _import_and_check(folder / "corpus", say)
    say.step("plait sync")
    with bar("sync", quiet=quiet) as progress:
        found = synchronise(corpus, reference=("video", "audio"), progress=progress, workers=jobs)
    write_synced(corpus, found, folder / "corpus/synced.jsonl")
    clocks = _clock_rows(corpus, found, truth)
    summary = recovery(against_truth(corpus, found, truth), len(corpus), LIMIT_MS)
    say.show(_clock_table(clocks, summary))
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    overrides = [f"train.seeds=[{seed}]"] + ([f"train.epochs={epochs}"] if epochs else [])
    evaluation = _fit_and_evaluate(load_recipe(folder / "recipe.yaml", overrides), folder, jobs, clocks, say)
    report = folder / "gestures/report.html"
    say.step(f"done; the report: {report}")
    return {"sync": summary, "clocks": clocks, "evaluation": evaluation, "report": str(report)}


class _Teller:
    """Prints each step with the seconds since the start; prints nothing when quiet."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.console, self.started = quiet, Console(quiet=quiet), time.monotonic()

    def step(self, text: str) -> None:
        self.console.print(f"[bold]{time.monotonic() - self.started:5.0f} s[/bold]  {text}")

    def show(self, thing: RenderableType) -> None:
        self.console.print(thing, highlight=False)


def _import_and_check(folder: Path, say: _Teller) -> Corpus:
    say.step("plait import")
    # The truth lies beside the recordings: it must not be taken for one of their streams.
    imported = import_folder(folder, options={"skip": ["truth.json"]}, overwrite=True)
    for line in imported.lines():
        say.show(f"         {line}")
    say.step("plait check")
    report = check_corpus(folder / "manifest.jsonl")
    raise_all(DataError, report.problems)
    return Corpus(folder / "manifest.jsonl")


def _fit_and_evaluate(recipe: Recipe, folder: Path, jobs: int, clocks: list[ClockRow], say: _Teller) -> Evaluation:
    say.step("plait fit")
    with bar("prepare", quiet=say.quiet) as progress:
        run = fit(
            recipe,
            folder / "gestures",
            cache=folder / "cache",
            jobs=jobs,
            overwrite=True,
            quiet=say.quiet,
            progress=progress,
        )
    say.step("plait evaluate")
    evaluation: Evaluation = {**evaluate(run, cache=folder / "cache"), "sync": [dict(row) for row in clocks]}
    save_evaluation(evaluation, run.folder)
    say.show(summary_of(evaluation))
    return evaluation


class ClockRow(TypedDict):
    """A planted and a recovered clock, as the report shows them."""

    recording: str
    device: str
    planted_offset: float
    planted_ppm: float
    offset: float
    drift_ppm: float
    max_error_ms: float
    confidence: float | None
    flagged: bool
    reason: str


def _clock_rows(corpus: Corpus, report: SyncReport, truth: dict[str, object]) -> list[ClockRow]:
    found: list[ClockRow] = []
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


def _clock_table(clocks: list[ClockRow], summary: dict[str, object], most: int = 12) -> Table:
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
        table.caption = f"the worst {most} of {len(clocks)}"
    return table
