"""Writes docs/explained.schema.json, the JSON schema of `plait explain RUN FILE --json`, from
`plait.evaluation.explanation.schema`.

python docs/pictures/explained_schema.py
"""

from __future__ import annotations

import json
from pathlib import Path

from plait.evaluation.explanation.schema import explained_schema

FILE = Path(__file__).parents[1] / "explained.schema.json"


def text() -> str:
    """What stands in the file."""
    return json.dumps(explained_schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
