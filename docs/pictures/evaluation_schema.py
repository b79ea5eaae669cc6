"""Writes docs/evaluation.schema.json, the JSON schema of an evaluation, from `plait.evaluation.schema`.

python docs/pictures/evaluation_schema.py
"""

from __future__ import annotations

import json
from pathlib import Path

from plait.evaluation.schema import evaluation_schema

FILE = Path(__file__).parents[1] / "evaluation.schema.json"


def text() -> str:
    """What stands in the file."""
    return json.dumps(evaluation_schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
