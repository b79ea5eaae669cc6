from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from plait.evaluation import words
from plait.evaluation.report import render_report, write_report
from plait.evaluation.summary import summarise
from plait.evaluation.table import subset_table

EVIL = ['<script>alert("x")</script>', "日本語のとても長い" + "名" * 60, "$\\alpha$ & _😀", "a\x00b\x1b[31m [bold]"]
VOID = {"meta", "br", "link", "img", "input", "hr", "use"}


class Page(HTMLParser):
    """What the page holds: tags, ids, addresses; and whether every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.ids, self.addresses, self.open, self.wrong = [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value)
            if key in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.addresses.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def sections(modalities):
    noise = [
        {
            "modality": modalities[0],
            "kind": "babble",
            "axis": "dB",
            "rising": False,
            "level": level,
            "subset": s,
            "value": 0.5,
            "sd": None,
        }
        for level in (10, 0)
        for s in (modalities, modalities[:1])
    ]
    clock = {"recording": "walk<1>", "device": "cam", "planted_offset": 1.0, "planted_ppm": 100.0, "offset": 1.001}
    clock |= {"drift_ppm": 99.0, "max_error_ms": 30.0, "confidence": None, "flagged": False}
    return {
        "robustness": {"noise": noise, "missing": [{"share": 0.5, "value": 0.4, "sd": 0.1}]},
        "training": {"seeds": [{"epoch": [0, 1], "train_loss": [1.0, 0.5], "valid": [None, 0.5]}]},
        "sync": [clock] * 15,
        "recipe_yaml": "task: <b>classify</b>\n",
        "versions": {"plait": "0.1.0"},
    }


@pytest.fixture
def evaluation(make_members, classify, regress):
    def make(modalities, classes=("x", "y", "z"), *, full=True, **kw):
        task = classify(list(classes)) if classes else regress
        members = make_members(modalities, classes=len(classes), **kw)
        about = {"run": "first", "corpus": "talks", "unit": "a clip"}
        return summarise(task, members, about=about, sections=sections(modalities) if full else None, draws=100)

    return make


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("classes", [0, 3])
def test_a_page_is_whole_loads_nothing_and_has_unique_ids(evaluation, count, classes):
    html = render_report(evaluation([f"m{i}" for i in range(count)], "xyz"[:classes]))
    page = Page(html)
    assert not page.wrong
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert all(a.startswith("#") for a in page.addresses)
    assert {a[1:] for a in page.addresses} <= set(page.ids)
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//|url\(\s*[\"']?(?!#)|@import", html)
    assert "script" not in page.tags
    assert page.tags.count("svg") >= 5


def test_awkward_names_are_escaped_and_cost_nothing(evaluation, tmp_path):
    found = evaluation(EVIL[:3], EVIL)
    found["run"] = EVIL[0] + "\ud800"
    path = write_report(found, tmp_path / "report.html")
    html = path.read_text(encoding="utf-8")
    assert "script" not in Page(html).tags
    assert not Page(html).wrong
    assert "&lt;script&gt;" in html
    assert "日本語" in html
    assert "\u2060–\u2060" in html  # the headline's interval keeps together
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", html)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_the_same_numbers_give_the_same_bytes(evaluation):
    found = evaluation(["see", "hear"], seeds=1)
    del found["sync"], found["robustness"]
    again = json.loads(json.dumps(found))
    assert render_report(found) == render_report(again)
    again["subsets"][0]["metrics"]["accuracy"]["mean"] += 0.01
    assert render_report(found) != render_report(again)


def test_plots_change_no_global_state(evaluation):
    import matplotlib

    before = dict(matplotlib.rcParams)
    render_report(evaluation(["see", "hear"]))
    assert dict(matplotlib.rcParams) == before


def test_a_bare_evaluation_and_gaps_in_it_still_make_a_page(evaluation):
    found = evaluation(["see", "hear"], full=False)
    for row in found["subsets"]:
        row["metrics"]["accuracy"] = {"mean": None, "sd": None, "per_seed": [None]}
        row["interval"] = None
    found |= {"best_single": None, "gain_over_best_single": None, "confusion": None, "calibration": None}
    found["baseline"]["metrics"] = {}
    assert not Page(render_report(found)).wrong
    assert "–" in render_report(found)


def test_many_classes_go_without_the_matrix(evaluation):
    html = render_report(evaluation(["see"], [f"c{i}" for i in range(70)], full=False))
    assert "too large to read" in html


def test_many_modalities_are_sorted_and_folded(evaluation):
    html = render_report(evaluation(list("abcde"), full=False))
    assert re.search(r"The other \d+ subsets", html)
    assert html.count('class="whole"') == 1


def test_a_wrong_clock_that_nobody_flagged_is_said(evaluation):
    html = render_report(evaluation(["see", "hear"]))
    assert "15 wrong without being flagged" in html


def bare(**kw):
    def row(names, value):
        span = {"low": value - 0.02, "high": value + 0.02, "unit": "group", "groups": 20}
        return {"modalities": names, "metrics": {"accuracy": {"mean": value}}, "interval": span}

    made = {
        "task": {"metric": "accuracy", "higher_is_better": True, "classes": ["x", "y"]},
        "baseline": {"metrics": {"accuracy": 0.13}},
        "subsets": [row(["sound"], 0.807), row(["sight"], 0.5), row(["sound", "sight"], 0.931)],
        "best_single": {"modality": "sound", "value": 0.807},
        "gain_over_best_single": 0.124,
        "gain_interval": {"low": 0.1, "high": 0.15},
    }
    return made | kw


def test_the_headline_says_what_came_out():
    assert words.headline(bare()).replace("\xa0", " ") == (
        "Both together reach 93.1 % (91.1–95.1), 12.4 points better than the best single one, sound; "
        "the majority answer gives 13.0 %."
    )
    assert words.cautions(bare()) == []


def test_harm_is_said_and_not_hidden():
    worse = bare(gain_over_best_single=-0.03, gain_interval={"low": -0.05, "high": -0.01})
    assert "3.0 points worse than" in words.headline(worse)
    assert "harm" in words.cautions(worse)[0]
    chance = bare(gain_over_best_single=0.01, gain_interval={"low": -0.01, "high": 0.03})
    assert "chance" in words.cautions(chance)[0]
    useless = bare(baseline={"metrics": {"accuracy": 0.95}})
    assert "no better" in words.cautions(useless)[0]


@pytest.mark.parametrize(("groups", "unit", "words_of_it"), [(2, "item", "2 groups, so"), (5, "group", "rough")])
def test_few_groups_are_said(groups, unit, words_of_it):
    found = bare()
    found["subsets"][-1]["interval"] |= {"groups": groups, "unit": unit, "skipped": 3, "draws": 97}
    said = " ".join(words.cautions(found))
    assert words_of_it in said
    assert "3 of 100 draws" in said


def test_leaving_out_changes_the_metric_in_its_own_direction(evaluation):
    html = render_report(evaluation(["see", "hear"], "", strength=[1.0, 2.0], full=False))
    # Lower is better: the error grows when a modality goes.
    assert re.findall(r'class="name">(\w+)</td><td class="num main">(.)', html) == [("hear", "+"), ("see", "+")]


def test_the_terminals_table(evaluation):
    found = evaluation(EVIL[:2] + ["sight"], full=False)
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(subset_table(found))
    text = console.export_text()
    assert text.count("●") == 12
    assert words.show("accuracy", found["subsets"][-1]["metrics"]["accuracy"]["mean"]) in text
    assert "majority" in text


def test_numbers_for_people():
    assert words.show("accuracy", 1.0, unit=False) == "100.0"
    assert words.change("accuracy", -1e-6) == "0.0 points"
    assert words.interval("corr", {"low": -0.1, "high": 0.2}) == "−0.100 to 0.200"
    assert words.interval("corr", {"low": None, "high": None}) == "–"
    assert np.unique([words.in_percent(m) for m in ("acc2_nonneg", "f1_nonneg", "recall")]).tolist() == [True]
