"""The table of subsets, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from plait.evaluation import words

__all__ = ["subset_table"]


def subset_table(evaluation: Mapping[str, Any]) -> Table:
    """A row a subset of modalities, the constant answer first and all together last.

    Args:
        evaluation: as `plait.evaluation.summary.summarise` makes it.

    >>> row = {"modalities": ["imu"], "answered": 9, "metrics": {"mae": {"mean": 0.5, "sd": None}}}
    >>> task = {"metric": "mae", "higher_is_better": False}
    >>> subset_table({"task": task, "baseline": {"metrics": {"mae": 1.0}}, "subsets": [row]}).row_count
    2
    """
    metric = evaluation["task"]["metric"]
    modalities = evaluation["subsets"][-1]["modalities"]
    table = Table(caption=Text(words.printable(words.headline(evaluation))), caption_justify="left")
    for name in modalities:
        table.add_column(Text(words.printable(name)), justify="center", overflow="fold")
    better = "" if evaluation["task"]["higher_is_better"] else " (lower is better)"
    for title in (words.title_of(metric) + better, "sd", "95 % interval", "answered"):
        table.add_column(title, justify="right", overflow="fold")
    base = words.show(metric, evaluation["baseline"]["metrics"].get(metric))
    table.add_row(*([""] * len(modalities)), base, "", "", "constant", style="dim", end_section=True)
    for row in evaluation["subsets"]:
        whole = len(row["modalities"]) == len(modalities)
        table.add_row(*_cells(metric, modalities, row), style="bold" if whole else None)
    return table


def _cells(metric: str, modalities: list[str], row: Mapping[str, Any]) -> list[str]:
    found = row["metrics"].get(metric) or {}
    sd = found.get("sd")
    return [
        *("●" if m in row["modalities"] else "·" for m in modalities),
        words.show(metric, found.get("mean")),
        "" if sd is None else f"± {words.show(metric, sd, unit=False)}",
        words.interval(metric, row.get("interval")),
        f"{row['answered']}" if row.get("answered") is not None else "–",
    ]
