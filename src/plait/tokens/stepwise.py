"""One pass over a sequence, in steps: what a part must remember of earlier rows to give the same tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from torch import Tensor

from plait.tokens.tokens import Tokens, blank, cat

__all__ = ["InTurn", "State", "Stepwise", "leaves", "like", "reach_of"]

State: TypeAlias = "tuple[Tensor | State, ...]"
"""Nested tuples of tensors [batch, ...]: states of several sessions are one batch, and are saved without pickle."""


class Stepwise:
    """A map of Tokens to Tokens that can also be fed a little at a time; a mixin.

    ``begin``, any number of ``step`` and then ``end`` give, joined along time, the tokens of one pass over all rows, in
    evaluation mode. A state is never changed in place: to go on from an earlier one is to take a step back, so a
    tentative answer costs no copy.

    By default the last `reach` rows are kept and computed again with the new ones (overlap and save). Without a reach
    all rows are kept, and all tokens come at the end.
    """

    reach: int | None = None
    """Rows before a token's own window of `stride` rows on which it depends, at most; None: later rows too, or no limit
    is known."""

    stride: int = 1
    """Rows per token. Token j stands for the rows from ``j * stride`` on."""

    dim_in: int
    dim: int

    @property
    def bounded(self) -> bool:
        """Whether its state has the same size however many rows were read."""
        return self.reach is not None

    @property
    def _lead(self) -> int:
        """Tokens that the rows kept are computed for, and that were given before."""
        return 0 if self.reach is None else math.ceil(self.reach / self.stride)

    @property
    def pace(self) -> int:
        """Rows per token, of all parts in sequence."""
        return self.stride

    def begin(self, batch: int) -> State:
        """The state before the first row, of ``batch`` sequences."""
        # masked rows count as the zeros that a pass puts before the first row
        return tuple(blank(batch, self.reach or 0, self.dim_in))

    def step(self, state: State, tokens: Tokens) -> tuple[State, Tokens]:
        """Read the next rows, [batch, rows, dim_in]; the same number for every sequence.

        Returns:
            The next state, and the tokens [batch, tokens, dim] that no later row can change.
        """
        rows = cat([Tokens(*state), tokens.clean()])  # type: ignore[arg-type]
        every = self._led(rows)
        whole = every.mask.shape[1] // self.stride
        if self.reach is None or whole == self._lead:
            return tuple(rows), blank(rows.mask.shape[0], 0, self.dim)
        found = _part(self(every), slice(self._lead, whole))  # type: ignore[operator]
        return tuple(self.kept(every, whole)), found

    def _led(self, rows: Tokens) -> Tokens:
        """``rows``, with what makes the rows of the tokens that were given before whole."""
        short = self._lead * self.stride - (self.reach or 0)
        return cat([blank(rows.mask.shape[0], short, self.dim_in), rows])

    def kept(self, rows: Tokens, whole: int) -> Tokens:
        """What a state keeps of ``rows``, of which the tokens up to ``whole`` were given."""
        return _part(rows, slice(whole * self.stride - (self.reach or 0), None))

    def end(self, state: State) -> Tokens:
        """The tokens that are still to come if there are no more rows."""
        rows = self._led(Tokens(*state))  # type: ignore[arg-type]
        if rows.mask.shape[1] == self._lead * self.stride:
            return blank(rows.mask.shape[0], 0, self.dim)
        return _part(self(rows), slice(self._lead, None))  # type: ignore[operator]


class InTurn(Stepwise):
    """Parts of which each reads the tokens of the one before, in steps as each by itself; a mixin.

    Without `links` it is stepped as a whole.
    """

    @property
    def links(self) -> Sequence[Stepwise]:
        """The parts, in order."""
        return ()

    @property
    def bounded(self) -> bool:
        return all(link.bounded for link in self.links) if self.links else super().bounded

    @property
    def pace(self) -> int:
        return math.prod(link.pace for link in self.links) if self.links else self.stride

    def begin(self, batch: int) -> State:
        return tuple(link.begin(batch) for link in self.links) or super().begin(batch)

    def step(self, state: State, tokens: Tokens) -> tuple[State, Tokens]:
        if not self.links:
            return super().step(state, tokens)
        after = []
        for link, own in zip(self.links, state):
            new, tokens = link.step(own, tokens)  # type: ignore[arg-type]
            after.append(new)
        return tuple(after), tokens

    def end(self, state: State) -> Tokens:
        if not self.links:
            return super().end(state)
        (first, *later), (own, *others) = self.links, state
        rest = first.end(own)  # type: ignore[arg-type]
        for link, own in zip(later, others):
            # what an earlier part still gives is read before this one ends
            own, given = link.step(own, rest)  # type: ignore[arg-type]
            rest = cat([given, link.end(own)])
        return rest


def reach_of(spans: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """Reach and stride of causal convolutions in sequence, whose kernels span so many rows.

    >>> reach_of([5, 5], [2, 2])
    (9, 4)
    """
    reach, stride = 0, 1
    for span, own in zip(spans, strides):
        reach, stride = reach + (span - own) * stride, stride * own
    return reach, stride


def leaves(state: State) -> list[Tensor]:
    """All tensors of a state, in order.

    >>> import torch
    >>> [len(x) for x in leaves((torch.zeros(1), (torch.zeros(2), torch.zeros(3))))]
    [1, 2, 3]
    """
    return [x for own in state for x in ([own] if isinstance(own, Tensor) else leaves(own))]


def like(state: State, parts: Iterator[Tensor]) -> State:
    """Tensors in the order of `leaves`, nested as ``state``."""
    return tuple(next(parts) if isinstance(x, Tensor) else like(x, parts) for x in state)


def _part(tokens: Tokens, places: slice) -> Tokens:
    return Tokens(*(x[:, places] for x in tokens))
