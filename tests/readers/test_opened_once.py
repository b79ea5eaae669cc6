"""Within `opened_once` a file is opened again only if it, or a file that its options name, has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import DataError
from plait.readers import open_streams, opened_once
from plait.readers.array import Array
from plait.streams.stream import Stream


def test_a_file_is_opened_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, own = [], Array.open
    monkeypatch.setattr(Array, "open", lambda self, path: opened.append(path.name) or own(self, path))  # type: ignore[func-returns-value]
    path, times, kept = tmp_path / "x.npy", tmp_path / "t.npy", dict[tuple[object, ...], dict[str, Stream]]()
    np.save(path, np.zeros((4, 2)))
    np.save(times, np.arange(4.0))
    plain: dict[str, object] = {"rate": 2}
    timed: dict[str, object] = {"times": "t.npy"}
    with opened_once(kept):
        first = open_streams(path, options=plain)
        first.clear()  # what a caller does with its dict is its own affair
        assert [*open_streams(path, options=plain)] == ["values"]
        assert open_streams(path, options={"rate": 4})["values"].clock.stop == 1.0
        assert open_streams(path, options=timed)["values"].clock.stop == 3.0
        assert len(opened) == 3
        np.save(times, 2 * np.arange(4.0))
        assert open_streams(path, options=timed)["values"].clock.stop == 6.0
        np.save(path, np.zeros((6, 2)))
        assert len(open_streams(path, options=plain)["values"]) == 6
        assert len(opened) == 5
        path.unlink()
        with pytest.raises(DataError, match="no such file"):
            open_streams(path, options=plain)
    np.save(path, np.zeros((6, 2)))
    open_streams(path, options=plain)
    open_streams(path, options=plain)
    assert len(opened) == 7  # outside nothing is kept
