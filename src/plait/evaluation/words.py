"""Numbers of an evaluation as a reader wants them: formatted, and in a sentence."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "cautions",
    "change",
    "headline",
    "in_percent",
    "interval",
    "listed",
    "main",
    "printable",
    "show",
    "title_of",
]

_COUNT = {
    2: "Both",
    3: "All three",
    4: "All four",
    5: "All five",
    6: "All six",
    7: "All seven",
    8: "All eight",
}
_SHARES = ("acc", "f1", "recall", "precision", "uar")
MINUS = "\N{MINUS SIGN}"


def in_percent(metric: str) -> bool:
    """Whether a metric is a share that people read in percent.

    >>> in_percent("balanced_accuracy"), in_percent("roc_auc")
    (True, False)
    """
    return any(word in metric.lower() for word in _SHARES)


def title_of(metric: str) -> str:
    """A metric's name for people.

    >>> title_of("macro_f1"), title_of("mae"), title_of("accuracy")
    ('macro F1', 'MAE', 'accuracy')
    """
    names = {"mae": "MAE", "rmse": "RMSE", "mse": "MSE", "f1": "F1", "roc": "ROC", "auc": "AUC", "ece": "ECE"}
    names |= {"corr": "correlation", "acc2": "Acc-2", "acc7": "Acc-7", "uar": "UAR", "ccc": "CCC"}
    return " ".join(names.get(word, word) for word in metric.split("_"))


def show(metric: str, value: float | None, *, unit: bool = True) -> str:
    """A value of a metric; a dash where there is none.

    >>> show("accuracy", 0.9312), show("mae", 0.7213), show("mae", None), show("corr", -0.5)
    ('93.1\\xa0%', '0.721', '–', '−0.500')
    """
    if value is None:
        return "–"
    if in_percent(metric):
        return _signed(f"{100 * value:.1f}") + ("\N{NO-BREAK SPACE}%" if unit else "")
    return _signed(_digits(value))


def _digits(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def _signed(text: str) -> str:
    return text.replace("-", MINUS)


def interval(metric: str, row: Mapping[str, Any] | None) -> str:
    """'91.0–95.2', or a dash.

    >>> interval("accuracy", {"low": 0.91, "high": 0.952})
    '91.0–95.2'
    """
    if not row or row.get("low") is None or row.get("high") is None:
        return "–"
    low, high = (show(metric, row[end], unit=False) for end in ("low", "high"))
    return f"{low} to {high}" if MINUS in low else f"{low}–{high}"


def change(metric: str, value: float | None) -> str:
    """A difference, with its sign, in points or in the metric's own units.

    >>> change("accuracy", 0.124), change("mae", -0.1)
    ('+12.4 points', '−0.100')
    """
    if value is None:
        return "–"
    size = f"{100 * abs(value):.1f} points" if in_percent(metric) else _digits(abs(value))
    if not any(digit in size for digit in "123456789"):
        return size
    return ("+" if value > 0 else MINUS) + size


def printable(name: str) -> str:
    """A user's name without control characters and halves of pairs, which no page or terminal can show.

    >>> printable("a\\x1b[31m")
    'a\ufffd[31m'
    """
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cs") or c in "\n\t" else "\ufffd" for c in name)


def listed(names: Sequence[str], last: str = "and") -> str:
    """'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def main(evaluation: Mapping[str, Any], row: Mapping[str, Any]) -> float | None:
    """A subset's value of the main metric."""
    found = row["metrics"].get(evaluation["task"]["metric"]) or {}
    return found.get("mean")


def headline(evaluation: Mapping[str, Any]) -> str:
    """The one sentence that says what came out, good or bad."""
    metric, full = evaluation["task"]["metric"], evaluation["subsets"][-1]
    value, names = main(evaluation, full), full["modalities"]
    span = interval(metric, full.get("interval"))
    what = "" if in_percent(metric) else f"{title_of(metric)} "
    reached = what + show(metric, value) + (f" ({span})" if span != "–" else "")
    if len(names) == 1:
        start = f"{names[0]} alone reaches {reached}"
    else:
        start = f"{_COUNT.get(len(names), f'All {len(names)}')} together reach {reached}{_against(evaluation)}"
    base = evaluation["baseline"]["metrics"].get(metric)
    constant = "the majority answer" if evaluation["task"].get("classes") else "the best constant answer"
    return f"{start}; {constant} gives {show(metric, base)}."


def _against(evaluation: Mapping[str, Any]) -> str:
    metric, gain, best = (evaluation["task"]["metric"], *_best(evaluation))
    if gain is None or best is None:
        return ""
    size = change(metric, abs(gain)).lstrip("+")
    if abs(gain) < 5e-4:
        return f", the same as the best single one, {best}"
    return f", {size} {'better than' if gain > 0 else 'worse than'} the best single one, {best}"


def _best(evaluation: Mapping[str, Any]) -> tuple[float | None, str | None]:
    best = evaluation.get("best_single")
    return evaluation.get("gain_over_best_single"), best["modality"] if best else None


def cautions(evaluation: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the headline."""
    found = [*_harm(evaluation), *_rough(evaluation)]
    metric, full = evaluation["task"]["metric"], evaluation["subsets"][-1]
    base, value = evaluation["baseline"]["metrics"].get(metric), main(evaluation, full)
    sign = 1 if evaluation["task"]["higher_is_better"] else -1
    if base is not None and value is not None and sign * value <= sign * base:
        found.insert(0, "The model is no better than always giving the same answer: it has learnt nothing useful.")
    return found


def _harm(evaluation: Mapping[str, Any]) -> list[str]:
    gain, best = _best(evaluation)
    if gain is None or best is None or len(evaluation["subsets"][-1]["modalities"]) < 2:
        return []
    metric, span = evaluation["task"]["metric"], evaluation.get("gain_interval") or {}
    low, high = span.get("low"), span.get("high")
    ends = f" (95 % interval {change(metric, low)} to {change(metric, high)})" if low is not None else ""
    if gain < 0:
        start = f"Fusing does harm here: {best} alone does better than all together{ends}."
        return [f"{start} Prefer {best} alone, or look at its training."]
    if low is not None and low <= 0:
        span_text = f"{change(metric, low)} to {change(metric, high)}"
        return [f"The gain over {best} alone may be chance: its 95 % interval goes from {span_text}."]
    return []


def _rough(evaluation: Mapping[str, Any]) -> list[str]:
    span = evaluation["subsets"][-1].get("interval") or {}
    groups, found = span.get("groups", 0), []
    if span.get("unit") == "item":
        few = "is only 1 group" if groups == 1 else f"are only {groups} groups"
        found.append(
            f"There {few}, so the intervals draw single items: they say nothing about new groups, "
            "and are too narrow if items of a group are alike."
        )
    elif 0 < groups < 10:
        found.append(f"There are only {groups} groups: the intervals are rough, and probably too narrow.")
    if span.get("skipped"):
        total = span["skipped"] + span.get("draws", 0)
        found.append(f"On {span['skipped']} of {total} draws the metric was not defined; the interval leaves them out.")
    return found
