"""What every benchmark ends with: a table of targets and one JSON line."""

from __future__ import annotations

import argparse
import json
import operator
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

OPS = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "==": operator.eq}


def target(what: str, value: float, op: str, goal: float) -> dict[str, Any]:
    """One figure that was asked for, and whether it was reached."""
    return {"what": what, "value": round(float(value), 5), "op": op, "target": goal, "met": bool(OPS[op](value, goal))}


def check_parts(parser: argparse.ArgumentParser, names: Iterable[str], known: Iterable[str]) -> None:
    """End with a message where there is no such part."""
    known = list(known)
    if strange := {*names} - {*known}:
        parser.error(f"there is no part {', '.join(sorted(strange))}; expected of {', '.join(known)}")


def finish(targets: list[dict[str, Any]], **more: Any) -> None:
    """Print the table, and as the last line the JSON object."""
    table = Table(title="targets")
    for name in ("what", "value", "op", "target", "met"):
        table.add_column(name)
    for t in targets:
        table.add_row(t["what"], f"{t['value']:g}", t["op"], f"{t['target']:g}", "yes" if t["met"] else "NO")
    Console().print(table)
    print(json.dumps({"targets": targets, **more}))
