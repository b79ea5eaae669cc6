"""Items in progress: what a model has made so far of the rows of an interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plait.encoders import Encoder
from plait.models.ensemble import Encoded
from plait.models.model import Model
from plait.prediction.feature_ring import Piece
from plait.tokens import Tokens
from plait.tokens.stepwise import State, leaves
from plait.tokens.tokens import blank, cat

__all__ = ["Lane", "Track", "fed", "opened", "so_far"]


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


def fed(model: Model, lane: Lane, modality: str, rows: Piece) -> Lane:
    """The lane with the next rows of features of a modality, in order of time."""
    if not len(rows.times):
        return lane
    times = (rows.times - lane.start).astype(np.float32)
    values = torch.from_numpy(np.ascontiguousarray(rows.values))[None]
    tokens = Tokens(values, torch.from_numpy(times)[None], torch.ones(1, len(times)) > 0)
    pairs = zip(_models(model), lane.tracks[modality])
    return lane._replace(tracks={**lane.tracks, modality: tuple(_fed(one, modality, t, tokens) for one, t in pairs)})


def so_far(model: Model, lane: Lane) -> Encoded:
    """What the model's heads read if the item ended now: as `Model.encode` of its rows."""
    found: Encoded | None = None
    for depth, one in reversed([*enumerate(_models(model))]):
        own = Encoded({m: _ended(one, m, lane.tracks[m][depth]) for m in one.modalities})
        own.wide = found
        found = own
    return found or Encoded()


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


def _fed(model: Model, modality: str, track: Track, tokens: Tokens) -> Track:
    ready = model.backbone.prepare(modality, tokens)
    state, given = encoder_of(model, modality).step(track.state, ready)
    return Track(state, cat([track.tokens, given]), track.seen | ready.present)


def _ended(model: Model, modality: str, track: Track) -> Tokens:
    # as the backbone does for a modality without observations
    if not bool(track.seen.any()):
        return track.tokens.emptied()
    return cat([track.tokens, encoder_of(model, modality).end(track.state)])
