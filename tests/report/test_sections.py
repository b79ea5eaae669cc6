"""Sections as parts: their order, and one of one's own."""

from __future__ import annotations

import json
import sys

import pytest

from plait.catalogue import catalogue
from plait.cli import main
from plait.core.errors import ConfigError
from plait.core.parts import parts, rescan
from plait.evaluation.summary import summarise
from plait.report import sections as package
from plait.report.report import render_report, save_evaluation
from plait.report.sections import Section, folded, render_sections

MODULE = """
from plait.report.sections import Section


class Worst(Section):
    'Groups below a value.'

    rank = 55
    template = "<p>Below {{ words.show(metric, least) }}: {{ groups }}</p>"

    def __init__(self, *, least: float = 1.0) -> None:
        self.least = least

    def title(self, evaluation):
        return "Groups to look at"

    def content(self, evaluation):
        rows = [r["group"] for r in evaluation["per_group"] if r["value"] < self.least]
        metric = evaluation["task"]["metric"]
        return {"groups": ", ".join(rows), "least": self.least, "metric": metric} if rows else None


class Fails(Worst):
    def content(self, evaluation):
        return {"groups": evaluation["nothing"]}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The name of a module outside of plait."""
    (tmp_path / "mylab_sections.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mylab_sections", raising=False)
    return "mylab_sections"


@pytest.fixture
def evaluation(make_replicates, classify):
    return summarise(classify(["x", "y", "z"]), make_replicates(["see", "hear"]))


def headings(html):
    return [part.split("</h2>")[0] for part in html.split("<h2>")[1:]]


def test_they_stand_in_their_order(evaluation):
    assert headings(render_report(evaluation)) == [
        "Every subset of modalities",
        "What each one brings",
        "Shapley values",
        "Redundant, unique, or only together?",
        "What is taken for what",
        "Class by class",
        "Group by group",
        "Where it is worse",
        "How far to trust it",
        "How sure it may be",
        "The data",
        "How it was made",
    ]


@pytest.mark.slow
def test_ones_own_stands_where_its_rank_says(own, evaluation):
    more = [{"name": f"{own}.Worst", "least": 0.99}]
    html = render_report(evaluation, sections=more)
    names = headings(html)
    assert names[names.index("Groups to look at") - 1] == "Where it is worse"
    assert names[names.index("Groups to look at") + 1] == "How far to trust it"
    assert evaluation["per_group"][0]["group"] in html.split("Groups to look at")[1]
    assert render_report(evaluation, sections=[{**more[0], "least": 0.0}]) == render_report(evaluation)


@pytest.mark.slow
def test_one_of_plaits_own_takes_other_options(make_replicates, classify):
    many = summarise(classify([f"c{i}" for i in range(20)]), make_replicates(["see"], classes=20))
    usual, more = (render_report(many, sections=s) for s in ([], [{"name": "per_class", "rows": 20}]))
    assert "The other 8 classes" in usual
    assert "The other 8 classes" not in more
    assert headings(usual) == headings(more)


def test_one_that_fails_is_named_and_the_numbers_are_kept(own, evaluation, tmp_path):
    with pytest.raises(ConfigError, match=r"report section fails: it fails on this evaluation \(KeyError: 'nothing'\)"):
        save_evaluation(evaluation, tmp_path / "out", sections=[f"{own}.Fails"])
    assert json.loads((tmp_path / "out/evaluation.json").read_text()) == evaluation
    assert not (tmp_path / "out/report.html").exists()


@pytest.mark.parametrize("spec", ["nowhere.Mine", "subset", "plait.report.words.show", {"name": "subsets", "rows": 3}])
def test_what_is_no_section_is_told(spec, evaluation):
    with pytest.raises(ConfigError, match="report section"):
        render_sections(evaluation, [spec])


def test_a_wrong_section_is_told_before_anything_is_scored(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "no-run"), "--section", "nowhere.Mine"]) != 0
    assert "nowhere.Mine" in capsys.readouterr().err


def test_one_file_is_a_section(tmp_path, monkeypatch, evaluation):
    """A new file beside the base is listed and on the page, and nothing else is edited."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "worst.py").write_text(MODULE.split("class Fails")[0])
    with monkeypatch.context() as patched:
        patched.setattr(package, "__path__", [*package.__path__, str(folder)])
        rescan()
        assert catalogue("sections")["sections"]["worst"] == {
            "what": "Groups below a value.",
            "options": {"least": 1.0},
        }
        assert "Groups to look at" in headings(render_report(evaluation))
    rescan()
    sys.modules.pop("plait.report.sections.worst", None)
    assert "worst" not in parts(Section)


def test_long_tables_are_folded_unless_little_would_be_gained():
    assert folded([]) is None
    assert folded(range(15)) == {"shown": range(15), "more": range(0)}
    assert [len(part) for part in folded(range(16)).values()] == [12, 4]
