"""The times of words: as targets at instants, and back from the runs of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["frame_targets", "word_times"]


def frame_targets(
    spans: Sequence[tuple[float, float, Sequence[str]]], at: NDArray[np.float64], number: Mapping[str, int]
) -> NDArray[np.int64]:
    """The number of the word at each instant, [steps]; 0: a blank, -1: unknown (two words at once, or a new one).

    CTC needs a blank between a word and the same word again. With a blank there alone, the few words that are said
    twice would have to teach where words begin; so the first third of every word is one.

    Args:
        spans: start and stop in seconds and the words between, in order of time.
        at: the instants, in seconds, [steps].
        number: of each word, from 1 up.

    >>> frame_targets([(0.0, 0.6, ["day"]), (0.6, 1.2, ["day"])], np.arange(12) / 10, {"day": 7}).tolist()
    [0, 0, 7, 7, 7, 7, 0, 0, 7, 7, 7, 7]
    """
    held = np.zeros(len(at), np.int64)
    for start, stop, words in spans:
        inside = (at >= start) & (at < stop)
        new = np.flatnonzero(inside & (held == 0))
        token = number.get(words[0], -1) if len(words) == 1 else -1
        held[inside] = np.where(held[inside] == 0, token, -1)
        held[new[: max(len(new) // 3, int(len(new) > 1))]] = 0
    return held


def word_times(
    runs: Sequence[tuple[int, int, int]], when: Sequence[float], half: float, *, onset: bool
) -> list[tuple[float, float]]:
    """Start and stop of words in seconds, from the runs of their tokens.

    Args:
        runs: by word: the first instant of its first token, the one after it, and the one after its last token.
        when: seconds of the instants.
        half: of the time between two instants.
        onset: whether words were learnt from `frame_targets`: then each began half its run earlier.

    >>> word_times([(2, 6, 6), (8, 12, 12)], [i / 10 for i in range(12)], 0.05, onset=True)
    [(0.0, 0.55), (0.55, 1.15)]
    """
    found, last = [], 0.0
    for first, end, stop in runs:
        begin = max(first - (end - first) // 2, 0) if onset else first
        last, began = when[stop - 1] + half, max(when[begin] - half, last)
        found.append((round(began, 6), round(last, 6)))
    return found
