"""An evaluation as Markdown for a pull request, and tables whose cells may hold any name."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from plait.evaluation.schema import Evaluation, SubsetRow
from plait.report import facts, words
from plait.report.sections import full_of, has_intervals, has_sd, sign_of

__all__ = ["as_markdown", "escaped", "folded_away", "listed", "table", "warned"]

FEW = 16
"""Rows of a table that are shown unfolded."""


def escaped(text: str) -> str:
    """A text with users' names in it, on one line, which shows in Markdown as it is.

    >>> print(escaped("a|b <i> *c*"))
    a\\|b &lt;i&gt; \\*c\\*
    """
    line = " ".join(words.printable(text).split())
    plain = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", html.escape(line, quote=False))
    # A name must not call a person or refer to an issue of that name: a word joiner, which is not seen, breaks it.
    return re.sub(r"([@#])(?=\w)", "\\1\N{WORD JOINER}", plain)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, bold: Sequence[int] = (), left: int = 1) -> str:
    """A table.

    Args:
        titles: of the columns.
        rows: their cells, as they are to be read.
        bold: rows in bold.
        left: columns that are set to the left; the others hold numbers.
    """
    lines = [_line(map(escaped, titles)), "|" + "---|" * left + "--:|" * (len(titles) - left)]
    for i, row in enumerate(rows):
        cells = map(escaped, row)
        lines.append(_line(f"**{c}**" if c and i in bold else c for c in cells))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def folded_away(title: str, text: str) -> str:
    """A text that is unfolded by a click."""
    return f"<details><summary>{escaped(title)}</summary>\n\n{text}\n\n</details>"


def listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(s)}" for s in sentences)


def warned(sentences: Sequence[str]) -> list[str]:
    """What a reader should know, as a warning; nothing if there is nothing."""
    return ["> [!WARNING]\n" + "\n".join(f"> - {escaped(s)}" for s in sentences)] if sentences else []


def as_markdown(evaluation: Evaluation) -> str:
    """The result in a sentence, what to beware of, and the table of subsets, for a pull request.

    Args:
        evaluation: as `plait.evaluation.summary.summarise` makes it.
    """
    parts = [f"## {escaped(evaluation['run'] or 'Evaluation')}", f"**{escaped(words.headline(evaluation))}**"]
    parts += warned(words.cautions(evaluation))
    shown = _subsets(evaluation)
    many = len(evaluation["subsets"]) > FEW
    parts.append(folded_away(f"All {len(evaluation['subsets'])} subsets of modalities", shown) if many else shown)
    parts.append(escaped(" ".join([*facts.facts(evaluation), words.interval_note(evaluation["intervals"])])))
    return "\n\n".join(parts) + "\n"


def _subsets(evaluation: Evaluation) -> str:
    """The best subset first, all modalities in bold, the constant answer last."""
    metric, full = evaluation["task"]["metric"], full_of(evaluation)
    lower = "" if evaluation["task"]["higher_is_better"] else " (lower is better)"
    titles = ["modalities", words.title_of(metric) + lower]
    titles += ["sd"] if has_sd(evaluation) else []
    titles += ["95 % interval"] if has_intervals(evaluation) else []
    rows = sorted(evaluation["subsets"], key=lambda row: _rank(evaluation, row))
    cells = [_cells(evaluation, row, full) for row in rows]
    base = words.show(metric, evaluation["baseline"]["metrics"].get(metric))
    constant = ["constant answer", base, *[""] * (len(titles) - 2)]
    return table(titles, [*cells, constant], bold=[rows.index(full)])


def _rank(evaluation: Evaluation, row: SubsetRow) -> float:
    value = words.main(evaluation, row)
    return float("inf") if value is None else -sign_of(evaluation) * value


def _cells(evaluation: Evaluation, row: SubsetRow, full: SubsetRow) -> list[str]:
    metric = evaluation["task"]["metric"]
    found = row["metrics"].get(metric)
    name = "all together" if row is full and len(row["modalities"]) > 1 else " + ".join(row["modalities"])
    cells = [name, words.show(metric, words.main(evaluation, row))]
    if has_sd(evaluation):
        sd = found["sd"] if found else None
        cells.append("" if sd is None else f"± {words.show(metric, sd, unit=False)}")
    if has_intervals(evaluation):
        cells.append(words.interval(metric, row.get("interval")))
    return cells
