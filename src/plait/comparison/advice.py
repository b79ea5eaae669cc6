"""The advice of a comparison: sentences made from its numbers, and from nothing else.

One variant is called better than another only if their paired difference is significant (see
`plait.comparison.scores.significant`). Otherwise the two are "not significantly different", or the difference "may be
chance".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from plait.comparison.schema import Advice, Gap, Numbers, Streams, VariantRow
from plait.comparison.variants import ALONE, FUSION, QUICK, WITHOUT
from plait.comparison.view import View, called
from plait.core.parts import Spec
from plait.report import words

__all__ = ["advise"]

SAVES = 0.95
"""A variant saves a cost if it needs at most this share of the other's."""

SHOWN = 3
"""Savings are listed for at most this many of the variants that are as good as the best."""


def advise(result: Numbers) -> Advice:
    """What to take and why, in words.

    Args:
        result: as `plait.comparison.compare.compare` makes it.

    Returns:
        ``take`` (a variant's name), ``headline``, ``why`` (the reasons), ``cautions`` (which fusions harm, and what may
        not be concluded), ``next`` (how to go on).
    """
    view = View(result)
    return {
        "take": view.best["name"],
        "headline": _headline(view),
        "why": [*_choice(view), *_against_quick(view), *_gain(view), *_adds(view), *_price(view), *_data(view)],
        "cautions": [*_useless(view), *_harm(view), *_seeds(view), *_groups(view), *_failed(view)],
        "next": _next(view),
    }


def _headline(view: View) -> str:
    return f"Take {called(view.best)}: {view.shown(view.best)}."


def _choice(view: View) -> list[str]:
    """Whether the best is significantly better than the others, and what the others that tie with it would save."""
    ties = view.ties()
    # The others may have failed to train.
    if len(view.rows) == 1:
        return ["It is the only one that could be trained."]
    if not ties:
        return [f"It is better than each of the others {_beyond(view)}."]
    beaten = len(view.rows) - 1 - len(ties)
    start = "It is not significantly different from " + words.listed([r["title"] for r in ties])
    found = [start + (f"; it is better than the other {beaten} {_beyond(view)}." if beaten else ".")]
    cheaper = [(row, saved) for row in ties if (saved := _saved(row, view.best))]
    if cheaper:
        told = "; ".join(f"{row['title']} needs {words.listed(saved)}" for row, saved in cheaper[:SHOWN])
        found.append(f"Where cost counts: {told}.")
    return found


def _against_quick(view: View) -> list[str]:
    """Whether the best model trained by gradient descent beats the quick model."""
    rest = [row for row in view.rows.values() if row["kind"] != QUICK]
    if not view.kind(QUICK) or not rest:
        return []
    (quick,), deep = view.kind(QUICK), view.top(rest)
    gap = view.gap(deep, quick)
    difference = gap["difference"]
    if difference is None:
        return []
    size, span = view.size(difference), view.span(gap)
    if not gap["significant"]:
        side = "above" if difference >= 0 else "below"
        return [
            f"The quick model, the baseline to beat, is not beaten beyond chance: {deep['title']}, the best of the "
            f"others, comes out {size} {side} it {span}; {view.doubt(gap)}."
        ]
    if difference > 0:
        return [f"The quick model, the baseline to beat, is beaten: {deep['title']} is better by {size} {span}."]
    return [
        f"No other variant reaches the quick model, the baseline to beat: {deep['title']}, the best of the others, "
        f"is worse by {size} {span}."
    ]


def _beyond(view: View) -> str:
    """How sure that is: one seed says nothing about the spread from one training to the next."""
    chance = "by more than chance"
    return chance if len(view.result["seeds"]) > 1 else f"{chance}, as far as one seed can tell"


def _saved(row: VariantRow, best: VariantRow) -> list[str]:
    """The costs that a variant has less of than the best."""
    pairs = {
        "parameters": (row["parameters"], best["parameters"]),
        "time to train": (row["train_seconds"], best["train_seconds"]),
        "time to answer": (row["item_seconds"], best["item_seconds"]),
        "memory": (row["step_bytes"], best["step_bytes"]),
    }
    # None or 0 where nothing was measured: the quick model takes no training steps.
    shares = {name: own / its for name, (own, its) in pairs.items() if own and its}
    return [f"{100 * share:.0f} % of its {name}" for name, share in shares.items() if share <= SAVES]


def _gain(view: View) -> list[str]:
    """How much fusing gains over the best single modality."""
    fused, single = view.fused, view.single
    if fused is None or single is None:
        return []
    gap = view.gap(fused, single)
    better = (gap["difference"] or 0) >= 0
    if gap["significant"]:
        start = "Fusing pays" if better else "Fusing harms here"
        side = "better" if better else "worse"
        return [
            f"{start}: the best fusion, {fused['title']}, is {side} than {single['title']}, the best single "
            f"modality, by {view.size(gap['difference'])} {view.span(gap)}."
        ]
    return [
        f"Fusing and {single['title']}, the best single modality, are not significantly different: the best fusion, "
        f"{fused['title']}, comes out {view.size(gap['difference'])} {'above' if better else 'below'} it "
        f"{view.span(gap)}; {view.doubt(gap)}."
    ]


def _adds(view: View) -> list[str]:
    """What each modality adds to the others: the whole against a model trained, or else answering, without it."""
    found = []
    for gone in view.result["modalities"]:
        rest = [m for m in view.result["modalities"] if m != gone]
        pair = _with_and_without(view, rest)
        if pair is None:
            continue
        whole, gap, how = pair
        change = words.change(view.metric, gap["difference"])
        numbers = f"{change} for {whole['title']} against {how} {view.span(gap)}"
        if gap["significant"]:
            found.append(f"{gone} {'adds to the rest' if (gap['difference'] or 0) > 0 else 'does harm'}: {numbers}.")
        else:
            found.append(f"What {gone} adds is not significant: {numbers}; {view.doubt(gap)}.")
    return found


def _with_and_without(view: View, rest: Sequence[str]) -> tuple[VariantRow, Gap, str] | None:
    """The whole, its gain over a model with the rest only, and how that model is called."""
    own = view.rows.get(view.result.get("own") or "")
    for row in view.rows.values():
        if row["kind"] == FUSION or list(row["modalities"]) != list(rest):
            continue
        # A model without one modality has the recipe's fusion: only the recipe's own whole is its like.
        whole = view.fused if row["kind"] == ALONE else own
        if whole is not None:
            return whole, view.gap(whole, row), row["title"]
    fused = view.fused
    for less in view.result["subsets"]:
        if fused is not None and less["variant"] == fused["name"] and list(less["modalities"]) == list(rest):
            return fused, less["gain_of_all"], "the same model answering without it"
    return None


def _price(view: View) -> list[str]:
    """How far one model for all subsets falls behind a model trained for one subset."""
    fused = view.fused
    if fused is None:
        return []
    own = [r for r in view.result["subsets"] if r["variant"] == fused["name"]]
    rows = [
        (r, gap, difference)
        for r in own
        if (gap := r.get("gain_of_dedicated")) and (difference := gap["difference"]) is not None
    ]
    if not rows:
        return []
    worst, gap, difference = max(rows, key=lambda row: row[2])
    subset = words.listed(worst["modalities"])
    start = f"One model for all: {fused['title']}, answering with some of its modalities only,"
    if difference <= 0:
        return [f"{start} is nowhere below the models trained for these alone."]
    most = f"is at most {view.size(difference)} below the model trained for them alone (with {subset}"
    chance = "" if gap["significant"] else f"; {view.doubt(gap)}"
    return [f"{start} {most}; {view.span(gap).strip('()')}{chance})."]


def _data(view: View) -> list[str]:
    """Facts of the data on which the choice of a fusion depends."""
    streams: Streams = view.result["streams"]
    return [_clocks(streams), _missing(streams), _amount(view)]


def _clocks(streams: Streams) -> str:
    rates = words.listed([f"{m} {_rate(s['rate'])}" for m, s in streams.items() if s["rate"]] or ["none known"])
    odd = [m for m, s in streams.items() if not s["regular"]]
    first, *others = {s["rate"] for s in streams.values()}
    if not odd and not others and first is not None:
        return (
            f"The streams are regular, all with {_rate(first)} rows per second: they could be concatenated as they are."
        )
    kind = f"not all regular ({words.listed(odd)} {'is' if len(odd) == 1 else 'are'} not)" if odd else "regular"
    return (
        f"The streams are {kind} and not aligned (rows per second: {rates}): early fusion must average them into "
        "common time bins, intermediate fusion relates them by their times, late fusion never compares times."
    )


def _rate(rate: float) -> str:
    """Rows per second: 100, 12.5, 0.07."""
    return f"{rate:.2g}" if rate < 1 else f"{rate:,.1f}".removesuffix(".0")


def _missing(streams: Streams) -> str:
    lacking = {m: s["missing"] for m, s in streams.items() if s["missing"]}
    if not lacking:
        return "No stream is missing in any item."
    told = words.listed([f"{m} in {100 * share:.2g} %" for m, share in lacking.items()])
    return f"Streams are missing: {told} of the items. Without its stream, one modality alone can only guess."


def _amount(view: View) -> str:
    r, best = view.result, view.best
    trained = f"{r['trained_on']['items']} items of {words.counted(r['trained_on']['groups'], 'group')}"
    size = f" for {best['parameters']:,} parameters" if best.get("parameters") else ""
    return (
        f"Each model was trained on about {trained}{size}, and all were scored on the same {r['items']} held-out items."
    )


def _useless(view: View) -> list[str]:
    base, value = view.result["baseline"]["value"], view.best["value"]
    if value is None:
        return ["No variant has a value: the metric is not defined on these items."]
    if base is not None and view.sign * value <= view.sign * base:
        return ["No variant is better than always giving the same answer: nothing useful was learnt."]
    return []


def _harm(view: View) -> list[str]:
    """Fusions below the best modality alone, and fusions that answer better without one of their modalities."""
    single, found = view.single, []
    for row in view.kind(FUSION):
        if single is not None and row is not view.fused:
            gap = view.gap(row, single)
            found += _below(view, gap, f"{row['title']} comes out {{}} below {single['title']}")
        own = [r for r in view.result["subsets"] if r["variant"] == row["name"]]
        worst = min(own, key=lambda r: _number(r["gain_of_all"]["difference"]), default=None)
        if worst is not None:
            gone = words.listed([m for m in row["modalities"] if m not in worst["modalities"]])
            found += _below(view, worst["gain_of_all"], f"{row['title']} answers {{}} better without {gone}")
    return found


def _number(value: float | None) -> float:
    return math.inf if value is None else value


def _below(view: View, gap: Gap, text: str) -> list[str]:
    """A sentence if a difference is below 0 by more than rounds to 0 when it is shown."""
    difference, size = gap["difference"], view.size(gap["difference"])
    # What rounds to 0 where it is shown is not worth a sentence.
    if difference is None or difference >= 0 or not any(c in size for c in "123456789"):
        return []
    end = "fusing harms there" if gap["significant"] else view.doubt(gap)
    return [f"{text.format(size)} {view.span(gap)}: {end}."]


def _seeds(view: View) -> list[str]:
    """Whether the order of the two best may be that of their seeds only."""
    if len(view.result["seeds"]) == 1:
        return ["There is only one seed, so how much of this is luck of the training is not known. Try --seeds 0 1 2."]
    rest = [row for row in view.rows.values() if row is not view.best]
    if not rest:
        return []
    second = view.top(rest)
    gap = view.gap(view.best, second)
    if gap["sd"] is None or gap["difference"] is None or gap["sd"] < abs(gap["difference"]):
        return []
    return [
        f"Seeds scatter more than variants differ: {view.best['title']} and {second['title']} are "
        f"{view.size(gap['difference'])} apart, with a standard deviation of {view.size(gap['sd'])} over seeds."
    ]


def _groups(view: View) -> list[str]:
    """What so few groups cannot tell, and on which items the choice was made."""
    groups, found = view.result["groups"], []
    if view.too_few:
        found.append(
            f"There {'is' if groups == 1 else 'are'} only {words.counted(groups, 'group')}, too few for intervals "
            f"({view.result['intervals']['fewest_groups']} are needed), so no difference is called significant: which "
            "variant is best for new groups is not known."
        )
    if not view.result["held_back"]:
        found.append(
            "The recipe's split is folds, which hold nothing back: the best variant is chosen on the same items that "
            "it is scored on, so this figure is a little too good."
        )
    return found


def _failed(view: View) -> list[str]:
    found: dict[str, list[str]] = {}
    for f in view.result["failed"]:
        found.setdefault(f["variant"], []).append(f"{f['replicate']}: {f['problem']}")
    return [f"{name} is not in the table, since it could not be trained. {why[0]}" for name, why in found.items()]


def _next(view: View) -> str:
    best, fit = view.best, "plait fit"
    if best["kind"] == QUICK:
        what, fit = "as the quick model", "plait fit --quick"
    elif best["kind"] == ALONE:
        what = f"with {best['modalities'][0]} as its only stream"
    elif best["kind"] == WITHOUT:
        what = f"with {words.listed(best['modalities'])} as its only streams"
    else:
        what = f"with fusion: {_yaml(best['fusion'] or '')}"
    if not view.result["held_back"]:
        return f"Train the recipe {what}: {fit}."
    looked = f"The test part ({view.result['not_looked_at']} items) was not looked at."
    fair = "a figure that the choice has not made too good"
    return f"{looked} Train the recipe {what} ({fit}), and score it there once (plait evaluate): {fair}."


def _yaml(spec: Spec) -> str:
    if isinstance(spec, str):
        return spec
    if set(spec) == {"name"}:
        return str(spec["name"])
    return "{" + ", ".join(f"{k}: {v}" for k, v in spec.items()) + "}"
