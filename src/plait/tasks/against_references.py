"""Scores of texts against several references, from rows of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from plait.metrics import Metric
from plait.metrics.cider import Cider, CiderTable, Rarity, cider_each
from plait.tasks.consensus import most_typical
from plait.tasks.references import Vocabulary

__all__ = ["AgainstReferences"]

Rows = NDArray[np.generic]


class AgainstReferences:
    """Metrics of decoded rows [items, longest] against rows of true texts (`plait.tasks.references`).

    Args:
        words: what the numbers mean.
        metrics: by name, the main one first.
        training: the training texts, by item.
    """

    def __init__(self, words: Vocabulary, metrics: Mapping[str, Metric], training: Sequence[Sequence[str]]) -> None:
        self.words, self._metrics, self.rarity = words, dict(metrics), Rarity(training)
        self.main_metric = next(iter(self._metrics))
        self.seen = {text for own in training for text in own}

    def texts(self, scores: Rows, target: Rows) -> list[tuple[str, str]]:
        """The true texts, joined, and the answer of each item."""
        return [(" | ".join(self.words.texts(true)), self.words.text(said)) for true, said in zip(target, scores)]

    def _pairs(self, scores: Rows, target: Rows) -> tuple[list[list[str]], list[str]]:
        kept = [i for i, row in enumerate(target) if bool((row > 0).any())]
        return [self.words.texts(target[i]) for i in kept], [self.words.text(scores[i]) for i in kept]

    def metrics(self, scores: Rows, target: Rows) -> dict[str, float]:
        """All metrics; and ``novelty``, the share of the answers that are none of the training texts. Items without a
        true text do not count."""
        true, said = self._pairs(scores, target)
        new = [text not in self.seen for text in said]
        found = {name: metric(true, said) for name, metric in self._metrics.items()}
        return {**found, "novelty": float(np.mean(new)) if new else float("nan")}

    def main(self, scores: Rows, target: Rows) -> float:
        """The main metric alone."""
        return self._metrics[self.main_metric](*self._pairs(scores, target))

    def scorer(self, scores: Rows, target: Rows) -> Callable[[NDArray[np.intp]], float]:
        """The main metric of some items, by their indices; texts are read once."""
        true, said = self._pairs(scores, target)
        known: NDArray[np.bool_] = np.any(np.asarray(target, np.int64) > 0, axis=1)
        place, metric = np.cumsum(known) - 1, self._metrics[self.main_metric]
        table = CiderTable(true, said) if type(metric) is Cider else None

        def of(i: NDArray[np.intp]) -> float:
            rows = place[i[known[i]]]
            return table(rows) if table else metric([true[k] for k in rows], [said[k] for k in rows])

        return of

    def each(self, scores: Rows, target: Rows) -> NDArray[np.float64]:
        """The main metric of each item. CIDEr of one item alone would be 0: what is rare, all items tell together."""
        true, said = [self.words.texts(row) for row in target], [self.words.text(row) for row in scores]
        if self.main_metric == "cider":
            return cider_each(true, said)
        metric = self._metrics[self.main_metric]
        return np.array([metric([texts], [text]) for texts, text in zip(true, said)])

    def baseline(self, train: Rows, count: int) -> NDArray[np.float64]:
        """The most typical training text, for every item: the one that agrees most with the others."""
        texts = [text for row in train for text in self.words.texts(row)]
        said = most_typical(texts, self.rarity).split()
        numbers = self.words.numbers(self.words.spelling.split(said))
        return np.broadcast_to(np.array(numbers or [-1], np.float64), (count, max(len(numbers), 1))).copy()
