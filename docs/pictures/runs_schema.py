"""Writes docs/runs.schema.json, the JSON schema of runs compared, from `plait.comparison.runs_schema`.

python docs/pictures/runs_schema.py
"""

from __future__ import annotations

import json
from pathlib import Path

from plait.comparison.runs_schema import runs_schema

FILE = Path(__file__).parents[1] / "runs.schema.json"


def text() -> str:
    """What stands in the file."""
    return json.dumps(runs_schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
