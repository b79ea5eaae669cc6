"""N-gram language models, estimated from the sequences of the training items."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError

__all__ = ["NGram"]

START = -1
"""Fills the context at the start of a sequence."""

Context = tuple[int, ...]
Counts = Mapping[Context, Mapping[int, int]]
"""How often each token followed each context."""


class NGram:
    """Probabilities of the next token given the ``order - 1`` before it; interpolated Witten-Bell smoothing.

    ``P(w | h) = (c(h, w) + T(h) P(w | h')) / (c(h) + T(h))``: c are counts, T(h) is the number of different tokens that
    followed the context h, and h' is h without its oldest token; below one token all are equal (Witten & Bell 1991,
    method C, interpolated as in Chen & Goodman 1998, "An empirical study of smoothing techniques for language
    modeling", section 2.6). Unlike Kneser-Ney discounts it is defined for corpora of any size.

    Args:
        counts: of each token after each context of ``order - 1`` tokens; `START` in front, and the token ``size`` at
            the end of each sequence.
        size: number of tokens, numbered from 0.
        order: tokens per n-gram; 1 ignores the context.

    Raises:
        ConfigError: an order below 1.

    >>> model = NGram.of([[0, 1], [0, 1], [0, 0]], 2, 2)
    >>> model.log_probs([]).round(2).tolist(), model.log_probs([1]).round(2).tolist()
    ([-0.16, -2.77, -2.48], [-1.97, -2.48, -0.25])
    """

    def __init__(self, counts: Counts, size: int, order: int) -> None:
        if order < 1:
            raise ConfigError(f"ngram: order {order}; expected 1 or more.")
        self.counts, self.size, self.order = counts, size, order
        # Counts of shorter contexts are sums over the longest ones, since START fills these up.
        self._shorter: dict[Context, Counter[int]] = defaultdict(Counter)
        for context, row in counts.items():
            for skipped in range(order):
                self._shorter[context[skipped:]].update(row)
        self._known: dict[Context, NDArray[np.float64]] = {}

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]], size: int, order: int) -> NGram:
        """The model of some sequences of tokens."""
        counts: dict[Context, Counter[int]] = defaultdict(Counter)
        for tokens in sequences:
            padded = [START] * (order - 1) + [*tokens, size]
            for i in range(order - 1, len(padded)):
                counts[tuple(padded[i - order + 1 : i])][padded[i]] += 1
        return cls(counts, size, order)

    def log_probs(self, tokens: Sequence[int]) -> NDArray[np.float64]:
        """Natural logarithms of the probabilities of each next token, and last of the end, [size + 1].

        Args:
            tokens: the sequence so far.
        """
        last = tuple(tokens)[max(len(tokens) - self.order + 1, 0) :]
        context = (START,) * (self.order - 1 - len(last)) + last
        if context not in self._known:
            self._known[context] = np.log(self._probs(context))
        return self._known[context]

    def _probs(self, context: Context) -> NDArray[np.float64]:
        found = np.full(self.size + 1, 1 / (self.size + 1))
        for length in range(len(context) + 1):
            row = self._shorter.get(context[len(context) - length :])
            if row is None:
                break  # longer contexts did not occur either
            kinds, total = len(row), sum(row.values())
            found = kinds * found
            for token, count in row.items():
                found[token] += count
            found /= kinds + total
        return found

    def perplexity(self, sequences: Iterable[Sequence[int]]) -> float:
        """The perplexity per token, with the ends of the sequences; nan of none."""
        logs = [self.log_probs(s[:i])[t] for s in sequences for i, t in enumerate([*s, self.size])]
        return math.exp(-float(np.mean(logs))) if logs else math.nan

    def to_json(self) -> dict[str, object]:
        """Everything, as JSON."""
        rows = [[list(context), *map(list, zip(*sorted(row.items())))] for context, row in sorted(self.counts.items())]
        return {"order": self.order, "size": self.size, "counts": rows}

    @classmethod
    def from_json(cls, saved: Mapping[str, object]) -> NGram:
        """The model that `to_json` wrote.

        Raises:
            DataError: it is garbled.
        """
        rows, size, order = saved.get("counts"), saved.get("size"), saved.get("order")
        if not isinstance(rows, list) or not isinstance(size, int) or not isinstance(order, int):
            raise DataError("ngram: expected its order, size and counts. Fit again.")
        return cls({tuple(context): dict(zip(tokens, counts)) for context, tokens, counts in rows}, size, order)
