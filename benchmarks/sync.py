"""Clocks recovered from signals: offset, drift, bends and dropped samples, planted on real sound and motion.

Needs: grid_s1, fsdd, stress_predict, utd_mhad in PLAIT_DATA.
Takes: three to seven minutes of one core; with --quick half a minute.

    PLAIT_DATA=folder python benchmarks/sync.py [--quick] [--seed 0] [--dev] [--rows] [--baseline]

With --baseline `audio-offset-finder` gets the same sounds as buffers at the rate that it works at, in an environment of
its own, made on first use (it pins an old numpy; 300 MB, needs a package index).

Every case is drawn from the half of the data that nothing was tuned on (``--dev``: from the other half). An answer is
a success if it is right within the case's tolerance everywhere in the recording (between a planted change point and
the one found, where no event may tell them apart, the change point's own error is counted instead); all else, and every
answer to recordings that share nothing, is a failure. The tool is told the tolerance, as a user would.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import needs
import numpy as np
import sync_cases as make
from rich.console import Console
from rich.table import Table
from sync_cases import Case, Data
from targets import finish, target

from plait.clocks import Comparison, compare
from plait.core.errors import DataError

NEEDS = ("grid_s1", "fsdd", "stress_predict", "utd_mhad")

PINS = ("audio-offset-finder==0.5.3", "setuptools<81")
"""The baseline; of its needs pkg_resources went from newer setuptools."""

HALF_STEP = {
    "sound ~ mouth": 0.020,
    "words ~ speech": 0.005,
    "words ~ sound": 0.005,
    "inertial ~ inertial": 0.0125,
    "inertial ~ film": 1 / 60,
    "inertial ~ sound": 0.005,
    "words ~ inertial": 0.005,
    "marks ~ acceleration": 1 / 64,
    "pulse ~ pulse": 0.010,
}
"""Half a sample of the slower stream, seconds (of the words: of the 10 ms in which they were marked)."""


NOT_GOOD = ("nothing in common", "hopeless", "at the limit")
"""Groups in which an answer is not to be expected."""


@dataclass(frozen=True)
class Row:
    """One case, and what came of it: errors in seconds (nan where there is no truth), processor time in seconds."""

    case: Case
    error: float
    drift_ppm: float
    change_point_time: float
    confidence: float
    uncertainty: float
    reason: str
    took: float

    @property
    def success(self) -> bool:
        return bool(self.error <= self.case.tolerance)


def plan(data: Data, quick: bool) -> Iterator[tuple[str, int, Any]]:
    """(group, number of cases, builder of (rng)) of everything that can be recovered."""
    few, long = (1, 120.0) if quick else (4, 600.0)
    middle = 120.0 if quick else 300.0
    for snr in (20.0, 10.0, 0.0):
        yield f"speech {snr:g} dB", few, partial(make.sound_to_sound, data, seconds=long, snr_db=snr)
    yield "digits 0 dB", few, partial(make.sound_to_sound, data, seconds=long, snr_db=0.0, digits=True)
    yield "speech, bends", few, partial(make.sound_to_sound, data, seconds=long, snr_db=10.0, bends=2)
    yield "speech, dropped samples", few, partial(make.sound_to_sound, data, seconds=long, snr_db=10.0, drops=2)
    yield "mouth", 2 * few, partial(make.sound_to_film, data, seconds=middle)
    yield "mouth, dropped frames", few, partial(make.sound_to_film, data, seconds=long, drops=1)
    yield "words of speech", 2 * few, partial(make.words_to_sound, data, seconds=long)
    yield "words, digits", few, partial(make.words_to_sound, data, seconds=middle, digits=True)
    yield "two wristbands", 2 * few, partial(make.two_wristbands, data, seconds=long)
    yield "two sensors, actions", 2 * few, partial(make.two_sensors, data, seconds=middle)
    yield "two sensors, bends", few, partial(make.two_sensors, data, seconds=long, bends=2)
    yield "two sensors, dropped samples", few, partial(make.two_sensors, data, seconds=long, drops=2)
    yield "wrist, drawn body", 2 * few, partial(make.wrist_and_film, data, seconds=middle)
    yield "presses of a button", 2 * few, partial(make.presses_to_acc, data, seconds=middle)
    yield "two pulses", 2 * few, partial(make.two_pulses, data, seconds=long)


def cases(data: Data, args: argparse.Namespace) -> Iterator[tuple[str, Case]]:
    """Every case that can be recovered, and after each group's as many that share nothing."""
    for number, (group, count, build) in enumerate(plan(data, args.quick)):
        found = [build(rng=np.random.default_rng([args.seed, args.dev, number, i])) for i in range(count)]
        yield from ((group, case) for case in found)
        yield from (("nothing in common", case) for case in strangers(found))
    found = list(make.of_worlds(1000 * args.dev + args.seed, 2 if args.quick else 8))
    for pair in dict.fromkeys(case.pair for case in found):
        own = [case for case in found if case.pair == pair]
        yield from ((f"made-up, {pair}", case) for case in own)
        yield from (("nothing in common", case) for case in strangers(own))
    yield from (("hopeless", case) for case in hopeless(data, args))
    yield from (("at the limit", case) for case in at_the_limit(data, args))


def strangers(found: list[Case]) -> Iterator[Case]:
    """The first stream of each case with the second one of the next, of which it knows nothing."""
    for one, other in zip(found, found[1:] + found[:1]):
        if one is not other:
            yield replace(one, y=other.y, truth=None, name="of different recordings")


def hopeless(data: Data, args: argparse.Namespace) -> Iterator[Case]:
    """Noise that drowns everything, a sensor that lay still, an even beat, and recordings with seconds in common."""
    for i in range(2 if args.quick else 8):
        rng = np.random.default_rng([args.seed, args.dev, 99, i])
        yield replace(make.sound_to_sound(data, rng, 60.0, float(rng.uniform(-40, -25))), name="drowned in noise")
        good = make.two_sensors(data, rng, 60.0)
        yield replace(good, y=make.noise_like(rng, good.y), truth=None, name="the second one lay on a table")
        yield make.even_beat(rng, 60.0)
        yield make.little_in_common(data, rng)


def at_the_limit(data: Data, args: argparse.Namespace) -> Iterator[Case]:
    """Too noisy or too short, or only just not: here right answers may be flagged, but wrong ones must be."""
    for i in range(1 if args.quick else 8):
        rng = np.random.default_rng([args.seed, args.dev, 98, i])
        yield replace(make.sound_to_sound(data, rng, 60.0, float(rng.uniform(-20, -5))), name="nearly drowned")
        yield replace(make.sound_to_film(data, rng, float(rng.uniform(15, 60))), name="short")
        yield replace(make.sound_to_film(data, rng, 100.0, drops=1), name="short, dropped frames")
        yield replace(make.words_to_sound(data, rng, float(rng.uniform(15, 60))), name="short")
        yield replace(make.two_wristbands(data, rng, float(rng.uniform(30, 120))), name="short")
        yield replace(make.two_wristbands(data, rng, 300.0, drops=2), name="quiet, dropped samples")
        yield replace(make.two_sensors(data, rng, float(rng.uniform(10, 30))), name="short")
        yield replace(make.wrist_and_film(data, rng, float(rng.uniform(10, 40))), name="short")
        yield replace(make.presses_to_acc(data, rng, float(rng.uniform(15, 60))), name="few")
        yield replace(make.two_pulses(data, rng, float(rng.uniform(30, 120))), name="short")


def row(case: Case) -> Row:
    start = time.process_time()
    try:
        got = compare(case.x, case.y, tolerance=case.tolerance)
    except DataError as error:
        return Row(case, np.nan, np.nan, np.nan, 0.0, np.inf, error.problems[0], time.process_time() - start)
    took = time.process_time() - start
    error, drift, late = errors(case, got) if case.truth is not None else (np.nan, np.nan, np.nan)
    return Row(case, error, drift, late, got.confidence, got.uncertainty_s, got.reason, took)


def errors(case: Case, got: Comparison) -> tuple[float, float, float]:
    """Worst error of the lag, of the drift (ppm, by the lag at the ends) and of the change points' instants (s)."""
    clock, truth = case.y.clock, case.truth
    at = np.linspace(clock.start, clock.stop, 2000)
    off = got.line.at(at) - truth.at(at)
    late = 0.0
    for t, _ in truth.change_points:
        nearest = min((s for s, _ in got.change_points), key=lambda s: abs(s - t), default=np.inf)
        late = max(late, abs(nearest - t))
        if np.isfinite(nearest):
            off[(at > min(t, nearest) - 0.1) & (at < max(t, nearest) + 0.1)] = 0
    tilt = (off[-1] - off[0]) / max(clock.stop - clock.start, 1e-9)
    return float(np.abs(off).max()), float(abs(tilt) * 1e6), late


@dataclass
class Rival:
    """`audio-offset-finder` (BBC, Apache 2.0), which knows no drift: its error at best and at worst, and time.

    It runs in an environment of its own; a rival that was not asked for measures nothing.
    """

    process: subprocess.Popen[str] | None = None
    best: list[float] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @classmethod
    def started(cls, wanted: bool) -> Self:
        if not wanted:
            return cls()
        python = needs.own_python("audio-offset-finder", PINS)
        script = Path(__file__).with_name("sync_rival.py")
        pipe = subprocess.PIPE
        return cls(subprocess.Popen([python, script], stdin=pipe, stdout=pipe, text=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process is not None:
            self.process.communicate()

    def measure(self, case: Case, took: float) -> None:
        if self.process is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder) / "pair.npz"
            np.savez(pair, x=case.x.read()[:, 0], y=case.y.read()[:, 0])
            print(pair, file=self.process.stdin, flush=True)
            said = self.process.stdout.readline()
        if not said:
            raise SystemExit("the baseline ended; its own message stands above. Leave --baseline out.")
        found = json.loads(said)
        self.theirs.append(found["seconds"])
        self.ours.append(took)
        at = np.linspace(case.y.clock.start, case.y.clock.stop, 2000)
        off = np.abs(case.truth.at(at) - found["offset"])
        self.best.append(float(off.min()))
        self.worst.append(float(off.max()))


def show(groups: dict[str, list[Row]]) -> None:
    table = Table(title="planted clocks; errors are the worst anywhere in the recording")
    columns = ("group", "pair", "n", "median ms", "largest ms", "ppm")
    columns = (*columns, "right", "right, flagged", "wrong, not flagged", "s")
    for name in columns:
        table.add_column(name, justify="left" if name in ("group", "pair") else "right")
    for group, rows in groups.items():
        error, pairs = np.array([r.error for r in rows]) * 1e3, {r.case.pair for r in rows}
        right = [r for r in rows if r.success]
        wrong = sum(not r.reason for r in rows if not r.success)
        truth = np.isfinite(error).any()
        table.add_row(
            *(group, pairs.pop() if len(pairs) == 1 else "several", str(len(rows))),
            *((f"{np.nanmedian(error):.3f}", f"{np.nanmax(error):.3f}") if truth else ("", "")),
            f"{np.nanmedian([r.drift_ppm for r in rows]):.3f}" if truth else "",
            *(str(len(right)), str(sum(bool(r.reason) for r in right)), str(wrong)),
            f"{np.mean([r.took for r in rows]):.2f}",
        )
    Console(width=150).print(table)


def flagged_share(results: list[Any]) -> float:
    return sum(bool(r.reason) for r in results) / max(len(results), 1)


def targets_of(groups: dict[str, list[Row]], rival: Rival) -> list[dict[str, Any]]:
    rows = [r for each in groups.values() for r in each]
    known = [r for name, each in groups.items() for r in each if name not in NOT_GOOD]
    plain = [r for name, each in groups.items() for r in each if name.startswith(("speech ", "digits "))]
    cut = [r for name, each in groups.items() for r in each if name.startswith("speech,")]
    quiet = [r for r in plain if " 0 dB" in r.case.name]
    found = [
        target("sound ~ sound, down to 0 dB: median error, ms", _median(plain) * 1e3, "<=", 1.0),
        target("sound ~ sound, to 0 dB: median drift error, ppm", np.median([r.drift_ppm for r in plain]), "<=", 1.0),
        target("sound ~ sound, at 0 dB: median error, ms", _median(quiet) * 1e3, "<=", 1.0),
        target("sound ~ sound, bends and dropped samples: median error, ms", _median(cut) * 1e3, "<=", 1.0),
    ]
    for pair, half in HALF_STEP.items():
        own = [r for r in known if r.case.pair == pair]
        found.append(target(f"{pair}: median error, ms", _median(own) * 1e3, "<=", round(half * 1e3, 3)))
    right, wrong = [r for r in known if r.success], [r for r in rows if not r.success]
    found += [
        target(f"failures flagged, share of {len(wrong)}", flagged_share(wrong), ">=", 0.95),
        target(f"successes flagged, share of {len(right)}", flagged_share(right), "<=", 0.05),
    ]
    if rival.theirs:
        ratio = float(np.median(np.array(rival.theirs) / np.array(rival.ours)))
        found.append(target("processor time of audio-offset-finder / plait, median of pairs", ratio, ">=", 3.0))
    return found


def _median(rows: list[Row]) -> float:
    return float(np.median([r.error for r in rows])) if rows else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few short cases, about a minute")
    parser.add_argument("--dev", action="store_true", help="the half of the data that the estimators were tuned on")
    parser.add_argument("--rows", action="store_true", help="print every case")
    parser.add_argument("--baseline", action="store_true", help="compare with audio-offset-finder")
    args = parser.parse_args()
    folder = needs.check(NEEDS)
    warnings.filterwarnings("ignore", category=FutureWarning)
    if not args.baseline:
        print("without the baseline (audio-offset-finder); --baseline makes an environment for it and adds its target")
    groups: dict[str, list[Row]] = defaultdict(list)
    with Rival.started(args.baseline) as rival:
        for group, case in cases(Data(folder, test=not args.dev), args):
            got = row(case)
            if group.startswith(("speech ", "digits ")):
                got = row(case) if not groups else got  # the first one pays for imports
                rival.measure(case, got.took)
            groups[group].append(got)
            if args.rows:
                error = f"{got.error * 1e3:10.3f} ms"
                print(f"{group:28s} {case.name:24s} error {error}, {got.reason or 'good'}", flush=True)
    show(groups)
    if rival.theirs:
        best, worst = np.median(rival.best) * 1e3, np.median(rival.worst) * 1e3
        print(f"the same {len(rival.best)} pairs by audio-offset-finder: median error {best:.1f} ms at its best")
        print(f"moment, {worst:.1f} ms at its worst; processor time {np.median(rival.theirs):.2f} s a pair,", end=" ")
        print(f"plait {np.median(rival.ours):.2f} s")
    good = [r for name, rows in groups.items() if name not in NOT_GOOD for r in rows]
    late = [r.change_point_time for r in good if r.case.truth.change_points]
    found = f"{np.isfinite(late).sum()} of {len(late)} found"
    print(f"dropped samples: {found}, median {np.median(late):.2f} s from where they were")
    finish(targets_of(groups, rival), seed=args.seed, dev=args.dev, quick=args.quick)


if __name__ == "__main__":
    main()
