"""The table of all features on their page is what they declare."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_is_up_to_date() -> None:
    page = (DOCS / "features.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(DOCS / "pictures" / "features.py"))
    assert made["with_table"](page) == page, "run: python docs/pictures/features.py"
    assert "| `log_mel` | waveform | 100 | ± 0.0375 | yes |" in page
