from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from plait.features import processes
from plait.features.processes import team
from plait.features.work import Place


def where(job: Any, place: Place) -> Any:
    return os.getpid()


@pytest.mark.parametrize(("asked", "most"), [(10**90, 2), (0, 1)])
def test_there_are_never_more_processes_than_of_use(
    asked: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "AT_MOST", 2)
    found = [pid for _, pid in team(Place("", False, str(tmp_path)), where)(list(range(12)), asked)]  # type: ignore[arg-type]
    assert len(found) == 12
    assert 1 <= len(set(found)) <= most
