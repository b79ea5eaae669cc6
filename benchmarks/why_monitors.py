"""What training warns of in worlds where it is known, for why.py."""

from __future__ import annotations

from pathlib import Path

from why_cases import write_monitored

from plait import fit
from plait.recipe import parse_recipe

__all__ = ["TRUE", "warnings_in"]

TRUE = {
    "clean": [],
    "nothing": [("learns nothing", "two")],
    "memorised": [("is memorised", "two")],
    "starved": [("starves the rest", "one")],
}
"""The warnings that are right in each world of `why_cases.MONITORED`."""

RECIPE = """
corpus: {manifest}
task: {{name: classify, unit: segment, tier: class}}
split: {{by: manifest}}
model: {{dim: 16}}
augment: {{modality_dropout: {dropout}}}
train: {{epochs: 10, lr: 0.01, wide: false, temperature_scaling: false, seeds: [{seed}]}}
"""


def warnings_in(name: str, seed: int, out: Path, cache: str) -> list[tuple[str, str]]:
    """Kind and modality of each warning of a world; a run that is there is only read."""
    folder = out / f"{name}-{seed}"
    manifest = folder / "manifest.jsonl"
    if not manifest.exists():
        write_monitored(folder, name, seed)
    # Modality dropout is the cure, so the world that is to starve goes without.
    dropout = 0.0 if name == "starved" else 0.3
    recipe = parse_recipe(RECIPE.format(manifest=manifest, seed=seed, dropout=dropout))
    run = fit(recipe, out / f"{folder.name}-run", cache=cache, quiet=True)
    return [(one["kind"], one["modality"]) for one in run.done(run.replicates[0]).warnings]
