"""Torch tensors to a safetensors file and back, with the system's own errors."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["load_tensors", "save_tensors"]


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a file of tensors.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    try:
        save_file(dict(tensors), path, metadata=dict(metadata or {}) or None)
    except SafetensorError as error:
        # it says in words only what the system said by a number
        code = errno.ENOSPC if "No space" in str(error) else errno.EIO
        raise OSError(code, str(error), str(path)) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        OSError: it is not there, is no file, or is damaged.
    """
    if path.exists() and not path.is_file():  # opening a pipe waits for whoever writes to it
        raise OSError(errno.EINVAL, "is no file", str(path))
    try:
        found: dict[str, Tensor] = load_file(path)
        return found
    except SafetensorError as error:
        raise OSError(errno.EIO, f"damaged: {error}", str(path)) from error
    except OSError as error:  # it gives its reason in words only
        raise OSError(error.errno or errno.EIO, error.strerror or str(error).splitlines()[0], str(path)) from error
