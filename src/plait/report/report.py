"""The evaluation as one HTML file that needs nothing else: no network, no scripts, light and dark, paper too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from plait.core.atomic import replacing, write_text
from plait.report import facts as report_facts
from plait.report import plots, words

__all__ = ["environment", "render_report", "save_evaluation", "write_report"]

FEW_MODALITIES, SHOWN_ROWS, SHOWN_CLOCKS = 4, 12, 12


def write_report(evaluation: Mapping[str, Any], path: str | Path) -> Path:
    """Write report.html, atomically; the same numbers give the same bytes.

    Args:
        evaluation: as `plait.evaluation.summary.summarise` makes it. Where given, these are shown as well:
            ``training`` {"seeds": [{"epoch", "train_loss", "valid"}]}, ``scatter`` {"target", "predicted"},
            ``sync`` (a list of clocks, planted against recovered), ``recipe_yaml`` (text), ``versions``.
        path: the file to write.

    Raises:
        OSError: it cannot be written.
    """
    target = Path(path)
    with replacing(target) as part:
        # Half of a pair (a name cut through an emoji) must not cost the report: it is shown as a question mark.
        part.write_bytes(render_report(evaluation).encode("utf-8", errors="replace"))
    return target


def save_evaluation(evaluation: Mapping[str, Any], folder: str | Path) -> Path:
    """Write evaluation.json and report.html into ``folder``, made if need be; returns the report's path.

    Raises:
        OSError: they cannot be written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "evaluation.json", json.dumps(evaluation, ensure_ascii=False, indent=1))
    return write_report(evaluation, place / "report.html")


def render_report(evaluation: Mapping[str, Any]) -> str:
    """The report's HTML."""
    return environment().get_template("report.html.j2").render(**_context(evaluation))


def environment() -> Environment:
    """Where the pages' templates are found, with what they need to write numbers and names."""
    found = Environment(
        loader=PackageLoader("plait.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    found.filters["short"] = plots.short
    found.globals |= {"words": words, "is_mapping": lambda v: isinstance(v, Mapping)}
    return found


def _printable(value: Any) -> Any:
    """Names come from users' files; our own SVG is left as it is."""
    return words.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _context(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    metric, full = evaluation["task"]["metric"], evaluation["subsets"][-1]
    rows, more = _rows(evaluation)
    every = [*rows, *more]
    return {
        "e": evaluation,
        "metric": metric,
        "full": full,
        "modalities": full["modalities"],
        "headline": words.headline(evaluation),
        "cautions": words.cautions(evaluation),
        "facts": report_facts.facts(evaluation),
        "rows": rows,
        "more_rows": more,
        # a column that would be empty, or say the same in every row, is left out
        "with_sd": any(r["sd"] for r in every),
        "with_interval": any(words.has_interval(r.get("interval")) for r in evaluation["subsets"]),
        "with_answered": any(r["answered"] not in (None, evaluation["items"]) for r in every),
        "axis": _axis(evaluation),
        "base": _place(evaluation, evaluation["baseline"]["metrics"].get(metric)),
        "contribution": _contribution(evaluation),
        "upset": Markup(plots.upset(evaluation, _ranked(evaluation), "upset")) if _many(evaluation) else "",
        "figures": [f for f in _figures(evaluation) if f["svg"]],
        "matrix": _matrix(evaluation),
        "classes": _folded(sorted(evaluation.get("per_class") or [], key=_recall)),
        "groups": _folded(evaluation.get("per_group") or []),
        "with_texts": any(x["truth"] is not None for x in evaluation.get("examples") or []),
        "data": report_facts.data(evaluation),
        "sync": _sync(evaluation.get("sync")),
    }


def _recall(row: Mapping[str, Any]) -> float:
    """The least recognised first; those that do not occur last."""
    return 2.0 if row["recall"] is None else row["recall"]


def _folded(rows: Sequence[Any]) -> dict[str, Any] | None:
    """Rows that are shown at once, and those that are folded away where there are many."""
    few = SHOWN_ROWS if len(rows) > SHOWN_ROWS + 3 else len(rows)
    return {"shown": rows[:few], "more": rows[few:]} if rows else None


def _many(evaluation: Mapping[str, Any]) -> bool:
    return len(evaluation["subsets"][-1]["modalities"]) > FEW_MODALITIES


def _sign(evaluation: Mapping[str, Any]) -> int:
    return 1 if evaluation["task"]["higher_is_better"] else -1


def _ranked(evaluation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Subsets, best first; those without a value last."""
    sign = _sign(evaluation)

    def key(row: Mapping[str, Any]) -> tuple[bool, float]:
        value = words.main(evaluation, row)
        return value is None, 0.0 if value is None else -sign * value

    return sorted(evaluation["subsets"], key=key)


def _rows(evaluation: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The table's rows, and those folded away where there are many: all but the best, the full set and the singles."""
    if not _many(evaluation):
        return [_row(evaluation, r) for r in evaluation["subsets"]], []
    ranked = _ranked(evaluation)
    whole = len(evaluation["subsets"][-1]["modalities"])
    shown = [r for i, r in enumerate(ranked) if i < SHOWN_ROWS or len(r["modalities"]) in (1, whole)]
    return [_row(evaluation, r) for r in shown], [_row(evaluation, r) for r in ranked if r not in shown]


def _row(evaluation: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    metric = evaluation["task"]["metric"]
    found = row["metrics"].get(metric) or {}
    span = row.get("interval") or {}
    sd = found.get("sd")
    return {
        "modalities": row["modalities"],
        "whole": len(row["modalities"]) == len(evaluation["subsets"][-1]["modalities"]),
        "value": words.show(metric, found.get("mean")),
        "sd": "" if sd is None else f"± {words.show(metric, sd, unit=False)}",
        "interval": words.interval(metric, span),
        "answered": row.get("answered"),
        "at": _place(evaluation, found.get("mean")),
        "low": _place(evaluation, span.get("low")),
        "high": _place(evaluation, span.get("high")),
    }


def _axis(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The range of the table's bars: all intervals and the baseline; shares keep within 0 and 1."""
    metric = evaluation["task"]["metric"]
    values = [evaluation["baseline"]["metrics"].get(metric)]
    for row in evaluation["subsets"]:
        span = row.get("interval") or {}
        values += [words.main(evaluation, row), span.get("low"), span.get("high")]
    known = [v for v in values if v is not None] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = 0.04 * (high - low) or 0.05
    low, high = low - room, high + room
    if words.in_percent(metric):
        low, high = max(low, 0.0), min(high, 1.0)
    return {"low": low, "high": high}


def _place(evaluation: Mapping[str, Any], value: float | None) -> float | None:
    """Where a value stands on the table's bars, percent."""
    if value is None:
        return None
    axis = _axis(evaluation)
    return round(100 * (value - axis["low"]) / (axis["high"] - axis["low"]), 2)


def _contribution(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each modality brings to the others, with interval, and what it is worth alone; the most needed first."""
    metric, sign, found = evaluation["task"]["metric"], _sign(evaluation), []
    rows = evaluation.get("contributions") or []
    alone = {r["modalities"][0]: words.main(evaluation, r) for r in evaluation["subsets"] if len(r["modalities"]) == 1}
    largest = max((abs(r["gain"]) for r in rows if r["gain"] is not None), default=0.0) or 1.0
    for row in rows:
        gain, span = row["gain"], row["interval"]
        # the metric's own direction: an error grows when a modality is left out that helps
        ends = sorted(-sign * span[end] for end in ("low", "high")) if words.has_interval(span) else [None, None]
        changed = {**span, "low": ends[0], "high": ends[1]}
        found.append(
            {
                "modality": row["modality"],
                "harms": gain is not None and gain < 0,
                "text": words.change(metric, None if gain is None else -sign * gain),
                "interval": words.span(metric, changed).removeprefix("95 % interval ") if ends[0] is not None else "",
                "verdict": _verdict(gain, span),
                "width": 0.0 if gain is None else round(100 * abs(gain) / largest, 1),
                "alone": words.show(metric, alone.get(row["modality"])),
            }
        )
    return found


def _verdict(gain: float | None, span: Mapping[str, Any]) -> str:
    """What may be said of a modality: no more than its interval does."""
    if gain is None or not words.has_interval(span):
        return ""
    if words.significant(span):
        return "helps" if gain > 0 else "harms"
    return "may be chance"


def _figures(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plots of half a page each, with a title and what to see in them."""
    found = _robustness(evaluation)
    calibration = evaluation.get("calibration") or {}
    if calibration.get("bins"):
        text = (
            "On the dashed line the model is as sure as it is right; below it, too sure. Larger dots hold more items."
        )
        error = words.show("accuracy", calibration.get("ece"), unit=False)
        text += f" Expected calibration error: {error} points."
        found.append(_figure("Is it as sure as it should be?", text, plots.reliability(calibration["bins"], "rel")))
    scatter = evaluation.get("scatter")
    if scatter:
        text = "Answers against truth, all modalities together, first seed; on the dashed line they agree."
        found.append(_figure("Answers and truth", text, plots.scatter(scatter["target"], scatter["predicted"], "sca")))
    seeds = (evaluation.get("training") or {}).get("seeds")
    if seeds:
        svg = plots.training(seeds, evaluation["task"]["metric"], "tra")
        found.append(_figure("Training", "A line for each seed and fold.", svg))
    return found


def _robustness(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    robustness = evaluation.get("robustness") or {}
    found = []
    pairs = dict.fromkeys((r["modality"], r["kind"]) for r in robustness.get("noise") or [])
    for i, (modality, kind) in enumerate(pairs):
        text = f"Noise on {modality} alone: {kind.replace('_', ' ')}.{_band(evaluation, robustness['noise'])}"
        found.append(_figure(f"When {modality} gets noisy", text, plots.noise(evaluation, modality, kind, f"noi{i}")))
    if robustness.get("missing"):
        text = f"Streams hidden at random, nothing retrained.{_band(evaluation, robustness['missing'])}"
        found.append(_figure("When streams are missing", text, plots.missing(evaluation, "mis")))
    return found


def _band(evaluation: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    over = "seeds and folds" if len(evaluation["folds"]) > 1 else "seeds"
    return f" The band is one standard deviation over {over}." if any(r.get("sd") for r in rows) else ""


def _figure(title: str, text: str, svg: str) -> dict[str, Any]:
    return {"title": title, "text": text, "svg": Markup(svg)}


def _matrix(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    """The confusion matrix, and its most frequent mistakes in words."""
    confusion = evaluation.get("confusion")
    if not confusion:
        return None
    classes, counts = confusion["classes"], confusion["counts"]
    wrong = [(n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j]
    worst = sorted(wrong, key=lambda w: (-w[0], w[1], w[2]))[:5]
    mistakes = [{"truth": classes[i], "answer": classes[j], "count": n, "of": sum(counts[i])} for n, i, j in worst]
    svg = Markup(plots.confusion(classes, counts, "con"))
    return {"svg": svg, "mistakes": mistakes, "classes": len(classes)}


def _sync(clocks: Sequence[Mapping[str, Any]] | None) -> dict[str, Any] | None:
    """Planted and recovered clocks: how many are right, and the worst first."""
    if not clocks:
        return None

    def error(clock: Mapping[str, Any]) -> float:
        value = clock.get("max_error_ms")
        return -1.0 if value is None else abs(value)

    ranked = sorted(clocks, key=lambda c: -error(c))
    known = [c for c in clocks if c.get("max_error_ms") is not None]
    return {
        "rows": ranked[:SHOWN_CLOCKS],
        "more": ranked[SHOWN_CLOCKS:],
        "total": len(known),
        "good": sum(error(c) <= 10 for c in known),
        "flagged": sum(bool(c.get("flagged")) for c in clocks),
        "unnoticed": sum(error(c) > 10 and not c.get("flagged") for c in known),
    }
