"""Draws docs/images/compare-NAME.png and writes the tables and the advice of docs/compare.md.

All of it comes from the comparisons in docs/compare/NAME.json, each the compare.json of a `plait compare`:
python docs/pictures/compare.py, after copying new ones there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from plait.comparison.advice import advise
from plait.comparison.plots import save_png
from plait.comparison.report import as_markdown

DOCS = Path(__file__).parents[1]


def section(path: Path) -> str:
    """A data set's part of the page; its picture is drawn on the way."""
    result = json.loads(path.read_text(encoding="utf-8"))
    result["advice"] = advise(result)
    path.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    picture = f"images/compare-{path.stem}.png"
    save_png(result, DOCS / picture)
    return as_markdown(result, picture=picture, level=3)


def main() -> None:
    page = DOCS / "compare.md"
    text = page.read_text(encoding="utf-8")
    for path in sorted((DOCS / "compare").glob("*.json")):
        begin, end = f"<!-- {path.stem} -->", f"<!-- end of {path.stem} -->"
        found = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
        own = f"{begin}\n\n{section(path)}\n{end}"
        text = found.sub(own.replace("\\", r"\\"), text)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
