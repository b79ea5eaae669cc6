"""BLEU: how many of the answers' n-grams are in a reference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from plait.metrics import Metric
from plait.metrics.ngrams import MOST, check_references, ngrams

__all__ = ["Bleu1", "Bleu4", "bleu"]

TINY, SMALL = 1e-15, 1e-9
"""What pycocoevalcap adds to counts, so that a precision of 0 of 0 is 0."""


def bleu(references: Sequence[Sequence[str]], answers: Sequence[str], order: int) -> float:
    """BLEU of all answers together, with n-grams of 1 to ``order`` words; nan of none.

    >>> round(bleu([["a black dog runs"]], ["a dog runs"], 2), 3)
    0.507
    """
    if not len(answers):
        return math.nan
    right, said = np.zeros(MOST), np.zeros(MOST)
    length = nearest = 0
    for texts, answer in zip(references, answers, strict=True):
        words, lengths = len(answer.split()), [len(text.split()) for text in texts]
        length, nearest = length + words, nearest + min((abs(n - words), n) for n in lengths)[1]
        true = [ngrams(text) for text in texts]
        for n, own in enumerate(ngrams(answer)):
            most: Counter[tuple[str, ...]] = Counter()
            for counts in true:
                most |= counts[n]
            right[n] += (own & most).total()
            said[n] += own.total()
    precision = (right + TINY) / (said + SMALL)
    ratio = (length + TINY) / (nearest + SMALL)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    mean: float = float(np.prod(precision[:order])) ** (1 / order)
    return brevity * mean


class _Bleu(Metric):
    """The geometric mean of the precisions of n-grams, and a penalty of brevity."""

    order: ClassVar[int]
    of = "references"
    bounds = (0.0, 1.0)
    percent = True

    def __call__(self, target: Sequence[Sequence[str]], scores: Sequence[str]) -> float:
        check_references(f"bleu{self.order}", target, scores)
        return bleu(target, scores, self.order)


class Bleu4(_Bleu):
    """BLEU with n-grams of 1 to 4 words, over all texts together.

    Papineni et al. 2002, "BLEU: a method for automatic evaluation of machine translation", section 2.3; each answer is
    compared with the reference of the nearest length, as in pycocoevalcap 1.2, to which it is equal. Words are what
    spaces separate. nan for empty input.
    """

    order = 4
    rank = 20


class Bleu1(_Bleu):
    """BLEU with single words: the share of the answers' words that a reference has; as `Bleu4`. nan for empty input."""

    order = 1
    rank = 40
