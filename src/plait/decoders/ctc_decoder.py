"""Decoding of CTC outputs with settings that held-out items can choose."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from plait.decoders.attention import AttentionDecoder
from plait.decoders.ngram import NGram
from plait.decoders.prefix_beam import Hypothesis, prefix_beam_search

__all__ = ["CtcDecoder"]

WEIGHTS, BONUSES = (0.5, 0.25, 1.0, 2.0, 4.0), (0.0, -1.0, -2.0, -4.0, 1.0, 2.0)
ATTENTION = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""What is tried on held-out items; of equally good ones the first is taken."""

LEAST = -20.0
"""Log probability below which a token is not tried at a step; below it are all tokens where nothing is asked."""

Floats = NDArray[np.float64]
Weights = tuple[float, float, float]
"""Of the language model, per token (the bonus), and of the decoder by attention."""


class CtcDecoder:
    """Log probabilities [steps, tokens + 1] -> the decoded tokens; 0 is the blank.

    With a decoder by attention the sequences of the beam are ranked anew by ``(1 - w) * score + w * log P_attention``
    (Watanabe et al. 2017, equation 15, in two passes: Zhang et al. 2020, "Unified streaming and non-streaming two-pass
    end-to-end model for speech recognition"); with w = 1 that decoder searches alone.

    Args:
        beam: see `prefix_beam_search`; 1: the best token at each step, less repetitions and blanks (best path, Graves
            et al. 2006, section 3.2).
        language: the model of the sequences, if there is one.
        lm_weight, insertion_bonus: see `prefix_beam_search`; None: `tune` chooses, until then 0.5 and 0.
        attention: the decoder by attention, if there is one.
        attention_weight: w; with an ``attention``, `tune` chooses it unless it is 1.

    >>> CtcDecoder(1)(np.log([[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]))
    (1, 1)
    """

    def __init__(
        self,
        beam: int,
        language: NGram | None = None,
        lm_weight: float | None = None,
        insertion_bonus: float | None = None,
        *,
        attention: AttentionDecoder | None = None,
        attention_weight: float = 0.0,
    ) -> None:
        self.beam, self.language, self.attention = beam, language, attention
        self.open = lm_weight is None, insertion_bonus is None
        self.weights: Weights = 0.5 if lm_weight is None else lm_weight, insertion_bonus or 0.0, attention_weight

    def __call__(self, log_probs: Floats) -> tuple[int, ...]:
        if self.beam == 1:
            return tuple(token for token, _ in itertools.groupby(log_probs.argmax(-1).tolist()) if token)
        found = self._search(log_probs, self.weights)
        return self._best(found, self._rescored(log_probs, found), self.weights[2])

    def _search(self, log_probs: Floats, weights: Weights) -> list[Hypothesis]:
        weight, bonus, attention = weights
        if self.attention is not None and attention == 1:
            return self.attention.search(log_probs, beam=self.beam, insertion_bonus=bonus)
        language = None if self.language is None else self.language.log_probs
        return prefix_beam_search(
            log_probs, beam=self.beam, language=language, lm_weight=weight, insertion_bonus=bonus, least=LEAST
        )

    def _rescored(self, log_probs: Floats, found: Sequence[Hypothesis]) -> Floats | None:
        """The scores of sequences by attention; None where they are not needed."""
        if self.attention is None or self.weights[2] in (0, 1):
            return None
        return self.attention.score(log_probs, [one.tokens for one in found])

    @staticmethod
    def _best(found: Sequence[Hypothesis], attended: Floats | None, weight: float) -> tuple[int, ...]:
        if attended is None:
            return found[0].tokens
        return found[int(np.argmax((1 - weight) * np.array([one.score for one in found]) + weight * attended))].tokens

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
        weight, bonus, attention = self.weights
        alone = attention if attention == 1 else 0.0

        def of(weights: Weights) -> float:
            return error([self._search(row, weights)[0].tokens for row in rows])

        if self.open[0] and self.language is not None and not alone:
            weight = min([(w, bonus, alone) for w in WEIGHTS], key=of)[0]
        if self.open[1]:
            bonus = min([(weight, b, alone) for b in BONUSES], key=of)[1]
        self.weights = weight, bonus, attention
        if self.attention is not None and not alone:
            found = [self._search(row, self.weights) for row in rows]
            attended = [self.attention.score(row, [h.tokens for h in own]) for row, own in zip(rows, found)]
            attention = min(ATTENTION, key=lambda w: error([self._best(*pair, w) for pair in zip(found, attended)]))
            self.weights = weight, bonus, attention
