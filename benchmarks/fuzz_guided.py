"""Broken files guided by coverage: Atheris changes small files so that a reader takes ways it has not taken yet.

Needs: atheris (pip install atheris).
Takes: as long as --seconds says, a minute by default.

python benchmarks/fuzz_guided.py edf .edf --seconds 60 [--save FOLDER]

The limits are those of `fuzz.py`. It stops at the first input that ends in neither values nor `DataError`, and keeps
it in the folder.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import needs

needs.check(packages=["atheris"])

import atheris

with atheris.instrument_imports(include=["plait.streams"]):
    import plait.readers
    from plait.core.parts import parts

    READERS = parts(plait.readers.Reader)

from plait.testing.fuzz import PEAK_MB, SECONDS, Case, end_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/fuzz"))
from seeds import make_seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=sorted(READERS))
    parser.add_argument("suffix", help="which of its formats, by the ending")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--save", type=Path, default=Path("found"))
    args = parser.parse_args()
    args.save.mkdir(parents=True, exist_ok=True)
    logging.getLogger("plait").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp())
    (folder / "corpus").mkdir()
    for i, seed in enumerate(make_seeds(args.reader, folder)):
        if seed.path.is_file() and seed.path.suffix == args.suffix:
            shutil.copy(seed.path, folder / "corpus" / str(i))
    file = folder / f"input{args.suffix}"

    def one(data: bytes) -> None:
        file.write_bytes(data)
        outcome = end_of(Case(args.reader, file))
        if outcome not in ("result", "error"):
            shutil.copy(file, args.save / f"{args.reader}{args.suffix}")
            raise RuntimeError(outcome)

    limits = [
        f"-artifact_prefix={args.save}/",
        f"-timeout={SECONDS:.0f}",
        f"-rss_limit_mb={PEAK_MB:.0f}",
        f"-max_total_time={args.seconds}",
    ]
    atheris.Setup([sys.argv[0], str(folder / "corpus"), "-max_len=20000", "-print_final_stats=1", *limits], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
