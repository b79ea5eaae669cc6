"""Batches of similar length, to keep padding small."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

__all__ = ["LengthBatches"]


class LengthBatches(Sampler[list[int]]):
    """Random batches of items of similar length: shuffled, then sorted by length within pools of batches.

    The order depends on seed and epoch alone, so that a resumed training continues as if never interrupted.

    Args:
        lengths: length of each item (any unit).
        batch: items per batch; the last may be smaller.
        seed: seed of the order.
        epoch: called for the number of the epoch at the start of each.
        pool: batches per pool; a larger pool pads less and shuffles less.

    >>> sampler = LengthBatches([5, 1, 4, 2], batch=2, seed=0)
    >>> sorted(i for b in sampler for i in b)
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        lengths: Sequence[float],
        *,
        batch: int,
        seed: int,
        epoch: Callable[[], int] = lambda: 0,
        pool: int = 8,
    ) -> None:
        self.lengths = np.asarray(lengths, float)
        self.batch, self.seed, self.pool, self.epoch = batch, seed, pool, epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self.seed, self.epoch()))
        order = rng.permutation(len(self.lengths))
        size = self.batch * self.pool
        pools = [order[i : i + size] for i in range(0, len(order), size)]
        batches: list[list[int]] = []
        for one in pools:
            # Stable: an unstable sort may order equal lengths differently on another machine.
            ranked = one[np.argsort(self.lengths[one], kind="stable")]
            batches += [ranked[i : i + self.batch].tolist() for i in range(0, len(ranked), self.batch)]
        # Without this the short batches of each pool would always come first.
        return iter([batches[i] for i in rng.permutation(len(batches))])
