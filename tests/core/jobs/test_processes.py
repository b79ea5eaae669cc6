from __future__ import annotations

import os
from typing import Any

import pytest

from plait.core.jobs import processes
from plait.core.jobs.processes import team


def where(job: Any) -> int:
    return os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "most"), [(10**90, 2), (0, 1)])
def test_there_are_never_more_processes_than_of_use(asked: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "AT_MOST", 2)
    found = [pid for _, pid in team(where)(list(range(12)), asked)]
    assert len(found) == 12
    assert 1 <= len(set(found)) <= most
