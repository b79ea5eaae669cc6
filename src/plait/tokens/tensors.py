"""Write tensors to a safetensors file and read them back; failures are OSErrors with the system's error code."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["load_tensors", "metadata_of", "save_tensors"]


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a file of tensors.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    try:
        save_file(dict(tensors), path, metadata=dict(metadata or {}) or None)
    except SafetensorError as error:
        # the library gives the system's error as text only, and callers tell a full disk by errno
        code = errno.ENOSPC if "No space" in str(error) else errno.EIO
        raise OSError(code, str(error), str(path)) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file.

    Raises:
        OSError: the file does not exist, is not a regular file, or is damaged.
    """
    if path.exists() and not path.is_file():  # opening a pipe would block until someone writes to it
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    try:
        found: dict[str, Tensor] = load_file(path)
        return found
    except SafetensorError as error:
        raise OSError(errno.EIO, f"damaged: {error}", str(path)) from error
    except OSError as error:  # some of the library's OSErrors have a text but no errno
        raise OSError(error.errno or errno.EIO, error.strerror or str(error).splitlines()[0], str(path)) from error


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata of a file of tensors that `load_tensors` could read."""
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})
