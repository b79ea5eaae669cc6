"""Prefix beam search, against all sequences and all paths, and against flashlight-text."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.decoders.ngram import NGram
from plait.decoders.prefix_beam import prefix_beam_search

LOGS = st.integers(0, 2**32 - 1).map(lambda seed: random_logs(seed, 4, 4))


def random_logs(seed: int, steps: int, width: int, spread: float = 2.0) -> NDArray[np.float64]:
    rows = spread * np.random.default_rng(seed).normal(size=(steps, width))
    return rows - np.logaddexp.reduce(rows, axis=1, keepdims=True)


def exhaustive(logs: NDArray[np.float64]) -> dict[tuple[int, ...], float]:
    """The probability of each sequence: the sum over all its paths."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        tokens = tuple(t for t, _ in itertools.groupby(path) if t)
        found[tokens] += math.exp(sum(logs[i, t] for i, t in enumerate(path)))
    return found


@settings(max_examples=25, deadline=None)
@given(LOGS)
def test_a_wide_beam_finds_every_sequence_with_its_probability(logs: NDArray[np.float64]) -> None:
    found = {h.tokens: math.exp(h.log_prob) for h in prefix_beam_search(logs, beam=10_000, least=-math.inf)}
    true = exhaustive(logs)
    assert found.keys() == true.keys()
    assert all(found[t] == pytest.approx(p) for t, p in true.items())


@settings(max_examples=25, deadline=None)
@given(LOGS, st.floats(0, 3), st.floats(-2, 2))
def test_a_language_model_ranks_as_its_formula_says(logs: NDArray[np.float64], weight: float, bonus: float) -> None:
    model = NGram.of([[0, 1, 2], [0, 1], [2]], 3, 2)

    def score(tokens: tuple[int, ...], p: float) -> float:
        said = [t - 1 for t in tokens]
        language = sum(model.log_probs(said[:i])[t] for i, t in enumerate([*said, 3]))
        return math.log(p) + weight * language + bonus * len(tokens)

    best = max(score(t, p) for t, p in exhaustive(logs).items())
    options = {"language": model.log_probs, "lm_weight": weight, "insertion_bonus": bonus}
    found = prefix_beam_search(logs, beam=10_000, least=-math.inf, **options)
    assert found[0].score == pytest.approx(best)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_a_narrow_beam_never_finds_more_than_there_is(seed: int, beam: int) -> None:
    logs = random_logs(seed, 5, 4)
    true = exhaustive(logs)
    found = prefix_beam_search(logs, beam=beam)
    assert 1 <= len(found) <= beam
    assert len({h.tokens for h in found}) == len(found)
    assert all(math.exp(h.log_prob) <= true[h.tokens] * (1 + 1e-9) for h in found)


def test_it_sums_paths_where_the_best_path_says_nothing() -> None:
    logs = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert prefix_beam_search(logs, beam=3)[0].tokens == (1,)


def test_repetitions_need_a_blank() -> None:
    sure = np.log(np.full((5, 3), 0.005) + 0.985 * np.eye(3)[[1, 1, 0, 1, 2]])
    assert prefix_beam_search(sure)[0].tokens == (1, 1, 2)
    assert prefix_beam_search(np.zeros((0, 3)))[0].tokens == ()


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="beam 0"):
        prefix_beam_search(np.zeros((2, 3)), beam=0)
    with pytest.raises(DataError, match="without NaN"):
        prefix_beam_search(np.full((2, 3), np.nan))
    with pytest.raises(DataError, match="shape"):
        prefix_beam_search(np.zeros(3))


@pytest.mark.parametrize("seed", range(20))
def test_flashlight_finds_the_same(seed: int) -> None:
    """Its lexicon-free decoder, which sums paths too if asked; a beam wide enough that neither prunes."""
    decoder = pytest.importorskip("flashlight.lib.text.decoder", reason="flashlight-text is not installed")
    logs = random_logs(seed, 12, 5, spread=3.0).astype(np.float32)
    options = decoder.LexiconFreeDecoderOptions(
        beam_size=2000,
        beam_size_token=5,
        beam_threshold=1e9,
        lm_weight=0.0,
        sil_score=0.0,
        log_add=True,
        criterion_type=decoder.CriterionType.CTC,
    )
    search = decoder.LexiconFreeDecoder(options, decoder.ZeroLM(), -1, 0, [])
    best = search.decode(logs.ctypes.data, *logs.shape)[0]
    theirs = tuple(t for t, _ in itertools.groupby(best.tokens) if t > 0)
    ours = prefix_beam_search(logs, beam=2000, least=-math.inf)[0]
    assert ours.tokens == theirs
