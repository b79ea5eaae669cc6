"""Draws docs/images/architecture.svg, the packages of plait by layer, and writes their table in docs/architecture.md.

The layers are those that the import linter checks (pyproject.toml); what a package is for is the first line of it.

    python docs/pictures/architecture.py
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
PAGE, PICTURE = DOCS / "architecture.md", DOCS / "images" / "architecture.svg"
BEGIN, END = "<!-- packages -->", "<!-- /packages -->"

LEFT_OUT = {"__main__"}
FREE_OF_TORCH, NEEDS_TORCH, ENDS = ("#d9efec", "#0f766e"), ("#fbe6d0", "#b45309"), ("#e4e7ec", "#4b5563")
MODEL = {
    *(
        "fusion",
        "multiview",
        "augmentations",
        "tokens",
        "tasks",
        "encoders",
        "examples",
        "models",
        "training",
        "evaluation",
    ),
    *("prediction", "comparison"),
}
WIDE, BOX, HIGH, GAP, MOST = 584, 132, 38, 8, 4


def settings() -> dict[str, Any]:
    """The import linter's part of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(found["tool"]["importlinter"])


def layers() -> list[list[str]]:
    """The packages of each layer, the topmost first."""
    listed = next(c["layers"] for c in settings()["contracts"] if c["type"] == "layers")
    rows = [[name.strip() for name in layer.split("|")] for layer in listed]
    return [row for row in rows if not LEFT_OUT.issuperset(row)]


def what_for(name: str) -> str:
    """The first line of a package's documentation."""
    folder = ROOT / "src/plait" / name
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0]


def colours(name: str) -> tuple[str, str]:
    if name in ("cli", "demo", "testing", "report", "core"):
        return ENDS
    return NEEDS_TORCH if name in MODEL else FREE_OF_TORCH


def picture() -> str:
    """The drawing: a row of boxes a layer, on a card of its own, so that it reads in light and dark."""
    parts, y = [], 58
    for row in layers():
        lines = [row[i : i + MOST] for i in range(0, len(row), MOST)]
        high = len(lines) * (HIGH + GAP) - GAP
        parts.append(f'<rect x="8" y="{y - 7}" width="{WIDE - 16}" height="{high + 14}" rx="8" fill="#f4f4f1"/>')
        for line in lines:
            x = (WIDE - len(line) * (BOX + GAP) + GAP) / 2
            for name in line:
                parts.append(box(name, x, y))
                x += BOX + GAP
            y += HIGH + GAP
        y += 16
    legend = [("data: no torch", FREE_OF_TORCH), ("models", NEEDS_TORCH), ("ends, and ground", ENDS)]
    for i, (text, (fill, line)) in enumerate(legend):
        x = (20, 210, 340)[i]
        parts.append(f'<rect x="{x}" y="{y}" width="18" height="18" rx="4" fill="{fill}" stroke="{line}"/>')
        parts.append(f'<text x="{x + 26}" y="{y + 15}" font-size="17" fill="#1f2430">{text}</text>')
    high = y + 36
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {high}" width="{WIDE}" height="{high}" '
        'font-family="system-ui, Helvetica, Arial, sans-serif" role="img">\n'
        "<title>The packages of plait: each imports only from layers below its own</title>\n"
        f'<rect width="{WIDE}" height="{high}" rx="10" fill="#ffffff" stroke="#d5d7db"/>\n'
        '<text x="20" y="32" font-size="18" fill="#1f2430">Each imports only from layers below its own</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def box(name: str, x: float, y: float) -> str:
    fill, line = colours(name)
    size = 18 if len(name) < 12 else 16
    return (
        f'<rect x="{x:g}" y="{y}" width="{BOX}" height="{HIGH}" rx="6" fill="{fill}" stroke="{line}" '
        f'stroke-width="1.2"/><text x="{x + BOX / 2:g}" y="{y + 25}" font-size="{size}" text-anchor="middle" '
        f'fill="#1f2430">{escape(name)}</text>'
    )


def table() -> str:
    """The packages from the ground up, and what each is for."""
    rows = ["| layer | package | what it is for |", "|--:|---|---|"]
    for number, row in enumerate(reversed(layers()), 1):
        rows += [f"| {number} | `plait.{name}` | {what_for(name)} |" for name in sorted(row)]
    return "\n".join(rows)


def with_table(page: str) -> str:
    """The page with the table between its marks made anew."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table()}\n{END}", page, flags=re.S)


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
