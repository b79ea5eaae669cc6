"""MATLAB 7.3 files: the arrays in the HDF5 that such a file is.

Source: MathWorks, "MAT-File Versions" (7.3 is HDF5 after a header of 512 bytes); the attributes ``MATLAB_class``,
``MATLAB_empty``, ``MATLAB_object_decode`` and ``MATLAB_sparse`` as MATLAB writes them. Axes are in reverse order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.readers._budget import USUAL, Budget
from plait.readers._hdf5 import BROKEN, Dataset, File, behind, opened, reason

__all__ = ["Mat73Array", "is_mat73", "list_mat73"]

_HEAD = 512
_LONGEST = 1 << 31
"""Product of the sizes above 0 of an array without values; NumPy itself refuses absurd ones."""

_TOLD = ("MATLAB_class", "MATLAB_empty", "MATLAB_object_decode", "MATLAB_sparse")
_LETTERS = {"double": "f", "single": "f", "logical": "u", "char": "U"}
_LETTERS |= {f"{u}int{n}": u or "i" for u in ("", "u") for n in (8, 16, 32, 64)}


@dataclass(frozen=True)
class Mat73Array:
    """An array in a file, as `plait.readers._mat.MatArray`."""

    path: Path
    name: str
    shape: tuple[int, ...]
    kind: str
    dataset: Dataset | None = None
    """Where its values are; None where there are none, or none that are read."""
    why: str = ""
    """Why it is not read."""
    budget: Budget = USUAL

    def load(self) -> NDArray[np.generic]:
        """The values.

        Raises:
            DataError: they cannot be read.
        """
        if self.dataset is None:
            return np.empty(self.shape, "U1" if self.kind == "U" else "f8")
        where = f"{self.path}:{self.name}"
        values = behind(_values, self.path, self.budget, where, self.dataset, where=where, asked=self.dataset.nbytes).T
        return _rows(values) if self.kind == "U" else values


def is_mat73(path: Path) -> bool:
    """Whether a file is HDF5, with MATLAB's header or without it."""
    with open(path, "rb") as file:
        head = file.read(_HEAD + 4)
    return head.startswith(b"MATLAB 7.3") or b"\x89HDF" in (head[:4], head[_HEAD:])


def list_mat73(path: Path, budget: Budget = USUAL) -> list[Mat73Array]:
    """The variables of a file.

    Raises:
        DataError: it is broken.
    """
    return behind(_listed, path, budget)


# ---- behind the gate


def _listed(path: Path, budget: Budget) -> list[Mat73Array]:
    with _reading(str(path), path, budget) as file:
        # #refs# and #subsystem# hold what cells and objects refer to.
        links = {name: at for name, at in file.links("/").items() if not name.startswith("#")}
        return [replace(_array(path, file, name, at), budget=budget) for name, at in links.items()]


def _values(path: Path, budget: Budget, where: str, dataset: Dataset) -> NDArray[np.generic]:
    with _reading(where, path, budget) as file:
        return file.read(dataset, 0, dataset.shape[0])


@contextmanager
def _reading(where: str, path: Path, budget: Budget) -> Iterator[File]:
    try:
        with opened(path, budget.purse(path)) as file:
            yield file
    except BROKEN as error:
        raise DataError(
            f"{where}: cannot be read as a MATLAB 7.3 file ({reason(error)}). Get a whole copy, or save the arrays "
            "anew in MATLAB with -v7."
        ) from error


def _array(path: Path, file: File, name: str, at: str) -> Mat73Array:
    try:
        told = file.attributes(at, _TOLD)
        kind = told.get("MATLAB_class", b"")
        word = kind.decode("ascii", "replace") if isinstance(kind, bytes) else ""
        odd = "MATLAB_object_decode" in told or "MATLAB_sparse" in told or (word and word not in _LETTERS)
        dataset = None if odd else file.dataset(at)
    except BROKEN as error:
        return Mat73Array(path, name, (), "O", why=reason(error))
    if dataset is None or not dataset.shape or dataset.is_text:
        return Mat73Array(path, name, (), "O", why="sparse" if "MATLAB_sparse" in told else word)
    letter = _LETTERS.get(word, dataset.letter)  # no class: not written by MATLAB
    if np.any(told.get("MATLAB_empty", 0)):
        return _empty(path, name, letter, [int(n) for n in file.read(dataset, 0, dataset.shape[0]).reshape(-1)])
    shape = dataset.shape[::-1]
    return Mat73Array(path, name, shape[:-1] if letter == "U" else shape, letter, dataset)


def _empty(path: Path, name: str, letter: str, sizes: list[int]) -> Mat73Array:
    """An array without values: the dataset holds its sizes instead."""
    if math.prod(sizes) or min(sizes) < 0 or len(sizes) < 2 or math.prod(n or 1 for n in sizes) > _LONGEST:
        raise ValueError(f"{name} is said to be empty, with sizes {sizes[:8]}")
    return Mat73Array(path, name, tuple(sizes[:-1] if letter == "U" else sizes), letter)


def _rows(codes: NDArray[np.generic]) -> NDArray[np.generic]:
    """Rows of text of UTF-16 along the last axis."""
    flat = codes.astype("<u2").reshape(math.prod(codes.shape[:-1]), codes.shape[-1])
    return np.array([row.tobytes().decode("utf-16-le", "replace").rstrip() for row in flat], np.str_).reshape(
        codes.shape[:-1]
    )
