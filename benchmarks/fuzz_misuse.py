"""Misuse by the thousand: recipes, manifests, folders of runs and command lines, broken in every way that a random
number thinks of. A command must end with 0, 1 or 2 and say why: no traceback, nothing over 5 s or 1 GB.

Needs: Linux, nothing beyond plait.
Takes: as long as --minutes says, an hour by default.

python benchmarks/fuzz_misuse.py [--minutes 60] [--kinds recipe manifest run words] [--first 0] [--keep FOLDER]

A trial is known by its kind and number: the same number is the same misuse. What fails is kept with --keep: its files,
its words and what it said.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import yaml
from targets import finish, target

from plait.catalogue import SORTS, catalogue
from plait.testing.misuse import MEGABYTES, SECONDS, Ended, run_command, warm_up
from plait.testing.mutate import mutate
from plait.testing.trees import HOSTILE, broken_tree

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/fuzz"))
from misuse_material import COMMANDS, OPTIONS, RECIPES, make_material

Rng = np.random.Generator
Words = list[str]

KEYS = (
    *(
        "name",
        "corpus",
        "task",
        "target",
        "unit",
        "tier",
        "labels",
        "match",
        "index",
        "pad",
        "length",
        "hop",
        "average",
    ),
    *("coverage", "split", "by", "hash", "folds", "test", "valid", "train", "salt", "tune", "subject_dependent"),
    *(
        "streams",
        "stream",
        "preprocess",
        "steps",
        "feature",
        "encoder",
        "rate",
        "normalization",
        "fusion",
        "model",
        "dim",
        "from",
    ),
    *(
        "freeze",
        "allow_code",
        "augment",
        "crop_resize",
        "rotate",
        "gaussian_noise",
        "modality_dropout",
        "noise",
        "kind",
        "levels",
        "copies",
    ),
    *("evaluate", "missing", "draws", "allow_outside", "epochs", "batch", "lr", "seeds", "threads", "folder", "import"),
    *("imu", "voice", "mic", "said", "act", "score", "group", "id", "manifest", "recording", "segment", "window"),
)
"""What a recipe's keys and values are called."""

ENTRY = (
    *("id", "streams", "labels", "annotations", "meta", "group", "split", "path", "part", "reader", "options", "texts"),
    *("spans", "rate", "duration", "origin", "offset", "drift_ppm", "warp", "sync", "start", "stop", "label", "tier"),
)
"""What a manifest's keys are called."""

FLAGS = ("--json", "--jobs", "--out", "--cache", "--allow-outside", "--corpus", "--replicate", "--overwrite", "--help")


def names() -> list[str]:
    """Names of all parts and of their options."""
    found = catalogue()
    return sorted({w for s in SORTS for part, one in found[s].items() for w in (part, *one["options"])} | set(KEYS))


def recipe(rng: Rng, folder: Path, words: list[str]) -> Words:
    """A broken recipe, and a command that reads it."""
    argv = _command(rng, "show", "check", "prepare", "fit")
    if rng.random() < 0.1:
        (folder / "options.yaml").write_bytes(_broken_yaml(rng, OPTIONS, words))
        return ["import", "raw", "--out", "m.jsonl", "--options", "options.yaml"]
    name = argv[1] if argv[1].endswith(".yaml") else "plain.yaml"
    text = RECIPES[name.removesuffix(".yaml")]
    if rng.random() < 0.15:
        key = ".".join(str(words[int(i)]) for i in rng.integers(len(words), size=int(rng.integers(1, 4))))
        return [*argv[:2], f"{key}={_dumped(HOSTILE[int(rng.integers(len(HOSTILE)))]).strip()}", *argv[2:]]
    (folder / name).write_bytes(_broken_yaml(rng, text, words))
    return argv


def _broken_yaml(rng: Rng, text: str, words: list[str]) -> bytes:
    if rng.random() < 0.25:
        return mutate(rng, [text.encode()], ".yaml")
    return _dumped(broken_tree(rng, yaml.safe_load(text), words)).encode(errors="replace")


def _dumped(tree: Any) -> str:
    try:
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    except (yaml.YAMLError, ValueError, RecursionError):  # a whole number of 400 digits
        return str(tree)


def manifest(rng: Rng, folder: Path, words: list[str]) -> Words:
    """A broken manifest, and a command that reads it."""
    path = folder / "corpus/manifest.jsonl"
    lines = path.read_text().splitlines()
    if rng.random() < 0.25:
        path.write_bytes(mutate(rng, [path.read_bytes()], ".jsonl"))
    else:
        known = [*ENTRY, *catalogue("readers")["readers"], "imu", "mic", "said"]
        for i in {int(i) for i in rng.integers(len(lines), size=int(rng.integers(1, 4)))}:
            tree = broken_tree(rng, json.loads(lines[i]), known)
            lines[i] = json.dumps(tree, ensure_ascii=bool(rng.integers(2)))
        path.write_text("\n".join(lines), errors="replace")
    return _command(rng, "check", "fit", "prepare", "sync", "align", "segment", "export", "predict", "evaluate")


def run(rng: Rng, folder: Path, words: list[str]) -> Words:
    """A broken file of a run, and a command that reads the run."""
    files = sorted(p for p in (folder / "run").rglob("*") if p.is_file())
    path = files[int(rng.integers(len(files)))]
    draw = rng.random()
    if draw < 0.5 and path.suffix == ".json":
        path.write_text(_json(broken_tree(rng, json.loads(path.read_text()), words)), errors="replace")
    elif draw < 0.5 and path.suffix == ".yaml":
        path.write_bytes(_broken_yaml(rng, path.read_text(), words))
    elif draw < 0.8:
        path.write_bytes(mutate(rng, [path.read_bytes()], path.suffix))
    else:
        _replace(rng, path)
    argv = _command(rng, "evaluate", "predict", "fit")
    return ["fit", "plain.yaml", "--out", "run", "--cache", "cache"] if argv[0] == "fit" else argv


def _json(tree: Any) -> str:
    return json.dumps(tree, ensure_ascii=False)


def _replace(rng: Rng, path: Path) -> None:
    """Something else than a file in its place: nothing, a folder, a pipe, a link, an empty file."""
    path.unlink()
    how = int(rng.integers(6))
    if how == 1:
        path.mkdir()
    elif how == 2:
        os.mkfifo(path)
    elif how == 3:
        path.symlink_to(path)
    elif how == 4:
        path.symlink_to("/dev/zero")
    elif how == 5:
        path.write_bytes(b"")


def words_(rng: Rng, folder: Path, words: list[str]) -> Words:
    """A broken command line."""
    argv = list(COMMANDS[int(rng.integers(len(COMMANDS)))])
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    strange = [
        *map(str, HOSTILE),
        "pipe",
        "loop",
        "corpus",
        "run",
        "raw",
        "/dev/zero",
        "/dev/null",
        "plain.yaml",
        *FLAGS,
    ]
    for _ in range(1 + int(rng.integers(3))):
        at, how = int(rng.integers(1, len(argv))) if len(argv) > 1 else 0, int(rng.integers(5))
        value = strange[int(rng.integers(len(strange)))]
        if "\0" in value:  # no system passes it on
            continue
        if how == 0 and len(argv) > 1:
            del argv[at]
        elif how < 4 and at:
            argv[at] = value
        else:
            argv.insert(at + 1, value)
    return argv


KINDS: dict[str, Callable[[Rng, Path, list[str]], Words]] = {
    "recipe": recipe,
    "manifest": manifest,
    "run": run,
    "words": words_,
}


def _command(rng: Rng, *kinds: str) -> Words:
    chosen = [c for c in COMMANDS if c[0] in kinds]
    return list(chosen[int(rng.integers(len(chosen)))])


def trial(kind: str, number: int, pristine: Path, folder: Path, words: list[str]) -> tuple[Words, Ended]:
    """One misuse, of files as they were made."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder)
    rng = np.random.default_rng([number, *kind.encode()])
    argv = KINDS[kind](rng, folder, words)
    return argv, run_command(argv, folder)


def briefly() -> None:
    """Training ends after two steps: it is what comes before it and after it that is tried here."""
    first = L.Trainer.__init__

    def short(self: L.Trainer, *args: Any, **options: Any) -> None:
        first(self, *args, **{**options, "max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1})

    L.Trainer.__init__ = short  # type: ignore[method-assign]


def keep(where: Path, kind: str, number: int, argv: Words, ended: Ended, folder: Path) -> None:
    place = where / kind / str(number)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "trial.json").write_text(json.dumps({"argv": argv, "what": ended.what}))
    for name in ("said.txt", "plain.yaml", "parts.yaml", "windows.yaml", "raw.yaml", "options.yaml"):
        if (folder / name).is_file():
            shutil.copy(folder / name, place / name)
    if kind == "manifest":
        shutil.copy(folder / "corpus/manifest.jsonl", place)
    if kind == "run":
        shutil.copytree(
            folder / "run", place / "run", symlinks=True, ignore=lambda d, n: {x for x in n if _strange(d, x)}
        )


def _strange(folder: str, name: str) -> bool:
    path = Path(folder) / name
    return path.is_symlink() or not (path.is_file() or path.is_dir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=sorted(KINDS))
    parser.add_argument("--first", type=int, default=0, help="number of the first trial of each kind")
    parser.add_argument("--inputs", type=int, default=10**9, help="trials of each kind at most")
    parser.add_argument("--keep", type=Path, help="where to keep what fails")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    count: Counter[tuple[str, str]] = Counter()
    failures: list[tuple[str, int, str]] = []
    slowest = largest = 0.0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:
        folder, pristine = Path(place) / "trial", Path(place) / "pristine"
        folder.mkdir()
        make_material(folder)
        shutil.copytree(folder, pristine)
        briefly()
        words = names()
        for argv in COMMANDS:  # what they import is not counted; and whole files must do
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(pristine, folder)
            ended = warm_up(argv, folder)
            if ended.how == "failure" or (ended.how == "told" and "problem" not in ended.what):
                print(f"whole: {' '.join(argv)}: {ended.how}: {ended.what}", flush=True)
        number, stop = args.first, time.monotonic() + 60 * args.minutes
        while time.monotonic() < stop and number < args.first + args.inputs:
            for kind in args.kinds:
                argv, ended = trial(kind, number, pristine, folder, words)
                count[kind, ended.how] += 1
                slowest, largest = max(slowest, ended.seconds), max(largest, ended.megabytes)
                if ended.how == "failure":
                    failures.append((kind, number, ended.what))
                    print(f"{kind} {number}: {' '.join(argv)[:150]}: {ended.what}", flush=True)
                    if args.keep:
                        keep(args.keep, kind, number, argv, ended, folder)
            number += 1
    for kind in args.kinds:
        print(kind, {how: n for (k, how), n in sorted(count.items()) if k == kind})
    finish(
        [
            target("misuses tried", sum(count.values()), ">=", 1),
            target("ended in neither success nor a told problem", len(failures), "==", 0),
            target("processor time of the slowest, s", slowest, "<=", SECONDS),
            target("memory of the largest beyond its start, MB", largest, "<=", MEGABYTES),
        ],
        trials={kind: {how: n for (k, how), n in sorted(count.items()) if k == kind} for kind in args.kinds},
    )


if __name__ == "__main__":
    main()
