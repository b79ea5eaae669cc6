"""The shortest stretch of time whose removal turns the decision.

A counterfactual of the model (Wachter, Mittelstadt & Russell 2018, "Counterfactual explanations without opening the
black box"): the nearest input without a span at which the model decides otherwise. It says nothing of what would have
happened in the world.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from plait.evaluation.explanation.parts import Answer
from plait.tokens import Tokens

__all__ = ["Span", "turning_spans"]


class Span(NamedTuple):
    """Attributes:
    start, stop: seconds from the item's start.
    answer: the class that the model names without it.
    """

    start: float
    stop: float
    answer: int


@torch.no_grad()
def turning_spans(
    answer: Answer, tokens: dict[str, Tokens], seconds: Tensor, *, steps: int = 25, most: float = 0.5
) -> list[Span | None]:
    """For each item the shortest span, of all streams at once, without which the model names another class.

    Spans of each length are tried at every place on a grid, short ones first; of the equally short that which leaves
    the least of the answer.

    Args:
        answer: classes that were named; of other claims no span is looked for.
        tokens: the items.
        seconds: length of each item, [batch].
        steps: steps of the grid per item.
        most: the longest span, as a share of the item.

    Returns:
        None for an item whose decision no such span turns.
    """
    chosen = answer.chosen
    if chosen is None:
        return [None] * len(seconds)
    found: list[Span | None] = [None] * len(seconds)
    for long in range(1, int(steps * most) + 1):
        left = [i for i, span in enumerate(found) if span is None]
        if not left:
            break
        own, index = {m: Tokens(*(x[left] for x in t)) for m, t in tokens.items()}, torch.tensor(left)
        least = torch.full((len(left),), torch.inf)
        step = seconds[index] / steps
        for place in range(steps - long + 1):
            start, stop = place * step, (place + long) * step
            output = answer.output({m: _without(t, start, stop) for m, t in own.items()})
            sure = torch.from_numpy(answer.model.task.scores(output))
            kept = sure.gather(1, chosen[index][:, None])[:, 0]
            said = sure.argmax(1)
            for k in ((said != chosen[index]) & (kept < least)).nonzero()[:, 0].tolist():
                least[k] = kept[k]
                found[left[k]] = Span(float(start[k]), float(stop[k]), int(said[k]))
    return found


def _without(tokens: Tokens, start: Tensor, stop: Tensor) -> Tokens:
    inside = (tokens.times >= start[:, None]) & (tokens.times < stop[:, None])
    return tokens._replace(mask=tokens.mask & ~inside)
