"""The head of relations: messages between the pairs of a scene."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from plait.tasks.geometry import GEOMETRY, geometry, mirrored
from plait.tokens import Instants, Pairs, Tokens

__all__ = ["Messages", "PairHead", "token_of_rows"]

SAME = 1e-3
"""Seconds by which a token's time may differ from that of its object's row."""


class PairHead(nn.Module):
    """From the tokens of two objects and the place of their boxes to the logits of their pair.

    At each instant that shows both, one layer over their tokens, the geometry of their boxes and the position in the
    item (0 to 1); mean and maximum over these instants; messages from the other pairs of the scene (`Messages`); one
    more layer, and a linear one.

    The token of an object's row is the one of the same number and time. So all streams with a row per object fit, in
    the order of the objects' stream: classes and boxes, features of the boxes' pixels, keypoints; and all encoders that
    keep one token per row. Where there is none, zeros stand, and the geometry alone answers.

    Args:
        dim: width of the tokens.
        width: numbers per pair in the output.
        hidden: width of the two layers.
        messages: width of a message; 0: pairs know nothing of each other.
        dropout: share of the layers set to 0 in training.
        swapped: the numbers of the outputs in a mirror image; given, half of the items are mirrored in training.
    """

    def __init__(
        self,
        dim: int,
        width: int,
        *,
        hidden: int = 256,
        messages: int = 64,
        dropout: float = 0.5,
        swapped: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.swapped = None if swapped is None else list(swapped)
        self.enter = nn.Sequential(nn.Linear(2 * dim + GEOMETRY + 1, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.pool = nn.Linear(2 * hidden, hidden)
        self.messages = Messages(hidden, messages) if messages else None
        more = self.messages.width if self.messages else 0
        self.layer = nn.Sequential(nn.Linear(hidden + more, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.leave = nn.Linear(hidden, width)
        self.width = width

    def forward(self, tokens: Tokens, at: Instants) -> Float[Tensor, "batch steps width"]:
        """[batch, time, dim] -> [batch, steps, width]; steps that are not asked get zeros."""
        pairs = at.pairs
        if pairs is None:
            return tokens.values.new_zeros(*at.mask.shape, self.width)
        flip = torch.rand(len(pairs.which), device=pairs.which.device) < 0.5 if self._flips() else None
        boxes = pairs.boxes if flip is None else torch.where(flip[:, None, None], mirrored(pairs.boxes), pairs.boxes)
        state = self._pairs(tokens, pairs._replace(boxes=boxes))
        if self.messages is not None:
            state = torch.cat([state, self.messages(state, pairs)], -1)
        out = _where(pairs.which[..., 0] >= 0, nn.Sequential(self.layer, self.leave), state)
        if flip is not None:
            out = torch.where(flip[:, None, None], out[..., self.swapped], out)
        return out.gather(1, pairs.step[..., None].expand(-1, -1, self.width))

    def _flips(self) -> bool:
        return self.training and self.swapped is not None

    def _pairs(self, tokens: Tokens, pairs: Pairs) -> Float[Tensor, "batch pairs hidden"]:
        seen = pairs.rows[..., 0] >= 0
        found = _where(seen, self.enter, self._columns(tokens, pairs))
        if found.shape[2] == 1:  # a picture: mean and maximum are the same
            return found[:, :, 0]
        mean = found.sum(2) / seen.sum(2)[..., None].clamp(min=1)
        # The layer ends in a ReLU, so that 0 is no more than what is there.
        return F.relu(mean + self.pool(torch.cat([mean, found.amax(2)], -1)))

    def _columns(self, tokens: Tokens, pairs: Pairs) -> Float[Tensor, "batch pairs times columns"]:
        rows = pairs.rows.clamp(min=0)
        own = _rows(token_of_rows(tokens, pairs), rows.flatten(1)).unflatten(1, rows.shape[1:])
        boxes = _rows(pairs.boxes, rows.flatten(1)).unflatten(1, rows.shape[1:])
        when = _rows(pairs.times[..., None], rows[..., 0].flatten(1)).unflatten(1, rows.shape[1:3])
        share = (when / pairs.times.amax(1).clamp(min=1e-6)[:, None, None, None]).clamp(0, 1)
        place = geometry(boxes[..., 0, :], boxes[..., 1, :])
        return torch.cat([own.flatten(3), place.to(own.dtype), share.to(own.dtype)], -1)


def _where(mask: Bool[Tensor, "*rows"], layers: nn.Module, x: Float[Tensor, "*rows columns"]) -> Tensor:
    """The layers where the mask is True, zeros elsewhere: most places of a batch are padding."""
    if torch.compiler.is_compiling():  # a graph has no sizes that depend on data
        return torch.where(mask[..., None], layers(x), 0.0)
    found: Tensor = layers(x[mask])
    return found.new_zeros(*mask.shape, found.shape[-1]).masked_scatter(mask[..., None], found)


class Messages(nn.Module):
    """What the other pairs of a scene tell a pair: messages along shared objects.

    Each pair sends one message as a subject's and one as an object's pair. A pair gets four sums: of the other pairs
    with its subject as subject, with its subject as object, with its object as subject, and with its object as object;
    then the message of the same two objects the other way round, and how many pairs sent each. It is the message
    passing of Xu et al. 2017 ("Scene graph generation by iterative message passing", section 4) in one round, with
    sums divided by the root of their number in place of attention.

    Args:
        dim: width of a pair.
        size: width of a message.
        dropout: share of the sums set to 0 in training.
    """

    def __init__(self, dim: int, size: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.send = nn.Linear(dim, 3 * size)
        self.dropout = nn.Dropout(dropout)
        self.width = 5 * size + 5

    def forward(self, state: Float[Tensor, "batch pairs dim"], pairs: Pairs) -> Float[Tensor, "batch pairs width"]:
        which = pairs.which
        there = (which[..., :1] >= 0).to(state.dtype)
        sent = F.relu(self.send(state)) * there
        as_subject, as_object, back = sent.chunk(3, -1)
        one, two = which.clamp(min=0).unbind(-1)
        same = [[_same(a, b, there) for b in (one, two)] for a in (one, two)]
        itself = torch.eye(which.shape[1], dtype=state.dtype, device=state.device)
        # To the subject: from pairs that share it as subject (without itself), as object; the same to the object.
        links = [same[0][0] * (1 - itself), same[0][1], same[1][0], same[1][1] * (1 - itself)]
        counts = torch.stack([link.sum(-1) for link in links], -1)
        sums = [link @ message for link, message in zip(links, (as_subject, as_object) * 2)]
        sums = [s / counts[..., i, None].clamp(min=1).sqrt() for i, s in enumerate(sums)]
        turned = same[0][1] * same[1][0]
        told = self.dropout(torch.cat([*sums, turned @ back], -1))
        return torch.cat([told, counts.log1p(), turned.sum(-1, keepdim=True)], -1)


def _same(
    a: Int[Tensor, "batch pairs"], b: Int[Tensor, "batch pairs"], there: Tensor
) -> Float[Tensor, "batch pairs pairs"]:
    """Whether the object ``a`` of a pair is the object ``b`` of another one that is there."""
    return (a[:, :, None] == b[:, None, :]).to(there.dtype) * there.transpose(1, 2)


def token_of_rows(tokens: Tokens, pairs: Pairs) -> Float[Tensor, "batch rows dim"]:
    """The token of each row of the objects' stream: that of the same number, if it has the same time; else zeros.

    >>> none, some = torch.zeros(1, 0).long(), torch.zeros(1, 0, 2).long()
    >>> pairs = Pairs(none, ((),), some, torch.tensor([[0.0, 0.0, 1.0]]), torch.zeros(1, 3, 6), some[:, :, None])
    >>> tokens = Tokens(torch.tensor([[[4.0], [5.0]]]), torch.tensor([[0.0, 0.0]]), torch.ones(1, 2) > 0)
    >>> token_of_rows(tokens, pairs)[0, :, 0].tolist()
    [4.0, 5.0, 0.0]
    """
    rows = pairs.times.shape[1]
    more = max(rows - tokens.mask.shape[1], 0)
    values, times = F.pad(tokens.values, (0, 0, 0, more))[:, :rows], F.pad(tokens.times, (0, more))[:, :rows]
    same = F.pad(tokens.mask, (0, more))[:, :rows] & ((times - pairs.times.to(times.dtype)).abs() <= SAME)
    return torch.where(same[..., None], values, 0.0)


def _rows(
    values: Float[Tensor, "batch rows dim"], index: Int[Tensor, "batch wanted"]
) -> Float[Tensor, "batch wanted dim"]:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
