"""The laws over every section of the report, and sections that break each of them."""

from __future__ import annotations

import itertools

import pytest

from plait.core.parts import parts
from plait.report.sections import Section
from plait.testing import LawBroken, check_section

RANKS = ("recall_at1", "recall_at5", "recall_at10", "median_rank")
FOUND = {f"{way}{name}": {"mean": 0.5, "sd": None} for way in ("", "reverse_") for name in RANKS}

TEXTS = {
    "task": {"name": "transcribe", "metric": "word_error_rate", "higher_is_better": False, "classes": None},
    "subsets": [
        {"modalities": ["see"], "metrics": {"word_error_rate": {"mean": 0.5, "sd": None}, **FOUND}, "interval": None}
    ],
    "modalities": ["see"],
    "examples": [{"item": "<script>", "value": 1.0, "truth": "<script>", "answer": "b"}],
    "deletion": {
        "answers": 9,
        "inside": 0.4,
        "elsewhere": 0.1,
        "ratio": 4.0,
        "interval": {"low": 2.0, "high": 9.0, "groups": 9, "reason": ""},
    },
    "sync": [{"recording": "<script>", "device": "cam", "max_error_ms": 30.0, "flagged": False}],
    "items": 1,
    "groups": 1,
    "folds": [""],
    "seeds": [0],
    "baseline": {"metrics": {}},
    "rivals": {"persistence": {"metrics": {"word_error_rate": 0.9}}},
    "verdicts": [
        {
            "target": "<script>",
            "helps": True,
            "ratio": 0.9,
            "interval": {"low": 0.8, "high": 0.95, "groups": 9, "reason": ""},
            "which": ["<script>"],
            "each": {},
        }
    ],
}


RECALLS = {
    f"{kind}@{n} {k}": {"mean": 0.5, "sd": None}
    for kind in ("recall", "mean_recall", "zero_shot_recall")
    for n in (20, 50, 100)
    for k in ("k=1", "k=all")
}
GRAPHS = {
    **TEXTS,
    "task": {"name": "relate", "metric": "relation_recall", "higher_is_better": True, "classes": None},
    "subsets": [{"modalities": ["see"], "metrics": RECALLS, "interval": None}],
    "rivals": None,
}
RANKS = {
    f"{way}{name}": {"mean": 0.5, "sd": None}
    for way in ("", "reverse_")
    for name in ("recall_at1", "recall_at5", "recall_at10", "median_rank")
}
FOUND = {
    **GRAPHS,
    "task": {"name": "retrieve", "metric": "recall_at1", "higher_is_better": True, "classes": None},
    "subsets": [{"modalities": ["see"], "metrics": RANKS, "interval": None}],
}


ENDS = {"low": 0.1, "high": 0.3, "groups": 9, "reason": ""}
CURVE = {"axis": "share", "levels": [0.0, 0.5], "values": [0.9, 0.5], "area": 0.7, "late": [0.8, 0.5]}
EXPLAINED = {
    **TEXTS,
    "task": {"name": "classify", "metric": "accuracy", "higher_is_better": True, "classes": None},
    "dependence": {
        "permutation": [{"modality": "<script>", "drop": 0.2, "sd": 0.1, "interval": ENDS}],
        "additive": {
            "items": 9,
            "model": 0.9,
            "projection": 0.8,
            "gain": 0.1,
            "interval": ENDS,
            "non_additive": 0.2,
        },
    },
    "faithfulness": [
        {
            **dict.fromkeys(("deletion", "random_insertion", "foreign_deletion"), 0.3),
            **dict.fromkeys(("insertion", "random_deletion", "better"), 0.8),
            **dict.fromkeys(("deletion_gain", "insertion_gain", "foreign_gain"), ENDS),
            "method": "<script>",
            "items": 9,
        }
    ],
    "swaps": [
        {
            "modality": "<script>",
            "condition": "<script>",
            "items": 9,
            "changed": 0.5,
            "interval": ENDS,
            "two_sample": 0.6,
        }
    ],
    "training": {
        "seeds": [
            {
                "replicate": "seed0",
                "epoch": [0.0, 1.0],
                **{f"{name}.see": [0.9, 0.8] for name in ("train_loss", "valid_loss", "valid_accuracy")},
            }
        ],
        "warnings": [
            {"replicate": "seed0", "kind": "learns nothing", "modality": "see", "epoch": 2, "text": "<script> learns"}
        ],
    },
    "shortcuts": [
        {"name": "<script>", "predicts": 0.1, "predicts_p": 0.001, "used": 0.2, "used_p": 0.0001, "alarm": True}
    ],
    "mediation": {
        "rows": [
            {
                "modality": "<script>",
                "via": "<script>",
                "items": 9,
                "total": 0.5,
                "via_alone": None,
                **{key: {"ratio": 0.5, "interval": ENDS} for key in ("direct", "share")},
            }
        ],
        "reason": "",
    },
    "invariance": {
        "environments": "<script>",
        "sizes": {"<script>": 9, "b": 9},
        "subsets": [{"modalities": m, "p": 0.2, "p_corrected": 0.4, "accepted": bool(m)} for m in ([], ["<script>"])],
        "invariant": ["<script>"],
        "reason": "",
    },
    "claim": {
        "verdict": "effect",
        "reason": "",
        "treatment": "<script>",
        "outcome": "<script>",
        "adjust": ["<script>"],
        "items": 9,
        "left_out": 1,
        "propensity": [0.2, 0.7],
        "effective_items": [40.0, 40.0],
        "interval": ENDS,
        **dict.fromkeys(("unadjusted", "effect", "within_groups", "control_effect"), 0.3),
        **dict.fromkeys(("p", "within_p", "control_p", "outside", "placebo_mean", "placebo_alarms"), 0.04),
        **dict.fromkeys(("e_value", "e_value_interval"), 1.8),
    },
    "robustness": {
        "noise": [],
        "missing": [],
        "corruptions": [
            {
                **CURVE,
                "modality": m,
                "kind": "jitter",
                "gain_over_late": gain,
                "interval": ENDS,
                "p": 0.01,
                "p_corrected": 0.02,
            }
            for m, gain in (("<script>", -0.05), ("", 0.05))
        ],
    },
}


UNTOLD = {
    **EXPLAINED,
    "mediation": {"rows": [], "reason": "<script>"},
    "invariance": {"environments": "group", "sizes": {}, "subsets": [], "invariant": [], "reason": "<script>"},
    "claim": {"verdict": "cannot be told", "reason": "<script>", "treatment": "", "outcome": "", "adjust": []},
}


@pytest.mark.parametrize("name", parts(Section))
def test_every_section_keeps_the_laws_and_says_something_of_some_run(name):
    assert check_section(parts(Section)[name], [TEXTS, GRAPHS, FOUND, EXPLAINED, UNTOLD])


def test_no_two_stand_at_the_same_place():
    ranks = [cls.rank for cls in parts(Section).values()]
    assert len(set(ranks)) == len(ranks)


class Plain(Section):
    template = "<p>{{ run }}</p>"

    def title(self, evaluation):
        return "Run"

    def content(self, evaluation):
        return {"run": evaluation["run"]}


class Unescaped(Plain):
    template = "<p>{{ run | safe }}</p>"


class Unclosed(Plain):
    template = "<p><b>{{ run }}</p>"


class Loads(Plain):
    template = '<img src="https://elsewhere.org/x.png">'


class Clicks(Plain):
    template = '<p onclick="run()">{{ run }}</p>'


class Needy(Plain):
    def content(self, evaluation):
        return {"run": evaluation["confusion"]["classes"]}


class Counts(Plain):
    count = itertools.count()

    def content(self, evaluation):
        return {"run": next(self.count)}


class Overwrites(Plain):
    def content(self, evaluation):
        evaluation["run"] += "."
        return {"run": ""}


def test_a_sound_section_keeps_them():
    assert len(check_section(Plain)) == 4


@pytest.mark.parametrize(
    ("cls", "law"),
    [
        (Unescaped, "names"),
        (Unclosed, "page"),
        (Loads, "page"),
        (Clicks, "page"),
        (Needy, "gaps"),
        (Counts, "sameness"),
        (Overwrites, "inputs"),
    ],
)
def test_each_law_can_be_broken(cls, law):
    with pytest.raises(LawBroken) as error:
        check_section(cls)
    assert error.value.law == law
