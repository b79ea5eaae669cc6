"""Writes docs/comparison.schema.json, the JSON schema of a comparison, from `plait.comparison.schema`.

python docs/pictures/comparison_schema.py
"""

from __future__ import annotations

import json
from pathlib import Path

from plait.comparison.schema import comparison_schema

FILE = Path(__file__).parents[1] / "comparison.schema.json"


def text() -> str:
    """What stands in the file."""
    return json.dumps(comparison_schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
