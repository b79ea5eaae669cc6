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
    loop, count = _Loop(step, inputs), len(states)
    every = [one.new_zeros(loop.time, *one.shape) for one in states]
    found = torch.while_loop(loop.more, loop.once, (torch.zeros((), dtype=torch.int64), *states, *every))
    return tuple(found[1 : count + 1]), tuple(found[count + 1 :])


class _Loop:
    """What goes on in `torch.while_loop`, which carries the place, the states, and the states after every row."""

    def __init__(self, step: Step, inputs: Sequence[Tensor]) -> None:
        self.step, self.inputs, self.time = step, inputs, inputs[0].shape[0]
        self.place = torch.arange(self.time)

    def more(self, t: Tensor, *carried: Tensor) -> Tensor:
        return t < self.time

    def once(self, t: Tensor, *carried: Tensor) -> tuple[Tensor, ...]:
        count = len(carried) // 2
        after = self.step(carried[:count], tuple(x.index_select(0, t[None])[0] for x in self.inputs))
        here = [(self.place == t).reshape(-1, *[1] * one.ndim) for one in after]
        kept = [torch.where(own, one[None], old) for own, one, old in zip(here, after, carried[count:])]
        return (t + 1, *(one.clone() for one in after), *kept)
