"""Finished runs compared: paired tests against scipy, what is claimed and what is not, pages and Markdown."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from plait.cli import main
from plait.comparison.runs import Asked, compared, names_of, open_runs
from plait.comparison.runs_report import as_markdown, cautions, headline, render_runs, save_runs
from plait.comparison.runs_schema import RunsCompared, runs_schema
from plait.core.errors import ConfigError, DataError
from plait.evaluation.intervals import Units, from_sums, jackknife_p, leave_one_out
from plait.recipe import load_recipe
from plait.training.fit import fit

ROOT = Path(__file__).parents[2]
EVIL = "a|b <script>x</script> @you"


@pytest.fixture
def ask(make_replicates, classify):
    """A run of two modalities; ``strength`` says how good it is."""

    def make(name, strength=(1.0, 1.7), *, seeds=1, folds=1, groups=6, offset=0, **more):
        outputs = make_replicates(["see", "hear"], seeds=seeds + offset, folds=folds, groups=groups, strength=strength)
        outputs = [o for o in outputs if o.seed >= offset]
        truths = {i: str(t) for o in outputs for i, t in zip(o.items, o.target)}
        about = {"corpus": "talks", "name": "classify", "target": "mood", "unit": "clip"}
        recipe = {
            "name": name,
            "fusion": "late" if name == "base" else "gated",
            "train.seeds": [*range(seeds)],
        }
        made = Asked(name, classify(["x", "y", "z"]), about, outputs, truths, {}, [300], recipe)
        return replace(made, **more)

    return make


def test_the_test_is_the_paired_t_test_over_groups_of_equal_size(ask):
    found = compared([ask("base"), ask("new", (0.6, 1.0), offset=3)])
    right = []
    for one in (ask("base"), ask("new", (0.6, 1.0), offset=3)):
        (out,) = one.outputs
        hit = out.outputs["see", "hear"].argmax(1) == out.target
        right.append([hit[np.array(out.groups) == g].mean() for g in sorted(set(out.groups))])
    wanted = stats.ttest_rel(*right)
    (pair,) = found["pairs"]
    assert pair["p"] == pytest.approx(wanted.pvalue)
    ends = wanted.confidence_interval()
    assert [pair["difference"], pair["low"], pair["high"]] == pytest.approx([np.subtract(*right).mean(), *ends])


def test_holm_is_over_all_pairs(ask):
    names = ["a", "b", "c", "d"]
    found = compared([ask(n, (0.3 * i, 1.0), offset=i) for i, n in enumerate(names)])
    ps = [row["p"] for row in found["pairs"]]
    assert len(ps) == 6
    order, most = sorted(range(6), key=ps.__getitem__), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (6 - rank) * ps[i]))
        assert found["pairs"][i]["p_corrected"] == pytest.approx(most)


def test_equal_runs_are_rarely_told_apart():
    rng, groups = np.random.default_rng(0), np.repeat(np.arange(8), 10)
    units, alarms = Units.of(groups), 0
    for _ in range(1000):
        gap = rng.normal(size=80) + rng.normal(size=8)[groups]  # items of a group are alike
        kernel = from_sums(np.stack([gap, np.ones(80)], 1), units, lambda s: s[:, 0] / s[:, 1])
        alarms += jackknife_p(leave_one_out([kernel], units)[0], units.df) <= 0.05
    assert stats.binom.ppf(0.001, 1000, 0.05) <= alarms <= stats.binom.ppf(0.999, 1000, 0.05)


def test_a_better_run_is_called_better_in_either_order(ask):
    poor, good = ask("base", (0.1, 0.2)), ask("new", (2.0, 3.0), seeds=3)
    for order in ([poor, good], [good, poor]):
        found = compared(order)
        assert found["pairs"][0]["significant"]
        said = headline(found).replace("\xa0", " ")
        assert said.startswith("Accuracy of mood, on the same 120 items of 6 groups: new reaches ")
        assert " better than base (95 % interval +" in said
    assert {tuple(row["modalities"]) for row in found["subsets"]} == {("see",), ("hear",)}
    assert cautions(found) == ["base has one seed: how far another seed would move it is not known."]
    assert [row["key"] for row in found["recipes"]] == ["fusion", "train.seeds"]


def test_where_it_cannot_be_told_nothing_is_claimed(ask):
    near = headline(compared([ask("base"), ask("new", offset=5)]))
    assert "cannot be told" in near
    assert "better than" not in near
    few = compared([ask("base", (0.1, 0.2), groups=3), ask("new", (2.0, 3.0), groups=3)])
    assert few["pairs"][0]["p"] is None
    assert "cannot be told" in headline(few)
    assert "3 groups are too few for tests (5 are needed)." in cautions(few)


def test_a_difference_within_the_spread_over_seeds_is_not_called_one(ask):
    good, wide = ask("new", (2.0, 3.0)), ask("base", (9.0, 9.0), seeds=2)
    one, two = wide.outputs  # the second seed is always wrong
    spoilt = replace(two, outputs={s: np.roll(x, 1, 1) for s, x in two.outputs.items()})
    found = compared([replace(wide, outputs=[one, spoilt]), good])
    assert found["pairs"][0]["sd"] == found["runs"][0]["sd"] > abs(found["pairs"][0]["difference"])
    assert found["pairs"][0]["p_corrected"] < 0.05
    assert not found["pairs"][0]["significant"]


def test_copies_answer_alike(ask):
    found = compared([ask("base"), ask("copy")])
    assert "base and copy answer alike" in headline(found)
    assert found["pairs"][0]["p"] is None


def test_only_shared_items_count_and_that_is_said(ask):
    whole, part = ask("base", folds=2), ask("new", folds=1, before={"0": frozenset(["g0-1", "g0-2"])})
    found = compared([whole, part])
    assert (found["items"], [row["items"] for row in found["runs"]]) == (120, [240, 120])
    said = cautions(found)
    assert said[0] == "Compared on the 120 items that all were tested on. Test items: base 240, new 120."
    assert said[1] == "new met 2 groups of these items in training, which may flatter it."
    assert found["runs"][0]["value"] == compared([ask("base"), part])["runs"][0]["value"]


def test_what_cannot_be_compared_is_told(ask):
    other = ask("new")
    named = [replace(o, items=[f"elsewhere {i}" for i in o.items]) for o in other.outputs]
    foreign = replace(other, outputs=named, truths={f"elsewhere {i}": t for i, t in other.truths.items()})
    with pytest.raises(DataError, match=r"share no test items: base 120 .*'item 0 0'.* new 120 .*'elsewhere item 0 0'"):
        compared([ask("base"), foreign])
    wrong = replace(other, truths=dict.fromkeys(other.truths, "9"))
    with pytest.raises(DataError, match="new: 120 of 120 shared items have another truth than in base"):
        compared([ask("base"), wrong])


def test_names_are_the_ends_of_paths(tmp_path):
    assert names_of([Path("a/x/run"), Path("b/x/run")]) == ["a/x/run", "b/x/run"]
    with pytest.raises(ConfigError, match="given twice"):
        names_of([tmp_path, tmp_path / ".." / tmp_path.name])


def test_all_folders_that_are_no_runs_are_told_at_once(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/run.json").write_text("{")
    with pytest.raises(DataError) as error:
        open_runs([tmp_path / "none", tmp_path / "broken"])
    assert len(error.value.problems) == 2


def test_ten_runs_with_awkward_names_make_pages(ask, tmp_path):
    found = compared([ask(f"{EVIL}{i}", (0.1 * i, 1.0), offset=i) for i in range(10)])
    assert len(found["pairs"]) == 45
    page = save_runs(found, tmp_path / "out").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "The other 33" in page
    assert json.loads((tmp_path / "out/runs.json").read_text()) == found
    text = as_markdown(found)
    assert "<script" not in text
    assert "@you" not in text
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    widths = [line.count("|") for line in rows]
    assert set(widths) == {8, 10}, "cells of one number in each table"


def test_the_schemas_file_is_that_of_the_code():
    made = runpy.run_path(str(ROOT / "docs/pictures/runs_schema.py"))
    assert made["FILE"].read_text(encoding="utf-8") == made["text"](), "run: python docs/pictures/runs_schema.py"
    assert set(runs_schema()["properties"]) == set(RunsCompared.__annotations__)


@pytest.mark.slow
def test_the_command(tiny_recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    other = ["task.name=regress", "task.target=score"]
    for name, changes in {"base": ["train.epochs=1"], "new": ["train.epochs=2"], "score": other}.items():
        fit(load_recipe(tiny_recipe, changes), f"runs/{name}", cache="cache", quiet=True)

    def plait(*argv):
        code = main([*argv, "--cache", "cache"])
        return code, *capsys.readouterr()

    code, out, _ = plait("report", "runs/base", "runs/new", "--json")
    assert code == 0
    found = json.loads(out)
    assert Path(found.pop("report")) == Path("runs/compared/runs.html")
    assert found == json.loads(Path("runs/compared/runs.json").read_text())
    assert render_runs(found) == Path("runs/compared/runs.html").read_text()
    assert {"train.epochs"} == {row["key"] for row in found["recipes"]}
    code, _, told = plait("report", "runs/base", "runs/score")
    assert code == 1
    assert "score: its task is regress score, that of base is classify kind" in told
    code, _, told = plait("report", "runs/base", "runs/./base")
    assert (code, "given twice" in told) == (2, True)
    code, _, told = plait("report", "runs/base")
    assert (code, "Do it with: plait evaluate runs/base" in told) == (1, True)
    assert plait("evaluate", "runs/base")[0] == 0
    page = Path("runs/base/report.html").read_text()
    code, out, _ = plait("report", "runs/base", "--markdown", "--out", "elsewhere")
    assert (code, out[:8]) == (0, "## base\n")
    assert Path("elsewhere/report.html").read_text() == page
    Path("file").write_text("")
    assert plait("report", "runs/base", "runs/new", "--out", "file/in")[0] == 1
