"""Features as tensors, by the Open Inference Protocol, version 2.

The protocol: https://github.com/open-inference/open-inference-protocol (REST, JSON tensors).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from plait.core.errors import DataError, raise_all
from plait.core.parts import suggest
from plait.models.model import Model
from plait.prediction.predict import Predictor
from plait.serving.messages import numbers
from plait.tokens import Instants, Tokens

__all__ = ["Infer", "Inputs", "Request", "outputs_of"]

ROWS = 4096
"""Most rows of one item in one modality: attention over them is quadratic."""

ITEMS = 256
"""Most items of a request, and of requests that run together."""

FARTHEST = 1e6
"""Seconds from the start of an item."""

OTHER = ("future", "relations", "nothing")
"""What tasks ask that tensors do not tell."""

AT = ("times", "mask")

TYPES = {"values": "FP32", "times": "FP32", "mask": "BOOL"}
"""Of the inputs, by the ends of their names; others are converted."""


class Named(BaseModel):
    """An output that is wanted."""

    model_config = ConfigDict(extra="allow")
    name: str


class Given(BaseModel):
    """An input: numbers in the order of its shape, flat or nested."""

    model_config = ConfigDict(extra="allow")
    name: str
    shape: list[Annotated[int, Field(ge=0, le=2**31)]] = Field(max_length=8)
    datatype: str
    data: list[Any]


class Infer(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="allow")
    id: str | None = Field(None, max_length=256)
    inputs: list[Given] = Field(max_length=1000)
    outputs: list[Named] | None = Field(None, max_length=1000)


@dataclass(eq=False)
class Request:
    """Items to answer for; to be called in the model's thread.

    Attributes:
        model: answers.
        tokens: by modality; those left out are missing.
        at: instants that are asked about, if the task has some.
    """

    model: Model
    tokens: dict[str, Tokens]
    at: Instants | None

    def __len__(self) -> int:
        return len(next(iter(self.tokens.values())).mask)

    def __call__(self) -> dict[str, NDArray[Any]]:
        """Outputs by name: what the model says, what it means, and each answer as JSON."""
        model = self.model
        output = model.forward_subset(model.encode(self.tokens), at=self.at)[""]
        answers = [json.dumps(a.to_json()) for a in model.task.decode(output, self.at)]
        told: dict[str, NDArray[Any]] = {"output": output.numpy()}
        if model.task.legend():
            told["answer"] = model.task.readable(output).numpy()
        return {**told, "prediction": np.array(answers, object)}

    def answered_by(self, predictor: Predictor) -> list[dict[str, object]]:
        """What another model says."""
        return self.told(Request(predictor.model, self.tokens, self.at)())

    def told(self, found: Mapping[str, NDArray[Any]]) -> list[dict[str, object]]:
        """The answers among outputs."""
        return [json.loads(text) for text in found["prediction"]]


class Inputs:
    """The tensors of a model, by name: ``imu.values``, ``imu.times``, ``imu.mask`` ..., as in `plait export`.

    A modality may be left out, and so may a mask: all rows count then. Times are seconds from the start of the item.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.timed = model.task.instants(1.0) is not None
        asks = model.task.asks
        self.refusal = f"a model that is asked about {asks} takes files only: POST /predict." if asks in OTHER else ""

    def described(self) -> dict[str, list[dict[str, object]]]:
        """Inputs and outputs, as the protocol's metadata of a model has them."""
        given: list[dict[str, object]] = [
            {"name": f"{m}.{end}", "datatype": kind, "shape": [-1, -1, *([dim] if end == "values" else [])]}
            for m, dim in self.model.dims.items()
            for end, kind in TYPES.items()
        ]
        given += [{"name": f"at.{end}", "datatype": TYPES[end], "shape": [-1, -1]} for end in AT if self.timed]
        steps, width = [-1] * self.timed, self.model.task.n_outputs
        told: list[dict[str, object]] = [
            {"name": n, "datatype": "FP32", "shape": [-1, *steps, width]} for n in ("output", "answer")
        ]
        told = told if self.model.task.legend() else told[:1]
        return {"inputs": given, "outputs": [*told, {"name": "prediction", "datatype": "BYTES", "shape": [-1]}]}

    def blank(self) -> Request:
        """One item of one row of zeros, to warm up."""
        one = torch.zeros(1, 1)
        tokens = {m: Tokens(torch.zeros(1, 1, dim), one, one == 0) for m, dim in self.model.dims.items()}
        return Request(self.model, tokens, Instants(one, one == 0) if self.timed else None)

    def request(self, body: Infer) -> Request:
        """The request of a body.

        Raises:
            DataError: inputs that the model does not have, or of other sizes; all problems at once.
        """
        names = [str(entry["name"]) for entry in self.described()["inputs"]]
        problems = [self.refusal] if self.refusal else []
        problems += [
            f"input {g.name[:64]!r}: there is none. {suggest(g.name[:64], names)}"
            for g in body.inputs
            if g.name not in names
        ]
        raise_all(DataError, problems)
        given = {g.name: _array(g) for g in body.inputs}
        found = [m for m in self.model.dims if any(name.startswith(f"{m}.") for name in given)]
        if not found or len(given) < len(body.inputs):
            raise DataError("inputs: give each once, and at least one modality.")
        tokens = {m: _tokens(m, given, dim) for m, dim in self.model.dims.items() if m in found}
        sizes = {len(t.mask) for t in tokens.values()}
        at = self._instants(given) if self.timed else None
        if len(sizes | ({len(at.mask)} if at else set())) > 1:
            raise DataError("inputs: not all have the same number of items, the first size of their shapes.")
        return Request(self.model, tokens, at)

    def _instants(self, given: Mapping[str, NDArray[Any]]) -> Instants:
        times, mask = _times("at", given)
        return Instants(times, mask)


def outputs_of(found: Mapping[str, NDArray[Any]], wanted: Sequence[str] | None) -> list[dict[str, object]]:
    """Outputs as the protocol writes them.

    Raises:
        DataError: an output is wanted that the model does not have.
    """
    strange = [name for name in wanted or () if name not in found]
    raise_all(DataError, [f"output {n[:64]!r}: there is none. {suggest(n[:64], list(found))}" for n in strange])
    return [
        {
            "name": name,
            "datatype": "BYTES" if found[name].dtype == object else "FP32",
            "shape": list(found[name].shape),
            "data": found[name].ravel().tolist(),
        }
        for name in wanted or found
    ]


def _array(given: Given) -> NDArray[Any]:
    found = numbers(given.data, f"input {given.name}") if given.data else np.zeros(0, np.float32)
    if found.size != math.prod(given.shape):
        raise DataError(f"input {given.name}: {found.size} numbers; expected {math.prod(given.shape)}, by its shape.")
    return found.reshape(given.shape)


def _times(name: str, given: Mapping[str, NDArray[Any]]) -> tuple[Tensor, Tensor]:
    times = given.get(f"{name}.times")
    if times is None or times.ndim != 2 or not 0 < len(times) <= ITEMS or not times.shape[1] <= ROWS:
        shape = None if times is None else list(times.shape)
        raise DataError(f"input {name}.times: {shape}; expected [items, rows], at most [{ITEMS}, {ROWS}].")
    mask = np.asarray(given.get(f"{name}.mask", np.ones(times.shape)), bool)
    if mask.shape != times.shape:
        raise DataError(f"input {name}.mask: {list(mask.shape)}; expected {list(times.shape)}, as {name}.times.")
    if not (np.abs(times[mask]) <= FARTHEST).all():
        raise DataError(f"input {name}.times: not finite; expected seconds from the start of the item.")
    return torch.from_numpy(np.where(mask, times, 0).astype(np.float32)), torch.from_numpy(mask)


def _tokens(m: str, given: Mapping[str, NDArray[Any]], dim: int) -> Tokens:
    times, mask = _times(m, given)
    values = given.get(f"{m}.values")
    if values is None or values.shape != (*times.shape, dim):
        shape = None if values is None else list(values.shape)
        raise DataError(f"input {m}.values: {shape}; expected {[*times.shape, dim]}: items, rows, features.")
    with np.errstate(over="ignore"):  # what single precision cannot hold is refused below
        values = np.where(mask[..., None], values, 0).astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"input {m}.values: not finite where the mask is true. Mask rows that are not there.")
    return Tokens(torch.from_numpy(values), times, mask)
