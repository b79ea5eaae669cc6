"""Spoken and written digits, paired by class: PLAIT_DATA=... python benchmarks/av_digits.py

Needs: fsdd, mnist in PLAIT_DATA.
Takes: minutes.

Writes ``$PLAIT_DATA/av_digits``: a wav and a png for each item, and the manifest that plait's own import makes of them.
From the Free Spoken Digit Dataset (``fsdd/recordings``, 3000 recordings of 6 speakers, official split by the
recording's number: 0 to 4 test) and MNIST's test images (``mnist/t10k-*.gz``). Each spoken digit is paired with
pictures of its class, and no recording and no picture stands on two sides. The pictures are degraded, so that
they alone do not suffice: shrunk contrast, blur, and white noise. How much is chosen on training items only:
``--choose`` fits the recipe's own picture encoder at several levels and scores the validation part.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import needs
import numpy as np
from numpy.typing import NDArray

from plait import evaluate, fit, load_recipe
from plait.importing.folder import import_folder

NOISE = 0.7
"""Standard deviation of the noise, in units of the ink's contrast."""

BLUR = 1.0
"""Standard deviation of the blur, pixels of 28."""

CONTRAST = 0.25
"""What is left of the ink's contrast, so that noise is seldom cut off at black and white."""

IMPORT: dict[str, Any] = {
    "match": r"(?P<split>train|valid|test)/(?P<id>(?P<spoken>(?P<digit>\d)_(?P<speaker>[a-z]+)_\d+)-\d+)\.",
    "group": "{spoken}",
    "labels_from_meta": ["digit"],
}
RECIPE = Path(__file__).parents[1] / "recipes/av_digits.yaml"


class Side(NamedTuple):
    """One side of the split: the numbers of its recordings, how many pictures each gets, and its share of all."""

    numbers: range
    pictures: int
    pool: tuple[float, float]


SIDES = {
    "train": Side(range(9, 50), 1, (0.0, 0.6)),
    "valid": Side(range(5, 9), 4, (0.6, 0.8)),
    "test": Side(range(5), 4, (0.8, 1.0)),
}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes in MNIST's format: its number of axes, their lengths (big-endian), the bytes."""
    with gzip.open(path) as file:
        axes = struct.unpack(">HBB", file.read(4))[2]
        shape = struct.unpack(f">{axes}I", file.read(4 * axes))
        return np.frombuffer(file.read(), np.uint8).reshape(shape)


def degraded(picture: NDArray[np.uint8], noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blurred, of less contrast and noisy, [28, 28] uint8."""
    ink = cv2.GaussianBlur(picture.astype(np.float64) / 255, (0, 0), BLUR)
    grey = 0.5 + CONTRAST * (ink - 0.5 + noise * rng.standard_normal(ink.shape))
    return np.rint(255 * grey.clip(0, 1)).astype(np.uint8)


def pairs(recordings: list[Path], digits: NDArray[np.uint8], seed: int) -> Iterator[tuple[str, Path, int]]:
    """Side, recording and place of the picture of every item; a picture is used at most once."""
    rng = np.random.default_rng(seed)
    of_class = {d: rng.permutation(np.flatnonzero(digits == d)) for d in range(10)}
    parsed = [(p, *map(int, re.match(r"(\d)_.*_(\d+)$", p.stem).groups())) for p in sorted(recordings)]
    for name, side in SIDES.items():
        pool = {d: iter(p[int(side.pool[0] * len(p)) : int(side.pool[1] * len(p))]) for d, p in of_class.items()}
        for path, digit, number in parsed:
            for _ in range(side.pictures if number in side.numbers else 0):
                yield name, path, int(next(pool[digit]))


def make(data: Path, out: Path, *, noise: float = NOISE, seed: int = 0, sides: tuple[str, ...] = tuple(SIDES)) -> int:
    """Write the corpus and its manifest; returns the number of items."""
    pictures = read_idx(data / "mnist/t10k-images-idx3-ubyte.gz")
    digits = read_idx(data / "mnist/t10k-labels-idx1-ubyte.gz")
    rng, count = np.random.default_rng(seed + 1), 0
    for side in sides:
        (out / side).mkdir(parents=True, exist_ok=True)
    for side, recording, place in pairs(list((data / "fsdd/recordings").glob("*.wav")), digits, seed):
        picture = degraded(pictures[place], noise, rng)
        if side in sides:
            item = out / side / f"{recording.stem}-{place}"
            shutil.copyfile(recording, item.with_suffix(".wav"))
            cv2.imwrite(str(item.with_suffix(".png")), picture)
            count += 1
    import_folder(out, options=IMPORT, overwrite=True)
    return count


def pictures_alone(data: Path, noise: float, epochs: int) -> float:
    """Accuracy of the recipe's picture encoder on validation items, fitted on training items; test items unseen."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make(data, place / "corpus", noise=noise, sides=("train", "valid"))
        sides = {**IMPORT, "match": IMPORT["match"].replace("split", "side")}
        import_folder(place / "corpus", options=sides, overwrite=True)
        recipe = load_recipe(RECIPE, [f"train.epochs={epochs}", "train.seeds=[0]", "evaluate.missing=[0.0]"])
        recipe.corpus = str(place / "corpus/manifest.jsonl")
        recipe.streams = {m: plan for m, plan in recipe.streams.items() if m == "image"}
        recipe.split = {"by": "side", "train": ["train"], "test": ["valid"]}
        result: dict[str, Any] = evaluate(fit(recipe, place / "run", cache=place / "cache", quiet=True), cache=place)
    return float(result["subsets"][0]["metrics"]["accuracy"]["mean"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("PLAIT_DATA"), help="default: $PLAIT_DATA")
    parser.add_argument("--out", type=Path, help="default: av_digits in the data's folder")
    parser.add_argument("--noise", type=float, default=NOISE)
    parser.add_argument("--choose", type=float, nargs="*", help="levels of noise to score pictures alone at")
    parser.add_argument("--epochs", type=int, default=30, help="of each fit of --choose")
    args = parser.parse_args()
    data = needs.check(["fsdd", "mnist"], folder=args.data)
    for noise in args.choose or ():
        print(f"noise {noise:g}: pictures alone {100 * pictures_alone(data, noise, args.epochs):.1f} %", flush=True)
    if args.choose is None:
        out = args.out or data / "av_digits"
        print(f"{make(data, out, noise=args.noise)} items in {out}")


if __name__ == "__main__":
    main()
