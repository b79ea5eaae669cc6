"""Forced alignment: against all paths tried one by one, and synthetic posteriors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.segment.forced import align_words, ctc_align


def best_of_all(logs: np.ndarray, text: list[int], blank: int) -> float:
    """The log probability of the best path that says the text, by trying every path."""
    frames, symbols = logs.shape
    best = -np.inf
    for path in itertools.product(range(symbols), repeat=frames):
        said = [s for s, _ in itertools.groupby(path) if s != blank]
        if said == text:
            best = max(best, float(logs[np.arange(frames), list(path)].sum()))
    return best


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(2, 3))
@settings(max_examples=60)
def test_the_path_is_the_best_of_all(seed: int, frames: int, symbols: int) -> None:
    rng = np.random.default_rng(seed)
    blank = int(rng.integers(symbols))
    others = [s for s in range(symbols) if s != blank]
    text = rng.choice(others, int(rng.integers(1, frames + 1))).tolist()
    logs = np.log(rng.dirichlet(np.ones(symbols), frames))
    if frames < len(text) + sum(a == b for a, b in itertools.pairwise(text)):
        with pytest.raises(DataError, match="frames cannot hold"):
            ctc_align(logs, text, blank=blank)
        return
    found = ctc_align(logs, text, blank=blank)
    path = np.full(frames, blank)
    for symbol, start, stop in zip(text, found.start, found.stop):
        path[start:stop] = symbol
    assert logs[np.arange(frames), path].sum() == pytest.approx(best_of_all(logs, text, blank))
    assert (found.stop > found.start).all()
    assert (found.start[1:] >= found.stop[:-1]).all()
    means = [logs[a:b, s].mean() for s, a, b in zip(text, found.start, found.stop)]
    assert found.score == pytest.approx(means)


def test_it_is_no_more_than_all_paths_together() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logs = np.log(rng.dirichlet(np.ones(6), 40))
    text = [1, 2, 2, 5, 3]
    found = ctc_align(logs, text)
    path = np.zeros(40, int)
    for symbol, start, stop in zip(text, found.start, found.stop):
        path[start:stop] = symbol
    total = -torch.nn.functional.ctc_loss(
        torch.from_numpy(logs)[:, None], torch.tensor([text]), [40], [5], reduction="sum"
    ).item()
    best = logs[np.arange(40), path].sum()
    assert total - 12 < best <= total


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_words_of_made_posteriors_are_found_to_a_frame(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logs, words, truth, at = [], [], [], 0
    for number in range(6):
        at += int(rng.integers(2, 9))
        logs.append(np.eye(8)[np.zeros(at - len(np.concatenate([np.zeros((0, 8)), *logs])), int)])
        word = rng.choice(np.arange(2, 8), int(rng.integers(1, 5)), replace=False).tolist()
        held = np.repeat(word, rng.integers(2, 6, len(word)))
        logs.append(np.eye(8)[held])
        truth.append((at, at + len(held)))
        words.append(word)
        at += len(held)
        if number < 5:
            logs.append(np.eye(8)[[1]])  # the sign between words
            at += 1
    posterior = 0.75 * np.concatenate(logs) + 0.25 * rng.dirichlet(np.ones(8), at)
    found = align_words(np.log(posterior), words, gap=1)
    assert np.abs(found.start - [a for a, _ in truth]).max() <= 1
    assert np.abs(found.stop - [b for _, b in truth]).max() <= 1


def test_what_cannot_be_aligned_is_said() -> None:
    logs = np.log(np.full((5, 4), 0.25))
    for text, words in (([9], "outside 0..3"), ([0], "holds the blank"), ([1] * 4, "needs 7")):
        with pytest.raises(DataError, match=words):
            ctc_align(logs, text)
    with pytest.raises(DataError, match="without NaN"):
        ctc_align(logs * np.nan, [1])
    with pytest.raises(DataError, match="no path through the frames"):
        ctc_align(np.where(np.arange(4) == 2, -np.inf, logs), [2])
    with pytest.raises(DataError, match="no symbols"):
        align_words(logs, [[1], []])
    assert len(ctc_align(logs, [])) == 0
    with pytest.raises(DataError, match="too many to align at once"):
        ctc_align(np.zeros((2_000_000, 3), np.float32), [1, 2] * 300)
