"""``python -m plait_lite FOLDER FEATURES.npz``: one answer as JSON.

The arrays of the file are ``NAME.values`` [time, dim] and ``NAME.times`` [time], for each modality that is there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np

from plait_lite.model import Features, Lite, LiteError


def main(argv: Sequence[str] | None = None) -> int:
    """Print the answer; 1 for bad files or features."""
    parser = argparse.ArgumentParser(prog="plait_lite", description="Answer with an exported model.")
    parser.add_argument("folder", help="that plait export RUN --onnx --out FOLDER wrote")
    parser.add_argument("features", help="an .npz with NAME.values [time, dim] and NAME.times [time], in seconds")
    parser.add_argument("--seconds", type=float, help="length of the item, for answers over time")
    parser.add_argument("--level", type=float, default=0.9, help="of conformal sets (default: 0.9)")
    args = parser.parse_args(argv)
    try:
        answer = Lite(args.folder)(_read(args.features), seconds=args.seconds, level=args.level)
    except LiteError as error:
        print(f"LiteError: {error}", file=sys.stderr)
        return 1
    print(json.dumps(answer, ensure_ascii=False, default=lambda array: array.tolist()))
    return 0


def _read(path: str) -> dict[str, Features]:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except Exception as error:  # a damaged zip raises many kinds
        raise LiteError(f"{path}: cannot be read as .npz ({error}).") from error
    names = {name.rpartition(".")[0] for name in found}
    if missing := [f"{n}.{part}" for n in names for part in ("values", "times") if f"{n}.{part}" not in found]:
        raise LiteError(f"{path}: lacks {', '.join(sorted(missing))}; expected NAME.values and NAME.times in pairs.")
    return {name: (found[f"{name}.values"], found[f"{name}.times"]) for name in sorted(names)}


if __name__ == "__main__":
    sys.exit(main())
