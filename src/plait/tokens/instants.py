"""Instants at which answers are wanted, and token values interpolated at them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from plait.tokens.tokens import Tokens

__all__ = ["Instants", "Pairs", "Reference", "at_instants", "in_time"]


class Reference(NamedTuple):
    """What answers about the future are told relative to.

    Attributes:
        ahead: [batch, steps], seconds from the end of what was observed to the instant.
        centre: [batch, steps, targets], in the units of each target.
        scale: [batch, steps, targets], in the same units, above 0.
    """

    ahead: Float[Tensor, "batch steps"]
    centre: Float[Tensor, "batch steps targets"]
    scale: Float[Tensor, "batch steps targets"]


class Pairs(NamedTuple):
    """The graph that is asked about: objects, and pairs of them, subject and object.

    Attributes:
        step: the number of the pair that each step of `Instants` asks about, [batch, steps].
        objects: per item its objects, each an id and a class, [batch][objects].
        which: the numbers of subject and object among these, [batch, pairs, 2]; -1: no pair.
        times: when each row of the objects' stream was seen, seconds from the start of the item, [batch, rows].
        boxes: left, top, right, bottom in pixels, and width and height of the picture, [batch, rows, 6].
        rows: the rows at which both are seen at once, of subject and of object, [batch, pairs, times, 2]; -1: none.
    """

    step: Int[Tensor, "batch steps"]
    objects: tuple[tuple[tuple[str, str], ...], ...]
    which: Int[Tensor, "batch pairs 2"]
    times: Float[Tensor, "batch rows"]
    boxes: Float[Tensor, "batch rows 6"]
    rows: Int[Tensor, "batch pairs times 2"]

    def of(self, items: Tensor) -> Pairs:
        """The pairs of some items, without places that none of these needs."""
        objects = tuple(self.objects[i] for i in items.tolist())
        which, rows = self.which[items], self.rows[items]
        pairs = max(int((which[..., 0] >= 0).sum(1).max()), 1) if len(items) else 1
        seen = max(int((rows[..., 0] >= 0).sum(2).max()), 1) if len(items) else 1
        step = self.step[items].clamp(max=pairs - 1)
        rest = self.times[items], self.boxes[items]
        return Pairs(step, objects, which[:, :pairs], *rest, rows[:, :pairs, :seen])


class Instants(NamedTuple):
    """A padded batch of instants.

    Attributes:
        times: [batch, steps], seconds from the start of the item, in order.
        mask: [batch, steps], True where an answer is wanted. Values under False are ignored.
        reference: of instants in the future; None where they lie within the item.
        pairs: the pairs of objects that the steps ask about; None where answers are not about objects.
    """

    times: Float[Tensor, "batch steps"]
    mask: Bool[Tensor, "batch steps"]
    reference: Reference | None = None
    pairs: Pairs | None = None

    def of(self, items: Tensor) -> Instants:
        """The instants of some items."""
        known = None if self.reference is None else Reference(*(x[items] for x in self.reference))
        pairs = None if self.pairs is None else self.pairs.of(items)
        return Instants(self.times[items], self.mask[items], known, pairs)

    def part(self, steps: slice) -> Instants:
        """Some of the steps; the pairs stay, as they are the context of each other."""
        pairs = self.pairs and self.pairs._replace(step=self.pairs.step[:, steps])
        reference = self.reference and Reference(*(x[:, steps] for x in self.reference))
        return Instants(self.times[:, steps], self.mask[:, steps], reference, pairs)


def at_instants(tokens: Tokens, at: Instants, *, causal: bool = False) -> Float[Tensor, "batch steps dim"]:
    """Token values at each instant, interpolated linearly between the observations around it.

    The first observation is held before it, the last one after it. An item without observations gives zeros.

    Args:
        tokens: in any order of time.
        at: the instants.
        causal: take the last observation at or before the instant instead; zeros where there is none yet.

    >>> mask = torch.tensor([[True, True, False]])
    >>> tokens = Tokens(torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([[0.0, 1.0, 5.0]]), mask)
    >>> at = Instants(torch.tensor([[0.25, 3.0]]), torch.ones(1, 2) > 0)
    >>> at_instants(tokens, at)[0, :, 0].tolist(), at_instants(tokens, at, causal=True)[0, :, 0].tolist()
    ([2.5, 4.0], [2.0, 4.0])
    """
    batch, steps = at.times.shape
    if tokens.values.shape[1] == 0:
        return tokens.values.new_zeros(batch, steps, tokens.dim)
    times, order = in_time(tokens)
    count = tokens.mask.sum(1, keepdim=True)
    place = torch.searchsorted(times, at.times.to(times.dtype).contiguous(), right=True) - 1
    # the observed tokens alone are candidates: place + 1 may already be a masked one
    left, right = place.clamp(min=0), torch.minimum(place + 1, (count - 1).clamp(min=0))
    left = torch.minimum(left, right)
    before, after = _rows(tokens, order, left), _rows(tokens, order, right)
    some = (count > 0)[..., None]
    if causal:
        return torch.where(some & (place >= 0)[..., None], before, 0.0)
    start, stop = times.gather(1, left), times.gather(1, right)
    # two observations at one time, or one held at an edge: no division by 0
    share = (at.times - start) / torch.where(stop > start, stop - start, 1.0)
    return torch.where(some, torch.lerp(before, after, share.clamp(0, 1)[..., None].to(before.dtype)), 0.0)


def in_time(tokens: Tokens) -> tuple[Float[Tensor, "batch time"], Int[Tensor, "batch time"]]:
    """Times in order, as `torch.searchsorted` needs them, and where each stood.

    Masked tokens go to the end, as if in the far future.
    """
    far = torch.finfo(tokens.times.dtype).max
    times, order = torch.where(tokens.mask, tokens.times, far).sort(dim=1, stable=True)
    return times, order


def _rows(tokens: Tokens, order: Tensor, place: Tensor) -> Float[Tensor, "batch steps dim"]:
    index = order.gather(1, place)[..., None].expand(-1, -1, tokens.dim)
    return tokens.values.gather(1, index)
