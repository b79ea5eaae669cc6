"""What of an answer can be explained by itself: a class, an event, a word, a text, a horizon, a relation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

__all__ = ["Claim", "about", "stacked"]


class Claim(NamedTuple):
    """A part of an answer that is true or not by itself (see `plait.tasks.Task.claims`).

    Attributes:
        text: for people.
        target: the claim as `plait.tasks.Task.claimed` takes it; what it says nothing of is -1.
        span: start and stop in seconds from the item's start of what it says; None: it is about the whole item.
        unit: of a value: by what `claimed` is multiplied to be in the target's units; None: it is a log-probability.
    """

    text: str
    target: Tensor
    span: tuple[float, float] | None = None
    unit: float | None = None


def stacked(claims: Sequence[Claim]) -> Tensor:
    """The targets of claims of one task, one of each item, [batch, ...]; of unequal length they are padded with -1.

    >>> stacked([Claim("a", torch.tensor([1, 2])), Claim("b", torch.tensor([3]))]).tolist()
    [[1, 2], [3, -1]]
    """
    targets = [claim.target for claim in claims]
    return pad_sequence(targets, batch_first=True, padding_value=-1) if targets[0].ndim else torch.stack(targets)


def about(tokens: Int[Tensor, " length"], places: Iterable[int]) -> Int[Tensor, "length 2"]:
    """The target of a claim in a text: all its tokens, and 1 at those that it is about.

    >>> about(torch.tensor([7, 8, 0]), [1]).tolist()
    [[7, 0], [8, 1], [0, 0]]
    """
    asked = torch.zeros_like(tokens)
    asked[[*places]] = 1
    return torch.stack([tokens, asked], 1)
