"""What a benchmark needs: said in its first lines, and told at once, all of it, where it is missing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path


def data(what: Mapping[str, str]) -> Path:
    """The folder that `PLAIT_DATA` names, once everything is there; else the end, with all that is missing.

    Args:
        what: pattern of files below the folder -> what it is, in words.
    """
    named = os.environ.get("PLAIT_DATA", "")
    if not named:
        raise SystemExit("PLAIT_DATA names no folder. It must hold:\n" + _listed(what))
    folder = Path(named)
    missing = {pattern: said for pattern, said in what.items() if next(folder.glob(pattern), None) is None}
    if missing:
        raise SystemExit(f"PLAIT_DATA={folder} lacks:\n{_listed(missing)}")
    return folder


def _listed(what: Mapping[str, str]) -> str:
    return "\n".join(f"  {pattern:34s} {said}" for pattern, said in what.items())


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
