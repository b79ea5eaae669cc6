from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from plait.evaluation.summary import summarise
from plait.report import words
from plait.report.report import render_report, write_report
from plait.report.table import summary_of

EVIL = ['<script>alert("x")</script>', "日本語のとても長い" + "名" * 60, "$\\alpha$ & _😀", "a\x00b\x1b[31m [bold]"]
VOID = {"meta", "br", "link", "img", "input", "hr", "use"}


class Page(HTMLParser):
    """What the page holds: tags, ids, addresses; and whether every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.ids, self.addresses, self.open, self.wrong = [], [], [], [], []
        self.classes, self.wide = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        classes = (dict(attrs).get("class") or "").split()
        # what may be wider than a telephone: a table that does not scroll in itself, a picture with a width of its own
        if tag == "table" and not any("scroll" in c for c in self.classes):
            self.wide.append((tag, classes))
        if tag == "svg" and "width" in dict(attrs):
            self.wide.append((tag, attrs))
        for key, value in attrs:
            if key == "id":
                self.ids.append(value)
            if key in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.addresses.append(value)
        if tag not in VOID:
            self.open.append(tag)
            self.classes.append(classes)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()
            self.classes.pop()

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)
        if self.classes:
            self.classes.pop()


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
        "date": "2024-02-29T12:00:00+00:00",
        "parts": {
            "named_groups": True,
            "folds": [
                {
                    "name": f"fold{i}",
                    "train": {"items": 300 + i, "groups": 9},
                    "valid": {"items": 0, "groups": 0},
                    "test": {"items": 120, "groups": 6},
                    "seen": 0,
                }
                for i in range(2)
            ],
        },
    }


@pytest.fixture
def evaluation(make_replicates, classify, regress):
    def make(modalities, classes=("x", "y", "z"), *, full=True, **kw):
        task = classify(list(classes)) if classes else regress
        replicates = make_replicates(modalities, classes=len(classes), **kw)
        about = {"run": "first", "corpus": "talks", "target": "mood", "unit": "clip"}
        return summarise(task, replicates, about=about, sections=sections(modalities) if full else None)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("classes", [0, 3])
def test_a_page_is_whole_loads_nothing_and_has_unique_ids(evaluation, count, classes):
    html = render_report(evaluation([f"m{i}" for i in range(count)], "xyz"[:classes]))
    page = Page(html)
    assert not page.wrong
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    outside = [a for a in page.addresses if not a.startswith("#")]
    assert [a[:19] for a in outside] == ["data:image/svg+xml,"], "the icon, which is on the page itself"
    assert {a[1:] for a in page.addresses if a not in outside} <= set(page.ids)
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//|url\(\s*[\"']?(?!#)|@import", html)
    assert "script" not in page.tags
    assert page.tags.count("svg") >= 5


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3, 7])
def test_nothing_is_wider_than_a_telephone(evaluation, count):
    """Rendered at 400 px this holds as a whole; here, that tables scroll in themselves and pictures shrink."""
    page = Page(render_report(evaluation([f"a long name of a modality {i}" for i in range(count)], seeds=1)))
    assert page.tags.count("table") >= 3
    assert not page.wide


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_same_numbers_give_the_same_bytes(evaluation):
    found = evaluation(["see", "hear"], seeds=1)
    del found["sync"], found["robustness"]
    again = json.loads(json.dumps(found))
    assert render_report(found) == render_report(again)
    again["subsets"][0]["metrics"]["accuracy"]["mean"] += 0.01
    assert render_report(found) != render_report(again)


@pytest.mark.slow
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


@pytest.mark.slow
def test_many_modalities_are_sorted_and_folded(evaluation):
    html = render_report(evaluation(list("abcde"), full=False))
    assert re.search(r"The other \d+ subsets", html)
    assert html.count('class="whole"') == 1


@pytest.mark.slow
def test_a_wrong_clock_that_nobody_flagged_is_said(evaluation):
    html = render_report(evaluation(["see", "hear"]))
    assert "15 wrong without being flagged" in html


def bare(**kw):
    def row(names, value):
        span = {"low": value - 0.02, "high": value + 0.02, "groups": 20, "reason": ""}
        return {"modalities": names, "metrics": {"accuracy": {"mean": value}}, "interval": span}

    made = {
        "task": {"metric": "accuracy", "target": "mood", "higher_is_better": True, "classes": ["x", "y"]},
        "baseline": {"metrics": {"accuracy": 0.13}},
        "subsets": [row(["sound"], 0.807), row(["sight"], 0.5), row(["sound", "sight"], 0.931)],
        "intervals": {"groups": 20, "fewest_groups": 5},
        "best_single": {"modality": "sound", "value": 0.807},
        "gain_over_best_single": 0.124,
        "gain_interval": {"low": 0.1, "high": 0.15},
        "gain_over_constant": {"gain": 0.801, "interval": {"low": 0.7, "high": 0.9}},
    }
    return made | kw


def few(groups=3):
    """The same with too few groups for any interval."""
    none = {"low": None, "high": None, "groups": groups, "reason": "too few groups"}
    found = bare(gain_interval=none, gain_over_constant={"gain": 0.801, "interval": none})
    found["intervals"]["groups"] = groups
    for row in found["subsets"]:
        row["interval"] = none
    return found


def test_the_headline_says_what_came_out_of_what():
    assert words.headline(bare()).replace("\xa0", " ") == (
        "Accuracy of mood: both together reach 93.1 % (91.1–95.1), 12.4 points better than the best single one, sound; "
        "the majority answer gives 13.0 %."
    )
    assert words.cautions(bare()) == []


def test_harm_is_said_and_not_hidden():
    worse = bare(gain_over_best_single=-0.03, gain_interval={"low": -0.05, "high": -0.01})
    assert "3.0 points worse than" in words.headline(worse)
    assert words.cautions(worse)[0].startswith("Fusing harms here: sound alone is better than all together (95 %")
    useless = bare(baseline={"metrics": {"accuracy": 0.95}})
    assert "no better" in words.cautions(useless)[0]


@pytest.mark.parametrize("gain", [-0.03, 0.01, 0.2])
def test_neither_help_nor_harm_is_claimed_while_the_interval_holds_zero(gain):
    chance = bare(gain_over_best_single=gain, gain_interval={"low": gain - 0.3, "high": gain + 0.3})
    said = " ".join([words.headline(chance), *words.cautions(chance)])
    assert "better than" not in said
    assert "worse than" not in said
    assert "does harm" not in said
    assert "which may be chance" in said
    assert "Fusing makes no significant difference: against sound alone, 95 % interval" in said


def test_too_few_groups_are_said_in_words_and_claim_nothing():
    for gain in (-0.2, 0.2):
        said = " ".join([words.headline(few() | {"gain_over_best_single": gain}), *words.cautions(few())])
        assert "There are only 3 groups to test on, too few for intervals (5 are needed)" in said
        assert "and whether that is significant is not known" in said
        assert not re.search(r"better than|worse than|harm|95 %", said)
    assert "There is only 1 group to test on" in " ".join(words.cautions(few(1)))


def test_a_model_that_may_be_no_better_than_a_constant_is_said_to_be_so():
    found = bare(gain_over_constant={"gain": 0.02, "interval": {"low": -0.01, "high": 0.05}})
    assert words.cautions(found) == [
        "The model is not significantly better than always giving the same answer: +2.0 points "
        "(95 % interval −1.0 to +5.0 points)."
    ]


def test_groups_on_both_sides_are_said():
    found = bare(parts={"named_groups": True, "folds": [{"seen": 2}, {"seen": 1}]})
    assert "3 groups are in both training and test" in words.cautions(found)[0]


def test_replicates_that_are_not_trained_are_said_to_be_left_out():
    assert words.cautions(bare(unfinished=["seed1"])) == ["Not fully trained, and left out: seed1."]


def test_an_interval_that_there_is_not_says_why():
    found = bare()
    found["subsets"][-1]["interval"] = {"low": None, "high": None, "reason": "not defined without some groups"}
    assert words.cautions(found) == [
        "There is no interval of the main figure: accuracy is not defined without some groups."
    ]


# ---- what stands on the page


def text_of(html):
    """What a reader reads."""
    body = html[html.index("<body") :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


@pytest.mark.slow
def test_the_header_says_task_parts_and_whether_people_are_new_and_when(evaluation):
    text = text_of(render_report(evaluation(["see", "hear"])))
    assert "Corpus talks. Task: fakeclassify mood, one answer per clip." in text
    assert "Trained on 300 to 301 items of 9 groups in each of 2 folds, without a validation part." in text
    assert "Tested on 240 items of 12 groups, none of them seen in training." in text
    assert "Evaluated 2024-02-29 12:00:00 UTC with plait 0.1.0." in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seen": 3}, "of which 6 were seen in training too"),
        ({"seen": None, "train": {"items": 300, "groups": None}}, "all of another corpus than that of the training"),
    ],
)
def test_whether_groups_were_seen(evaluation, change, said):
    found = evaluation(["see", "hear"])
    for fold in found["parts"]["folds"]:
        fold |= change
    assert said in text_of(render_report(found))
    assert "none of them seen" not in text_of(render_report(found))


@pytest.mark.slow
def test_recordings_without_named_groups_are_not_called_new_people(evaluation):
    found = evaluation(["see", "hear"])
    found["parts"]["named_groups"] = False
    text = text_of(render_report(found))
    assert "the corpus names no groups" in text
    assert "none of them seen" not in text


@pytest.mark.slow
def test_no_column_stands_empty(evaluation):
    def columns(html):
        return [re.sub(r"<[^>]*>|\s", "", th) for th in re.findall(r"<th[ >].*?</th>", html, re.S)]

    rich = columns(render_report(evaluation(["see", "hear"])))
    assert {"sd", "95&nbsp;%interval", "answered", "eachseed"} <= set(rich)
    found = evaluation(["see", "hear"], seeds=1, folds=1, groups=3, full=False)
    for row in found["subsets"]:
        row["answered"] = found["items"]
    bare_page = render_report(found)
    assert not {"sd", "95&nbsp;%interval", "answered", "eachseed"} & set(columns(bare_page))
    assert "too few for intervals" in bare_page
    for page in (bare_page, render_report(evaluation(["see"], full=False))):
        for table in re.findall(r"<table.*?</table>", page, re.S):
            rows = [re.findall(r"<td.*?</td>", r, re.S) for r in re.findall(r"<tr.*?</tr>", table, re.S)]
            rows = [r for r in rows if r and "colspan" not in r[0]]
            for column in zip(*rows, strict=True):
                assert any(re.sub(r"<(?!span|i |b )[^>]*>|\s|–", "", cell) for cell in column), (table, column)


def test_no_section_stands_empty(evaluation):
    html = render_report(evaluation(["see"], "", full=False))
    for heading in (
        "noisy",
        "When streams are missing",
        "Class by class",
        "Is it as sure",
        "What each one brings",
        "Clocks",
        "Training",
    ):
        assert heading not in html
    assert html.count("<figure") == 1  # answers against truth


@pytest.mark.slow
def test_classes_and_groups_have_tables(evaluation):
    found = evaluation(["see", "hear"])
    text = text_of(render_report(found))
    assert "Class by class" in text
    assert "Group by group" in text
    for row in found["per_class"]:
        assert words.show("recall", row["recall"]).replace("\xa0", " ") in text.replace("\xa0", " ")
    assert all(row["group"] in text for row in found["per_group"])


@pytest.mark.slow
def test_what_a_modality_brings_is_claimed_only_beyond_its_interval(evaluation):
    found = evaluation(["see", "hear"])
    good, bad = found["contributions"]
    good |= {"gain": 0.2, "interval": {"low": 0.1, "high": 0.3}}
    bad |= {"gain": -0.1, "interval": {"low": -0.3, "high": 0.1}}
    page = render_report(found)
    section = page[page.index("What each one brings") :]
    rows = re.findall(r"<tr>(<td.*?)</tr>", section[: section.index("</section>")], re.S)
    first, second = ([re.sub(r"<[^>]*>", "", c) for c in re.findall(r"<td.*?</td>", r)] for r in rows)
    assert first[1:4] == ["−20.0 points", "−30.0 to −10.0 points", "helps"]
    assert second[1:4] == ["+10.0 points", "−10.0 to +30.0 points", "may be chance"]
    bad |= {"interval": {"low": -0.3, "high": -0.1}}
    assert "harms" in render_report(found)


def test_leaving_out_changes_the_metric_in_its_own_direction(evaluation):
    html = render_report(evaluation(["see", "hear"], "", strength=[1.0, 2.0], full=False))
    section = html[html.index("What each one brings") : html.index("Shapley values")]
    # Lower is better: the error grows when a modality goes.
    assert re.findall(r'class="name">(\w+)</td><td class="num main">(.)', section) == [("hear", "+"), ("see", "+")]


def test_shares_and_bits_are_on_the_page(evaluation):
    found = evaluation(["see", "hear"], ["left", "right"])
    page = render_report(found).replace("\xa0", " ")
    section = page[page.index("Shapley values") :]
    for row in found["contributions"]:
        assert words.change(found["task"]["metric"], row["shapley"]) in section
    (pair,) = found["information"]
    section = page[page.index("only together?") :]
    for part in ("redundancy", "unique_first", "unique_second", "synergy"):
        assert f"{pair[part]['bits']:.2f}".removeprefix("-") in section


def test_the_terminals_table(evaluation):
    found = evaluation(EVIL[:2] + ["sight"], full=False)
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(summary_of(found))
    text = console.export_text()
    assert text.count("●") == 12
    assert words.show("accuracy", found["subsets"][-1]["metrics"]["accuracy"]["mean"]) in text
    assert "majority" in text


@pytest.mark.slow
@pytest.mark.parametrize("count", [4, 7])
@pytest.mark.parametrize("classes", ["xyz", ""])
def test_the_terminals_table_has_a_line_a_subset_in_80_columns(evaluation, count, classes):
    names = [f"a long name of modality {i}" for i in range(count)]
    found = evaluation(names, classes, full=False)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_of(found))
    lines = console.export_text().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in "".join(lines)
    rows = [line for line in lines if "●" in line]
    assert len(rows) == 2**count - 1
    assert all(line.count("●") + line.count("·") == count for line in rows)
    metric = found["task"]["metric"]
    for line, row in zip(rows, found["subsets"]):
        assert words.show(metric, words.main(found, row)) in line
        assert words.interval(metric, row["interval"]) in line
    told = " ".join("".join(lines).split())
    assert all(f"{i} {name}" in told for i, name in enumerate(names, 1))


def test_numbers_for_people():
    assert words.show("accuracy", 1.0, unit=False) == "100.0"
    assert words.change("accuracy", -1e-6) == "0.0 points"
    assert words.interval("corr", {"low": -0.1, "high": 0.2}) == "−0.100 to 0.200"
    assert words.interval("corr", {"low": None, "high": None}) == "–"
    assert np.unique([words.in_percent(m) for m in ("acc2_nonneg", "f1_nonneg", "recall")]).tolist() == [True]
