"""Decoding of CTC outputs with settings that held-out items can choose."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from plait.decoders.ngram import NGram
from plait.decoders.prefix_beam import prefix_beam_search

__all__ = ["CtcDecoder"]

WEIGHTS, BONUSES = (0.5, 0.25, 1.0, 2.0, 4.0), (0.0, -1.0, -2.0, -4.0, 1.0, 2.0)
"""What is tried on held-out items; of equally good ones the first is taken."""

LEAST = -20.0
"""Log probability below which a token is not tried at a step; below it are all tokens where nothing is asked."""

Floats = NDArray[np.float64]


class CtcDecoder:
    """Log probabilities [steps, tokens + 1] -> the decoded tokens; 0 is the blank.

    Args:
        beam: see `prefix_beam_search`; 1: the best token at each step, less repetitions and blanks (best path, Graves
            et al. 2006, section 3.2).
        language: the model of the sequences, if there is one.
        lm_weight, insertion_bonus: see `prefix_beam_search`; None: `tune` chooses, until then 0.5 and 0.

    >>> CtcDecoder(1)(np.log([[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]))
    (1, 1)
    """

    def __init__(
        self,
        beam: int,
        language: NGram | None = None,
        lm_weight: float | None = None,
        insertion_bonus: float | None = None,
    ) -> None:
        self.beam, self.language = beam, language
        self.open = lm_weight is None, insertion_bonus is None
        self.weights = 0.5 if lm_weight is None else lm_weight, insertion_bonus or 0.0

    def __call__(self, log_probs: Floats, weights: tuple[float, float] | None = None) -> tuple[int, ...]:
        if self.beam == 1:
            return tuple(token for token, _ in itertools.groupby(log_probs.argmax(-1).tolist()) if token)
        weight, bonus = weights or self.weights
        language = None if self.language is None else self.language.log_probs
        found = prefix_beam_search(
            log_probs, beam=self.beam, language=language, lm_weight=weight, insertion_bonus=bonus, least=LEAST
        )
        return found[0].tokens

    def tune(self, rows: Sequence[Floats], error: Callable[[Sequence[tuple[int, ...]]], float]) -> None:
        """Choose the open weights, one after the other.

        Paths are summed over instants that are not independent, so that a beam finds too many words where an output
        hesitates between two: a bonus below 0 is a usual choice.

        Args:
            rows: log probabilities of held-out items.
            error: of the decoded tokens of all rows; the lower the better.
        """
        if self.beam == 1:
            return

        def of(weights: tuple[float, float]) -> float:
            return error([self(row, weights) for row in rows])

        if self.open[0] and self.language is not None:
            self.weights = min([(w, self.weights[1]) for w in WEIGHTS], key=of)
        if self.open[1]:
            self.weights = min([(self.weights[0], b) for b in BONUSES], key=of)
