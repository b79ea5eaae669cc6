"""CIDEr: agreement of a caption with those of several people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.metrics import Metric
from plait.metrics.ngrams import MOST, Counts, check_references, ngrams

__all__ = ["Cider", "Rarity", "cider_each", "similarity"]

SIGMA = 6.0
"""Width of the penalty of lengths that differ."""

Vector = tuple[list[dict[tuple[str, ...], float]], list[float], int]
"""Weights of the n-grams by length, their norms, and the number of pairs of words."""


class Rarity:
    """How rare n-grams are among the references of some items (inverse document frequency).

    Args:
        references: one or more texts for each item.

    >>> Rarity([["a dog"], ["a cat"]]).of(("dog",))
    0.6931471805599453
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        self.items = len(references)
        self._found: Counter[tuple[str, ...]] = Counter()
        for texts in references:
            self._found.update({gram for text in texts for own in ngrams(text) for gram in own})

    def of(self, gram: tuple[str, ...]) -> float:
        """The logarithm of the items over those that have the n-gram; at least one is taken to have it."""
        return math.log(self.items) - math.log(max(1, self._found[gram]))

    def vector(self, text: str) -> Vector:
        """The weights of a text's n-grams."""
        counts: Counts = ngrams(text)
        weights = [{gram: count * self.of(gram) for gram, count in own.items()} for own in counts]
        norms = [math.sqrt(sum(w * w for w in own.values())) for own in weights]
        return weights, norms, sum(counts[1].values())


def similarity(said: Vector, true: Vector) -> float:
    """Agreement of an answer with one reference, 0 to 10 (equation 3 of the CIDEr paper, in the form CIDEr-D)."""
    total = 0.0
    for n in range(MOST):
        own, other = said[0][n], true[0][n]
        # Clipped: to say a word again and again does not pay.
        met = sum(min(weight, other[gram]) * other[gram] for gram, weight in own.items() if gram in other)
        both = said[1][n] * true[1][n]
        total += met / both if both else met
    return 10 / MOST * total * math.exp(-((said[2] - true[2]) ** 2) / (2 * SIGMA**2))


def cider_each(
    references: Sequence[Sequence[str]], answers: Sequence[str], rarity: Rarity | None = None
) -> NDArray[np.float64]:
    """CIDEr of each answer, [items].

    Args:
        references: one or more texts for each answer.
        answers: the texts.
        rarity: of the n-grams; None: that of these references.
    """
    known = Rarity(references) if rarity is None else rarity
    found = []
    for texts, answer in zip(references, answers, strict=True):
        said = known.vector(answer)
        found.append(sum(similarity(said, known.vector(text)) for text in texts) / len(texts))
    return np.array(found)


class Cider(Metric):
    """CIDEr-D: mean similarity of an answer to its references by n-grams of 1 to 4 words, weighted by their rarity.

    Vedantam, Zitnick & Parikh 2015, "CIDEr: consensus-based image description evaluation", CVPR, section 3 and
    appendix; equal to the scorer of pycocoevalcap 1.2, which calls it CIDEr. Two of its details: lengths are compared
    in pairs of words, and the number of items is that of the texts scored together, so that figures of few items are
    lower. Words are what spaces separate. nan for empty input.
    """

    of = "references"
    bounds = (0.0, math.inf)
    rank = 10

    def __call__(self, target: Sequence[Sequence[str]], scores: Sequence[str]) -> float:
        check_references("cider", target, scores)
        return float(cider_each(target, scores).mean()) if len(scores) else math.nan
