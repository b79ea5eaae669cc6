"""Forced alignment: when each symbol of a known text is said, given a CTC model's probabilities. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError

__all__ = ["Aligned", "align_words", "ctc_align"]

LARGEST = 2_000_000_000
"""Most bytes of the table of steps back: ten minutes at 50 Hz with 30,000 symbols."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Aligned:
    """Symbols in time: first frame, frame after the last, and mean log probability per frame of each, [n]."""

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    score: Array

    def __len__(self) -> int:
        return len(self.start)


def ctc_align(log_probs: ArrayLike, symbols: Sequence[int], *, blank: int = 0) -> Aligned:
    """The most probable frames of each symbol of a text, with any number of blanks in between (Viterbi).

    The states are those of Graves et al., "Connectionist temporal classification", ICML 2006, sec. 4.1: each symbol
    between two blanks; a blank may be skipped unless it separates two equal symbols. Exact; each frame is one step of
    array operations over all states.

    Args:
        log_probs: [frames, symbols of the model], natural logarithms (they need not add up to 1).
        symbols: indices of the text's symbols, without blanks.
        blank: index of the blank.

    Raises:
        DataError: there are too few frames for the text, an index is out of range, a number is NaN, or the table of
            frames by symbols would pass 2 GB.

    >>> p = np.log([[0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.1, 0.7]])
    >>> found = ctc_align(p, [1, 2])
    >>> found.start.tolist(), found.stop.tolist()
    ([0, 2], [1, 3])
    """
    logs, text = _checked(np.asarray(log_probs, np.float64), np.asarray(symbols, np.int64), blank)
    if not len(text):
        return Aligned(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    path = _viterbi(logs, text, blank)
    said = path % 2 == 1
    which, at = path[said] // 2, np.flatnonzero(said)
    first = np.searchsorted(which, np.arange(len(text)))
    last = np.searchsorted(which, np.arange(len(text)), "right") - 1
    sums = np.concatenate([[0.0], np.cumsum(logs[at, text[which]])])
    return Aligned(at[first], at[last] + 1, (sums[last + 1] - sums[first]) / (last + 1 - first))


def _checked(logs: Array, text: NDArray[np.int64], blank: int) -> tuple[Array, NDArray[np.int64]]:
    if logs.ndim != 2 or np.isnan(logs).any():
        raise DataError(f"log probabilities of shape {logs.shape}; expected [frames, symbols] without NaN.")
    frames, known = logs.shape
    if text.ndim != 1 or (len(text) and not (text.min() >= 0 and text.max() < known)) or not 0 <= blank < known:
        raise DataError(f"symbols or the blank ({blank}) lie outside 0..{known - 1}, which the model has.")
    if (text == blank).any():
        raise DataError("the text holds the blank; leave blanks out.")
    least = len(text) + int((np.diff(text) == 0).sum())
    if frames < least:
        raise DataError(
            f"{frames} frames cannot hold a text of {len(text)} symbols; it needs {least}. Does the text belong to the "
            "sound?"
        )
    if frames * (2 * len(text) + 1) > LARGEST:
        raise DataError(
            f"{frames} frames by {len(text)} symbols are too many to align at once. Cut the recording at its pauses, "
            "or give each sentence a start and a stop."
        )
    return logs, text


def _viterbi(logs: Array, text: NDArray[np.int64], blank: int) -> NDArray[np.int64]:
    """The best state in each frame, [frames]; state 2 i + 1 is symbol i, even ones are blanks."""
    states = np.full(2 * len(text) + 1, blank)
    states[1::2] = text
    skips = np.zeros(len(states), bool)
    skips[3::2] = text[1:] != text[:-1]
    n = len(states)
    passed = np.where(skips, 0.0, -np.inf)
    score = np.full(n + 2, -np.inf)  # two extra states in front, so that steps of one and two need no special case
    score[2:4] = logs[0, states[:2]]
    # One byte a cell: only the number of states stepped back is stored, not the state.
    back = np.zeros((len(logs), n), np.uint8)
    for t in range(1, len(logs)):
        # Other states cannot be reached yet, or can no longer reach the end.
        lo, hi = max(n - 2 * (len(logs) - t), 0), min(2 * t + 2, n)
        one, two = score[lo + 1 : hi + 1], score[lo:hi] + passed[lo:hi]
        best = np.maximum(score[lo + 2 : hi + 2], one)
        back[t, lo:hi] = one == best
        back[t, lo:hi][two > best] = 2
        score[lo + 2 : hi + 2] = np.maximum(best, two) + logs[t, states[lo:hi]]
        score[lo : lo + 2] = -np.inf
    score = score[2:]
    state = n - 1 if score[-1] >= score[-2] else n - 2
    if score[state] == -np.inf:
        raise DataError("no path through the frames gives the text: the model gives part of it no probability.")
    path = np.empty(len(logs), np.int64)
    for t in range(len(logs) - 1, -1, -1):
        path[t] = state
        state -= int(back[t, state])
    return path


def align_words(
    log_probs: ArrayLike, words: Sequence[Sequence[int]], *, blank: int = 0, gap: int | None = None
) -> Aligned:
    """The frames of each word, from the first frame of its first symbol to the last frame of its last symbol.

    Args:
        log_probs: [frames, symbols of the model].
        words: the indices of each word's symbols, at least one each.
        blank: see `ctc_align`.
        gap: index of the delimiter between words, if the model has one.

    Raises:
        DataError: as `ctc_align`, or a word without symbols.

    >>> p = np.log(np.eye(4)[[0, 1, 3, 2, 2]] * 0.9 + 0.025)
    >>> found = align_words(p, [[1], [2]], gap=3)
    >>> found.start.tolist(), found.stop.tolist()
    ([1, 3], [2, 5])
    """
    if any(not len(word) for word in words):
        raise DataError("a word has no symbols that the model knows. Leave it out.")
    parts: list[int] = []
    ends: list[int] = []
    for number, word in enumerate(words):
        parts += [gap] if number and gap is not None else []
        parts += word
        ends.append(len(parts))
    found = ctc_align(log_probs, parts, blank=blank)
    lasts = np.array(ends, np.int64) - 1
    firsts = lasts + 1 - np.array([len(word) for word in words], np.int64)
    frames = found.stop - found.start
    scores = [np.average(found.score[a : b + 1], weights=frames[a : b + 1]) for a, b in zip(firsts, lasts)]
    return Aligned(found.start[firsts], found.stop[lasts], np.array(scores, np.float64))
