"""A comparison as a table on the terminal, as Markdown, as a picture, and as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from markupsafe import Markup
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text
from typing_extensions import TypedDict

from plait.comparison.plots import draw_svg, save_png
from plait.comparison.schema import Comparison, Gap, Numbers, VariantRow, to_json
from plait.comparison.variants import QUICK
from plait.comparison.view import View, turned
from plait.core.atomic import write_text
from plait.report import words
from plait.report.environment import environment, write_page

__all__ = ["advice_lines", "as_markdown", "comparison_table", "render_comparison", "save_comparison"]

Cost = Literal["parameters", "train_seconds", "item_seconds", "step_bytes"]

COSTS: dict[Cost, str] = {
    "parameters": "parameters",
    "train_seconds": "training, s",
    "item_seconds": "ms per item",
    "step_bytes": "MB",
}
"""What each variant costs, and the columns' titles."""

COST_NOTE = (
    "Training: processor seconds per seed and fold, on average. Ms per item: processor milliseconds from prepared "
    "features to the answer. MB: the least memory of a training step (weights, gradients, the optimiser's moments, and "
    "what is kept for the backward pass)."
)


def save_comparison(result: Comparison, folder: str | Path) -> Path:
    """Write compare.json, compare.md, compare.png and compare.html into ``folder``; returns the last one's path.

    Raises:
        OSError: they cannot be written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    # The numbers first, so that a picture that cannot be drawn does not cost them.
    write_text(place / "compare.json", to_json(result))
    write_text(place / "compare.md", as_markdown(result, picture="compare.png"))
    save_png(result, place / "compare.png")
    return write_page(place / "compare.html", render_comparison(result))


def comparison_table(result: Numbers) -> Group:
    """Two tables for a terminal of 80 columns: what each variant reaches, and what it costs.

    Both have a row per variant, the best first; the first table ends with the constant answer.
    """
    view = View(result)
    titles, scores = _titles(view), -len(COSTS)
    rows = [(row, _cells(view, row)) for row in view.ranked()]
    reached, costs = _terminal(titles[:scores]), _terminal(["", *titles[scores:]])
    for row, cells in rows:
        style = "bold" if row is view.best else None
        reached.add_row(*_printable(cells[:scores]), style=style)
        costs.add_row(*_printable([cells[0], *cells[scores:]]), style=style)
    reached.add_section()
    reached.add_row(*_constant(view)[:scores], style="dim")
    return Group(reached, costs)


def _terminal(titles: Sequence[str]) -> Table:
    """A table whose names may be broken over lines, and whose numbers may not."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, title in enumerate(titles):
        table.add_column(Text(title), justify="right" if i else "left", overflow="fold")
    return table


def _printable(cells: Sequence[str]) -> list[Text]:
    # As Text, since rich takes brackets in a plain string for markup.
    return [Text(words.printable(cell), no_wrap=bool(i), overflow="fold") for i, cell in enumerate(cells)]


def advice_lines(result: Comparison) -> list[str]:
    """The advice for the terminal: the headline, the reasons, the cautions, and how to go on."""
    advice = result["advice"]
    found = [advice["headline"], *(f"- {s}" for s in [*advice["why"], *advice["cautions"]]), advice["next"]]
    return [words.printable(line) for line in found]


def as_markdown(result: Comparison, picture: str | None = None, level: int = 1) -> str:
    """Table and advice as Markdown.

    Args:
        result: as `plait.comparison.compare.compare` makes it.
        picture: the path of the picture above the table.
        level: of the heading.
    """
    view, advice = View(result), result["advice"]
    best = str(view.best["name"])
    rows = [["**" + c + "**" if c and r["name"] == best else c for c in _cells(view, r)] for r in view.ranked()]
    parts = [f"{'#' * level} {_plain(result['name'])}: which to fuse, and how", f"**{_plain(advice['headline'])}**"]
    if picture:
        parts.append(f"![Every variant with its interval, and its difference to the best]({picture})")
    parts += [_table(_titles(view), [*rows, _constant(view)]), _listed([*advice["why"], *advice["cautions"]])]
    if subsets := _subsets(view):
        parts += ["One model, answering with some of its modalities, beside the model trained for these alone:"]
        parts += [_table(_SUBSET_TITLES, [r["cells"] for r in subsets])]
    return "\n\n".join([*parts, COST_NOTE, f"{_budget(result)} {_plain(advice['next'])}"]) + "\n"


def render_comparison(result: Comparison) -> str:
    """The comparison's HTML."""
    view = View(result)
    rows = [{"cells": _cells(view, r), "best": r is view.best} for r in view.ranked()]
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            r=result,
            headline=result["advice"]["headline"],
            facts=_facts(result),
            cautions=result["advice"]["cautions"],
            version=result["versions"].get("plait"),
            advice=result["advice"],
            titles=_titles(view),
            rows=rows,
            constant=_constant(view),
            picture=Markup(draw_svg(result, "cmp")),
            subset_titles=_SUBSET_TITLES,
            subsets=_subsets(view),
            cost_note=COST_NOTE,
            budget=_budget(result),
            too_few=view.too_few,
        )
    )


def _facts(result: Numbers) -> list[str]:
    task = f"{result['task']['name']} {result['task']['target']}".strip()
    sizes = [(result["items"], "held-out item"), (result["groups"], "group")]
    sizes += [(len(result["seeds"]), "seed"), (len(result["folds"]), "fold")]
    date = result["date"].replace("T", " ").replace("+00:00", " UTC")
    told = [f"Corpus {result['corpus']}.", f"Task: {task}.", *(f"{words.counted(n, what)}." for n, what in sizes)]
    return [*told, f"Made {date}."] if date else told


def _titles(view: View) -> list[str]:
    lower = "" if view.sign > 0 else " (lower is better)"
    sd = ["sd"] if len(view.result["seeds"]) > 1 else []
    interval = ["95 % interval"] if _intervals(view) else []
    return ["", words.title_of(view.metric) + lower, *sd, *interval, f"to {view.best['title']}", *COSTS.values()]


def _intervals(view: View) -> bool:
    """Whether any variant has an interval; if none has, the column is left out."""
    return any(words.has_interval(row) for row in view.rows.values())


def _cells(view: View, row: VariantRow) -> list[str]:
    sd = [] if row["sd"] is None else [f"± {words.show(view.metric, row['sd'], unit=False)}"]
    value = words.show(view.metric, row["value"])
    costs = [_cost(name, row.get(name)) for name in COSTS]
    interval = [words.interval(view.metric, row)] if _intervals(view) else []
    return [row["title"], value, *sd, *interval, _behind(view, row), *costs]


def _behind(view: View, row: VariantRow) -> str:
    """How much better (+) or worse (−) a variant is than the best, with interval."""
    if row is view.best:
        return ""
    return _change(view, view.gap(row, view.best))


def _change(view: View, gap: Gap) -> str:
    if gap["difference"] is None:
        return "–"
    if not words.has_interval(gap):
        return _points(view, gap["difference"])
    return f"{_points(view, gap['difference'])} ({_points(view, gap['low'])} to {_points(view, gap['high'])})"


def _points(view: View, value: float | None) -> str:
    return words.change(view.metric, value).removesuffix(" points")


def _cost(name: Cost, value: float | None) -> str:
    if value is None:
        return "–"
    if name == "parameters":
        return f"{value:,}"
    scaled = value * {"train_seconds": 1.0, "item_seconds": 1e3, "step_bytes": 1e-6}[name]
    return f"{scaled:.1f}" if scaled < 100 else f"{scaled:,.0f}"


def _constant(view: View) -> list[str]:
    base = view.result["baseline"]
    sd = [""] if len(view.result["seeds"]) > 1 else []
    # No reason is shown in place of an interval: a constant answer often scores the same in every group.
    known = words.interval(view.metric, base) if words.has_interval(base) else ""
    interval = [known] if _intervals(view) else []
    return ["constant answer", words.show(view.metric, base["value"]), *sd, *interval, *[""] * (1 + len(COSTS))]


class _SubsetLine(TypedDict):
    cells: list[str]
    significant: bool


_SUBSET_TITLES = ["model", "answers with", "alone", "trained for them", "difference"]


def _subsets(view: View) -> list[_SubsetLine]:
    """What fusions answer with fewer modalities, where a model was trained for these alone."""
    found: list[_SubsetLine] = []
    for row in view.result["subsets"]:
        if row["dedicated"] is None or "gain_of_dedicated" not in row:
            continue
        other = view.rows[row["dedicated"]]
        gap = turned(row["gain_of_dedicated"])
        cells = [
            view.rows[row["variant"]]["title"],
            " + ".join(row["modalities"]),
            words.show(view.metric, row["value"]),
            words.show(view.metric, other["value"]),
            _change(view, gap),
        ]
        found.append({"cells": cells, "significant": gap["significant"]})
    return found


def _budget(result: Numbers) -> str:
    """The budget that all variants have in common."""
    budget, folds, seeds = result["budget"], result["folds"], result["seeds"]
    until = "at most " if budget["stop"] == "early" else ""
    how = "of the training part" if result["held_back"] else "of all items"
    numbers = ", ".join(map(str, seeds))
    quick = any(row["kind"] == QUICK for row in result["variants"])
    all_alike = "All but the quick model, which takes no steps, alike" if quick else "All alike"
    length = f"{budget['epochs']} epochs" if budget["epochs"] else f"about {budget['steps']} steps"
    return (
        f"{all_alike}: {until}{length}, batches of {budget['batch']}, {len(folds)} folds {how}, "
        f"seed{'' if len(seeds) == 1 else 's'} {numbers}. {words.interval_note(result['intervals'])}"
    )


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {_plain(s)}" for s in sentences)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "--:|" * (len(titles) - 1)]
    lines += ["| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """A text with users' names in it, on one line."""
    return words.printable(text).replace("\n", " ")
