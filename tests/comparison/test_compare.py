"""`plait compare` on a tiny corpus: what it trains, on what it scores, and that it goes on where it was cut off."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from plait.comparison import train as compare_train
from plait.comparison.compare import Candidates, compare
from plait.comparison.costs import step_bytes
from plait.comparison.schema import read_comparison
from plait.comparison.scores import key_of, merged, scored, subsets_for
from plait.comparison.variants import Variant, chosen_by, variants_of
from plait.core.errors import ConfigError, DataError
from plait.core.parts import find
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.evaluation.evaluate import evaluate
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.summary import plain
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item
from plait.fusion import Fusion
from plait.recipe import Augment, Recipe, load_recipe, parse_recipe, quick_recipe
from plait.streams.stream import Stream
from plait.tokens import Tokens
from plait.training.fit import train_replicate
from plait.training.lock import locked
from plait.training.module import TrainingModule
from plait.training.run import Run

TIMES = ("train_seconds", "item_seconds")


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """A comparison without what differs from call to call: times, the date, and the words that speak of them."""
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in result["variants"]]
    left_out = ("variants", "advice", "recipe_yaml", "date")
    return {**{k: v for k, v in result.items() if k not in left_out}, "variants": rows}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A recipe of two streams that trains in no time; of its ten groups two are held back for a test."""
    folder, rng = tmp_path_factory.mktemp("small"), np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(40):
            a, b = i % 2, i // 2 % 2
            streams = {
                "left": Stream.of(rng.normal(a, 1, (8, 2)), rate=10),
                "right": Stream.of(rng.normal(b, 1, (16, 3)), rate=20),
            }
            if i % 8 == 3:
                del streams["left"]
            out.add(f"r{i:02d}", streams, labels={"kind": "abcd"[2 * a + b]}, group=f"g{i // 4}")
    return parse_recipe(
        f"corpus: {folder / 'manifest.jsonl'}\n"
        "task: {name: classify, target: kind}\n"
        "split: {by: group, train: [g0, g1, g2, g3, g4, g5, g6, g7], test: [g8, g9]}\n"
        "model: {dim: 8}\n"
        "augment: {random_gain: {left: 0.1, right: 0.1}}\n"
        "train: {epochs: 2, batch: 8, seeds: [0]}\n"
    )


@pytest.fixture(scope="module")
def whole(small: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """A finished comparison: its folder, its cache, and what came out."""
    folder, cache = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("cache")
    return folder, cache, compare(small, folder, cache=cache, candidates=Candidates(tune=2))


@pytest.mark.slow
def test_every_variant_is_a_run_that_never_saw_the_test_part(
    whole: tuple[Path, Path, dict[str, Any]], small: Recipe
) -> None:
    folder, cache, result = whole
    names = [row["name"] for row in result["variants"]]
    assert names == ["alone-left", "alone-right", "late", "concat", "shared", "quick"]
    assert sorted(p.name for p in (folder / "variants").iterdir()) == sorted(names)
    held_back = {f"r{i}" for i in range(32, 40)}
    for name in names:
        run = Run(folder / "variants" / name)
        assert run.finished == run.replicates
        assert [m.name for m in run.replicates] == ["seed0-tune1", "seed0-tune2"]
        assert run.recipe.train == (quick_recipe(small) if name == "quick" else small).train
        seen = {r for fold in run.info.folds for side in ("train", "valid", "test") for r in getattr(fold, side)}
        assert not seen & held_back
        assert len(seen) == 32
    assert (result["items"], result["groups"], result["not_looked_at"]) == (32, 8, 8)
    again = evaluate(Run(folder / "variants" / "late"), cache=cache)
    full = again["subsets"][-1]["metrics"]["accuracy"]["mean"]
    assert full == next(r["value"] for r in result["variants"] if r["name"] == "late")


@pytest.mark.slow
def test_numbers_fit_together(whole: tuple[Path, Path, dict[str, Any]]) -> None:
    folder, _, result = whole
    value = {row["name"]: row["value"] for row in result["variants"]}
    assert len(result["differences"]) == 15
    for d in result["differences"]:
        assert d["difference"] == pytest.approx(value[d["a"]] - value[d["b"]])
    parts = {row["name"]: row["parameters"] for row in result["variants"]}
    assert parts["late"] == pytest.approx(parts["alone-left"] + parts["alone-right"], rel=1e-4)  # but for the pool
    assert parts["shared"] > parts["late"]
    assert all(row[k] > 0 for row in result["variants"] for k in TIMES)
    steps = {row["name"]: row["step_bytes"] for row in result["variants"]}
    assert steps.pop("quick") is None, "it takes no steps"
    assert min(steps.values()) > 0
    dedicated = {(r["variant"], *r["modalities"]): r["dedicated"] for r in result["subsets"]}
    assert dedicated == {(f, m): f"alone-{m}" for f in ("late", "concat", "shared") for m in ("left", "right")}
    assert result["streams"]["left"] == {"regular": True, "rate": 10.0, "rows": 8.0, "missing": 0.125}
    assert result["streams"]["right"]["missing"] == 0
    assert result["advice"]["take"] == max(value, key=value.__getitem__)
    assert result["task"]["target"] == "kind"
    assert "accuracy of kind" in result["advice"]["headline"]
    (folder / "compare.json").write_text(json.dumps(result, allow_nan=False))
    assert read_comparison(folder) == result


def copied(whole: tuple[Path, Path, dict[str, Any]], to: Path, without: str) -> Path:
    shutil.copytree(whole[0], to)
    shutil.rmtree(to / "variants" / without)
    return to


@pytest.mark.slow
def test_more_candidates_train_the_new_ones_only_and_one_that_fails_costs_itself_only(
    whole: tuple[Path, Path, dict[str, Any]], small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, trained = copied(whole, tmp_path / "out", "concat"), []

    def watched(run: str, replicate: Any, cache: str, quiet: bool) -> None:
        trained.append((Path(run).name, replicate.name))
        if Path(run).name == "concat":
            raise DataError("no memory is left.")
        train_replicate(run, replicate, cache, quiet)

    monkeypatch.setattr(compare_train, "train_replicate", watched)
    candidates = Candidates(tune=2, fusions=[{"name": "shared", "heads": 2}])
    result = compare(small, folder, cache=whole[1], candidates=candidates)
    assert trained == [(v, f"seed0-tune{k}") for v in ("concat", "shared-heads=2") for k in (1, 2)]
    titles = ["left alone", "right alone", "late", "shared", "shared heads=2", "quick model"]
    assert [r["title"] for r in result["variants"]] == titles
    assert [(f["variant"], f["replicate"]) for f in result["failed"]] == [trained[0], trained[1]]
    assert "concat is not in the table" in " ".join(result["advice"]["cautions"])
    same = {row["name"]: row["value"] for row in whole[2]["variants"]}
    assert all(same.get(row["name"], row["value"]) == row["value"] for row in result["variants"])


@pytest.mark.slow
def test_other_seeds_are_compared_with_each_other_and_not_with_those_before(
    whole: tuple[Path, Path, dict[str, Any]], small: Recipe, tmp_path: Path
) -> None:
    folder, plan = copied(whole, tmp_path / "out", "shared"), small.model_copy(deep=True)
    plan.train.seeds = [1]
    result = compare(plan, folder, cache=whole[1], candidates=Candidates(tune=2, only=["late", "shared"]))
    seeds = {v: [m.seed for m in Run(folder / "variants" / v).replicates] for v in ("late", "shared")}
    assert (seeds, result["seeds"]) == ({"late": [0, 0, 1, 1], "shared": [1, 1]}, [1])
    with locked(folder / "variants/late"), pytest.raises(ConfigError, match="variants/late: another process"):
        compare(plan, folder, cache=whole[1], candidates=Candidates(tune=2, only=["late", "shared"]))


def test_if_nothing_can_be_trained_all_reasons_are_told(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_train, "train_replicate", lambda *a: 1 / 0)
    with pytest.raises(DataError, match="late seed0-tune2: ZeroDivisionError: division by zero") as caught:
        compare(small, tmp_path, cache=tmp_path, candidates=Candidates(tune=2, only=["late", "concat"]))
    assert len(caught.value.problems) == 6


@pytest.mark.slow
def test_another_comparison_in_the_way_is_refused_as_a_whole(
    whole: tuple[Path, Path, dict[str, Any]], small: Recipe
) -> None:
    other = small.model_copy(deep=True)
    other.train.epochs = 3
    with pytest.raises(ConfigError, match="another recipe") as caught:
        compare(other, whole[0], cache=whole[1], candidates=Candidates(tune=2))
    assert sum("another recipe" in p for p in caught.value.problems) == 5


def test_what_cannot_be_compared_is_told_before_anything_is_trained(small: Recipe, tmp_path: Path) -> None:
    strange = Candidates(fusions=["lat", {"name": "shared", "hads": 2}, {"name": "shared", "heads": 3}])
    with pytest.raises(ConfigError) as caught:
        compare(small, tmp_path / "a", cache=tmp_path, candidates=strange)
    first, second, third = caught.value.problems
    assert "no fusion 'lat'" in first
    assert "hads" in second
    assert "3 heads" in third
    with pytest.raises(ConfigError, match=r"no variant 'early'(?s:.*)no variant 'sound'"):
        compare(small, tmp_path / "a", cache=tmp_path, candidates=Candidates(only=["early", "sound"]))
    with pytest.raises(ConfigError, match="Name two or more"):
        compare(small, tmp_path / "a", cache=tmp_path, candidates=Candidates(only=["late"]))
    alone = small.model_copy(deep=True)
    alone.streams, alone.augment = {"left": None}, Augment()
    with pytest.raises(ConfigError, match=r"one modality \(left\)"):
        compare(alone, tmp_path / "a", cache=tmp_path)
    early = small.model_copy(deep=True)
    early.train.stop = "early"
    with pytest.raises(ConfigError, match="validation"):
        compare(early, tmp_path / "a", cache=tmp_path)
    assert not (tmp_path / "a/variants").exists()


# on what is chosen


def test_choosing_is_done_on_the_training_part(small: Recipe) -> None:
    corpus = Corpus(str(small.corpus))
    assert chosen_by(small, corpus) == {**small.split, "tune": 4}
    assert chosen_by(small, corpus, 30)["tune"] == 8, "no more parts than groups"
    own = small.model_copy(update={"split": {**small.split, "tune": 3}})
    assert chosen_by(own, corpus)["tune"] == 3
    assert chosen_by(own, corpus, 2)["tune"] == 2
    folds = {"folds": 5, "by": "group"}
    assert chosen_by(small.model_copy(update={"split": folds}), corpus) == folds
    assert chosen_by(small.model_copy(update={"split": {}}), corpus)["tune"] == 4
    with pytest.raises(ConfigError, match="hold nothing back"):
        chosen_by(small.model_copy(update={"split": folds}), corpus, 3)
    lonely = small.model_copy(update={"split": {"by": "group", "train": ["g1"], "test": ["g2"]}})
    with pytest.raises(ConfigError, match="only the group 'g1'"):
        chosen_by(lonely, corpus)
    with pytest.raises(ConfigError, match="expected 2 folds"):
        chosen_by(small, corpus, 1)


def test_variants_of_three_modalities() -> None:
    recipe = parse_recipe(
        "{corpus: m.jsonl, task: classify, fusion: {name: shared, layers: 2}, model: {dim: 8},"
        " augment: {random_gain: {a: 0.1, b: 0.2}}}"
    )
    found = variants_of(recipe, ["a", "b", "c/d"], without=True, fusions=["late", {"name": "shared", "layers": 2}])
    assert [v.name for v in found] == [
        *("alone-a", "alone-b", "alone-c_d", "late", "concat", "shared", "shared-layers=2"),
        *("without-a", "without-b", "without-c_d", "quick"),
    ]
    assert [v.title for v in found][2] == "c/d alone"
    assert [v.family for v in found][3:] == ["late", "early", *["intermediate"] * 5, "late"]
    alone, without = found[0], found[8]
    assert (alone.recipe.fusion, list(alone.recipe.streams)) == ({"name": "late"}, ["a"])
    assert alone.recipe.augment.kinds["random_gain"] == {"a": 0.1}
    assert without.modalities == ("a", "c/d")
    assert without.recipe.fusion["layers"] == 2
    assert recipe.augment.kinds["random_gain"] == {"a": 0.1, "b": 0.2}, "the recipe itself stays as it was"
    assert not [v for v in variants_of(recipe, ["a", "b"], without=True) if v.kind == "without"]
    twins = variants_of(recipe, ["a b", "a/b"])
    assert twins[0].name == "alone-a_b"
    many = variants_of(recipe, ["a b", "a/b", "A b", "a b-2", "a b 2", "x" * 200, "x" * 201])
    for found in (twins, many):
        assert len({v.name.lower() for v in found}) == len(found)
        assert all(re.fullmatch(r"[\w.=+~-]{1,120}", v.name) for v in found)
    assert [len(v.modalities) for v in variants_of(recipe, ["a", "b"], only=["a alone", "late"])] == [1, 2, 2]
    assert [v.name for v in variants_of(recipe, ["a", "b"], only=["quick", "late", "concat"])][-1] == "quick"
    unlabelled = recipe.model_copy(update={"task": {"name": "pretrain"}, "fusion": "late"})
    assert not [v for v in variants_of(unlabelled, ["a", "b"]) if v.kind == "quick"], "nothing to regress on"


@pytest.mark.parametrize(("name", "family"), [("late", "late"), ("concat", "early"), ("shared", "intermediate")])
def test_families(name: str, family: str) -> None:
    assert find(Fusion, name, "fusion")[0].family == family


# the numbers


class Share:
    """A task whose metric is the share of right answers."""

    main_metric, higher_is_better = "accuracy", True

    def metrics(self, scores: Any, target: Any) -> dict[str, float]:
        return {"accuracy": float((scores.argmax(1) == target).mean())}

    def state(self) -> dict[str, Any]:
        return {"classes": [0, 1, 2]}


def variant(name: str, kind: str, *modalities: str) -> Variant:
    return Variant(name, name, kind, "late", modalities, parse_recipe("{corpus: m.jsonl, task: classify}"))


def answered(variants: list[Variant], seeds: int, n: int, groups: int) -> list[ReplicateOutput]:
    found = []
    for seed in range(seeds):
        rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
        target, there = fixed.integers(0, 3, n), {m: fixed.random(n) < 0.9 for m in ("see", "hear")}
        answers = {}
        for i, v in enumerate(variants):
            for subset in subsets_for(v):
                scores = rng.random((n, 3)) + 0.3 * (i + len(subset)) * np.eye(3)[target]
                answers[key_of(v, subset)] = (scores, np.any([there[m] for m in subset], axis=0))
        names = [f"i{k}" for k in range(n)]
        owner = [f"g{k % groups}" for k in range(n)]
        base = np.full((n, 3), 1 / 3)
        replicate = ReplicateOutput(seed, "", names, names, owner, target, there, {("see",): base}, base)
        found.append(merged(replicate, answers))
    return found


def test_intervals_of_differences_are_those_of_leaving_out_the_same_groups_of_both() -> None:
    """Each group left out of both variants and of all seeds, scored from scratch each time."""
    variants = [variant("alone-see", "alone", "see"), variant("late", "fusion", "see", "hear")]
    replicates = answered(variants, seeds=2, n=90, groups=9)
    result = scored(Share(), variants, replicates)
    group = np.array([int(g[1:]) for g in replicates[0].groups])

    def value(key: str, index: Any) -> float:
        return float(np.mean([(m.outputs[key,][index].argmax(1) == m.target[index]).mean() for m in replicates]))

    def naive(a: str, b: str) -> tuple[float, float, float]:
        every = np.arange(90)
        whole = value(a, every) - value(b, every)
        change = [value(a, group != g) - value(b, group != g) - whole for g in range(9)]
        by = stats.t.ppf(0.975, 8) * np.sqrt(8 / 9 * np.square(change).sum())
        return whole, whole - by, whole + by

    see, whole = (key_of(v, v.modalities) for v in variants)
    (found,) = result["differences"]
    np.testing.assert_allclose([found[k] for k in ("difference", "low", "high")], naive(see, whole), atol=1e-12)
    (row,) = [r for r in result["subsets"] if r["modalities"] == ["see"]]
    alone = key_of(variants[1], ("see",))
    ends = ("difference", "low", "high")
    np.testing.assert_allclose([row["gain_of_dedicated"][k] for k in ends], naive(see, alone), atol=1e-12)
    np.testing.assert_allclose([row["gain_of_all"][k] for k in ends], naive(whole, alone), atol=1e-12)
    assert row["dedicated"] == "alone-see"
    assert row["answered"] == int(np.sum(replicates[0].present[alone]))
    assert result["baseline"]["answered"] == 0


def test_of_too_few_groups_nothing_is_significant() -> None:
    variants = [variant("alone-see", "alone", "see"), variant("late", "fusion", "see", "hear")]
    result = plain(scored(Share(), variants, answered(variants, seeds=1, n=90, groups=4)))
    (gap,) = result["differences"]
    assert (gap["low"], gap["high"], gap["reason"], gap["significant"]) == (None, None, "too few groups", False)
    assert {row["reason"] for row in result["variants"]} == {"too few groups"}


def test_folds_of_other_classes_are_told() -> None:
    variants = [variant("alone-see", "alone", "see"), variant("alone-hear", "alone", "hear")]
    one, two = answered(variants, seeds=2, n=20, groups=5)
    fewer = {k: x[:, :2] for k, x in two.outputs.items()}
    with pytest.raises(DataError, match="2 and 3 classes"):
        scored(Share(), variants, [one, ReplicateOutput(**{**vars(two), "outputs": fewer})])


def test_with_which_modalities_a_variant_answers() -> None:
    assert subsets_for(variant("without-c", "without", "a", "b")) == [("a", "b")]
    found = subsets_for(variant("late", "fusion", "a", "b", "c"))
    assert found == [("a", "b", "c"), ("a",), ("b",), ("c",), ("b", "c"), ("a", "c"), ("a", "b")]


class Sixfold(torch.nn.Module):
    """A model that keeps six numbers a row for the way back, beside its one weight of three numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.dims, self.modalities = {"x": 3}, ["x"]
        self.weight = torch.nn.Parameter(torch.ones(3))

    def forward(self, batch: dict[str, Tokens], at: None = None) -> dict[str, torch.Tensor]:
        scaled = batch["x"].values * self.weight  # keeps its input: three numbers a row
        return {"": scaled.exp().sum((1, 2))}  # keeps what it gives: three more


def test_the_memory_of_a_step_counts_what_is_kept_for_the_way_back() -> None:
    streams = {f"r{i}": Stream.of(np.ones((i + 1, 3), np.float32), rate=1) for i in range(9)}
    source = {name: (stream.read(), stream.clock) for name, stream in streams.items()}

    class Source:
        def get(self, recording: str, modality: str) -> Any:
            return source[recording]

    items = [Item(r, 0.0, 100.0, "a", whole=True) for r in source]
    data = ItemData(items, Source(), Asked(torch.zeros(9)), ["x"])
    for batch, rows in ((1, 9), (2, 18), (4, 36)):  # the longest are nine rows long, the others are padded to it
        assert step_bytes(Sixfold(), data, batch) == 4 * (4 * 3 + 6 * rows)  # type: ignore[arg-type]


# cut off, and in several processes


@pytest.mark.slow
def test_a_comparison_cut_off_goes_on_to_the_same_numbers(
    whole: tuple[Path, Path, dict[str, Any]], small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = TrainingModule.training_step, []

    def interrupted(self: TrainingModule, batch: Any, index: int) -> torch.Tensor:
        calls.append(index)
        if len(calls) == 17:
            raise KeyboardInterrupt
        return step(self, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", interrupted)
    candidates = Candidates(tune=2)
    with pytest.raises(KeyboardInterrupt):
        compare(small, tmp_path / "cut", cache=whole[1], candidates=candidates)
    done = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut").rglob("done.json")}
    assert 0 < len(done) < 12
    monkeypatch.setattr(TrainingModule, "training_step", step)
    seen: list[tuple[int, int]] = []
    result = compare(
        small, tmp_path / "cut", cache=whole[1], candidates=candidates, progress=lambda i, n, _: seen.append((i, n))
    )
    assert (len(done), 12) in seen, "the bar begins with what is there"
    assert numbers(result) == numbers(whole[2])
    assert all(p.stat().st_mtime_ns == then for p, then in done.items())


@pytest.mark.slow
def test_two_processes_give_the_same_numbers(
    whole: tuple[Path, Path, dict[str, Any]], small: Recipe, tmp_path: Path
) -> None:
    candidates = Candidates(tune=2, only=["alone-left", "late"])
    one = compare(small, tmp_path / "one", cache=whole[1], candidates=candidates)
    two = compare(small, tmp_path / "two", cache=whole[1], candidates=candidates, jobs=2)
    assert numbers(one) == numbers(two)
    assert not multiprocessing.active_children()


ON_RAY = """
import json, sys
from plait.comparison.compare import Candidates, compare
from plait.recipe import load_recipe

recipe, out, cache = sys.argv[1:]
candidates = Candidates(tune=2, only=["alone-left", "late"])
result = compare(load_recipe(recipe), out, cache=cache, candidates=candidates, cluster="local", jobs=2)
print(json.dumps(result))
"""


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_numbers(
    whole: tuple[Path, Path, dict[str, Any]], small: Recipe, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="ray is not installed (extra 'scale')")
    from plait.recipe import dump_recipe

    (tmp_path / "small.yaml").write_text(dump_recipe(small), encoding="utf-8")
    recipe = load_recipe(tmp_path / "small.yaml")
    candidates = Candidates(tune=2, only=["alone-left", "late"])
    here = compare(recipe, tmp_path / "here", cache=whole[1], candidates=candidates)
    arguments = [str(tmp_path / "small.yaml"), str(tmp_path / "ray"), str(whole[1])]
    done = subprocess.run([sys.executable, "-c", ON_RAY, *arguments], capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    assert numbers(json.loads(done.stdout.splitlines()[-1])) == numbers(here)
