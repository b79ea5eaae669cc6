"""A loop over time that a graph can hold for any length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["over_time"]

Step = Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, ...]]
"""The states before a row, and the row of each input -> the states after it."""


def over_time(step: Step, states: tuple[Tensor, ...], inputs: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
    """The states after each row of the inputs.

    Args:
        step: what a row does to the states; their shapes stay the same.
        states: before the first row.
        inputs: [time, ...] each, time first, of one length.

    Returns:
        Each state after the last row, and after every row, [time, ...].

    >>> last, every = over_time(lambda s, x: (s[0] + x[0],), (torch.zeros(()),), [torch.tensor([1.0, 2.0, 4.0])])
    >>> last[0].item(), every[0].tolist()
    (7.0, [1.0, 3.0, 7.0])
    """
    if torch.compiler.is_compiling() and hasattr(torch, "while_loop"):  # not in the oldest torch
        return _as_graph(step, states, inputs)
    every: list[tuple[Tensor, ...]] = []
    for row in zip(*inputs):
        states = step(states, row)
        every.append(states)
    if not every:
        return states, tuple(one.new_zeros(0, *one.shape) for one in states)
    return states, tuple(torch.stack(one) for one in zip(*every))


def _as_graph(step: Step, states: tuple[Tensor, ...], inputs: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
    """One node for the loop, where Python's own would be unrolled for one length."""
    time, count = inputs[0].shape[0], len(states)
    place = torch.arange(time)
    every = tuple(one.new_zeros(time, *one.shape) for one in states)

    def more(t: Tensor, *_: Tensor) -> Tensor:
        return t < time

    def once(t: Tensor, *carried: Tensor) -> tuple[Tensor, ...]:
        row = tuple(x.index_select(0, t[None])[0] for x in inputs)
        after = step(carried[:count], row)
        here = [(place == t).reshape(-1, *[1] * one.ndim) for one in after]
        kept = [torch.where(own, one[None], old) for own, one, old in zip(here, after, carried[count:])]
        return (t + 1, *(one.clone() for one in after), *kept)

    found = torch.while_loop(more, once, (torch.zeros((), dtype=torch.int64), *states, *every))
    return tuple(found[1 : count + 1]), tuple(found[count + 1 :])
