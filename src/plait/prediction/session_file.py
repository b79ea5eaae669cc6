"""A session in one file: safetensors, with its options and counts as JSON in the header."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from plait.clocks.online import OnlineClock
from plait.core.atomic import replacing
from plait.core.errors import DataError
from plait.models.model import Model
from plait.prediction.channel import Channel
from plait.prediction.feature_ring import Piece, RingState
from plait.prediction.inbox import Counts, Rows
from plait.prediction.lane import Lane, Track, opened
from plait.prediction.predict import Predictor
from plait.prediction.session import Session
from plait.tokens import Tokens
from plait.tokens.stepwise import leaves, like
from plait.tokens.tensors import load_tensors, save_tensors

__all__ = ["load_session", "save_session"]

FORMAT = "plait session 1"
Arrays = dict[str, Tensor]


def save_session(session: Session, path: str | Path) -> None:
    """Write all that a session needs to go on elsewhere, with the same model.

    Raises:
        OSError: the file cannot be written.
    """
    arrays: Arrays = {}
    told: dict[str, Any] = {"format": FORMAT, "model": session.predictor.digest, "options": session.options}
    told["channels"] = {name: _told(f"c{i}", own, arrays) for i, (name, own) in enumerate(session.channels.items())}
    told["lanes"] = {str(k): lane.start for k, lane in session.lanes.items()}
    for k, lane in session.lanes.items():
        for name, track in _tracks(lane):
            parts = [*leaves(track.state), *track.tokens, track.seen]
            arrays |= {f"l{k}.{name}.{j}": x.contiguous().clone() for j, x in enumerate(parts)}
    told["place"] = {
        "start": session.start,
        "next": session.place,
        "now": _plain(session.now),
        "read": _plain(session.read),
    }
    told["told"] = {str(k): [*names] for k, names in session.told.items()}
    with replacing(Path(path)) as new:
        save_tensors(arrays, new, {"session": json.dumps(told, allow_nan=False)})


def load_session(path: str | Path, predictor: Predictor) -> Session:
    """The session of a file, ready to go on.

    Raises:
        DataError: the file is damaged, or of another model or version.
    """
    try:
        arrays = load_tensors(Path(path))
        with safe_open(path, "pt") as file:
            told = json.loads((file.metadata() or {})["session"])
        if told["format"] != FORMAT:
            raise DataError(f"{path}: {told['format']!r}; expected {FORMAT!r}.")
        if told["model"] != predictor.digest:
            raise DataError(f"{path}: a session of another model. Load it with the run that it was made with.")
        session = Session(predictor, **told["options"])
        for i, (name, own) in enumerate(session.channels.items()):
            _restore(f"c{i}", own, told["channels"][name], arrays)
        session.lanes = {int(k): _lane(predictor.model, int(k), start, arrays) for k, start in told["lanes"].items()}
        place = told["place"]
        session.start, session.place, session.now = place["start"], int(place["next"]), float(place["now"])
        session.read = float(place["read"])
        session.told = {int(k): tuple(names) for k, names in told["told"].items()}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Expected a saved session.") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise DataError(f"{path}: not a session, or a damaged one ({type(error).__name__}: {error}).") from error
    return session


def _told(prefix: str, own: Channel, arrays: Arrays) -> dict[str, Any]:
    """What a channel keeps: numbers as JSON, arrays into ``arrays``."""
    inbox = own.inbox
    if inbox.pending is not None:
        arrays |= {f"{prefix}.keys": _tensor(inbox.pending.keys), f"{prefix}.values": _tensor(inbox.pending.values)}
    given: dict[str, float | str] = {}
    for j, m in enumerate(own.rings):
        arrays[f"{prefix}.{j}.ready.0"] = _tensor(own.ready[m].values)
        arrays[f"{prefix}.{j}.ready.1"] = _tensor(own.ready[m].times)
        state = own.states[m]
        if state is not None:
            given[m] = _plain(state.given)
            arrays |= {f"{prefix}.{j}.values": _tensor(state.values), f"{prefix}.{j}.keys": _tensor(state.keys)}
            arrays |= {} if state.sums is None else {f"{prefix}.{j}.sums": _tensor(state.sums)}
    if own.clock is not None:
        arrays |= {f"{prefix}.clock.{name}": _tensor(part) for name, part in own.clock.save().items()}
    phase = None if inbox.phase is None else [inbox.phase.numerator, inbox.phase.denominator]
    ends = {"newest": _plain(inbox.newest), "watermark": _plain(inbox.watermark), "phase": phase}
    ends["passed"] = _plain(own.watermark)
    return {**ends, "counts": asdict(inbox.counts), "given": given, "shape": own.shape and [*own.shape]}


def _restore(prefix: str, own: Channel, told: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> None:
    inbox, arr = own.inbox, {name: x.numpy() for name, x in arrays.items() if name.startswith(f"{prefix}.")}
    inbox.newest, inbox.watermark = float(told["newest"]), float(told["watermark"])
    own.watermark = float(told["passed"])
    if own.clock is not None:
        mark = f"{prefix}.clock."
        own.clock = OnlineClock.load({name.removeprefix(mark): x for name, x in arr.items() if name.startswith(mark)})
    inbox.phase = None if told["phase"] is None else Fraction(*told["phase"])
    inbox.counts = Counts(**told["counts"])
    if f"{prefix}.keys" in arr:
        inbox.pending = Rows(arr[f"{prefix}.keys"], arr[f"{prefix}.values"])
    own.shape = None if told["shape"] is None else tuple(told["shape"])
    for j, m in enumerate(own.rings):
        own.ready[m] = Piece(arr[f"{prefix}.{j}.ready.0"], arr[f"{prefix}.{j}.ready.1"])
        if m in told["given"]:
            kept = (arr[f"{prefix}.{j}.values"], arr[f"{prefix}.{j}.keys"])
            own.states[m] = RingState(*kept, float(told["given"][m]), arr.get(f"{prefix}.{j}.sums"))


def _tracks(lane: Lane) -> Iterator[tuple[str, Track]]:
    for i, tracks in enumerate(lane.tracks.values()):
        for j, track in enumerate(tracks):
            yield f"{i}.{j}", track


def _lane(model: Model, k: int, start: float, arrays: Mapping[str, Tensor]) -> Lane:
    fresh = opened(model, start)
    found = {}
    for i, (m, tracks) in enumerate(fresh.tracks.items()):
        found[m] = tuple(_track(track, f"l{k}.{i}.{j}", arrays) for j, track in enumerate(tracks))
    return Lane(start, found)


def _track(fresh: Track, name: str, arrays: Mapping[str, Tensor]) -> Track:
    count = len(leaves(fresh.state))
    parts = [arrays[f"{name}.{j}"] for j in range(count + 4)]
    return Track(like(fresh.state, iter(parts[:count])), Tokens(*parts[count : count + 3]), parts[-1])


def _tensor(values: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values).copy())


def _plain(number: float) -> float | str:
    """JSON has no infinity; `float` reads it again."""
    return number if np.isfinite(number) else str(number)
