"""N-gram models: they are distributions, and they are Witten and Bell's."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.decoders.ngram import NGram

SEQUENCES = st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=8)


@given(SEQUENCES, st.integers(1, 4), st.lists(st.integers(0, 3), max_size=5))
def test_probabilities_add_up_to_one_after_any_context(
    sequences: list[list[int]], order: int, context: list[int]
) -> None:
    probs = np.exp(NGram.of(sequences, 4, order).log_probs(context))
    assert probs.shape == (5,)
    assert probs.min() > 0
    assert probs.sum() == pytest.approx(1)


@given(SEQUENCES, st.integers(1, 4), st.lists(st.integers(0, 3), max_size=5))
def test_it_is_the_formula_of_the_paper(sequences: list[list[int]], order: int, context: list[int]) -> None:
    padded = [[-1] * (order - 1) + s + [4] for s in sequences]

    def after(h: tuple[int, ...]) -> list[int]:
        k = len(h)
        return [s[i] for s in padded for i in range(order - 1, len(s)) if tuple(s[i - k : i]) == h]

    def naive(h: tuple[int, ...] | None, w: int) -> float:
        if h is None:
            return 1 / 5
        seen, shorter = after(h), naive(h[1:] if h else None, w)
        return (seen.count(w) + len(set(seen)) * shorter) / (len(seen) + len(set(seen))) if seen else shorter

    whole = tuple(([-1] * (order - 1) + context)[len(context) :])
    found = NGram.of(sequences, 4, order).log_probs(context)
    np.testing.assert_allclose(np.exp(found), [naive(whole, w) for w in range(5)], rtol=1e-9)


def test_it_survives_json() -> None:
    model = NGram.of([[0, 1, 2], [0, 2], []], 3, 3)
    again = NGram.from_json(json.loads(json.dumps(model.to_json())))
    np.testing.assert_array_equal(again.log_probs([0, 1]), model.log_probs([0, 1]))
    assert again.to_json() == model.to_json()


def test_perplexity_of_a_fixed_sentence_falls_towards_one() -> None:
    assert NGram.of([[0, 1, 2]] * 1000, 3, 2).perplexity([[0, 1, 2]]) == pytest.approx(1, abs=0.01)
    assert math.isnan(NGram.of([], 3, 2).perplexity([]))
    assert NGram.of([], 3, 2).perplexity([[0]]) == pytest.approx(4)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="order 0"):
        NGram.of([], 3, 0)
    with pytest.raises(DataError, match="Fit again"):
        NGram.from_json({"order": 2})
