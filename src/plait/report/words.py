"""Numbers of an evaluation for people: formatted, and in sentences."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from typing_extensions import TypedDict

from plait.core.parts import parts
from plait.evaluation.intervals import TOO_FEW
from plait.evaluation.schema import Ends, Evaluation, IntervalFacts, SubsetRow, TaskFacts
from plait.metrics import Metric

__all__ = [
    "about",
    "cautions",
    "change",
    "counted",
    "has_interval",
    "headline",
    "in_percent",
    "interval",
    "interval_note",
    "listed",
    "main",
    "p_value",
    "printable",
    "show",
    "significant",
    "span",
    "title_of",
]

_COUNT = {
    2: "both",
    3: "all three",
    4: "all four",
    5: "all five",
    6: "all six",
    7: "all seven",
    8: "all eight",
}
_SHARES = ("acc", "f1", "recall", "precision", "uar")
"""Words in the name of a share, for metrics of the user's own; plait's know it themselves."""
MINUS = "\N{MINUS SIGN}"


def in_percent(metric: str) -> bool:
    """Whether a metric is a share that people read in percent.

    >>> in_percent("balanced_accuracy"), in_percent("roc_auc")
    (True, False)
    """
    # A metric of the user's own, by its dotted path, is not among the parts: its name must do.
    known = parts(Metric).get(metric)
    return known.percent if known else any(word in metric.lower() for word in _SHARES)


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


def has_interval(row: Ends | None) -> bool:
    """Whether there are two ends."""
    return _ends(row) is not None


def _ends(row: Ends | None) -> tuple[float, float] | None:
    # An end alone is no interval: a metric that overflows may have lost one.
    if not row or (low := row.get("low")) is None or (high := row.get("high")) is None:
        return None
    return low, high


def _reason(row: Ends | None) -> str:
    return (row.get("reason") or "") if row else ""


def interval(metric: str, row: Ends | None) -> str:
    """'91.0–95.2'; or the reason why there is none; or a dash.

    >>> interval("accuracy", {"low": 0.91, "high": 0.952}), interval("mae", {"low": None, "reason": "too few groups"})
    ('91.0–95.2', 'too few groups')
    """
    ends = _ends(row)
    if ends is None:
        return _reason(row) or "–"
    low, high = (show(metric, end, unit=False) for end in ends)
    # A dash beside a minus sign could not be read.
    return f"{low} to {high}" if MINUS in low else f"{low}–{high}"


def significant(row: Ends | None) -> bool:
    """Whether a difference is significant: its interval leaves out 0. Only then is one side called better.

    >>> [significant(row) for row in ({"low": 0.01, "high": 0.05}, {"low": -0.01, "high": 0.05}, {"low": None}, None)]
    [True, False, False, False]
    """
    ends = _ends(row)
    return ends is not None and (ends[0] > 0 or ends[1] < 0)


def span(metric: str, row: Ends | None) -> str:
    """'95 % interval −0.3 to +1.2 points', or why there is none.

    >>> span("accuracy", {"low": -0.003, "high": 0.012}), span("accuracy", {"low": None, "reason": "too few groups"})
    ('95 % interval −0.3 to +1.2 points', 'too few groups for an interval')
    """
    ends = _ends(row)
    if ends is None:
        reason = _reason(row)
        return f"{reason} for an interval" if reason == TOO_FEW else f"no interval{reason and ': '}{reason}"
    low, high = (change(metric, end) for end in ends)
    return f"95 % interval {low.removesuffix(' points')} to {high}"


def change(metric: str, value: float | None) -> str:
    """A difference, with its sign, in points or in the metric's own units.

    >>> change("accuracy", 0.124), change("mae", -0.1)
    ('+12.4 points', '−0.100')
    """
    if value is None:
        return "–"
    size = f"{100 * abs(value):.1f} points" if in_percent(metric) else _digits(abs(value))
    # What rounds to 0 has no sign: "+0.0 points" would claim a direction.
    if not any(digit in size for digit in "123456789"):
        return size
    return ("+" if value > 0 else MINUS) + size


def p_value(p: float | None) -> str:
    """'0.012'; what is smaller than its digits, or not known, is told.

    >>> p_value(0.0123), p_value(0.00001), p_value(None)
    ('0.012', '< 0.001', '–')
    """
    return "–" if p is None else f"{p:.3f}" if p >= 0.001 else "< 0.001"


def printable(name: str) -> str:
    """A user's name without control characters and lone surrogates, which no page or terminal can show.

    >>> printable("a\\x1b[31m")
    'a\ufffd[31m'
    """
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cs") or c in "\n\t" else "\ufffd" for c in name)


def listed(names: Sequence[str], last: str = "and") -> str:
    """'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def counted(n: int, what: str) -> str:
    """'1 group', '2 groups'."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def main(evaluation: Evaluation, row: SubsetRow) -> float | None:
    """A subset's value of the main metric."""
    found = row["metrics"].get(evaluation["task"]["metric"])
    return found["mean"] if found else None


def interval_note(facts: IntervalFacts) -> str:
    """How intervals were computed, or that there are none.

    >>> interval_note({"groups": 8, "left_out_in_turn": 8, "degrees_of_freedom": 6.81, "fewest_groups": 5})
    'Intervals: cluster jackknife over 8 groups, Student’s t with 6.8 degrees of freedom.'
    >>> interval_note({"groups": 3, "fewest_groups": 5})
    'No intervals: 3 groups, and 5 are needed.'
    """
    groups, fewest = facts["groups"], facts["fewest_groups"]
    if groups < fewest:
        return f"No intervals: {counted(groups, 'group')}, and {fewest} are needed."
    blocks = facts["left_out_in_turn"]
    over = counted(groups, "group") + (f" in {blocks} blocks" if blocks < groups else "")
    df = f"{facts['degrees_of_freedom']:.1f} degrees of freedom"
    return f"Intervals: cluster jackknife over {over}, Student’s t with {df}."


class _OfTask(TypedDict):
    """An evaluation or a comparison."""

    task: TaskFacts


def about(evaluation: _OfTask) -> str:
    """The metric and what it measures: 'accuracy of action'.

    >>> about({"task": {"metric": "mae", "target": "age"}})
    'MAE of age'
    """
    task = evaluation["task"]
    return title_of(task["metric"]) + (f" of {task['target']}" if task.get("target") else "")


def headline(evaluation: Evaluation) -> str:
    """The result in one sentence, good or bad."""
    metric, full = evaluation["task"]["metric"], evaluation["subsets"][-1]
    value, names = main(evaluation, full), full["modalities"]
    row = full.get("interval")
    reached = show(metric, value) + (f" ({interval(metric, row)})" if has_interval(row) else "")
    if len(names) == 1:
        start = f"{names[0]} alone reaches {reached}"
    else:
        start = f"{_COUNT.get(len(names), f'all {len(names)}')} together reach {reached}{_against(evaluation)}"
    base = evaluation["baseline"]["metrics"].get(metric)
    constant = "the majority answer" if evaluation["task"].get("classes") else "the best constant answer"
    what = about(evaluation)
    return f"{what[:1].upper()}{what[1:]}: {start}; {constant} gives {show(metric, base)}."


def _against(evaluation: Evaluation) -> str:
    metric, gain, best = (evaluation["task"]["metric"], *_best(evaluation))
    if gain is None or best is None:
        return ""
    size = change(metric, abs(gain)).lstrip("+")
    if not any(c in size for c in "123456789"):
        return f", the same as the best single one, {best}"
    row = evaluation.get("gain_interval")
    if significant(row):
        return f", {size} {'better than' if gain > 0 else 'worse than'} the best single one, {best}"
    where = "ahead of" if gain > 0 else "behind"
    doubt = "which may be chance" if has_interval(row) else "and whether that is significant is not known"
    return f", {size} {where} the best single one, {best}, {doubt}"


def _best(evaluation: Evaluation) -> tuple[float | None, str | None]:
    best = evaluation.get("best_single")
    return evaluation.get("gain_over_best_single"), best["modality"] if best else None


def cautions(evaluation: Evaluation) -> list[str]:
    """What a reader should know before believing the headline."""
    todo = evaluation.get("unfinished") or []
    left_out = [f"Not fully trained, and left out: {listed(todo)}."] if todo else []
    if new := (evaluation.get("data") or {}).get("new"):
        left_out.append(
            f"{counted(new, 'example')} {'was' if new == 1 else 'were'} added after the run was begun, and left out."
        )
    return [*_useless(evaluation), *_few(evaluation), *_harm(evaluation), *_seen(evaluation), *left_out]


def _useless(evaluation: Evaluation) -> list[str]:
    task, over = evaluation["task"], evaluation.get("gain_over_constant")
    base, value = evaluation["baseline"]["metrics"].get(task["metric"]), main(evaluation, evaluation["subsets"][-1])
    if base is None or value is None:
        return []
    if value <= base if task["higher_is_better"] else value >= base:
        return ["The model is no better than always giving the same answer: it has learnt nothing useful."]
    row = over["interval"] if over else None
    if over and has_interval(row) and not significant(row):
        return [
            "The model is not significantly better than always giving the same answer: "
            f"{change(task['metric'], over['gain'])} ({span(task['metric'], row)})."
        ]
    return []


def _few(evaluation: Evaluation) -> list[str]:
    facts = evaluation.get("intervals")
    groups, fewest = (facts["groups"], facts["fewest_groups"]) if facts else (0, 0)
    if groups < fewest:
        verb = "is" if groups == 1 else "are"
        return [
            f"There {verb} only {counted(groups, 'group')} to test on, too few for intervals ({fewest} are needed): "
            "how well these figures hold for new groups is not known."
        ]
    reason = _reason(evaluation["subsets"][-1].get("interval"))
    if not reason:
        return []
    return [f"There is no interval of the main figure: {title_of(evaluation['task']['metric'])} is {reason}."]


def _harm(evaluation: Evaluation) -> list[str]:
    gain, best = _best(evaluation)
    row = evaluation.get("gain_interval")
    if gain is None or best is None or not has_interval(row):
        return []
    ends = span(evaluation["task"]["metric"], row)
    if gain < 0 and significant(row):
        start = f"Fusing harms here: {best} alone is better than all together ({ends})."
        return [f"{start} Prefer {best} alone, or look at its training."]
    if not significant(row):
        return [f"Fusing makes no significant difference: against {best} alone, {ends}."]
    return []


def _seen(evaluation: Evaluation) -> list[str]:
    parts = evaluation.get("parts")
    folds = parts["folds"] if parts else []
    seen = sum(f.get("seen") or 0 for f in folds)
    if not seen:
        return []
    count = "1 group is" if seen == 1 else f"{seen} groups are"
    return [
        f"{count} in both training and test: the figures are not those of new groups, and the intervals are too narrow "
        "for new groups."
    ]
