"""An evaluation on the terminal: the table of subsets, and the result in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from plait.evaluation.schema import Evaluation, SubsetRow
from plait.report import words
from plait.report.sections.forecasts import verdict_lines

__all__ = ["subset_table", "summary_of"]

Cell = Callable[[SubsetRow], str]

WIDTH, FRAME = 80, 3
"""The width of a terminal, and of the frame around each column. Names of modalities that do not fit are replaced by
numbers, and listed below the table."""


def summary_of(evaluation: Evaluation) -> Group:
    """The table of subsets, then the result and its cautions in sentences, each a paragraph.

    Args:
        evaluation: as `plait.evaluation.summary.summarise` makes it.
    """
    said = [words.headline(evaluation), *_rivals(evaluation), *verdict_lines(evaluation), *words.cautions(evaluation)]
    return Group(subset_table(evaluation), *(Text(words.printable(line)) for line in said))


def _rivals(evaluation: Evaluation) -> list[str]:
    """One line: how good cheap forecasts are."""
    metric, rivals = evaluation["task"]["metric"], evaluation.get("rivals")
    if not rivals:
        return []
    told = (f"{n.replace('_', ' ')} {words.show(metric, r['metrics'].get(metric))}" for n, r in rivals.items())
    return [f"{words.title_of(metric)} of cheap forecasts: {', '.join(told)}."]


def subset_table(evaluation: Evaluation) -> Table:
    """A row per subset of modalities, the constant answer first and all together last; at most 80 columns wide.

    Args:
        evaluation: as `plait.evaluation.summary.summarise` makes it.

    >>> row = {"modalities": ["imu"], "answered": 9, "metrics": {"mae": {"mean": 0.5, "sd": None}}}
    >>> task = {"metric": "mae", "higher_is_better": False}
    >>> subset_table({"task": task, "baseline": {"metrics": {"mae": 1.0}}, "subsets": [row]}).row_count
    2
    """
    metric = evaluation["task"]["metric"]
    modalities = evaluation["subsets"][-1]["modalities"]
    names = [words.printable(name) for name in modalities]
    table, columns = Table(), _columns(evaluation)
    # Measured in cells of the terminal, not in letters: some letters are two cells wide.
    if _width(evaluation, columns) + sum(cell_len(name) + FRAME for name in names) > WIDTH:
        table.caption = Text(", ".join(f"{i} {name}" for i, name in enumerate(names, 1)), justify="left")
        names = [str(i) for i in range(1, len(names) + 1)]
    for name in names:
        table.add_column(Text(name), justify="center", overflow="fold")
    for title in columns:
        table.add_column(title, justify="right", overflow="fold")
    base = words.show(metric, evaluation["baseline"]["metrics"].get(metric))
    rest = [""] * (len(columns) - 1)
    if rest:
        rest[-1] = "constant"
    table.add_row(*([""] * len(modalities)), base, *rest, style="dim", end_section=True)
    for row in evaluation["subsets"]:
        whole = len(row["modalities"]) == len(modalities)
        dots = ("●" if m in row["modalities"] else "·" for m in modalities)
        table.add_row(*dots, *(cell(row) for cell in columns.values()), style="bold" if whole else None)
    return table


def _width(evaluation: Evaluation, columns: Mapping[str, Cell]) -> int:
    """The width of the table without the modalities."""
    cells = ([title, *map(cell, evaluation["subsets"]), "constant"] for title, cell in columns.items())
    return 1 + sum(max(map(cell_len, column)) + FRAME for column in cells)


def _columns(evaluation: Evaluation) -> dict[str, Cell]:
    """Titles, and how each column's cells are written; empty columns are left out."""
    metric, rows = evaluation["task"]["metric"], evaluation["subsets"]
    better = "" if evaluation["task"]["higher_is_better"] else " (lower is better)"
    found: dict[str, Cell] = {
        words.title_of(metric) + better: lambda row: words.show(metric, words.main(evaluation, row))
    }
    if any(_sd(metric, row) for row in rows):
        found["sd"] = lambda row: _sd(metric, row)
    if any(words.has_interval(row.get("interval")) for row in rows):
        found["95 % interval"] = lambda row: words.interval(metric, row.get("interval"))
    if any(row.get("answered") is not None for row in rows):
        found["answered"] = lambda row: f"{row['answered']}" if row.get("answered") is not None else "–"
    return found


def _sd(metric: str, row: SubsetRow) -> str:
    found = row["metrics"].get(metric)
    sd = found["sd"] if found else None
    return "" if sd is None else f"± {words.show(metric, sd, unit=False)}"
