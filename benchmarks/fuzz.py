"""Broken files by the hundred thousand: a reader must end each in values or in `DataError`, soon and in little memory.

Needs: h5py, mcap, protobuf (extra `bench`).
Takes: half an hour to an hour of one core; with --inputs 4000 half a minute.

python benchmarks/fuzz.py [--inputs 200000] [--readers mcap edf] [--first 0] [--save FOLDER]

Inputs are shared out evenly over the readers. With --save each input that fails is kept, as it stands, in
FOLDER/READER/NUMBER: made small by hand, such cases belong to tests/fuzz/cases.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import needs
from targets import finish, target

from plait.testing.fuzz import PEAK_MB, SECONDS, Seed, Tally, broken_copy, fuzz_reader

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/fuzz"))
from seeds import SEEDS, make_seeds


def show(tallies: dict[str, Tally], seconds: dict[str, float]) -> None:
    print(
        f"{'reader':<13}{'inputs':>8}{'values':>8}{'DataError':>10}{'failures':>9}{'slowest':>10}{'peak':>8}{'rate':>9}"
    )
    for name, t in tallies.items():
        print(
            f"{name:<13}{t.inputs:>8}{t.results:>8}{t.errors:>10}{len(t.failures):>9}{t.slowest:>8.2f} s"
            f"{t.peak_mb:>5.0f} MB{t.inputs / max(seconds[name], 1e-9):>7.0f}/s"
        )
    for name, t in tallies.items():
        for failure in t.failures:
            print(f"{name} {failure.number}: {failure.what}")


def save(folder: Path, reader: str, seeds: list[Seed], tally: Tally) -> None:
    for failure in tally.failures:
        place = folder / reader / str(failure.number)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        case = broken_copy(place, seeds, reader, failure.number)
        (place / "options.json").write_text(json.dumps(case.options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--readers", nargs="+", choices=sorted(SEEDS), default=sorted(SEEDS))
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each reader")
    parser.add_argument("--save", type=Path, help="where to keep inputs that fail")
    args = parser.parse_args()
    needs.check(packages=["h5py", "mcap", "google.protobuf"])
    each = -(-args.inputs // len(args.readers))
    tallies: dict[str, Tally] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for reader in args.readers:
            seeds = make_seeds(reader, Path(folder))
            begun = time.perf_counter()
            tallies[reader] = fuzz_reader(reader, seeds, inputs=each, first=args.first)
            seconds[reader] = time.perf_counter() - begun
            print(
                f"{reader}: {each} inputs, {len(tallies[reader].failures)} failures, {seconds[reader]:.0f} s",
                flush=True,
            )
            if args.save:
                save(args.save, reader, seeds, tallies[reader])
    show(tallies, seconds)
    finish(
        [
            target("broken files opened and read", sum(t.inputs for t in tallies.values()), ">=", 100_000),
            target("ended in neither values nor DataError", sum(len(t.failures) for t in tallies.values()), "==", 0),
            target("processor time of the slowest, s", max(t.slowest for t in tallies.values()), "<=", SECONDS),
            target("memory of the process, peak, MB", max(t.peak_mb for t in tallies.values()), "<=", PEAK_MB),
        ],
        readers={
            name: {"inputs": t.inputs, "values": t.results, "errors": t.errors, "failures": len(t.failures)}
            for name, t in tallies.items()
        },
    )


if __name__ == "__main__":
    main()
