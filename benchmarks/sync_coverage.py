"""How often the bounds that sync states hold: planted clocks in real and made-up recordings, by pair of streams.

Needs: grid_s1, fsdd, stress_predict, utd_mhad, sample_videos in PLAIT_DATA.
Takes: half an hour of one core; with --cases 8 four minutes.

    PLAIT_DATA=folder python benchmarks/sync_coverage.py [--cases 60] [--seed 0] [--dev] [--only KIND ...]

Scored on the half of people and clips on which nothing was tuned (``--dev``: on the other half).

Recordings last 40 to 400 s; in a quarter of them the drift bends, one in eight loses samples. A bound holds if no
instant of the recording is further off than it says. Only answers that state one count: where nothing in common is
found, or the two are alike in several ways, there is none. Samples lost in a stretch that the answer says nothing
about (``untold``) are counted apart. Beside each share stand its 95 % interval (Clopper and Pearson, 1934), how wide
bounds and errors are in the middle, and within what 95 of 100 errors lie: a bound that knew this beforehand would be as
wide.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import needs
import numpy as np
import sync
import sync_cases as make
import sync_more as more
from numpy.random import Generator
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest
from sync_cases import Case, Data
from targets import finish, target

from plait.clocks import Comparison, compare
from plait.clocks.flags import Flag
from plait.core.errors import DataError

NEEDS = (*sync.NEEDS, "sample_videos")

NONE_STATED = (Flag.NOTHING_IN_COMMON, Flag.AMBIGUOUS, Flag.OUT_OF_RANGE)
"""Flags of answers that are no answer, and so state no bound."""

FEWEST = 15
"""Of fewer bounds no share is judged."""

Build = Callable[[Generator, float, dict[str, int]], Case]


@dataclass(frozen=True)
class Bound:
    """What was stated and what was true, seconds; ``told``: whether samples were lost in a stretch left untold."""

    error: float
    within: float
    told: bool = False

    @property
    def holds(self) -> bool:
        return self.error <= self.within


def kinds(data: Data) -> dict[str, list[Build]]:
    """Pairs of streams, and the builders whose cases take turns."""
    loud = (20.0, 10.0, 0.0)
    speech = [lambda r, s, cuts, snr=snr: make.sound_to_sound(data, r, s, snr, **cuts) for snr in loud]
    table = {
        what: [lambda r, s, cuts, what=what, build=build: build(data, r, s, what, **cuts)]
        for what, build in (("jaw", more.mouth_to_table), ("envelope", more.mouth_to_table))
    }
    return {
        "sound ~ sound": [*speech, lambda r, s, cuts: more.sample_sound(data, r, s)],
        "sound ~ mouth": [lambda r, s, cuts: make.sound_to_film(data, r, s, **cuts)],
        "mouth ~ table of a jaw": table["jaw"],
        "mouth ~ table of an envelope": table["envelope"],
        "sound ~ table of an envelope": [lambda r, s, cuts: more.sound_to_table(data, r, s, "envelope", **cuts)],
        "words ~ speech": _straight(*(partial(make.words_to_sound, data, digits=digits) for digits in (False, True))),
        "words ~ mouth": _straight(partial(more.mouth_to_words, data)),
        "words ~ table of an envelope": _straight(partial(more.table_to_words, data, what="envelope")),
        "two wristbands": [lambda r, s, cuts: make.two_wristbands(data, r, s, **cuts)],
        "two sensors": [lambda r, s, cuts: make.two_sensors(data, r, s, **cuts)],
        "inertial ~ skeleton": [lambda r, s, cuts: more.body_and_sensor(data, r, s, **cuts)],
        "inertial ~ film": _straight(partial(make.wrist_and_film, data)),
        "film ~ film": [
            lambda r, s, cuts: more.two_films(data, r, s, **cuts),
            lambda r, s, cuts: more.two_films_of_sports(data, r, s),
        ],
        "marks ~ acceleration": _straight(partial(make.presses_to_acc, data)),
        "pulse ~ pulse": _straight(partial(make.two_pulses, data)),
    }


def _straight(*builds: Callable[..., Case]) -> list[Build]:
    """Builders that know neither bends nor lost samples."""
    return [lambda r, s, cuts, build=build: build(rng=r, seconds=s) for build in builds]


def planted(builds: list[Build], key: list[int], cases: int) -> Iterator[Case]:
    for i in range(cases):
        rng = np.random.default_rng([*key, i])
        seconds = float(np.exp(rng.uniform(np.log(40), np.log(400))))
        cuts = {7: {"drops": 1}, 6: {"bends": 1}, 5: {"bends": 1}}.get(i % 8, {})
        yield builds[i % len(builds)](rng, seconds, cuts)


def bound(case: Case) -> Bound | None:
    try:
        got = compare(case.x, case.y)
    except DataError:
        return None
    if got.flag in NONE_STATED:
        return None
    return Bound(sync.errors(case, got)[0], got.uncertainty_s, _untold(case, got))


def _untold(case: Case, got: Comparison) -> bool:
    first, last = got.untold or (0.0, 0.0)
    return any(first <= t <= last for t, _ in case.truth.change_points)


def worlds(seed: int, recordings: int) -> list[Bound]:
    """Bounds of all devices of made-up recordings, from the global clock adjustment."""
    from plait.clocks import synchronise
    from plait.clocks.truth import against_truth
    from plait.corpus.corpus import Corpus
    from plait.demo.synth import make_world
    from plait.importing.folder import import_folder

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = make_world(folder, recordings=recordings, seconds=60, seed=seed)
        import_folder(folder)
        corpus = Corpus(folder / "manifest.jsonl")
        report = synchronise(corpus)
        rows = against_truth(corpus, report, truth)
    within = {(f.recording, s): f.uncertainty_s for f in report.applied for s in f.streams}
    found = [(row, within.get((row.recording, _named(row.device)))) for row in rows]
    return [Bound(row.worst_ms / 1e3, bound) for row, bound in found if bound is not None]


def _named(device: str) -> str:
    return device if device == "words" else "imu"


def target_of(kind: str, bounds: list[Bound]) -> dict[str, Any]:
    """The share of bounds that hold, with its interval, and how wide the bounds are."""
    counted = [b for b in bounds if b.holds or not b.told]
    held = sum(b.holds for b in counted)
    interval = binomtest(held, len(counted)).proportion_ci(0.95, "exact")
    error = np.quantile([b.error for b in counted], 0.95)
    return {
        **target(f"{kind}: share of bounds that hold", held / len(counted), ">=", 0.95),
        "n": len(counted),
        "low": round(float(interval.low), 3),
        "high": round(float(interval.high), 3),
        "median_bound_ms": round(1e3 * float(np.median([b.within for b in counted])), 3),
        "median_error_ms": round(1e3 * float(np.median([b.error for b in counted])), 3),
        "error_95_ms": round(1e3 * float(error), 3),
        "lost_untold": len(bounds) - len(counted),
    }


def show(found: list[dict[str, Any]]) -> None:
    table = Table(title="95 % bounds")
    names = ("what", "n", "value", "low", "high", "median_bound_ms", "median_error_ms", "error_95_ms", "lost_untold")
    for name in names:
        table.add_column(name, justify="left" if name == "what" else "right")
    for each in found:
        table.add_row(*(f"{each[name]:.4g}" if isinstance(each[name], float) else str(each[name]) for name in names))
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=60, help="of each pair of streams")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dev", action="store_true", help="the half of the data that the bounds were tuned on")
    parser.add_argument("--only", nargs="*", default=(), metavar="KIND", help="pairs whose name holds one of these")
    args = parser.parse_args()
    data, found, few = Data(needs.check(NEEDS), test=not args.dev), [], {}
    every: dict[str, Callable[[], list[Bound]]] = {
        kind: partial(_bounds, builds, [args.seed, args.dev, number], args.cases)
        for number, (kind, builds) in enumerate(kinds(data).items())
    }
    recordings = max(args.cases // 2, 2)
    every["made-up worlds, all devices together"] = partial(worlds, 1000 * args.dev + args.seed, recordings)
    for kind, make_bounds in every.items():
        if args.only and not any(part in kind for part in args.only):
            continue
        bounds = make_bounds()
        if len(bounds) < FEWEST:
            few[kind] = len(bounds)
            print(f"{kind}: only {len(bounds)} of {args.cases} answers state a bound; not judged", flush=True)
            continue
        found.append(target_of(kind, bounds))
        print(f"{kind}: {found[-1]['value']:.3f} of {found[-1]['n']}", flush=True)
    show(found)
    if found:  # else nothing was judged
        ratio = float(np.median([each["median_bound_ms"] / each["error_95_ms"] for each in found]))
        found.append(target("bounds over the 95 % quantile of errors, median of pairs", ratio, "<=", 4.0))
    finish(found, seed=args.seed, dev=args.dev, cases=args.cases, too_few=few)


def _bounds(builds: list[Build], key: list[int], cases: int) -> list[Bound]:
    return [found for case in planted(builds, key, cases) if (found := bound(case)) is not None]


if __name__ == "__main__":
    main()
