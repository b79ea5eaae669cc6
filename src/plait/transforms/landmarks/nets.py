"""The nets' files, and running them."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, MissingExtra, need

__all__ = ["Net", "model_file"]

PACKAGE = "mediapipe"

INSTALL = "pip install --no-deps mediapipe==0.10.14"
"""Later wheels hold no models; its dependencies replace plait's OpenCV by one that cannot find faces."""


def model_file(name: str, models: str | Path | None = None) -> Path:
    """The file that holds a model.

    Args:
        name: of the model, without ``.tflite``.
        models: a folder with ``.tflite`` files, at any depth, or a wheel with them; by default the installed package
            mediapipe, which is not imported.

    Raises:
        ConfigError: ``models`` does not exist, or lacks the model.
        MissingExtra: no installed package has it.
    """
    if models is not None:
        place = Path(models)
        found = _within(place, name)
        if found is None:
            what = "lacks" if place.exists() else "does not exist, so it lacks"
            raise ConfigError(
                f"models: {place} {what} {name}.tflite. Give a folder or a wheel that has it, such as that of "
                "mediapipe 0.10.14."
            )
        return found
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if found := _within(Path(folder), name):
            return found
    raise MissingExtra(
        f"keypoints need the model {name}.tflite, which is in the wheel of mediapipe 0.10.14. Install it without its "
        f"dependencies: {INSTALL}. Or download it, and name its file or a folder of models with the option models."
    )


@lru_cache(maxsize=64)
def _within(place: Path, name: str) -> Path | None:
    if place.is_file() and zipfile.is_zipfile(place):
        return place if _inside(place, name) else None
    return next(iter(sorted(place.rglob(f"{name}.tflite"))), None) if place.is_dir() else None


def _inside(wheel: Path, name: str) -> str | None:
    with zipfile.ZipFile(wheel) as opened:
        return next((one for one in opened.namelist() if Path(one).name == f"{name}.tflite"), None)


class _Interpreter(Protocol):
    """What is used of LiteRT's, which has no types."""

    def allocate_tensors(self) -> None: ...
    def get_input_details(self) -> list[dict[str, Any]]: ...
    def get_output_details(self) -> list[dict[str, Any]]: ...
    def set_tensor(self, index: int, value: NDArray[np.float32], /) -> None: ...
    def get_tensor(self, index: int, /) -> NDArray[np.float32]: ...
    def invoke(self) -> None: ...


class Net:
    """A model that is opened when it is first run; it travels to other processes unopened.

    >>> Net("face_landmark").name
    'face_landmark'
    """

    def __init__(self, name: str, models: str | Path | None = None) -> None:
        self.name, self.models = name, models

    @property
    def file(self) -> Path:
        """See `model_file`."""
        return model_file(self.name, self.models)

    @property
    def side(self) -> int:
        """Height and width of its picture, pixels."""
        return int(self._opened().get_input_details()[0]["shape"][1])

    def __call__(self, picture: NDArray[np.floating]) -> Sequence[NDArray[np.float32]]:
        """Its outputs for one picture [side, side, 3], without the batch axis."""
        opened = self._opened()
        opened.set_tensor(opened.get_input_details()[0]["index"], np.asarray(picture, np.float32)[None])
        opened.invoke()
        return [opened.get_tensor(one["index"])[0] for one in opened.get_output_details()]

    def _opened(self) -> _Interpreter:
        # An interpreter holds the tensors of its last run, so threads must not share one.
        return _interpreter(self.file, self.name, threading.get_ident())


@lru_cache(maxsize=16)
def _interpreter(file: Path, name: str, thread: int) -> _Interpreter:
    litert = need("ai_edge_litert.interpreter", "keypoints", "keypoints")
    made: _Interpreter
    if inside := file.suffix != ".tflite" and _inside(file, name):
        with zipfile.ZipFile(file) as opened:
            made = litert.Interpreter(model_content=opened.read(inside), num_threads=1)
    else:
        made = litert.Interpreter(model_path=str(file), num_threads=1)
    made.allocate_tensors()
    return made
