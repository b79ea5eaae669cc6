"""Long work says how far it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plait.importing.folder import import_folder
from plait.quality.check import check_corpus


def test_import_counts_files_and_check_recordings(tmp_path: Path) -> None:
    for name in ("a.x", "b.x", "b.y"):
        np.save(tmp_path / f"{name}.npy", np.zeros((4, 1)))
    (tmp_path / "c.npy").write_bytes(b"no array")
    seen: list[tuple[int, int]] = []
    report = import_folder(tmp_path, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert report.recordings == 2
    seen.clear()
    check_corpus(tmp_path / "manifest.jsonl", progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]
