from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.parts import parts
from plait.corpus.corpus import CorpusWriter
from plait.evaluation.evaluate import evaluate
from plait.evaluation.examined import Examination
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.robustness.corruptions import Corruption
from plait.evaluation.robustness.curves import corrupted, curves_of, damaged, seed_of
from plait.evaluation.robustness.signals import Point, source_of
from plait.evaluation.slices import holm
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item
from plait.models.model import Model
from plait.recipe import load_recipe
from plait.report.report import save_evaluation
from plait.report.sections.corruptions import HOLM, Corruptions
from plait.streams.clock import Grid
from plait.streams.stream import Stream
from plait.tasks.classify import Classify
from plait.tokens import Tokens
from plait.training.fit import fit

KINDS = parts(Corruption)


def tokens(seed=0, n=4, count=40):
    g = torch.Generator().manual_seed(seed)
    mask = torch.rand(n, count, generator=g) < 0.9
    values = torch.randn(n, count, 2, generator=g)
    values[~mask] = float("nan")
    return Tokens(values, (torch.arange(count) / 10).expand(n, count), mask)


def hit(kind, level, own, seed=0):
    return KINDS[kind]()(own, level, torch.full((len(own.mask),), 4.0), torch.Generator().manual_seed(seed + 1000))


def test_every_kind_is_a_part() -> None:
    missing = {"missing_span", "missing_stream", "dropped_rows", "low_rate"}
    assert set(KINDS) == missing | {"feature_noise", "jitter", "shift"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_level_of_no_damage_changes_nothing(kind) -> None:
    own = tokens()
    found = hit(kind, KINDS[kind].none, own)
    assert torch.equal(found.mask, own.mask)
    assert torch.equal(found.clean().values, own.clean().values)
    torch.testing.assert_close(found.clean().times, own.clean().times)


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 99))
@settings(max_examples=40)
def test_nothing_comes_to_be_and_the_same_seed_gives_the_same(kind, seed) -> None:
    own = tokens(seed)
    for level in KINDS[kind].levels:
        found, again = hit(kind, level, own, seed), hit(kind, level, own, seed)
        assert not (found.mask & ~own.mask).any()
        assert torch.equal(found.mask, again.mask)
        assert torch.equal(found.clean().values, again.clean().values)
        assert found.clean().values.isfinite().all()
        assert found.clean().times.isfinite().all()


def test_the_levels_are_what_they_say() -> None:
    own = tokens(n=200)
    assert (hit("dropped_rows", 0.5, own).mask.sum() / own.mask.sum()).item() == pytest.approx(0.5, abs=0.02)
    assert (hit("missing_span", 0.4, own).mask.sum() / own.mask.sum()).item() == pytest.approx(0.6, abs=0.02)
    slow = hit("low_rate", 4, own)
    assert torch.equal(slow.mask.sum(1), (own.mask.sum(1) + 3) // 4)
    late = hit("shift", 0.3, own)
    there = late.mask
    torch.testing.assert_close((late.times - own.times)[there], torch.full((int(there.sum()),), 0.3), atol=1e-5, rtol=0)
    assert (late.times[there] < 4).all()
    off = hit("jitter", 0.2, own)
    assert all((row[m].diff() >= 0).all() for row, m in zip(off.times, off.mask)), "the order stays"
    noisy = hit("feature_noise", 1.0, own)
    spread = (noisy.values - own.values)[own.mask].std()
    assert spread.item() == pytest.approx(own.values[own.mask].std().item(), rel=0.05)


class Source:
    def get(self, recording: str, modality: str):
        number = int(recording)
        values = np.random.default_rng((number, ord(modality))).normal(size=(20, 2)).astype(np.float32)
        return values + number % 2, Grid(0.0, 10, 20)


def test_curves_of_a_model(tmp_path) -> None:
    torch.manual_seed(0)
    model = Model({"a": 2, "b": 2}, Classify(["x", "y"]), dim=8, encoders=dict.fromkeys("ab", "conv")).eval()
    count = 24
    items = [Item(str(i), 0.0, 2.0, "xy"[i % 2], f"g{i % 6}", whole=True) for i in range(count)]
    data = ItemData(items, Source(), Asked(torch.arange(count) % 2), ["a", "b"])
    names = [i.recording for i in items]
    with torch.no_grad():
        scores = model(data.batch(range(count), model.dims).inputs)[""].softmax(-1).double().numpy()
    output = ReplicateOutput(
        seed=0,
        fold="",
        items=names,
        recordings=names,
        groups=[i.group for i in items],
        target=data.targets.numpy(),
        present={m: data.present(m) for m in "ab"},
        outputs={("a", "b"): scores},
        baseline=np.full((count, 2), 0.5),
    )
    found = curves_of(model.task, [corrupted(model, data, output)])
    assert {(row["modality"], row["kind"]) for row in found} == {(m, k) for m in ("a", "b", "") for k in KINDS}
    clean = model.task.metrics(scores, output.target)["accuracy"]
    for row in found:
        assert row["values"][0] == pytest.approx(clean)
        assert row["area"] == pytest.approx(np.mean(row["values"]))
        assert row["gain_over_late"] == pytest.approx(row["area"] - np.mean(row["late"]))
        assert len(row["single"]["values"]) == len(row["levels"])
        assert row["values"][0] == found[0]["values"][0], "one answer to what is not damaged"
        assert row["seeds"] == [seed_of(row["modality"], row["kind"], level) for level in row["levels"][1:]]
    (row,) = (row for row in found if (row["modality"], row["kind"]) == ("a", "dropped_rows"))
    drawn = [damaged(model, data, row["modality"], row["kind"], row["levels"][2]) for _ in range(2)]
    first, again = (torch.cat([b.inputs["a"].mask for b in batches]) for batches in drawn)
    assert torch.equal(first, again), "what was lost can be drawn again"
    assert 0.3 < first.float().mean() < 0.7
    page = {
        "robustness": {"noise": [], "missing": [], "corruptions": found},
        "task": {"metric": "accuracy", "higher_is_better": True},
    }
    content = Corruptions().content(page)
    assert len(content["figures"]) == len(KINDS)
    assert len(content["rows"]) == len(found)


def answers_to_damage(behind: dict[str, float], groups: int = 20, each: int = 10) -> ReplicateOutput:
    """Answers of a model and of late fusion, right at random alike, but for a damage that the model is ``behind`` in by
    that share of the items."""
    rng, count = np.random.default_rng(0), groups * each
    right = {"model|clean": rng.random(count) < 0.8, "late|clean": rng.random(count) < 0.8}
    for m, kind in ((m, kind) for m in ("a", "b", "c", "") for kind in KINDS):
        for level in KINDS[kind].levels:
            for who in ("model", "late"):
                share = 0.7 - behind.get(f"{m}|{kind}", 0.0) * (who == "model")
                right[f"{who}|features|{m}|{kind}|{level:g}"] = rng.random(count) < share
    names = [str(i) for i in range(count)]
    return ReplicateOutput(
        seed=0, fold="", items=names, recordings=names, groups=[f"g{i % groups}" for i in range(count)],
        target=np.zeros(count, int), present={key: np.ones(count, bool) for key in right},
        outputs={(key,): np.stack([own, ~own], 1).astype(float) for key, own in right.items()},
        baseline=np.full((count, 2), 0.5),
    )  # fmt: skip


def told(found) -> str:
    task = {"metric": "accuracy", "higher_is_better": True}
    page = {"robustness": {"noise": [], "missing": [], "corruptions": found}, "task": task}
    return str(Corruptions().content(page)["summary"])


def test_one_of_many_curves_is_not_called_worse_by_chance() -> None:
    """Twenty-eight kinds of damage that make no difference: some look worse alone; corrected, none does."""
    found = curves_of(Classify(["x", "y"]), [answers_to_damage({})])
    alone = [row for row in found if row["interval"]["high"] < 0]
    assert alone, "else this shows nothing: choose another seed"
    assert all((row["p"] < 0.05) == (row["interval"]["high"] < 0 or row["interval"]["low"] > 0) for row in found)
    assert sorted(row["p_corrected"] for row in found) == sorted(holm([row["p"] for row in found]))
    assert min(row["p_corrected"] for row in found) > 0.05
    assert f"worse in none of 28 curves ({HOLM}); {len(alone)} would be, each looked at by itself" in told(found)


def test_what_is_worse_is_named_among_many() -> None:
    found = curves_of(Classify(["x", "y"]), [answers_to_damage({"b|jitter": 0.4})])
    assert f"significantly worse in 1 of 28 curves ({HOLM}): times are off (b)." in told(found)
    few = curves_of(Classify(["x", "y"]), [answers_to_damage({"b|jitter": 0.4}, groups=4)])
    assert {row["p"] for row in few} == {None}
    assert "whether it is significantly worse anywhere cannot be told." in told(few)


@pytest.mark.slow
def test_raw_signals_are_damaged_in_every_way_that_fits(tmp_path: Path) -> None:
    """A sensor and words; what the model reads of a noisy signal is kept, and the same for every seed of the model."""
    rng = np.random.default_rng(0)
    with CorpusWriter(tmp_path) as out:
        for i in range(16):
            imu = Stream.of(rng.normal(i % 2, 0.5, (40, 2)), rate=20)
            said = Stream.of([f"{'yes' if i % 2 else 'no'} indeed", "so it is"], times=[0.0, 1.0])
            out.add(f"r{i}", {"imu": imu, "said": said}, labels={"kind": "ab"[i % 2]}, group=f"g{i // 2}")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"corpus: {tmp_path}/manifest.jsonl\ntask: {{name: classify, target: kind}}\nmodel: {{dim: 8}}\n"
        "split: {hash: group, test: 0.4, valid: 0.2}\ntrain: {epochs: 2, seeds: [0], wide: false}\n"
    )
    run, told = fit(load_recipe(recipe), tmp_path / "run", cache=tmp_path / "cache", quiet=True), list[str]()
    found = evaluate(run, cache=tmp_path / "cache", corruptions=True, progress=lambda *x: told.append(x[2]))
    assert "dependence" not in found
    rows = [row for row in found["robustness"]["corruptions"] if row["stage"] == "signal"]
    kinds = {m: {row["kind"] for row in rows if row["modality"] == m} for m in ("imu", "said")}
    assert kinds["said"] == {"typo", "word_errors", "jitter"}
    assert kinds["imu"] >= {"white", "pink", "brown", "impulse", "dropout", "frame_drop", "jitter"}
    assert {(one["modality"], one["kind"]) for one in found["robustness"]["refused"]} == {("imu", "hum")}
    clean = found["subsets"][-1]["metrics"]["accuracy"]["mean"]
    for row in rows:
        assert (row["levels"][0], row["seeds"], len(row["values"])) == (None, [0, 0, 0], 4)
        assert row["values"][0] == pytest.approx(clean)
        assert row["area"] == pytest.approx(np.mean(row["values"]))
        assert row["gain_over_late"] == pytest.approx(row["area"] - np.mean(row["late"]))
        assert row["single"]["modality"] in ("imu", "said")
    assert any("imu white 10" in line for line in told)
    one = next(iter(Examination(run, tmp_path / "cache", None)))
    other = next(iter(Examination(run, tmp_path / "elsewhere", None)))  # nothing is kept there
    first, again = (source_of(x, Point("imu", "white", 10.0)).get(one.items[0].recording, "imu") for x in (one, other))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first[0], again[0])
    page = save_evaluation(found, tmp_path / "page").read_text()
    assert "Raw signal: word errors" in page
    assert "hum on imu" in page
