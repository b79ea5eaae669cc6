"""The recommended recipe of a search: trained on its own sides, and scored once on the test part."""

from __future__ import annotations

import json
from pathlib import Path

from plait.core.atomic import read_text, write_text
from plait.core.parts import foreign_code
from plait.core.progress import Progress
from plait.evaluation.examined import Examination
from plait.recipe import Recipe
from plait.training.fit import fit
from plait.training.run import Run, digest_of
from plait.tuning.choice import Scored, figures

__all__ = ["Test", "score_once"]

LOOKS = "tested.json"
"""Every recipe of a search that was scored on the test part, by its digest, with its score."""


class Test(Scored):
    """The recommended recipe on the test part, the mean over its seeds.

    ``optimism``: how much better the metric was on the validation items; above 0, the choice flattered it. ``times``:
    how many different recipes of the search have been scored on the test part; above 1 this figure is optimistic too.
    """

    optimism: float
    times: int


def score_once(
    recipe: Recipe, validation: float, folder: Path, *, cache: Path, jobs: int = 1, progress: Progress | None = None
) -> Test:
    """Train a recipe into ``folder``/run, going on with what is there, and score it unless it has been scored.

    Args:
        recipe: what was chosen.
        validation: its metric on the validation items.
        folder: of the search.
        cache: where prepared features are kept.
        jobs: processes, each training one replicate.
        progress: told of features that are prepared.
    """
    place, digest = folder / "run", digest_of(recipe)
    other = Run.is_run(place) and digest_of(Run(place).recipe) != digest
    run = fit(recipe, place, cache=cache, jobs=jobs, overwrite=other, quiet=True, progress=progress)
    task = run.model(run.replicates[0]).task
    looks: dict[str, Scored] = json.loads(read_text(folder / LOOKS)) if (folder / LOOKS).exists() else {}
    if digest not in looks:
        looks[digest] = _scored(run, cache, progress)
        write_text(folder / LOOKS, json.dumps(looks), durable=True)
    found, sign = looks[digest], 1 if task.higher_is_better else -1
    return {**found, "optimism": sign * (validation - found["metric"]), "times": len(looks)}


def _scored(run: Run, cache: Path, progress: Progress | None) -> Scored:
    with foreign_code(run.allow_code):
        examined = list(Examination(run, cache, None, progress))
    return figures(examined[0].model.task, [one.output([tuple(one.modalities)]) for one in examined])
