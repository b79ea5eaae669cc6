"""Side by side at the nearest time, against a naive loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError
from plait.fusion.memory import Memory
from plait.fusion.nearest import Nearest, side_by_side, tick_source
from plait.tokens import Tokens

# whole hundredths, so that ties are exact and rounding plays no part
row = st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=7, unique_by=lambda pair: pair[0])


def tokens_of(pairs):
    times = torch.tensor([[t / 100 for t, _ in pairs]]).reshape(1, -1)
    mask = torch.tensor([[yes for _, yes in pairs]], dtype=torch.bool).reshape(1, -1)
    return Tokens(times[..., None].clone() + 1, times, mask).clean()


def naive(parts, source, within):
    seen = [sorted(t.times[0, t.mask[0]].tolist()) for t in parts]
    counts = [len(times) for times in seen]
    if not any(counts):
        return []
    if source == "fastest":
        owner = int(np.argmax(counts))
    elif isinstance(source, str) or not counts[source]:
        owner = min((i for i, n in enumerate(counts) if n), key=lambda i: counts[i])
    else:
        owner = source
    table = []
    for tick in seen[owner]:
        near = [min(times, key=lambda t: (round(abs(t - tick), 3), t), default=None) for times in seen]
        far = [t is None or abs(t - tick) > within + 1e-4 for t in near]
        table.append([0.0 if no else t + 1 for no, t in zip(far, near)])
    return table


@given(st.lists(row, min_size=2, max_size=3), st.sampled_from(["slowest", "fastest", 1]), st.sampled_from([0.3, 9.0]))
@settings(max_examples=60)
def test_it_is_the_naive_search(rows, source, within):
    parts = [tokens_of(pairs) for pairs in rows]
    values, seen, ticks = side_by_side(parts, source, within)
    count = int(ticks.mask.sum())
    want = naive(parts, source, within)
    assert count == len(want)
    assert not ticks.mask[0, count:].any(), "ticks stand at the front"
    np.testing.assert_allclose(values[0, :count, :, 0].numpy(), np.reshape(want, (count, len(parts))), atol=1e-5)
    assert (seen[0, :count] == (values[0, :count, :, 0] != 0)).all()


@pytest.mark.parametrize("shift", [0.0, 12.5, 3600.0])
def test_of_two_as_near_the_earlier_is_taken_whatever_the_rounding(shift):
    times = torch.arange(11.0)[None] / 10 + shift
    fine = Tokens(torch.arange(11.0)[None, :, None], times, times > -1)
    coarse = Tokens(torch.zeros(1, 2, 1), torch.tensor([[0.25, 0.75]]) + shift, torch.ones(1, 2) > 0)
    values, _, _ = side_by_side([fine, coarse], 1)
    assert values[0, :2, 0, 0].tolist() == [2, 7]


def test_a_missing_clock_is_replaced_by_the_slowest():
    fusion = Nearest(["a", "b"], 8, to="a").eval()
    b = Tokens(torch.randn(2, 3, 8), torch.arange(3.0).expand(2, 3), torch.ones(2, 3) > 0)
    a = Tokens(torch.randn(2, 5, 8), torch.arange(5.0).expand(2, 5), torch.tensor([[True] * 5, [False] * 5]))
    assert fusion({"a": a, "b": b}).mask.sum(1).tolist() == [5, 3]


def test_wrong_options():
    with pytest.raises(ConfigError, match="expected 'slowest', 'fastest' or one of"):
        Memory(["a"], 8, to="b")
    with pytest.raises(ConfigError, match="within 0 s"):
        Nearest(["a"], 8, within=0)
    assert tick_source("nearest", ["a", "slowest"], "slowest") == 1, "a modality of that name comes first"


def test_of_tokens_at_one_time_the_same_is_taken_however_far_they_are_padded():
    times = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]).repeat_interleave(4)[None]
    values = torch.arange(24.0)[None, :, None]
    ticks = tokens_of([(2, True), (99, True)])
    found = []
    for more in (0, 3, 40):
        there = torch.arange(24 + more)[None] < 24
        part = Tokens(*(torch.cat([x, x.new_zeros(1, more, *x.shape[2:])], 1) for x in (values, times)), there)
        found.append(side_by_side([part, ticks], 1)[0][0, :2, 0, 0].tolist())
    assert found == [[11.0, 12.0]] * 3
