"""Part ``cause`` of `why.py`: verdicts in the worlds of `why_causes.py`, errors over sites, and ways of an effect."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats
from targets import target
from why_causes import WORLDS, World, planted, sites, world

from plait.evaluation.cause.claim import Claim, claim_of
from plait.evaluation.cause.invariance import invariance_of
from plait.evaluation.cause.mediation import mediated, mediation_of
from plait.evaluation.cause.shortcuts import columns_of, shortcut_of

Rows = list[dict[str, Any]]

UNTOLD = "cannot be told"
RIGHT = {
    "cause": ("effect", False),
    "confounder": ("no effect found", True),
    "collider": (UNTOLD, False),
    "mediator": ("effect", False),
    "clean": ("no effect found", False),
}
"""The verdict on the timbre's effect on the class, and whether the dialect is a shortcut of the model."""


def cause(args: argparse.Namespace, console: Console) -> Rows:
    """What can be said of the world, where errors are the same, and which way an effect takes in a model."""
    seeds = range(args.first_seed, args.first_seed + args.cause_seeds)
    least, rows = 0.95 * len(seeds), []
    table = Table(
        "world", "right", "claim", "shortcut", "together at 1 %", "wrong if not named", title="verdicts, seeds"
    )
    for name in WORLDS:
        told = [_verdicts(name, world(name, seed)) for seed in seeds]
        count = {what: sum(one[what] for one in told) for what in told[0]}
        rows.append(target(f"{name}: verdict right, of {len(seeds)}", count["right"], ">=", least))
        cells = [count.pop(what) for what in ("right", "claim", "shortcut", "raw", "wrong")]
        table.add_row(name, *map(str, cells))
        rows += [target(f"{name} {what}, of {len(seeds)}", n, ">=", least) for what, n in count.items()]
    console.print(table)
    return [*rows, *_over_sites(seeds, least), *_ways(seeds, console)]


def _verdicts(name: str, found: World) -> dict[str, bool]:
    """What is right of a world's verdicts. For comparison: ``raw``, whether timbre and class go together at all;
    ``wrong``: a wrong claim where what the world rests on is not named."""
    wanted, alarm = RIGHT[name]
    named = Claim("timbre", "class", ("dialect",), selection="chosen" if name == "collider" else "")

    def says(claim: Claim, verdict: str) -> bool:
        return claim_of(claim, found.facts, found.groups)["verdict"] == verdict

    groups = np.array([*found.groups.values()])
    dialect = columns_of([own["dialect"] for own in found.facts.values()])
    assert dialect is not None
    shortcut = shortcut_of(found.scores, found.target, dialect, groups).alarm() == alarm
    claim = says(named, wanted)
    bare = named._replace(adjust=("none",), selection="")
    more = {"raw": _raw(found), "wrong": name in ("confounder", "collider") and says(bare, "effect")}
    if name == "confounder":
        more["with nothing adjusted cannot be told"] = says(bare, UNTOLD)
    if name == "collider":
        more["with the shares of the selection no effect"] = says(named._replace(selection="share"), "no effect found")
    if name == "mediator":
        more["with the mediator adjusted no effect is left"] = says(
            named._replace(adjust=("dialect", "pitch")), "no effect found"
        )
    return {"right": claim and shortcut, "claim": claim, "shortcut": shortcut, **more}


def _raw(found: World) -> bool:
    loud = np.array([own["timbre"] == "loud" for own in found.facts.values()])
    counts = np.bincount(2 * loud + found.target, minlength=4).reshape(2, 2)
    return bool(stats.chi2_contingency(counts)[1] < 0.01)


def _over_sites(seeds: range, least: float) -> Rows:
    same = [invariance_of(*sites(seed), "site") for seed in seeds]
    none = [invariance_of(*sites(seed, shift=0.0), "site") for seed in seeds]
    one = [invariance_of(*sites(seed, count=1), "site") for seed in seeds]
    of = f", of {len(seeds)}"
    return [
        target(
            "sites: the cause alone is invariant" + of, sum(x["invariant"] == ["cause"] for x in same if x), ">=", least
        ),
        target(
            "sites without a difference: cannot be told" + of, sum(bool(x["reason"]) for x in none if x), ">=", least
        ),
        target("one site: cannot be told" + of, sum(bool(x["reason"]) for x in one if x), ">=", len(seeds)),
    ]


def _ways(seeds: range, console: Console) -> Rows:
    """Shares of a stream's effect via the tokens of another, in trained models where they are planted."""
    table, rows = Table("planted", "share: mean", "least", "most", "accuracy", title="via the other stream"), []
    for share in (0.0, 0.5, 1.0):
        found, right = [], []
        for seed in seeds[:5]:
            bank, accuracy = planted(share, seed)
            row = next(r for r in mediation_of(mediated(bank, seed=seed), "")["rows"] if r["modality"] == "one")
            found.append(row["share"]["ratio"])
            right.append(accuracy)
        table.add_row(f"{share:g}", *(f"{f(found):.3f}" for f in (np.mean, min, max)), f"{np.mean(right):.3f}")
        rows.append(target(f"planted share {share:g}: most off", np.abs(np.array(found) - share).max(), "<=", 0.1))
    console.print(table)
    return rows
