"""Figures as inline SVG or PNG. Colours are CSS variables in an SVG, so that a plot follows light and dark.

Marks have their values as SVG titles: a browser shows them under the pointer, and no script is needed. For the keyboard
and for paper the same texts stand folded below the plot.
"""

from __future__ import annotations

import html
import io
import itertools
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from plait.core.atomic import replacing
from plait.report.words import printable

__all__ = ["INK", "LINES", "MUTED", "PAPER", "RULE", "hover", "png", "svg"]

# Stand-ins that no plot would otherwise use: they become CSS variables once matplotlib has drawn.
INK, MUTED, RULE, PAPER = "#010203", "#040506", "#070809", "#0a0b0c"
LINES = [f"#0d{i:02x}0f" for i in range(8)]
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"} | {c: f"s{i}" for i, c in enumerate(LINES)}
_LIGHT = {INK: "#1b1e22", MUTED: "#5b626b", RULE: "#dfdbd2", PAPER: "#fdfcfa"} | dict(
    zip(LINES, ("#0072b2", "#d55e00", "#008f68", "#b3578f", "#8a6d00", "#3a9bd6", "#6b7280", "#1b1e22"))
)
# Text stays text (the browser's fonts), ids repeat from run to run, and a $ in a name is not taken for a formula.
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "plait", "text.parse_math": False, "font.family": "sans-serif",
    "font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "text.color": INK, "axes.grid": True, "grid.color": RULE, "grid.linewidth": 0.7,
    "axes.axisbelow": True, "lines.linewidth": 1.8, "lines.markersize": 5, "legend.frameon": False,
    "axes.linewidth": 0.7, "xtick.major.size": 3, "ytick.major.size": 3, "axes.facecolor": "none",
    "axes.unicode_minus": True, "legend.fontsize": 9,
}  # fmt: skip


def png(path: str | Path, size: tuple[float, float], draw: Callable[[Figure, Mapping[str, str]], None]) -> None:
    """Draw into a PNG file in the colours of the light report; ``draw`` gets these by their stand-ins."""
    style: Any = {k: _LIGHT.get(v, v) if isinstance(v, str) else v for k, v in _STYLE.items()}
    with matplotlib.rc_context(style), warnings.catch_warnings(), replacing(path) as part:
        warnings.simplefilter("ignore", UserWarning)  # letters that the font lacks, as in `svg`
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        draw(figure, _LIGHT)
        figure.savefig(part, format="png", dpi=150)


def hover(artist: Artist, texts: Sequence[str | None], name: str = "") -> None:
    """Give marks the texts that are shown under the pointer; in an SVG only.

    Args:
        artist: of matplotlib.
        texts: of each of its marks, None of one that is not drawn; a single text is that of the artist as a whole.
        name: of all its marks.
    """
    # As its id, which matplotlib writes into the SVG; in ASCII, for no XML may hold control characters.
    artist.set_gid(json.dumps([printable(name), *(printable(t) for t in texts if t is not None)]))


_TOLD = re.compile(r"""^( *)<g id=(["'])(\[[^\n]*\])\2>\n(.*?)^\1</g>""", re.M | re.S)
MOST_LISTED = 400
"""Texts below a plot; of more, the JSON is the place to look."""


def svg(name: str, size: tuple[float, float], draw: Callable[[Figure], None], *, listed: bool = True) -> str:
    """Draw as SVG for use inside HTML: ids of its own, no header, the reader's colours and fonts.

    Args:
        name: prefix of its ids.
        size: inches.
        draw: into a figure.
        listed: whether the texts of `hover` stand below it too, folded.
    """
    out = io.StringIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Names may hold letters that matplotlib's font lacks; the browser draws the text, with its own fonts.
        warnings.simplefilter("ignore", UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        # No date, so that the same numbers give the same bytes.
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    told = [json.loads(html.unescape(found[3])) for found in _TOLD.finditer(text)]
    text = _TOLD.sub(_titled, text)
    # Inside HTML namespaces are known; ids are prefixed, as those of two plots on a page would clash.
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text, count=2)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    # As wide as its column, but never larger than it was drawn.
    text = re.sub(r'width="([\d.]+)pt" height="[\d.]+pt"', r'style="max-width:\1pt"', text, count=1)
    return text + (_listed(told) if listed else "")


def _titled(found: re.Match[str]) -> str:
    """A group of marks, each with its title."""
    name, *texts = json.loads(html.unescape(found[3]))
    titles = [f"<title>{html.escape(f'{name}, {t}' if name else t)}</title>" for t in texts]
    if len(titles) == 1:
        return f"{found[1]}<g>{titles[0]}\n{found[4]}{found[1]}</g>"
    # What is drawn often is defined first, and then used; what is drawn once stands there as a path.
    parts = re.split(r"(<defs>.*?</defs>)", found[4], flags=re.S)
    tag = "use" if "<use " in found[4] else "path"
    left = iter(titles)
    parts[::2] = [
        re.sub(rf"<{tag}( [^>]*)/>", lambda m: f"<{tag}{m[1]}>{next(left, '')}</{tag}>", p) for p in parts[::2]
    ]
    return f"{found[1]}<g>\n{''.join(parts)}{found[1]}</g>"


def _listed(told: Sequence[Sequence[str]]) -> str:
    """The texts of all marks, by name, folded."""
    if not 0 < sum(map(len, told)) - len(told) <= MOST_LISTED:
        return ""
    rows = []
    for name, group in itertools.groupby(told, key=lambda one: one[0]):
        texts = " · ".join(html.escape(t) for one in group for t in one[1:])
        rows.append(f"<p><b>{html.escape(name)}</b> {texts}</p>" if name else f"<p>{texts}</p>")
    return f'<details class="values"><summary>Values</summary>{"".join(rows)}</details>'
