"""The advice says no more than its numbers, whatever these are; and every form of the report can show them."""

from __future__ import annotations

import io
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from plait.comparison.advice import advise
from plait.comparison.report import advice_lines, as_markdown, comparison_table, save_comparison
from plait.comparison.scores import significant
from plait.comparison.view import View
from plait.evaluation.intervals import FEWEST_GROUPS, TOO_FEW
from plait.report import words

KINDS = {"see alone": "alone", "hear alone": "alone", "late": "fusion", "concat": "fusion", "shared": "fusion"}
FAMILIES = {"late": "late", "concat": "early", "shared": "intermediate"}
VALUES = {"see alone": 0.60, "hear alone": 0.80, "late": 0.85, "concat": 0.78, "shared": 0.90}


def gap(difference: float, half: float, sd: float | None, groups: int) -> dict[str, Any]:
    ends = {"difference": difference, "low": difference - half, "high": difference + half, "sd": sd}
    if groups < FEWEST_GROUPS:
        return {**ends, "low": None, "high": None, "reason": TOO_FEW, "significant": False}
    return {**ends, "reason": "", "significant": significant(**ends)}


def made(
    values: dict[str, float] | None = None,
    *,
    half: float = 0.02,
    sd: float | None = None,
    groups: int = 40,
    higher: bool = True,
    answers: dict[tuple[str, str], float] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A made-up comparison: every difference has an interval of ``half`` to both sides, and a spread ``sd``."""
    values, sign = values or VALUES, 1 if higher else -1
    metric = "accuracy" if higher else "mae"
    names = list(values)

    def ends(v: float) -> dict[str, Any]:
        if groups < FEWEST_GROUPS:
            return {"low": None, "high": None, "reason": TOO_FEW}
        return {"low": v - half, "high": v + half, "reason": ""}

    answers = answers or {(f, m): values[f"{m} alone"] for f in FAMILIES if f in values for m in ("see", "hear")}
    numbers = {
        n: {"value": v, "sd": sd, "per_seed": [v], **ends(v), "answered": 9, "metrics": {}} for n, v in values.items()
    }
    variants = [
        {
            "name": n,
            "title": n,
            "kind": KINDS[n],
            "family": FAMILIES.get(n, ""),
            "modalities": [n.removesuffix(" alone")] if KINDS[n] == "alone" else ["see", "hear"],
            "fusion": {"name": n} if KINDS[n] == "fusion" else None,
            "parameters": 1000 * (i + 1),
            "train_seconds": 10.0 * (i + 1),
            "item_seconds": 0.001 * (i + 1),
            "step_bytes": 10**6 * (i + 1),
            **numbers[n],
        }
        for i, n in enumerate(names)
    ]
    differences = [
        {"a": a, "b": b, **gap(sign * (values[a] - values[b]), half, sd, groups)}
        for a, b in itertools.combinations(names, 2)
    ]
    subsets = [
        {
            "variant": f,
            "modalities": [m],
            **numbers[f],
            "value": v,
            "dedicated": f"{m} alone",
            "gain_of_all": gap(sign * (values[f] - v), half, sd, groups),
            "gain_of_dedicated": gap(sign * (values[f"{m} alone"] - v), half, sd, groups),
        }
        for (f, m), v in answers.items()
    ]
    result = {
        "name": "made",
        "date": "2026-01-02T03:04:05+00:00",
        "corpus": "up",
        "task": {"name": "classify", "target": "", "metric": metric, "higher_is_better": higher},
        "modalities": ["see", "hear"],
        "items": 500,
        "groups": groups,
        "intervals": {
            "groups": groups,
            "left_out_in_turn": groups,
            "degrees_of_freedom": groups - 1.0,
            "fewest_groups": FEWEST_GROUPS,
        },
        "seeds": [0] if sd is None else [0, 1, 2],
        "folds": ["tune1", "tune2"],
        "baseline": {**numbers[names[0]], "value": 0.1 if higher else 1.5},
        "variants": variants,
        "differences": differences,
        "subsets": subsets,
        "own": "shared",
        "streams": {
            "see": {"regular": True, "rate": 25.0, "rows": 50.0, "missing": 0.0},
            "hear": {"regular": True, "rate": 100.0, "rows": 200.0, "missing": 0.0},
        },
        "held_back": True,
        "not_looked_at": 100,
        "trained_on": {"items": 400, "groups": 30},
        "budget": {"epochs": 5, "batch": 8, "stop": "last"},
        "failed": [],
        "recipe_yaml": "corpus: up\n",
        "versions": {"plait": "0", "torch": "0"},
        **more,
    }
    return {**result, "advice": advise(result)}


def said(result: dict[str, Any]) -> str:
    return "\n".join(advice_lines(result))


def test_a_clear_winner_is_taken_and_said_to_be_clear() -> None:
    advice = made()["advice"]
    assert advice["take"] == "shared"
    assert advice["headline"] == "Take shared (intermediate fusion): accuracy 90.0\xa0% (88.0–92.0)."
    one_seed = ", as far as one seed can tell."
    assert advice["why"][0] == "It is better than each of the others by more than chance" + one_seed
    assert made(sd=0.01)["advice"]["why"][0] == "It is better than each of the others by more than chance."
    assert (
        "Fusing pays: the best fusion, shared, is better than hear alone, the best single modality, by 10.0 points "
        "(95 % interval +8.0 to +12.0 points)."
    ) in advice["why"]
    assert "see adds to the rest: +10.0 points for shared against hear alone" in said(made())
    assert "The test part (100 items) was not looked at." in advice["next"]
    assert "with fusion: shared (plait fit)" in advice["next"]


def test_those_that_are_not_significantly_different_are_named_with_what_they_save() -> None:
    found = said(made({**VALUES, "late": 0.89}))
    assert "It is not significantly different from late; it is better than the other 3 by more than chance" in found
    assert "Where cost counts: late needs 60 % of its parameters, 60 % of its time to train" in found
    assert "hear alone needs" not in found


def test_no_gain_is_no_gain() -> None:
    found = said(made({**VALUES, "shared": 0.81, "late": 0.79}))
    assert "Fusing and hear alone, the best single modality, are not significantly different" in found
    assert "comes out 1.0 points above it (95 % interval −1.0 to +3.0 points); that may be chance." in found
    assert "What see adds is not significant: +1.0 points for shared against hear alone" in found
    assert "Fusing pays" not in found


def test_harm_is_flagged_and_the_single_modality_is_taken() -> None:
    result = made({**VALUES, "shared": 0.75, "late": 0.79, "concat": 0.70})
    found = said(result)
    assert result["advice"]["take"] == "hear alone"
    assert "Take hear alone" in found
    assert "comes out 1.0 points below it" in found
    assert "concat comes out 10.0 points below hear alone (95 % interval −12.0 to −8.0 points): fusing harms" in found
    assert "with hear as its only stream" in result["advice"]["next"]
    worse = said(made({**VALUES, "shared": 0.75, "late": 0.70, "concat": 0.70}))
    assert "Fusing harms here: the best fusion, shared, is worse than hear alone" in worse


def test_a_fusion_that_answers_better_with_less_is_flagged() -> None:
    answers = {("shared", "see"): 0.6, ("shared", "hear"): 0.95}
    found = said(made(answers=answers))
    assert "shared answers 5.0 points better without see (95 % interval −7.0 to −3.0 points): fusing harms" in found


def test_the_price_of_one_model_for_all_subsets() -> None:
    cheap = said(made(answers={("shared", "see"): 0.6, ("shared", "hear"): 0.81}))
    assert "is nowhere below the models trained for these alone" in cheap
    dear = said(made(answers={("shared", "see"): 0.5, ("shared", "hear"): 0.8}))
    assert "is at most 10.0 points below the model trained for them alone (with see; 95 % interval" in dear


def test_seeds_that_scatter_more_than_variants_differ() -> None:
    found = made(sd=0.06)
    assert "Seeds scatter more than variants differ: shared and late are 5.0 points apart" in said(found)
    assert not View(found).gap(View(found).best, View(found).rows["late"])["significant"]
    assert "Seeds scatter" not in said(made(sd=0.01))
    assert "There is only one seed" in said(made())


@pytest.mark.parametrize(
    ("groups", "text"),
    [(1, "There is only 1 group, too few"), (4, "There are only 4 groups, too few"), (5, ""), (40, "")],
)
def test_few_groups_say_nothing(groups: int, text: str) -> None:
    result = made(groups=groups)
    found = said(result)
    assert text in found
    assert ("Fusing pays" in found) == (groups >= FEWEST_GROUPS)
    assert ("too few to tell" in found) == (groups < FEWEST_GROUPS)
    assert ("95 % interval" in found) == (groups >= FEWEST_GROUPS)
    assert ("95 % interval" in as_markdown(result)) == (groups >= FEWEST_GROUPS)


def test_what_else_must_be_known() -> None:
    failed = [{"variant": "late", "replicate": "seed0-tune1", "problem": "it ran out of memory."}]
    values = {k: v for k, v in VALUES.items() if k != "late"}
    found = said(made(values, held_back=False, failed=failed))
    assert "this figure is a little too good" in found
    assert "was not looked at" not in found
    assert "late is not in the table, since it could not be trained. seed0-tune1: it ran out of memory." in found
    assert "It is the only one that could be trained." in said(made({"hear alone": 0.8}, answers={}))
    assert "No variant is better than always" in said(made(baseline={**made()["baseline"], "value": 0.95}))


def test_the_clocks_and_gaps_of_the_streams_are_told() -> None:
    assert "regular and not aligned (rows per second: see 25 and hear 100)" in said(made())
    one = {"regular": True, "rate": 12.5, "rows": 9.0, "missing": 0.0}
    assert "all with 12.5 rows per second" in said(made(streams={"see": one, "hear": one}))
    odd = {"regular": False, "rate": 0.07, "rows": 3.0, "missing": 0.125}
    found = said(made(streams={"see": one, "hear": odd}))
    assert "not all regular (hear is not) and not aligned (rows per second: see 12.5 and hear 0.07)" in found
    assert "Streams are missing: hear in 12 % of the items." in found


def test_lower_is_better_turns_the_table_round() -> None:
    result = made({k: 1 - v for k, v in VALUES.items()}, higher=False)
    assert result["advice"]["take"] == "shared"
    assert "Fusing pays: the best fusion, shared, is better than hear alone" in said(result)
    assert "by 0.100 (95 % interval +0.080 to +0.120)" in said(result)


@settings(max_examples=60)
@given(
    values=st.lists(st.floats(0.2, 0.95), min_size=5, max_size=5),
    half=st.floats(0.001, 0.3),
    sd=st.none() | st.floats(0, 0.2),
    groups=st.integers(1, 60),
    higher=st.booleans(),
)
def test_no_claim_without_its_interval(
    values: list[float], half: float, sd: float | None, groups: int, higher: bool
) -> None:
    result = made(dict(zip(KINDS, values)), half=half, sd=sd, groups=groups, higher=higher)
    view, found = View(result), said(result)
    sign = 1 if higher else -1
    assert sign * view.best["value"] == max(sign * v for v in values)
    assert view.fused is not None
    assert view.single is not None
    fusing = view.gap(view.fused, view.single)
    sure = (
        abs(fusing["difference"]) > half and (sd is None or sd < abs(fusing["difference"])) and groups >= FEWEST_GROUPS
    )
    assert ("Fusing pays" in found) == (sure and fusing["difference"] > 0)
    assert ("Fusing harms here" in found) == (sure and fusing["difference"] < 0)
    assert ("better than each of the others by more than chance" in found) == (not view.ties())
    if groups < FEWEST_GROUPS:
        assert len(view.ties()) == 4
        assert not any(
            s in found for s in ("by more than chance", "fusing harms there", "adds to the rest", "does harm")
        )


@pytest.mark.parametrize("result", [made(), made(sd=0.01)])
def test_the_terminals_tables_fit_into_80_columns(result: dict[str, Any]) -> None:
    for i, row in enumerate(result["variants"]):
        row["title"] = f"all but a modality of a long name {i}"
    out = io.StringIO()
    Console(file=out, width=80).print(comparison_table(result))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    for row in result["variants"]:
        value, known = words.show("accuracy", row["value"]), words.interval("accuracy", row)
        assert any(value in line and known in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("result", [made(), made(sd=0.01), made(groups=4), made(half=float("inf"))])
def test_every_form_shows_every_variant(result: dict[str, Any], tmp_path: Any) -> None:
    result = json.loads(json.dumps(result).replace("-Infinity", "null").replace("Infinity", "null"))
    result["name"] = "a|b <c>"
    page = save_comparison(result, tmp_path).read_text(encoding="utf-8")
    out = io.StringIO()
    Console(file=out, width=140).print(comparison_table(result))
    for text in (page, out.getvalue(), (tmp_path / "compare.md").read_text(encoding="utf-8")):
        assert all(name in text for name in VALUES)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<c>" not in page
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "compare.json").read_text(encoding="utf-8")) == result
    assert len({line.count(" | ") for line in as_markdown(made()).splitlines() if line.startswith("| ")}) == 2
    again = save_comparison(result, tmp_path / "again")
    assert again.read_text(encoding="utf-8") == page
