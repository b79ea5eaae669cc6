"""Prefix beam search over the outputs of connectionist temporal classification (CTC)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import ConfigError, DataError

__all__ = ["Hypothesis", "LanguageModel", "prefix_beam_search"]

Array = NDArray[np.float64]
LanguageModel = Callable[[Sequence[int]], Array]
"""From tokens, numbered from 0, to the logarithms of the next token's probabilities, and last of the end's,
[tokens + 1]; as `plait.decoders.ngram.NGram.log_probs`."""


class Hypothesis(NamedTuple):
    """A sequence that the search found.

    Attributes:
        tokens: its tokens, numbered as the columns of the input.
        score: all that it was ranked by.
        log_prob: logarithm of its probability by CTC alone, of the paths that stayed in the beam.
    """

    tokens: tuple[int, ...]
    score: float
    log_prob: float


class _Beam:
    """The prefixes of the beam, and their probabilities."""

    def __init__(self) -> None:
        self.prefixes: list[tuple[int, ...]] = [()]
        self.blank, self.other = np.zeros(1), np.full(1, -np.inf)
        self.last, self.language = np.full(1, -1), np.zeros(1)


def prefix_beam_search(
    log_probs: ArrayLike,
    *,
    beam: int = 10,
    language: LanguageModel | None = None,
    lm_weight: float = 1.0,
    insertion_bonus: float = 0.0,
    least: float = -30.0,
) -> list[Hypothesis]:
    """The best sequences, best first; column 0 is the blank.

    Each prefix keeps the probability of its paths that end with a blank and of those that end with its last token, so
    that all paths of a prefix are summed (Graves 2012, "Supervised sequence labelling with recurrent neural networks",
    section 7.5.3; Hannun et al. 2014, "First-pass large vocabulary continuous speech recognition using bi-directional
    recurrent DNNs", algorithm 1). A sequence is ranked by ``log P_CTC + lm_weight * log P_language + insertion_bonus *
    number of tokens``. Departure: the language model's term belongs to the prefix instead of its paths, so it is
    counted once where they meet. With a beam as wide as the number of prefixes the result is exact.

    Args:
        log_probs: natural logarithms of the probabilities, [steps, tokens + 1].
        beam: prefixes kept at each step.
        language: probabilities of the next token; its tokens are the columns from 1 on. None: no language model.
        lm_weight: weight of the language model.
        insertion_bonus: added for each token; above 0 it favours longer sequences.
        least: tokens with a lower logarithm at a step are not tried there.

    Raises:
        ConfigError: a beam below 1.
        DataError: ``log_probs`` is not [steps, 2 or more], or holds NaN.

    >>> p = np.log([[0.6, 0.4], [0.6, 0.4]])
    >>> [(h.tokens, round(float(np.exp(h.log_prob)), 2)) for h in prefix_beam_search(p)]
    [((1,), 0.64), ((), 0.36)]
    """
    logs = np.asarray(log_probs, np.float64)
    if beam < 1:
        raise ConfigError(f"beam {beam}; expected 1 or more.")
    if logs.ndim != 2 or logs.shape[1] < 2 or np.isnan(logs).any():
        raise DataError(f"log probabilities of shape {logs.shape}; expected [steps, blank and tokens] without NaN.")
    found, term = _Beam(), _Term(language, lm_weight, insertion_bonus, logs.shape[1] - 1)
    for row in logs:
        found = _step(found, row, beam, term, least)
    total = np.logaddexp(found.blank, found.other)
    ends = np.array([term.end(prefix) for prefix in found.prefixes])
    score = total + found.language + ends
    order = np.argsort(-score, kind="stable")
    return [Hypothesis(found.prefixes[i], float(score[i]), float(total[i])) for i in order]


class _Term(NamedTuple):
    """What is added to a prefix's score for its next token, and for its end."""

    language: LanguageModel | None
    weight: float
    bonus: float
    tokens: int

    def next(self, prefix: tuple[int, ...]) -> Array:
        return self._of(prefix)[:-1] + self.bonus

    def end(self, prefix: tuple[int, ...]) -> float:
        return float(self._of(prefix)[-1])

    def _of(self, prefix: tuple[int, ...]) -> Array:
        if self.language is None or not self.weight:
            return np.zeros(self.tokens + 1)
        return self.weight * self.language([token - 1 for token in prefix])


def _step(now: _Beam, row: Array, beam: int, term: _Term, least: float) -> _Beam:
    """The beam after one more step."""
    tokens = 1 + np.flatnonzero(row[1:] >= least)
    total = np.logaddexp(now.blank, now.other)
    again = now.last >= 0  # the empty prefix has no last token to repeat
    stay_blank = total + row[0]
    stay_other = np.where(again, now.other + row[now.last], -np.inf)
    longer = total[:, None] + row[tokens]
    # A token after itself is a new one only after a blank.
    same = now.last[:, None] == tokens
    longer = np.where(same, now.blank[:, None] + row[tokens], longer)
    _meet(now, tokens, longer, stay_other)
    language = now.language[:, None] + np.stack([term.next(p)[tokens - 1] for p in now.prefixes])
    ranked = np.concatenate([np.logaddexp(stay_blank, stay_other) + now.language, (longer + language).ravel()])
    best = np.argsort(-ranked, kind="stable")[:beam]
    best = best[ranked[best] > -np.inf]
    return _kept(now, best, tokens, (stay_blank, stay_other, longer, language))


def _meet(now: _Beam, tokens: NDArray[np.int64], longer: Array, stay: Array) -> None:
    """Paths of a longer prefix that is in the beam already are added to it, in place."""
    place, column = {p: i for i, p in enumerate(now.prefixes)}, {int(t): j for j, t in enumerate(tokens)}
    for i, prefix in enumerate(now.prefixes):
        parent, j = place.get(prefix[:-1]) if prefix else None, column.get(int(now.last[i]))
        if parent is not None and j is not None:
            stay[i] = np.logaddexp(stay[i], longer[parent, j])
            longer[parent, j] = -np.inf


def _kept(
    now: _Beam, best: NDArray[np.int64], tokens: NDArray[np.int64], parts: tuple[Array, Array, Array, Array]
) -> _Beam:
    """The best of the prefixes that stayed and of the longer ones."""
    stay_blank, stay_other, longer, language = parts
    count, made = len(now.prefixes), _Beam()
    fresh = best >= count
    which, column = np.where(fresh, (best - count) // max(len(tokens), 1), best), (best - count) % max(len(tokens), 1)
    made.prefixes = [
        (*now.prefixes[i], int(tokens[j])) if new else now.prefixes[i] for i, j, new in zip(which, column, fresh)
    ]
    made.blank = np.where(fresh, -np.inf, stay_blank[which])
    made.other, made.language = stay_other[which].copy(), now.language[which].copy()
    made.other[fresh] = longer[which[fresh], column[fresh]]
    made.language[fresh] = language[which[fresh], column[fresh]]
    made.last = np.array([p[-1] if p else -1 for p in made.prefixes])
    return made
