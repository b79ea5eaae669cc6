"""What a benchmark needs: said in its first lines, and told at once, all of it, where it is missing."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import venv
from collections.abc import Collection, Sequence
from pathlib import Path

LACKING = 77
"""The exit code where something is missing (as test runners have it for what is left out)."""

SETS = {
    "av_digits": {"av_digits/manifest.jsonl": "spoken and written digits; benchmarks/av_digits.py makes them"},
    "coco_mini": {
        "coco_mini/images/*/*.jpg": "COCO 2017, a small part: photographs, shorter side 256",
        "coco_mini/annotations/person_keypoints_*.json": "and the keypoints of people",
    },
    "esc10": {"esc10/*/*.*": "ESC-10: sounds of ten kinds, a folder each"},
    "flickr8k": {"flickr8k/Images/*.jpg": "Flickr8k: photographs"},
    "etth": {"etth/ETTh1.csv": "ETTh1: load and oil temperature of a transformer, hourly"},
    "fsdd": {"fsdd/recordings/*.wav": "Free Spoken Digit Dataset"},
    "grid_s1": {
        "grid_s1/s1/*.mp4": "GRID, speaker s1: films of sentences",
        "grid_s1/align/s1/*.align": "and the times of their words",
    },
    "meld_text": {"meld_text/*.parquet": "MELD: transcripts of dialogues, with times, speakers and emotions"},
    "mnist": {
        "mnist/t10k-images-idx3-ubyte.gz": "MNIST: test pictures of digits",
        "mnist/t10k-labels-idx1-ubyte.gz": "and which digits they are",
    },
    "mosi": {"mosi/features.npz": "CMU-MOSI: features of utterances", "mosi/label.csv": "and their labels"},
    "sample_videos": {
        "sample_videos/*.mp4": "videos of ten seconds",
        "sample_videos/test.avi": "and one with sound",
    },
    "stress_predict": {
        "stress_predict/Raw_data/S*": "Stress-Predict: raw E4 wristbands",
        "stress_predict/Processed_data/*.csv": "and their labels",
    },
    "vrd_test": {"vrd_test/*.json": "VRD: relations between objects of pictures, official test, and the names"},
    "vrd_train": {"vrd_train/annotations_train.json": "VRD: relations of the training pictures"},
    "utd_mhad": {"utd_mhad/Inertial/*.mat": "UTD-MHAD: acceleration", "utd_mhad/Skeleton/*.mat": "and skeletons"},
}
"""Folders below `PLAIT_DATA`: patterns of what must be there -> what that is."""

ELSEWHERE = {
    "MMSA": "MMSA==2.2.1",
    "ai_edge_litert": "plait[keypoints]",
    "atheris": "atheris",
    "audio_offset_finder": "audio-offset-finder==0.5.3",
    "easydict": "easydict",
    "onnx": "plait[export]",
    "onnxruntime": "plait[export]",
    "onnxscript": "plait[export]",
    "optuna": "plait[search]",
}
"""Packages that the extra `bench` does not hold, as imported -> what pip installs."""


def check(
    data: Sequence[str] = (), packages: Collection[str] = (), *, fewest: int | None = None, folder: Path | None = None
) -> Path:
    """The folder of the data, once all that is needed is there; else the end, with all that is missing.

    Args:
        data: names in `SETS`.
        packages: as they are imported.
        fewest: so many of the data suffice (default: all); what is left out then is printed.
        folder: where the data are (default: what `PLAIT_DATA` names).

    Raises:
        SystemExit: something is missing; with the code `LACKING`.
    """
    named = str(folder or os.environ.get("PLAIT_DATA", ""))
    folder = Path(named or os.devnull)  # where nothing is named, one that holds nothing
    missing = {name: lacks for name in data if (lacks := lacking(name, folder))}
    where = f"PLAIT_DATA={named} lacks:" if named else "PLAIT_DATA names no folder. It must hold:"
    lines = []
    if len(data) - len(missing) < (len(data) if fewest is None else fewest):
        lines += [where, *(f"  {pattern:34s} {SETS[name][pattern]}" for name in missing for pattern in missing[name])]
        lines += [f"  ({fewest} of these folders would do)"] if fewest else []
    elif missing:
        print(f"left out, as PLAIT_DATA does not hold all of it: {', '.join(missing)}", file=sys.stderr, flush=True)
    if absent := [name for name in packages if not _installed(name)]:
        wanted = " ".join(sorted({f"'{ELSEWHERE.get(name, 'plait[bench]')}'" for name in absent}))
        lines += [f"Packages are missing: {', '.join(absent)}. Do: pip install {wanted}"]
    if lines:
        print("\n".join(lines), file=sys.stderr)
        raise SystemExit(LACKING)
    return folder


def lacking(name: str, folder: Path) -> list[str]:
    """The patterns of a set in `SETS` that nothing in the folder matches."""
    return [pattern for pattern in SETS[name] if next(folder.glob(pattern), None) is None]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what the package lies in is not there either
        return False


def own_python(name: str, pins: Sequence[str]) -> Path:
    """The Python of an environment that holds nothing but ``pins``, made on first use under the user's cache folder.

    Raises:
        SystemExit: the packages cannot be installed; with the end of what the installer says.
    """
    mark = hashlib.sha256("\n".join([sys.version, *pins]).encode()).hexdigest()[:12]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plait-benchmarks" / f"{name}-{mark}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if (folder / "complete").exists():
        return python
    print(f"making an environment for {name} in {folder} (once, a minute or two)", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", *pins], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} cannot be installed:\n{done.stderr[-2000:]}\nLeave the baseline out instead.")
    (folder / "complete").touch()
    return python
