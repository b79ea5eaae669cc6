"""Planted gaps filled by each method: PLAIT_DATA=... python benchmarks/imputation.py

Needs: stress_predict in PLAIT_DATA.
Takes: about half an hour of one core; with --people 1 a minute or two.

Stress-Predict: acceleration, pulse, skin conductance, temperature and heart rate at the wrist of 29 people, an hour
each. All channels of a stream are lost at once, at thirty places for each length of gap (fewer where they would be
more than a fifth of the recording); of the acceleration also one axis alone ("acc x"). The error is the root mean
square over the gaps of one length in a recording, divided by the recording's own standard deviation, channel by
channel: 1 is what its mean gives. Defaults were chosen on the people S01 to S09 (--dev); what is printed without it is
of S10 to S29.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import needs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from targets import finish, target

from plait.readers import open_streams
from plait.streams.clock import Clock
from plait.transforms.imputation import impute

METHODS: dict[str, Any] = {
    **{name: name for name in ("hold", "linear", "seasonal", "knn", "low_rank", "autoregressive")},
    "knn, instants": {"name": "knn", "around": 0, "neighbours": 20},
}
STREAMS = ("acc", "bvp", "eda", "temp", "hr")
LENGTHS = (0.25, 1.0, 5.0, 30.0, 120.0)
GAPS = 30

Values = NDArray[np.float64]
Errors = dict[tuple[str, float, str], list[float]]
Case = tuple[str, float, Values, Values, Clock]
"""Stream, length of gap in seconds, values, the same with gaps, clock."""


def planted(n: int, rate: float, seconds: float, rng: np.random.Generator) -> list[slice]:
    """Gaps of one length, away from the ends and from each other."""
    length = round(seconds * rate)
    if length < 1:
        return []
    count = int(min(GAPS, n / (5 * length)))
    room = n // max(count, 1)
    starts = [room * i + int(rng.integers(room // 4, room - length - room // 4)) for i in range(count)]
    return [slice(s, s + length) for s in starts]


def cases(folder: Path, *, dev: bool, people: int | None, seed: int) -> Iterator[Case]:
    """All channels of a stream lost at once, and one axis of the acceleration."""
    folders = [f for f in sorted(folder.glob("S[0-9][0-9]")) if (int(f.name[1:]) < 10) == dev]
    for number, person in enumerate(track(folders[:people], "people", console=Console(stderr=True), transient=True)):
        streams = {name.lower(): s for name, s in open_streams(person).items()}
        for k, name in enumerate(STREAMS):
            clock, values = streams[name].clock, np.asarray(streams[name].read(), np.float64)
            rate = (len(values) - 1) / (clock.times[-1] - clock.times[0])
            for j, seconds in enumerate(LENGTHS):
                holes = planted(len(values), rate, seconds, np.random.default_rng((seed, number, k, j)))
                missing = np.zeros(values.shape, np.bool_)
                for hole in holes:
                    missing[hole] = True
                yield name, seconds, values, np.where(missing, np.nan, values), clock
                if name == "acc" and seconds >= 1:
                    yield "acc x", seconds, values, np.where(missing & [True, False, False], np.nan, values), clock


def errors_of(values: Values, gappy: Values, clock: Clock) -> dict[str, tuple[float, float]]:
    """Normalised error of each method over a recording's gaps, and its processor seconds."""
    values, gappy = values.reshape(len(values), -1), gappy.reshape(len(gappy), -1)
    missing, spread = np.isnan(gappy), values.std(0)
    if not missing.any() or not (spread[missing.any(0)] > 0).all():
        return {}
    found = {}
    for method, spec in {"mean": "mean", **METHODS}.items():
        began = time.process_time()
        filled = np.where(missing, np.nanmean(gappy, 0), gappy) if spec == "mean" else impute(gappy, clock, spec)[0]
        off = ((filled - values) / np.where(spread > 0, spread, 1.0))[missing]
        found[method] = (float(np.sqrt((off**2).mean())), time.process_time() - began)
    return found


def table(errors: Errors, count: int) -> None:
    """Mean and standard deviation over recordings; the least of each row in bold."""
    names = ("mean", *METHODS)
    out = Table(title=f"normalised RMS error over planted gaps: mean ± sd over {count} people")
    for column in ("stream", "gap", *names):
        out.add_column(column, justify="right")
    for stream, seconds in dict.fromkeys(key[:2] for key in errors):
        means = {n: float(np.mean(errors[stream, seconds, n])) for n in names}
        best = min(means, key=means.__getitem__)
        cells = [f"{means[n]:.3f} ± {np.std(errors[stream, seconds, n], ddof=1):.2f}" for n in names]
        out.add_row(stream, f"{seconds:g} s", *(f"[bold]{c}" if n == best else c for n, c in zip(names, cells)))
    Console(width=160).print(out)


def targets(errors: Errors) -> list[dict[str, Any]]:
    """What the table comes to."""
    means = {key: float(np.mean(values)) for key, values in errors.items()}
    rows = list(dict.fromkeys(key[:2] for key in errors))
    best = {r: min(means[(*r, m)] for m in METHODS) for r in rows}
    beaten = sum(best[r] < means[(*r, "mean")] for r in rows)
    alone = means["acc x", 30.0, "knn, instants"] / means["acc x", 30.0, "linear"]
    line, model = (
        float(np.exp(np.mean([np.log(means[(*r, method)] / than[r]) for r in rows])))
        for method, than in (("linear", {r: means[(*r, "hold")] for r in rows}), ("autoregressive", best))
    )
    return [
        # a pulse that is lost for half a minute and longer is anybody's guess
        target(f"of {len(rows)} rows, the best method beats the recording's mean in", beaten, ">=", len(rows) - 2),
        target("linear over hold, geometric mean over rows", line, "<=", 0.8),
        target("autoregressive over the best of each row, geometric mean", model, "<=", 1.1),
        target("pulse, 0.25 s: autoregressive over linear", _over(means, "bvp", 0.25), "<=", 0.6),
        target("pulse, 1 s: autoregressive over linear", _over(means, "bvp", 1.0), "<=", 0.8),
        target("one axis lost for 30 s: neighbours by the other axes over linear", alone, "<=", 0.85),
    ]


def _over(means: dict[tuple[str, float, str], float], stream: str, seconds: float) -> float:
    return means[stream, seconds, "autoregressive"] / means[stream, seconds, "linear"]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--dev", action="store_true", help="the people that defaults were chosen on")
    p.add_argument("--people", type=int, help="so many of them only")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    folder = needs.check(["stress_predict"]) / "stress_predict" / "Raw_data"
    errors: Errors = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    found = cases(folder, dev=args.dev, people=args.people, seed=args.seed)
    for stream, length, values, gappy, clock in found:
        for method, (error, took) in errors_of(values, gappy, clock).items():
            errors[stream, length, method].append(error)
            seconds[method] += took
    count = len(errors["bvp", 1.0, "mean"])
    table(errors, count)
    print("processor seconds: " + ", ".join(f"{m} {s:.1f}" for m, s in seconds.items()))
    cells = {
        f"{s} {g:g} s {m}": [round(float(np.mean(v)), 4), round(float(np.std(v)), 4)] for (s, g, m), v in errors.items()
    }
    finish(targets(errors), people=count, errors=cells)


if __name__ == "__main__":
    main()
