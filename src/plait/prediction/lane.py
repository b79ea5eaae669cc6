"""Items in progress: what a model has made so far of the rows of an interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plait.encoders import Encoder
from plait.models.ensemble import Encoded
from plait.models.model import Model
from plait.prediction.feature_ring import Piece
from plait.tokens import Tokens
from plait.tokens.stepwise import State, leaves, like
from plait.tokens.tokens import blank, cat

__all__ = ["Lane", "Track", "bounded", "fed", "opened", "so_far"]


class Track(NamedTuple):
    """One modality of one model.

    Attributes:
        state: of the encoder.
        tokens: those that no later row can change, [1, n, dim].
        seen: whether it has an observation, [1].
    """

    state: State
    tokens: Tokens
    seen: Tensor


class Lane(NamedTuple):
    """An item in progress. It is never changed: an answer that is tried out leaves nothing behind.

    Attributes:
        start: seconds, from which the item's times count.
        tracks: by modality, of the model and of each wide part.
    """

    start: float
    tracks: dict[str, tuple[Track, ...]]

    @property
    def bytes(self) -> int:
        """Of all its tensors."""
        every = [x for tracks in self.tracks.values() for t in tracks for x in (*leaves(t.state), *t.tokens)]
        return sum(x.numel() * x.element_size() for x in every)


def opened(model: Model, start: float) -> Lane:
    """An item that begins at ``start`` and has no rows yet."""
    return Lane(start, {m: tuple(_opened(one, m) for one in _models(model)) for m in model.modalities})


def fed(model: Model, lanes: Sequence[Lane], rows: Sequence[Mapping[str, Piece]]) -> list[Lane]:
    """Lanes with their next rows of features, by modality and in order of time.

    Rows of several lanes are one batch wherever as many are read from states of one shape: a step costs much alike,
    however many sequences it reads.
    """
    tracks = [dict(lane.tracks) for lane in lanes]
    for m in model.modalities:
        places = [i for i, own in enumerate(rows) if m in own and len(own[m].times)]
        tokens = [_tokens(rows[i][m], lanes[i].start) for i in places]
        for depth, one in enumerate(_models(model)):
            found = _stepped(one, m, [lanes[i].tracks[m][depth] for i in places], tokens)
            for i, track in zip(places, found):
                tracks[i][m] = (*tracks[i][m][:depth], track, *tracks[i][m][depth + 1 :])
    return [lane._replace(tracks=own) for lane, own in zip(lanes, tracks)]


def so_far(model: Model, lanes: Sequence[Lane]) -> Encoded:
    """What the model's heads read if the items ended now: as `Model.encode` of their rows, [lanes, ...]."""
    found: Encoded | None = None
    for depth, one in reversed([*enumerate(_models(model))]):
        own = Encoded({m: beside(_ended(one, m, [x.tracks[m][depth] for x in lanes])) for m in one.modalities})
        own.wide = found
        found = own
    return found or Encoded()


def beside(parts: Sequence[Tokens]) -> Tokens:
    """Sequences as one batch, filled up to the longest.

    >>> beside([blank(1, 2, 3), blank(1, 4, 3)]).values.shape
    torch.Size([2, 4, 3])
    """
    if len(parts) == 1:
        return parts[0]
    longest = max(t.mask.shape[1] for t in parts)
    return Tokens(*(torch.cat([_longer(x, longest) for x in each]) for each in zip(*parts)))


def encoder_of(model: Model, modality: str) -> Encoder:
    """The encoder of a modality."""
    return model.backbone.encoders[model.backbone.index(modality)]  # type: ignore[return-value]


def bounded(model: Model) -> Mapping[str, bool]:
    """By modality, whether what a lane keeps for its encoders has a size that does not depend on the item's length."""
    return {m: all(encoder_of(one, m).bounded for one in _models(model)) for m in model.modalities}


def _models(model: Model) -> list[Model]:
    return [model, *([] if model.wide is None else _models(model.wide))]


def _opened(model: Model, modality: str) -> Track:
    return Track(encoder_of(model, modality).begin(1), blank(1, 0, model.dim), torch.zeros(1, dtype=torch.bool))


def _tokens(rows: Piece, start: float) -> Tokens:
    times = (rows.times - start).astype(np.float32)
    values = torch.from_numpy(np.ascontiguousarray(rows.values))[None]
    return Tokens(values, torch.from_numpy(times)[None], torch.ones(1, len(times)) > 0)


def _stepped(model: Model, modality: str, tracks: Sequence[Track], tokens: Sequence[Tokens]) -> list[Track]:
    """Tracks after their next rows."""

    def step(state: State, places: list[int]) -> tuple[Tensor, ...]:
        rows = model.backbone.prepare(modality, Tokens(*map(torch.cat, zip(*(tokens[i] for i in places)))))
        state, given = encoder_of(model, modality).step(state, rows)
        return (*leaves(state), *given, rows.present)

    found = list[Track]()
    for track, (*state, values, times, mask, seen) in zip(
        tracks, _by_shape([t.state for t in tracks], [t.mask.shape[1] for t in tokens], step)
    ):
        after = cat([track.tokens, Tokens(values, times, mask)])
        found.append(Track(like(track.state, iter(state)), after, track.seen | seen))
    return found


def _ended(model: Model, modality: str, tracks: Sequence[Track]) -> list[Tokens]:
    """All tokens of tracks, if no rows followed."""
    # as the backbone does for a modality without observations
    seen = [bool(track.seen) for track in tracks]
    there = [track for track, some in zip(tracks, seen) if some]
    end = encoder_of(model, modality).end
    rest = iter(_by_shape([t.state for t in there], [0] * len(there), lambda state, _: tuple(end(state))))
    return [
        cat([track.tokens, Tokens(*next(rest))]) if some else track.tokens.emptied()
        for track, some in zip(tracks, seen)
    ]


def _by_shape(
    states: Sequence[State], rows: Sequence[int], work: Callable[[State, list[int]], tuple[Tensor, ...]]
) -> list[tuple[Tensor, ...]]:
    """What ``work`` makes of each state: called once for all states of one shape that get as many rows."""
    groups, found = dict[object, list[int]](), dict[int, tuple[Tensor, ...]]()
    for i, state in enumerate(states):
        groups.setdefault((rows[i], *(x.shape for x in leaves(state))), []).append(i)
    for places in groups.values():
        first = states[places[0]]
        if len(places) == 1:
            found[places[0]] = work(first, places)
            continue
        parts = work(like(first, map(torch.cat, zip(*(leaves(states[i]) for i in places)))), places)
        # clones: a view would keep the whole batch alive
        found |= {i: tuple(x[j : j + 1].clone() for x in parts) for j, i in enumerate(places)}
    return [found[i] for i in range(len(states))]


def _longer(x: Tensor, length: int) -> Tensor:
    return torch.cat([x, x.new_zeros(len(x), length - x.shape[1], *x.shape[2:])], 1)
