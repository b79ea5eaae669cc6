"""A compressed run answers as the original does, from every subset of its modalities, or is not written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from plait.cli import main
from plait.compression import Lesson, Way
from plait.compression.changes import changes_of, deciding_part, lowest, worst_of
from plait.compression.compress import FILE, Plan, compress
from plait.compression.dim import Dim
from plait.compression.lessons import taught
from plait.compression.sparse import pruned
from plait.compression.streams import cheapest_streams
from plait.compression.width import Width
from plait.core.errors import ConfigError, DataError
from plait.core.parts import parts
from plait.corpus.corpus import CorpusWriter
from plait.evaluation.evaluate import evaluate
from plait.evaluation.examined import Examination
from plait.evaluation.intervals import paired_interval
from plait.evaluation.replicates import ReplicateOutput
from plait.models.slicing import Channels, Slices, importance
from plait.packing import Packing
from plait.prediction.predict import Predictor
from plait.prediction.session import stream
from plait.recipe import parse_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.testing.inputs import seeded
from plait.training.fit import fit
from plait.training.run import Run


@pytest.fixture(scope="module")
def world(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with six groups for validation, and the cache of its features."""
    folder = tmp_path_factory.mktemp("compress")
    text = (
        f"{{corpus: {tiny_corpus}, task: {{name: classify, target: kind}}, model: {{dim: 16}}, "
        "split: {hash: id, test: 0.25, valid: 0.3, subject_dependent: true}, "
        "train: {epochs: 12, batch: 8, wide: false}}"
    )
    fit(parse_recipe(text), folder / "run", cache=folder / "cache", quiet=True)
    return folder


WILD = {"name": "sparse", "share": 0.99, "steps": 0}


def small(world: Path, out: Path, *to: str, **more: object) -> Run:
    compress(world / "run", to, out, cache=world / "cache", max_loss=100, **more)
    return Run(out)


def test_the_smaller_run_predicts_and_evaluates_as_before(world: Path, tmp_path: Path, tiny_corpus: Path) -> None:
    run = small(world, tmp_path / "small", "int8")
    before, after = (evaluate(one, cache=world / "cache") for one in (world / "run", run))
    for old, new in zip(before["subsets"], after["subsets"]):
        assert abs(old["metrics"]["log_loss"]["mean"] - new["metrics"]["log_loss"]["mean"]) < 0.05
    old, new = (Predictor(one, cache=world / "cache")(tiny_corpus) for one in (world / "run", run.folder))
    told = [(a.to_json()["confidence"], b.to_json()["confidence"]) for a, b in zip(old, new) if a.answer]
    gaps = [abs(a - b) for a, b in told]
    assert 0 < max(gaps) < 0.05
    assert run.info.notes[-1] == "compressed: int8"


def test_the_stored_file_is_what_was_compared(world: Path, tmp_path: Path) -> None:
    run = small(world, tmp_path / "small", "int4")
    one = run.replicates[0]
    old, new = Run(world / "run").model(one).state_dict(), run.model(one).state_dict()
    moved = [name for name, value in old.items() if not torch.equal(value, new[name])]
    assert moved
    assert not [name for name in moved if "mean" in name or "std" in name], "the features' scale stays exact"


@pytest.mark.parametrize(("form", "share"), [("fp16", 0.5), ("int8", 0.27), ("int4", 0.19)])
def test_sizes_are_told_and_true(world: Path, tmp_path: Path, form: str, share: float) -> None:
    small(world, tmp_path / "small", form)
    told = json.loads((tmp_path / "small" / FILE).read_text())
    sizes = [(folder / "seed0/model.safetensors").stat().st_size for folder in (world / "run", tmp_path / "small")]
    assert [told["sizes"][key] for key in ("before", "after")] == sizes
    assert sizes[1] < share * sizes[0] + 9_000, "names and forms of tensors take their bytes too"


def test_every_subset_is_compared_on_validation_and_test(world: Path, tmp_path: Path) -> None:
    found = compress(world / "run", ["fp16"], tmp_path / "small", cache=world / "cache", max_loss=100)
    assert found.part == "valid"
    for rows in (found.decided, found.test):
        assert [row["modalities"] for row in rows] == [["left"], ["right"], ["left", "right"]]
        assert all("truth" in row for row in rows)
    assert any("left + right" in line for line in found.lines())


def test_what_may_lose_too_much_is_refused_and_nothing_is_left(world: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"from .* accuracy of \d+ validation items changes by .*--force"):
        compress(world / "run", [WILD], tmp_path / "small", cache=world / "cache", max_loss=0)
    assert not [*tmp_path.iterdir()]
    found = compress(world / "run", [WILD], tmp_path / "small", cache=world / "cache", max_loss=0, force=True)
    assert not found.passed
    assert any("forced" in line for line in found.lines())


def test_the_test_part_has_no_say(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    whole = compress.__globals__["Answered"]
    monkeypatch.setitem(compress.__globals__, "Answered", lambda *a: asked.append(a[2]) or whole(*a))
    with pytest.raises(DataError):
        compress(world / "run", [WILD], tmp_path / "small", cache=world / "cache", max_loss=0)
    assert asked == ["valid"]


def test_other_folders_are_never_overwritten(world: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for out in (tmp_path / "mine", world / "run"):
        with pytest.raises(ConfigError, match="is there already"):
            compress(world / "run", ["int8"], out, cache=world / "cache")
    assert Plan.of(["dim=8", {"name": "int4", "group": 64}]).name == "dim=8-int4-group-64"


def test_a_sparse_model_has_its_zeros_and_a_smaller_file(world: Path, tmp_path: Path) -> None:
    compress(
        world / "run", [{"name": "sparse", "share": 0.75, "steps": 4}, "int8"], tmp_path / "s", cache=world / "cache",
        max_loss=0, force=True,
    )  # fmt: skip
    small(world, tmp_path / "dense", "int8")
    old, new = (Run(f).model(Run(f).replicates[0]) for f in (world / "run", tmp_path / "s"))
    for (name, a), b in zip(old.named_parameters(), new.parameters()):
        if a.ndim > 1:
            kept = int((b != 0).sum())
            # int8 may round more of them to zero
            assert kept <= round(0.25 * int((a != 0).sum())), name
    assert not torch.equal(
        old.state_dict()["ensemble.heads.0.linear.bias"], new.state_dict()["ensemble.heads.0.linear.bias"]
    )
    sizes = [(tmp_path / f / "seed0/model.safetensors").stat().st_size for f in ("s", "dense")]
    assert sizes[0] < sizes[1]


def test_a_narrower_model_is_a_run_of_its_own_recipe(world: Path, tmp_path: Path) -> None:
    to = [{"name": "dim", "width": 8, "steps": 6}, "int8"]
    compress(world / "run", to, tmp_path / "s", cache=world / "cache", max_loss=0, force=True)
    run = Run(tmp_path / "s")
    model = run.model(run.replicates[0])
    assert (model.dim, run.recipe.model["dim"], model.wide is not None) == (8, 8, False)
    assert evaluate(run, cache=world / "cache")["items"]


def test_a_pruned_model_keeps_the_channels_that_weigh_most(world: Path, tmp_path: Path) -> None:
    model, original = (Run(world / "run").model(Run(world / "run").replicates[0]) for _ in range(2))
    (one,) = Examination(Run(world / "run"), world / "cache", None, part="train")
    lesson = Lesson(one.model, Run(world / "run").recipe, one.data, None, 0)
    found = Width(share=0.5, steps=1).smaller(model, lesson)
    assert (found.dim, original.dim) == (8, 16)
    (kept,) = [importance(original, found).topk(4).indices.sort().values]
    slices = Slices(original, found, Channels(16, 2, kept)).of(original.state_dict())
    name = "backbone.fusion.project.weight"
    moved = (found.state_dict()[name] - slices[name]).abs().mean() / slices[name].abs().mean()
    assert moved < 0.1, "one step of training away from the original's own weights"
    other = Slices(original, found).of(original.state_dict())[name]
    assert (found.state_dict()[name] - other).abs().mean() / other.abs().mean() > 0.5, "and not the leading ones"


def test_a_pruned_run_is_a_run_of_its_own_recipe(world: Path, tmp_path: Path) -> None:
    to = [{"name": "width", "share": 0.5, "steps": 6}, "int8"]
    compress(world / "run", to, tmp_path / "s", cache=world / "cache", max_loss=0, force=True)
    run = Run(tmp_path / "s")
    assert (run.model(run.replicates[0]).dim, run.recipe.model["dim"]) == (8, 8)
    assert evaluate(run, cache=world / "cache")["items"]
    with pytest.raises(ConfigError, match=r"width=0\.9 leaves 16 of 16 channels; expected fewer"):
        compress(world / "run", ["width=0.9"], tmp_path / "t", cache=world / "cache")


def test_pruning_begins_nearer_to_the_original_than_a_fresh_model(world: Path) -> None:
    """After equally few steps the pruned model's answers are nearer to the original's."""
    (one,) = Examination(Run(world / "run"), world / "cache", None, part="train")
    lesson, gaps = Lesson(one.model, Run(world / "run").recipe, one.data, None, 0), []
    batch = one.data.batch(range(len(one.data)), one.model.dims)
    for way in (Width(share=0.5, steps=3), Dim(width=8, steps=3)):
        small = way.smaller(Run(world / "run").model(Run(world / "run").replicates[0]), lesson).eval()
        with torch.no_grad():
            told, said = (model.eval()(batch.inputs)[""] for model in (one.model, small))
        gaps.append(float(small.task.divergence(said, told).mean()))
    assert gaps[0] < 0.8 * gaps[1]


def test_a_student_takes_after_its_teacher(world: Path) -> None:
    run = Run(world / "run")
    (one,) = Examination(run, world / "cache", None, part="train")
    other, students = run.model(run.replicates[0]), [run.model(run.replicates[0]) for _ in range(2)]
    with seeded(0):
        for model in (other, *students):
            for parameter in model.parameters():
                parameter.data += 0.3 * torch.randn_like(parameter)
    students[1].load_state_dict(students[0].state_dict())
    gaps = []
    for student, teacher in zip(students, (one.model, other)):
        taught(student, Lesson(teacher, run.recipe, one.data, None, 0), steps=20, lr=2e-3)
        batch = one.data.batch(range(len(one.data)), student.dims)
        with torch.no_grad():
            told, said = (model.eval()(batch.inputs)[""] for model in (one.model, student))
        gaps.append(float(student.task.divergence(said, told).mean()))
    assert gaps[0] < 0.8 * gaps[1]


@pytest.mark.slow
def test_a_wide_part_is_packed_and_kept(tiny_corpus: Path, world: Path, tmp_path: Path) -> None:
    text = (
        f"{{corpus: {tiny_corpus}, task: {{name: classify, target: kind}}, model: {{dim: 16}}, "
        "split: {hash: group, test: 0.25, valid: 0.2}, train: {epochs: 1, batch: 8, wide: true}}"
    )
    run = fit(parse_recipe(text), tmp_path / "run", cache=world / "cache", quiet=True)
    to = [{"name": "dim", "width": 8, "steps": 2}, "int8"]
    found = compress(run, to, tmp_path / "s", cache=world / "cache", max_loss=0, force=True)
    assert found.ratio < 0.25
    model = Run(tmp_path / "s").model(run.replicates[0])
    assert model.wide is not None
    assert model.wide.dim == 64


@pytest.mark.parametrize(
    ("to", "problem"),
    [
        ([], "expected one packing"),
        (["int8", "int4"], "expected one packing"),
        (["int9"], "there is no form 'int9'"),
        (["sparse=2"], "share"),
        (["sparse=x"], "expected a number"),
        (["int8=3"], "no such option"),
        (["dim=8", "dim=4"], "ways that differ"),
        ([{"name": "int4", "groups": 3}], "groups"),
        (["plait.encoders.linear.Linear"], "there is no form"),
    ],
)
def test_wrong_forms_are_told(to: list[str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Plan.of(to)


def test_ways_come_before_the_packing_whatever_the_order() -> None:
    plan = Plan.of(["int8", "sparse=0.5", "dim=8"])
    assert plan.told == ["dim=8", "sparse=0.5", "int8"]
    assert set(parts(Way)) | set(parts(Packing)) == {"dim", "width", "sparse", "exact", "fp16", "int8", "int4"}


def output(scores: np.ndarray, target: np.ndarray, groups: list[str]) -> ReplicateOutput:
    names = [f"i{k}" for k in range(len(target))]
    there = {"a": np.ones(len(target), bool)}
    return ReplicateOutput(0, "", names, names, groups, target, there, {("a",): scores}, scores)


def test_a_change_is_the_paired_interval_over_groups() -> None:
    rng = np.random.default_rng(0)
    target, groups = rng.integers(0, 2, 60), [f"g{k // 6}" for k in range(60)]
    old, new = (rng.dirichlet([1, 1], 60) for _ in range(2))
    (row,) = changes_of(Classify(["x", "y"]), [output(old, target, groups)], [output(new, target, groups)])
    right = [(x.argmax(1) == target).astype(float) for x in (new, old)]
    want = paired_interval(100 * right[0], 100 * right[1], groups)
    assert row["change"] == pytest.approx(100 * (right[0] - right[1]).mean())
    assert (row["interval"]["low"], row["interval"]["high"]) == (pytest.approx(want.low), pytest.approx(want.high))
    sure = [100 * x[np.arange(60), target] for x in (new, old)]
    assert row["truth"]["interval"]["low"] == pytest.approx(paired_interval(*sure, groups).low)


def test_errors_change_in_per_cent_and_less_is_better() -> None:
    target, groups = np.arange(12.0), [f"g{k // 2}" for k in range(12)]
    task = Regress(target.tolist())
    old, new = (output((target + off)[:, None], target, groups) for off in (1.0, 0.5))
    (row,) = changes_of(task, [old], [new])
    assert row["change"] > 0
    assert "truth" not in row


def row(low: float, change: float = 0.0, reason: str = "", truth: float | None = None) -> dict[str, object]:
    interval = {"low": low, "high": 1.0, "groups": 9, "reason": reason}
    more = {} if truth is None else {"truth": {"change": 0.0, "interval": {**interval, "low": truth, "reason": ""}}}
    return {"modalities": ["a"], "before": 1.0, "after": 1.0, "change": change, "interval": interval, **more}


def test_how_low_a_change_may_be() -> None:
    assert lowest(row(-2.0)) == -2
    assert lowest(row(-2.0, change=1.0, truth=-0.1)) == -0.1, "few items: the probability tells more"
    assert lowest(row(-2.0, change=-1.0, truth=-0.1)) == -1, "but what was lost was lost"
    assert lowest(row(np.nan, reason="the same in all groups", truth=-0.7)) == -0.7
    assert lowest(row(np.nan, reason="the same in all groups")) == 0
    assert np.isnan(lowest(row(np.nan, reason="too few groups")))
    assert worst_of([row(-9.0), row(np.nan, reason="too few groups")])["interval"]["reason"]


def test_only_the_smallest_weights_go() -> None:
    weight = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    mask = pruned(weight, 10)
    assert int(mask.sum()) == 10
    assert weight[mask].abs().min() >= weight[~mask].abs().max()


def test_streams_are_chosen_by_validation_items(world: Path) -> None:
    found = cheapest_streams(world / "run", max_loss=100, cache=world / "cache")
    assert found.part == "valid"
    assert len(found.chosen) == 1
    assert [row["modalities"] for row in found.test] == [found.chosen]
    none = cheapest_streams(world / "run", max_loss=0, cache=world / "cache")
    assert none.chosen == ["left", "right"]
    assert not none.test
    assert "no stream can be left out" in none.lines()[-1]


def test_a_run_without_validation_says_by_what_it_decided(tiny_corpus: Path, world: Path, tmp_path: Path) -> None:
    text = (
        f"{{corpus: {tiny_corpus}, task: {{name: classify, target: kind}}, split: {{folds: 2, by: group}}, "
        "model: {dim: 8}, train: {epochs: 1, batch: 8, wide: false, temperature_scaling: false}}"
    )
    run = fit(parse_recipe(text), tmp_path / "run", cache=world / "cache", quiet=True)
    assert deciding_part(run) == "train"
    found = compress(run, ["int8"], cache=world / "cache", max_loss=100)
    assert found.folder == tmp_path / "run-int8"
    assert any("no validation part" in line for line in found.lines())
    with pytest.raises(DataError, match="no validation part to choose streams by"):
        cheapest_streams(run, cache=world / "cache")


def test_the_command_prints_and_refuses(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--cache", str(world / "cache"), "--out", str(tmp_path / "small")]
    assert main(["compress", str(world / "run"), "--to", "int8", "--max-loss", "100", "--json", *more]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"ratio", "sizes", "decided", "test", "passed"} <= set(told)
    assert main(["compress", str(world / "run"), "--to", "int8", *more]) == 2
    assert "is there already" in capsys.readouterr().err
    more[-1] = str(tmp_path / "other")
    assert main(["compress", str(world / "run"), "--to", "{name: sparse, share: 0.99, steps: 0}", *more]) == 1
    assert "Nothing is written" in capsys.readouterr().err
    assert main(["compress", str(world / "run"), *more]) == 2
    assert main(["compress", str(world / "run"), "--streams", "--max-loss", "100", *more]) == 0
    assert "chosen:" in capsys.readouterr().out


def test_a_compressed_file_that_is_damaged_is_told(world: Path, tmp_path: Path) -> None:
    run = small(world, tmp_path / "small", "int8")
    path = run.folder / "seed0/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-2000:-1000] = bytes(1000)
    path.write_bytes(data)
    with pytest.raises(DataError, match="garbled"):
        run.model(run.replicates[0])


@pytest.mark.slow
def test_the_smaller_run_streams_as_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with CorpusWriter(tmp_path / "study") as study:
        for i in range(8):
            streams = {"wrist": Stream.of(rng.normal(i % 2, 1, (300, 3)), rate=50)}
            told = [Annotation(0, 6, ["rest", "walk"][i % 2], "state")]
            study.add(f"r{i}", streams, annotations=told, group=f"p{i}")
    text = (
        f"{{corpus: {tmp_path}/study/manifest.jsonl, task: {{name: classify, unit: window, tier: state, length: 2}}, "
        "model: {dim: 16}, train: {steps: 20}, causal: true}"
    )
    run = fit(parse_recipe(text), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    compress(run, ["int8"], tmp_path / "s", cache=tmp_path / "cache", max_loss=100, force=True)
    rows, answers = rng.normal(1, 1, (200, 3)), []
    for folder in (tmp_path / "run", tmp_path / "s"):
        session = stream(folder, every=1.0, rates={"wrist": 50})
        answers.append([*session.push("wrist", rows, times=0.0), *session.close()])
    assert len(answers[0]) == len(answers[1]) > 0
    for old, new in zip(*answers):
        assert (old.time, old.final) == (new.time, new.final)
        assert old.to_json()["confidence"] == pytest.approx(new.to_json()["confidence"], abs=0.02)
