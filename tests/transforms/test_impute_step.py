"""The step that fills gaps: in pieces as at once, counted, declared, and in a recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.core.parts import parts
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.store.prepare import prepare
from plait.store.store import Store
from plait.streams.clock import Ticks
from plait.streams.stream import ArraySource, Stream
from plait.transforms import apply_steps
from plait.transforms.imputation import Imputer, impute
from plait.transforms.impute import Impute
from plait.transforms.noise import add_noise

METHODS = sorted(parts(Imputer))
SPECS: dict[str, Any] = {m: m if m in ("hold", "linear") else {"name": m, "look": 2.0} for m in METHODS}
SPECS["low_rank"] |= {"steps": 5}


def gappy(n: int = 1500, rate: float = 25, seed: int = 0) -> Stream:
    rng = np.random.default_rng(seed)
    x = np.sin(np.arange(n) / 5)[:, None] + 0.1 * rng.normal(size=(n, 2))
    stream = Stream.of(x.astype(np.float32), rate=rate, start=7.0)
    gaps = add_noise(stream, {"name": "dropout", "seconds": 0.4}, 0.05, seed)
    values = gaps.read()
    values[500:700] = np.nan
    values[:5, 0] = np.nan
    values[40:50, 1] = np.nan
    return replace(stream, source=ArraySource(values))


@pytest.mark.parametrize("method", METHODS)
def test_in_pieces_as_at_once_as_the_function(method: str) -> None:
    stream = gappy()
    spec = SPECS[method]
    made = apply_steps(stream, [{"name": "impute", "method": spec}])
    whole = made.read()
    assert whole.dtype == np.float32
    assert np.array_equal(np.concatenate([b.read() for b in made.blocks(190)]), whole, equal_nan=True)
    assert np.array_equal(made[333:711].read(), whole[333:711], equal_nan=True)
    assert np.array_equal(made.cut(30, 40).read(), whole[575:825], equal_nan=True)
    expected, observed = impute(stream.read(), stream.clock, spec, max_gap=2.0)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    assert np.array_equal(whole[observed], stream.read()[observed])
    assert np.isnan(whole[600]).all(), "eight seconds are too long"


@pytest.mark.parametrize("method", METHODS)
def test_it_sees_no_further_than_it_declares(method: str) -> None:
    stream = gappy()
    step = Impute(method=SPECS[method], max_gap=1.0)
    whole = step(stream).read()
    values = stream.read()
    other = np.random.default_rng(9).normal(size=values.shape).astype(np.float32)
    for row in np.random.default_rng(1).choice(np.flatnonzero(np.isnan(values).any(1) & np.isfinite(whole).all(1)), 4):
        near = np.abs(np.arange(len(values)) - row) / 25 <= step.receptive_field + 1e-9
        if method == "hold":
            near &= np.arange(len(values)) <= row
        changed = replace(stream, source=ArraySource(np.where(near[:, None], values, other)))
        np.testing.assert_allclose(step(changed).read()[row], whole[row], atol=1e-6)


def test_what_was_filled_and_left_is_counted() -> None:
    stream = gappy()
    step = Impute(method="seasonal", max_gap=2.0)
    made = step(stream)
    assert step.notes() == {}
    values = np.concatenate([b.read() for b in made.blocks(170)])
    missing, left = np.isnan(stream.read()), np.isnan(values)
    notes = step.notes()
    assert notes["values filled"] == int((missing & ~left).sum())
    assert notes["values left missing"] == int(left.sum())
    assert left.sum() >= 400
    made.read()
    assert step.notes() == notes, "reading again counts nothing twice"


def test_the_mask_stands_beside_the_values() -> None:
    stream = replace(gappy(), channels=("x", "y"))
    step = Impute(mask=True)
    made = step(stream)
    assert made.shape == (1500, 4)
    assert made.channels == ("x", "y", "x observed", "y observed")
    values = made.read()
    assert np.array_equal(values[:, 2:], np.isfinite(stream.read()).astype(np.float32))
    full = step(Stream.of(np.ones((5, 2)), rate=1)).read()
    assert full.tolist() == [[1, 1, 1, 1]] * 5
    with pytest.raises(DataError, match="appends channels to a series"):
        step(Stream.of(np.zeros((5, 4, 3)), rate=1))


def test_listed_times_poses_and_whole_numbers() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.2, 400))
    x = np.where(np.random.default_rng(1).random((400, 1)) < 0.2, np.nan, times[:, None])
    made = Impute(max_gap=1.0)(Stream.of(x, times=times))
    assert isinstance(made.clock, Ticks)
    values = made.read()[3:-3]
    np.testing.assert_allclose(values, times[3:-3, None], rtol=1e-9)
    assert np.array_equal(np.concatenate([b.read() for b in made.blocks(7)])[3:-3], values)
    pose = np.zeros((10, 4, 3))
    pose[5, 2] = np.nan
    assert (Impute()(Stream.of(pose, rate=30)).read() == 0).all()
    whole = Stream.of(np.arange(6).reshape(3, 2), rate=1)
    assert Impute()(whole).read().dtype.kind == "i"
    assert Impute()(whole[3:]).read().shape == (0, 2)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match=r"impute\.max_gap"):
        Impute(max_gap=np.inf)
    with pytest.raises(ConfigError, match=r"impute\.method: there is no imputer 'knnn'"):
        Impute(method="knnn")
    infinite = Stream.of(np.array([[1.0], [np.inf]]), rate=1)
    with pytest.raises(DataError, match="infinite"):
        Impute()(infinite).read()


def test_it_is_named_in_a_recipe_and_its_counts_are_kept(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path) as out:
        out.add("a", {"imu": gappy()})
    spec: dict[str, Any] = {"preprocess": [{"name": "impute", "method": "linear", "mask": True}]}
    found = prepare(Corpus(tmp_path / "manifest.jsonl"), {"imu": spec}, Store(tmp_path / "cache"))
    values, _ = found.get("a", "imu") or (None, None)
    assert values is not None
    assert values.shape == (1500, 4)
    assert found.notes["imu"]["values filled"] > 100
