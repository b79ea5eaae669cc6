"""Torch tensors to a safetensors file, with the system's own error where the disk does not take it."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["save_tensors"]


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
