"""Finished runs compared, in words and tables: for the terminal, as Markdown, and as one self-contained HTML file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from markupsafe import Markup
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from plait.comparison.plots import draw_svg
from plait.comparison.runs_schema import RunRow, RunsCompared, Tested
from plait.comparison.schema import Numbers
from plait.comparison.variants import ALONE
from plait.core.atomic import write_text
from plait.evaluation.intervals import NO_SPREAD
from plait.report import markdown, words
from plait.report.environment import environment, write_page
from plait.report.sections import folded

__all__ = ["as_markdown", "cautions", "headline", "render_runs", "save_runs", "summary_of"]

LONGEST = 60
"""Letters of a recipe's value that are shown."""

HOW = (
    "Differences are paired: the same items, and the same groups left out in turn (cluster jackknife with Student’s t: "
    "MacKinnon, Nielsen & Webb 2023; Bell & McCaffrey 2002). p-values are corrected for the number of comparisons in a "
    "table (Holm 1979). One run is called better only if its corrected p-value is at most 0.05 and the difference is "
    "larger than its spread over seeds. Intervals are not corrected; they are about new groups, not about new seeds."
)


def save_runs(result: RunsCompared, folder: str | Path) -> Path:
    """Write runs.json and runs.html into ``folder``, made if needed; returns the page's path.

    Raises:
        OSError: they cannot be written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "runs.json", json.dumps(result, ensure_ascii=False, indent=1))
    return write_page(place / "runs.html", render_runs(result))


class Shown(NamedTuple):
    """A table: titles and cells to be read, rows in bold, columns that are set to the left."""

    title: str
    note: str
    titles: list[str]
    rows: list[list[str]]
    bold: list[int]
    left: int


def headline(result: RunsCompared) -> str:
    """Which run is better, or that it cannot be told."""
    best, *others = _ranked(result)
    metric, count = result["task"]["metric"], words.counted(result["items"], "item")
    what = words.about(result)
    groups = words.counted(result["groups"], "group")
    start = f"{what[:1].upper()}{what[1:]}, on the same {count} of {groups}: "
    if len(others) == 1:
        return f"{start}{_of_two(result, best, others[0])}."
    reached = f"{best['name']} reaches {words.show(metric, best['value'])}"
    beaten = [o["name"] for o in others if _gap(result, best, o)["significant"]]
    open_ = [o["name"] for o in others if o["name"] not in beaten]
    told = [f"better than {words.listed(beaten)}"] if beaten else []
    told += [f"whether it is better than {words.listed(open_)} cannot be told"] if open_ else []
    return f"{start}{reached}, {'; '.join(told)}."


def _of_two(result: RunsCompared, best: RunRow, other: RunRow) -> str:
    metric, gap = result["task"]["metric"], _gap(result, best, other)
    size = words.change(metric, gap["difference"]).lstrip("+")
    values = [words.show(metric, row["value"]) for row in (best, other)]
    if gap["significant"]:
        p = f"{words.span(metric, gap)}; {_p(gap['p'])}"
        return f"{best['name']} reaches {values[0]}, {size} better than {other['name']} ({p})"
    which = f"whether {best['name']} ({values[0]}) or {other['name']} ({values[1]}) is better cannot be told"
    if _alike(gap):
        return f"{best['name']} and {other['name']} answer alike ({values[0]})"
    return f"{which}: {size} apart ({words.span(metric, gap)})"


def _alike(gap: Tested) -> bool:
    """Whether there is no difference whatever group is left out; 0 by chance is something else."""
    return gap["difference"] == 0 and gap["reason"] == NO_SPREAD


def cautions(result: RunsCompared) -> list[str]:
    """What a reader should know before believing the headline."""
    runs, items = result["runs"], result["items"]
    found = []
    if any(row["items"] > items for row in runs):
        own = ", ".join(f"{row['name']} {row['items']:,}" for row in runs)
        found.append(f"Compared on the {words.counted(items, 'item')} that all were tested on. Test items: {own}.")
    if len(result["corpora"]) > 1:
        found.append(f"The corpora are {words.listed(result['corpora'])}; items were matched by their names.")
    fewest = result["intervals"]["fewest_groups"]
    if result["groups"] < fewest:
        groups = words.counted(result["groups"], "group")
        found.append(f"{groups} {'is' if result['groups'] == 1 else 'are'} too few for tests ({fewest} are needed).")
    for row in runs:
        if row["seen"]:
            groups = words.counted(row["seen"], "group")
            found.append(f"{row['name']} met {groups} of these items in training, which may flatter it.")
        if row["unfinished"]:
            found.append(f"{row['name']}: not fully trained, and left out: {words.listed(row['unfinished'])}.")
    single = [row["name"] for row in runs if len(row["seeds"]) == 1]
    if single:
        verb = "has" if len(single) == 1 else "have"
        found.append(f"{words.listed(single)} {verb} one seed: how far another seed would move it is not known.")
    return found


def _ranked(result: RunsCompared) -> list[RunRow]:
    """The best first; those without a value last."""
    sign = 1 if result["task"]["higher_is_better"] else -1
    return sorted(result["runs"], key=lambda r: float("inf") if r["value"] is None else -sign * r["value"])


def _gap(result: RunsCompared, a: RunRow, b: RunRow) -> Tested:
    """How much better ``a`` is than ``b``."""
    for row in result["pairs"]:
        if (row["a"], row["b"]) == (a["name"], b["name"]):
            return row
        if (row["b"], row["a"]) == (a["name"], b["name"]):
            return cast(Tested, {**row, "a": row["b"], "b": row["a"], **_turned(row)})
    raise KeyError((a["name"], b["name"]))


def _turned(row: Tested) -> dict[str, float | None]:
    ends = {"difference": row["difference"], "low": row["high"], "high": row["low"]}
    return {name: None if end is None else -end for name, end in ends.items()}


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"


def _tables(result: RunsCompared) -> list[Shown]:
    found = [_runs(result), _pairs(result), _subsets(result), _recipes(result)]
    return [t for t in found if t.rows]


def _runs(result: RunsCompared) -> Shown:
    metric, ranked = result["task"]["metric"], _ranked(result)
    lower = "" if result["task"]["higher_is_better"] else " (lower is better)"
    titles = ["run", words.title_of(metric) + lower, "95 % interval", "sd", "constant answer", "seeds", "trained on"]
    rows = [
        [
            row["name"],
            words.show(metric, row["value"]),
            words.interval(metric, row),
            "–" if row["sd"] is None else f"± {words.show(metric, row['sd'], unit=False)}",
            words.show(metric, row["constant"]),
            str(len(row["seeds"])),
            words.counted(row["trained_on"], "item"),
        ]
        for row in ranked
    ]
    note = "All on the same items, the best first. sd: over seeds. Constant answer: the best without any stream."
    return Shown("The runs", note, titles, rows, [0], 1)


def _pairs(result: RunsCompared) -> Shown:
    titles = ["run", "other", "better by", "95 % interval", "p", "corrected", ""]
    ranked = _ranked(result)
    gaps = [_gap(result, a, b) for i, a in enumerate(ranked) for b in ranked[i + 1 :]]
    rows = [[g["a"], g["b"], *_difference(result, g)] for g in gaps]
    note = f"How much better the first is than the second, of {words.counted(len(gaps), 'pair')}."
    return Shown("Each against each", note, titles, rows, [i for i, g in enumerate(gaps) if g["significant"]], 2)


def _difference(result: RunsCompared, gap: Tested) -> list[str]:
    metric = result["task"]["metric"]
    if gap["significant"]:
        verdict = "better" if (gap["difference"] or 0.0) > 0 else "worse"
    else:
        verdict = "alike" if _alike(gap) else "cannot be told"
    span = words.span(metric, gap).removeprefix("95 % interval ") if words.has_interval(gap) else gap["reason"] or "–"
    ps = [_p(p).removeprefix("p = ").removeprefix("p ") for p in (gap["p"], gap["p_corrected"])]
    return [words.change(metric, gap["difference"]), span, *ps, verdict]


def _subsets(result: RunsCompared) -> Shown:
    metric, rows = result["task"]["metric"], result["subsets"]
    first = result["runs"][0]["name"]
    titles = ["modalities", "other", first, "other’s", "better by", "95 % interval", "p", "corrected", ""]
    cells = [
        [" + ".join(r["modalities"]), r["b"], *(words.show(metric, v) for v in (r["value_a"], r["value_b"]))]
        + _difference(result, r)
        for r in rows
    ]
    note = f"{first} against each other run where both answer with the same modalities only, nothing retrained."
    bold = [i for i, r in enumerate(rows) if r["significant"]]
    return Shown("With some of the modalities", note, titles, cells, bold, 2)


def _recipes(result: RunsCompared) -> Shown:
    rows = [[row["key"], *map(_brief, row["values"])] for row in result["recipes"]]
    titles = ["key", *(row["name"] for row in result["runs"])]
    return Shown("What differs in their recipes", "", titles, rows, [], len(titles))


def _brief(value: object) -> str:
    text = "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def as_markdown(result: RunsCompared) -> str:
    """The comparison for a pull request."""
    names = words.listed([row["name"] for row in result["runs"]])
    parts = [f"## {markdown.escaped(names)}", f"**{markdown.escaped(headline(result))}**"]
    parts += markdown.warned(cautions(result))
    for i, t in enumerate(_tables(result)):
        text = markdown.table(t.titles, t.rows, bold=t.bold, left=t.left)
        text = f"{markdown.escaped(t.note)}\n\n{text}" if t.note else text
        long = len(t.rows) > markdown.FEW or i > 1
        parts.append(markdown.folded_away(t.title, text) if long else text)
    parts.append(markdown.escaped(f"{words.interval_note(result['intervals'])} {HOW}"))
    return "\n\n".join(parts) + "\n"


def render_runs(result: RunsCompared) -> str:
    """The comparison's HTML."""
    tables = [{**t._asdict(), "cells": folded(list(enumerate(t.rows)))} for t in _tables(result)]
    task, date = result["task"], result["date"].replace("T", " ").replace("+00:00", " UTC")
    what = f"{task['name']} {task['target']}".strip()
    return (
        environment()
        .get_template("runs.html.j2")
        .render(
            names=words.listed([row["name"] for row in result["runs"]]),
            headline=headline(result),
            cautions=cautions(result),
            facts=[
                f"Corpus {words.listed(result['corpora'])}. Task: {what}.",
                f"{words.counted(result['items'], 'shared test item')} of {words.counted(result['groups'], 'group')}.",
                f"Made {date} with plait {result['versions']['plait']}.",
            ],
            version=result["versions"]["plait"],
            tables=tables,
            picture=Markup(draw_svg(_drawn(result), "runs")),
            how=f"{words.interval_note(result['intervals'])} {HOW}",
        )
    )


def _drawn(result: RunsCompared) -> Numbers:
    """The runs in the form of the variants of `plait compare`, as its picture shows all that is to be seen."""
    first = result["runs"][0]
    variants = [{**row, "title": row["name"], "kind": ALONE, "family": ""} for row in result["runs"]]
    baseline = {"value": first["constant"], "low": None, "high": None}
    return cast(Numbers, {**result, "variants": variants, "differences": result["pairs"], "baseline": baseline})


def summary_of(result: RunsCompared) -> Group:
    """The table of the runs for the terminal, then the result and its cautions."""
    shown = _runs(result)
    found = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, title in enumerate(shown.titles):
        found.add_column(Text(title), justify="left" if i < shown.left else "right", overflow="fold")
    for i, row in enumerate(shown.rows):
        found.add_row(*(Text(words.printable(c)) for c in row), style="bold" if i in shown.bold else None)
    said: Sequence[str] = [headline(result), *cautions(result)]
    return Group(found, *(Text(words.printable(line)) for line in said))
