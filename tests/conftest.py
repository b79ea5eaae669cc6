"""Shared by all tests: one torch thread, real data where there is some, shapes checked under pytest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of unpacked real data, or skip."""
    folder = os.environ.get("PLAIT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PLAIT_DATA does not name a folder of real data")
    return Path(folder)
