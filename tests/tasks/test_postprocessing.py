"""Median filter and thresholds of tags over time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from plait.core.errors import DataError
from plait.examples.targets import Annotated
from plait.tasks.postprocessing import SHIFTS, PostProcessing, best_postprocessing
from plait.tasks.tag import Tag
from plait.tokens import Instants

THERE = torch.ones(1, 1) > 0


def instants(*lengths: int) -> Instants:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Instants(torch.arange(max(lengths)).expand(len(lengths), -1).float(), mask)


@given(st.integers(0, 1000), st.sampled_from([1, 3, 5, 9]), st.integers(1, 12))
@settings(max_examples=40)
def test_it_is_the_median_filter_of_scipy(seed: int, width: int, steps: int) -> None:
    output = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, steps, 3)))
    found = PostProcessing((0.0,) * 3, width)(output, instants(steps, steps))
    expected = [median_filter(row, (width, 1), mode="nearest") for row in output.numpy()]
    assert np.allclose(found, expected)


def test_the_padding_of_a_batch_changes_nothing() -> None:
    output = torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(0))
    process = PostProcessing((0.5, -1.0), 5)
    alone = process(output[:1, :4], instants(4))
    assert torch.equal(process(output, instants(4, 9))[:1, :4], alone)


def test_a_causal_filter_looks_back_only() -> None:
    output = torch.randn(1, 12, 2, generator=torch.Generator().manual_seed(0))
    later = output.clone()
    later[:, 7:] = 9.0
    process = PostProcessing((0.0, 0.0), 5, causal=True)
    assert torch.equal(process(output, instants(12))[:, :7], process(later, instants(12))[:, :7])
    assert not torch.equal(*(PostProcessing((0.0, 0.0), 5)(x, instants(12))[:, :7] for x in (output, later)))


@pytest.mark.parametrize(("shifts", "width"), [((math.nan,), 1), ((0.0,), 2), ((0.0,), 0)])
def test_what_a_damaged_file_may_hold_is_refused(shifts: tuple[float, ...], width: int) -> None:
    with pytest.raises(DataError, match="post-processing"):
        PostProcessing(shifts, width)


def test_without_a_gain_nothing_is_changed() -> None:
    output = torch.randn(1, 50, 2)
    found = best_postprocessing(
        output, instants(50), lambda _: 1.0, rate=10, causal=False, together=[(0.0, 0.0), (1.0, 1.0)], often=[0]
    )
    assert found == PostProcessing((0.0, 0.0))


def task(**options: object) -> Tag:
    spans = tuple((float(i), i + 0.5, "ab"[i % 2]) for i in range(40))
    return Tag([Annotated(40.0, spans)], target="t", rate=10, several=True, **options)  # type: ignore[arg-type]


def test_thresholds_and_filter_suit_the_held_out_items() -> None:
    """Flicker of an instant, one class with probabilities that are all too high, and one with too low ones."""
    tag, rng = task(), np.random.default_rng(0)
    target = tag.encode([Annotated(40.0, tuple((float(i), i + 0.5, "ab"[i % 2]) for i in range(40)))])
    logits = torch.where(target > 0, 2.0, -2.0) + torch.tensor([3.0, -3.0])
    flicker = torch.from_numpy(rng.random(logits.shape) < 0.1)
    logits = torch.where(flicker, 2 * torch.tensor([3.0, -3.0]) - logits, logits)
    at = Instants(torch.from_numpy(tag.instants(40.0))[None].float(), torch.ones(1, 400) > 0)

    def score() -> float:
        return tag.metrics(tag.scores(tag.postprocess(logits, THERE, at)), target.numpy())["segmental_f1"]

    before = score()
    tag.fit_postprocessing(logits, target, at)
    assert before < 0.4
    assert score() > 0.9
    assert tag.postprocessing["width"] >= 3
    low, high = tag.postprocessing["shifts"]
    assert low > 0 > high
    again = Tag.restore(tag.state(), **tag.options)
    assert torch.equal(again.postprocess(logits, THERE, at), tag.postprocess(logits, THERE, at))


def test_one_class_at_a_time_moves_the_background_alone() -> None:
    spans = tuple((float(i), i + 0.5, "act") for i in range(40))
    tag = Tag([Annotated(40.0, spans)], target="t", rate=10, background="rest")
    target = tag.encode([Annotated(40.0, spans)])
    wanted = torch.eye(2)[target] * 2
    logits = wanted + torch.tensor([0.0, 3.0]) * torch.tensor([c == "rest" for c in tag.classes])
    tag.fit_postprocessing(logits, target, Instants(torch.from_numpy(tag.instants(40.0))[None].float(), target >= 0))
    shifts = dict(zip(tag.classes, tag.postprocessing["shifts"]))
    assert shifts["act"] == 0
    assert shifts["rest"] in SHIFTS
    assert shifts["rest"] > 0


def test_post_processing_of_other_classes_is_refused() -> None:
    with pytest.raises(DataError, match="one per class, 2"):
        task().postprocessing = {"shifts": [0.0], "width": 1}
