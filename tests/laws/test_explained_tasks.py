"""The laws of explanation over every task: what an evaluation must hold, and where the evidence is known to be."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from plait import evaluate, fit
from plait.core.errors import DataError
from plait.core.parts import parts
from plait.evaluation.contribution import information
from plait.evaluation.contribution.shares import item_shares
from plait.evaluation.examined import Examination
from plait.evaluation.explanation import summary
from plait.evaluation.explanation.attribution import occlusion
from plait.evaluation.explanation.parts import Answer, Parts, claims_of
from plait.evaluation.replicates import led
from plait.evaluation.robustness import curves
from plait.evaluation.robustness.corruptions import Corruption
from plait.prediction.predict import Predictor
from plait.report import explained
from plait.report.evidence import EvidencePage
from plait.report.report import render_report
from plait.streams.recording import Annotation
from plait.tasks import Task
from plait.tasks.small_language import train_language
from tests.laws.small_world import KINDS, TASKS, recipe_of, write_world

EVERYONE = {"dependence", "faithfulness", "robustness", "per_group"}
SHARED = {"contributions", "item_shares", "interactions"}
MORE = {
    "classify": {*SHARED, "information", "calibration", "abstention", "shortcuts", "confusion"},
    "regress": {*SHARED, "scatter"},
    "multi": {*SHARED, "information", "calibration", "abstention", "confusion"},
    "tag": {*SHARED, "information", "calibration", "confusion"},
    "tag_several": SHARED,
    "transcribe": {*SHARED, "examples", "confusion"},
    "caption": {*SHARED, "examples", "confusion"},
    "unify": {*SHARED, "examples", "confusion"},
    "forecast": {*SHARED, "scatter", "slices"},
    "relate": {"examples"},
    "retrieve": {"examples"},
}
"""By task, what an evaluation holds besides `EVERYONE`."""

ADDITIVE = {"classify", "regress", "multi"}
"""Tasks of one answer per item whose outputs can be added up."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("explained") / "language"
    return train_language(KINDS, folder, width=16, layers=1, heads=2, epochs=20, lr=1e-2)


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer parts, orders and kinds of damage: the laws do not depend on their number."""
    few = {name: cls for name, cls in parts(Corruption).items() if name == "missing_span"}
    monkeypatch.setattr(curves, "parts", lambda base: few)
    monkeypatch.setattr(summary, "BINS", 6)
    monkeypatch.setattr(summary, "RANDOM", 1)
    monkeypatch.setattr(information, "MOST_BLOCKS", 4)
    monkeypatch.setattr(explained, "BINS", 6)


def test_every_task_is_here() -> None:
    scored = {name for name, cls in parts(Task).items() if cls.scored}
    assert scored <= set(TASKS), "add the new task to small_world.TASKS"
    assert set(MORE) == set(TASKS)


@pytest.mark.slow
@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("name", TASKS)
def test_a_run_of_every_task_is_explained(
    name: str, world: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    told = str(request.getfixturevalue("language")) if name == "unify" else ""
    run = fit(recipe_of(name, world, epochs=1, language=told), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    found = evaluate(run, cache=tmp_path / "cache", explain=True)
    assert EVERYONE | MORE[name] <= {key for key, value in found.items() if value}
    modalities = set(found["modalities"])
    assert {row["modality"] for row in found["dependence"]["permutation"]} == modalities
    assert {row["modality"] for row in found["robustness"]["corruptions"]} - {""} == modalities
    assert {row["method"] for row in found["faithfulness"]} >= {"occlusion"}
    assert ("additive" in found["dependence"]) == (name in ADDITIVE)
    for key in ("dependence", "faithfulness", "item_shares", "information"):
        assert not [*_unknown(found.get(key, {}))], key
    assert not [*_unknown(found["robustness"]["corruptions"])]
    assert "Are explanations true of the model?" in render_report(found)
    _check_file(Predictor(run, cache=tmp_path / "cache"), world, tmp_path)


def _check_file(predictor: Predictor, world: Path, folder: Path) -> None:
    one = world.with_name("one.jsonl")
    one.write_text(world.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    page = EvidencePage("run")
    found = explained.explain_files(predictor, [one], seen=page.add)
    assert page.render().count("<figure") == sum(not row.objects for row in found)
    for row in found:
        assert row.evidence
        assert all(np.isfinite(values).all() for values in row.evidence.values())
        json.dumps(row.to_json(), allow_nan=False)
        assert str(row).startswith("r00 ")


def _unknown(value: object, where: str = "") -> Iterator[str]:
    """Where a number is missing that should be there; few groups may have no interval, and one seed has no spread."""
    if isinstance(value, Mapping):
        for key, own in value.items():
            if key not in ("interval", "sd") and not key.endswith("_gain"):
                yield from _unknown(own, f"{where}.{key}")
    elif isinstance(value, list):
        for own in value:
            yield from _unknown(own, where)
    elif value is None or (isinstance(value, float) and not math.isfinite(value)):
        yield where


def test_a_pre_trained_run_claims_nothing() -> None:
    class Embeds:
        task = parts(Task)["pretrain"]

    with pytest.raises(DataError, match="Fine-tune it"):
        claims_of(Embeds(), None)  # type: ignore[arg-type]  # refused before it is asked


PLANTED = {"tag": (30, 0.8), "transcribe": (40, 0.8), "caption": (60, 0.7), "unify": (60, 0.4)}
"""Epochs, and the share of claims whose strongest part must lie within the second that tells; by chance .16 do (5 parts
of 32)."""


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_the_stream_and_the_second_that_tell_are_found(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    epochs, least = PLANTED[name]
    told = str(request.getfixturevalue("language")) if name == "unify" else ""
    corpus = write_world(tmp_path / "world", 64)
    run = fit(recipe_of(name, corpus, epochs=epochs, language=told), tmp_path / "run", cache=tmp_path / "c", quiet=True)
    (one,) = Examination(run, tmp_path / "c", None)
    task, pools = led(one.model.task, [one.output()])
    shares = item_shares(pools, task, ("sensor", "idle"), [])
    assert shares is not None
    sensor, idle = shares["mean"]
    assert sensor > 0.1
    assert sensor > 5 * abs(idle)
    index = list(range(len(one.items)))
    rows = [
        (i, claim)
        for i, claims in zip(index, claims_of(one.model, one.data.batch(index, one.model.dims)))
        for claim in claims
        if claim.text == _truth(one, i).label
    ]
    assert len(rows) > 0.7 * len(index), "most answers are right"
    batch = one.data.batch([i for i, _ in rows], one.model.dims)
    answer, divided = Answer.of(one.model, batch, [claim for _, claim in rows]), Parts(one.data, batch, 16)
    best = occlusion(answer, divided).argmax(1).tolist()
    inside = [_inside(divided.span(part), _truth(one, i)) for part, (i, _) in zip(best, rows)]
    assert np.mean(inside) >= least
    assert torch.isfinite(answer.whole).all()


def _truth(one: object, i: int) -> Annotation:
    item = one.items[i]  # type: ignore[attr-defined]
    (note,) = (a for a in one.experiment.corpus[item.recording].annotations if a.tier == "said")  # type: ignore[attr-defined]
    return note


def _inside(part: tuple[str, float, float], truth: Annotation) -> bool:
    modality, first, last = part
    return modality == "sensor" and truth.start < 4 * last and 4 * first < truth.stop
