"""CIDEr: agreement of a caption with those of several people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from plait.metrics import Metric
from plait.metrics.ngrams import MOST, Counts, check_references, ngrams

__all__ = ["Cider", "CiderTable", "Rarity", "cider_each", "similarity"]

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


class CiderTable:
    """CIDEr of many parts of the same answers, as an interval asks for it: n-grams are counted once.

    Which n-grams are rare depends on the part; all else are sums of counts, weighted by the square of that.

    Args:
        references: one or more texts for each answer.
        answers: the texts.

    >>> table = CiderTable([["a dog runs"], ["a cat"]], ["a dog", "a cat"])
    >>> bool(np.isclose(table(np.arange(2)), Cider()([["a dog runs"], ["a cat"]], ["a dog", "a cat"])))
    True
    """

    def __init__(self, references: Sequence[Sequence[str]], answers: Sequence[str]) -> None:
        check_references("cider", references, answers)
        said, told = [ngrams(text) for text in answers], [[ngrams(text) for text in own] for own in references]
        self.owner = np.repeat(np.arange(len(answers)), [len(own) for own in told])
        pairs = [(said[i], true) for i, own in enumerate(told) for true in own]
        length = np.array([[sum(own[1].values()) for own in pair] for pair in pairs], np.float64).reshape(-1, 2)
        self.near = np.exp(-((length[:, 0] - length[:, 1]) ** 2) / (2 * SIGMA**2))
        self.orders = [_order([(a[n], b[n]) for a, b in pairs], [a[n] for a in said],
                              [set().union(*(b[n] for b in own)) for own in told]) for n in range(MOST)]  # fmt: skip

    def __call__(self, rows: NDArray[np.integer]) -> float:
        """The metric of some of the answers; nan of none."""
        if not len(rows):
            return math.nan
        times = np.bincount(rows, minlength=self.orders[0].there.shape[0])
        total = np.zeros(len(self.owner))
        for order in self.orders:
            weight = (math.log(len(rows)) - np.log(np.maximum(1, order.there.T @ times))) ** 2
            both = np.sqrt((order.said @ weight)[self.owner] * (order.true @ weight))
            total += order.met @ weight / np.where(both > 0, both, 1.0)
        each = 10 / MOST * total * self.near
        mean = np.bincount(self.owner, each, len(times)) / np.bincount(self.owner, minlength=len(times))
        return float(times @ mean / len(rows))


class _Order(NamedTuple):
    """Counts of the n-grams of one length.

    Attributes:
        met: of each pair, the smaller count of answer and reference times that of the reference, [pairs, n-grams].
        said: squared counts of each answer, [items, n-grams].
        true: squared counts of each reference, [pairs, n-grams].
        there: whether any reference of an item has it, [items, n-grams].
    """

    met: sparse.csr_array
    said: sparse.csr_array
    true: sparse.csr_array
    there: sparse.csr_array


Grams = Mapping[tuple[str, ...], int]


def _order(
    pairs: Sequence[tuple[Grams, Grams]], said: Sequence[Grams], there: Sequence[Iterable[tuple[str, ...]]]
) -> _Order:
    index: dict[tuple[str, ...], int] = {}
    for own in (*said, *(b for _, b in pairs)):
        for gram in own:
            index.setdefault(gram, len(index))
    met = [{g: min(a[g], count) * count for g, count in b.items() if g in a} for a, b in pairs]
    tables = (
        met,
        [_squares(own) for own in said],
        [_squares(b) for _, b in pairs],
        [dict.fromkeys(own, 1) for own in there],
    )
    return _Order(*(_matrix(rows, index) for rows in tables))


def _squares(counts: Grams) -> dict[tuple[str, ...], int]:
    return {gram: count * count for gram, count in counts.items()}


def _matrix(rows: Sequence[Grams], index: Mapping[tuple[str, ...], int]) -> sparse.csr_array:
    starts = np.cumsum([0, *map(len, rows)])
    columns = [index[gram] for row in rows for gram in row]
    values = np.array([count for row in rows for count in row.values()], np.float64)
    return sparse.csr_array((values, columns, starts), shape=(len(rows), max(1, len(index))))


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
