"""A causal model as graphs that are fed a little at a time: a step of each modality, and one that answers."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from plait.core.atomic import write_text
from plait.core.errors import ConfigError, DataError
from plait.core.parts import part_name
from plait.core.safe_yaml import brief
from plait.encoders import Encoder
from plait.export import ModelFormat
from plait.export.export import formats_of
from plait.export.parity import gap
from plait.export.recurrence import with_operators
from plait.models.conformal import LEVELS
from plait.models.ensemble import Encoded
from plait.models.model import Model
from plait.tokens import Instants, Tokens
from plait.tokens.stepwise import leaves, like
from plait.training.run import Run
from plait_lite import LiteStream
from plait_lite.folder import STREAM, STREAM_FORMAT

__all__ = ["ExportedStream", "export_stream"]

TOLERANCE = 1e-5
"""Largest difference from one pass, relative to the largest output where that is above 1."""

TRIES = 6
"""Recordings on which the graphs are compared with the model."""


@dataclass(frozen=True)
class ExportedStream:
    """What was written.

    Attributes:
        folder: that holds it.
        gaps: by format, the largest difference from the model: of steps and states; and for ONNX of the answers too,
            fed in random pieces, from those in one pass.
        bytes: of all files.
        rows: rows of features per token, by modality.
        state: bytes of the states of all modalities, without the tokens.
    """

    folder: Path
    gaps: dict[str, float]
    bytes: int
    rows: dict[str, int]
    state: int

    def to_json(self) -> dict[str, object]:
        own = {"gaps": self.gaps, "bytes": self.bytes, "rows": self.rows, "state_bytes": self.state}
        return {"folder": str(self.folder), **own}

    def lines(self) -> list[str]:
        """A summary for the terminal."""
        each = ", ".join(f"{m} every {rows} rows" for m, rows in self.rows.items())
        return [
            f"wrote {self.folder}: {self.bytes / 1e6:.2f} MB; fed in pieces, its outputs differ from those of one pass "
            f"by at most {', '.join(f'{found:.1e} ({name})' for name, found in self.gaps.items())}",
            f"  a token of {each}; a state of {self.state / 1e3:.1f} kB",
        ]


class StepGraph(nn.Module):
    """The next rows of one modality, and what was kept of those before, to a token and what is kept then.

    Args:
        model: trained causally.
        modality: of the model.

    Raises:
        ConfigError: its encoder looks ahead, or has no fixed pace.
    """

    def __init__(self, model: Model, modality: str) -> None:
        super().__init__()
        own = model.backbone.encoders[model.backbone.index(modality)]
        self.modality, self.encoder = modality, cast(Encoder, own).eval()
        self.register_buffer("mean", model.backbone.mean(modality).clone())
        self.register_buffer("std", model.backbone.std(modality).clone())
        self.rows, self.first = self.encoder.pace, self.encoder.begin(1)
        if not self.encoder.bounded or not _steady(self.encoder, self.rows):
            raise ConfigError(
                f"export: the encoder of {modality} looks ahead, so it has no step. Train with causal: true, or export "
                "without --stream."
            )
        if model.backbone.symbolic(modality):
            raise ConfigError(f"export: {modality} has symbols, which do not stream. Export without --stream.")

    mean: Tensor
    std: Tensor

    @property
    def inputs(self) -> list[str]:
        """``values`` [batch, rows, dim], ``times``, ``mask`` [batch, rows], and the state's tensors."""
        return [*Tokens._fields, *(f"state.{i}" for i in range(len(leaves(self.first))))]

    @property
    def outputs(self) -> list[str]:
        """A token (values [batch, 1, dim], times, mask [batch, 1]), and the next state's tensors."""
        return [f"token.{name}" for name in Tokens._fields] + [f"next.{i}" for i in range(len(leaves(self.first)))]

    def forward(self, flat: Sequence[Tensor]) -> tuple[Tensor, ...]:
        values, times, mask, *kept = flat
        # as `Backbone.prepare`
        seen = values.isfinite()
        scaled = torch.where(seen, (values - self.mean) / self.std, 0.0)
        rows = Tokens(scaled, times, mask & seen.any(-1)).clean()
        state, tokens = self.encoder.step(like(self.first, iter(kept)), rows)
        return (*tokens, *leaves(state))

    def example(self, batch: int) -> list[Tensor]:
        """Inputs to capture the graph with."""
        rows = torch.zeros(batch, self.rows, len(self.mean)), torch.zeros(batch, self.rows)
        return [*rows, torch.ones(batch, self.rows) > 0, *leaves(self.encoder.begin(batch))]


class AnswerGraph(nn.Module):
    """Tokens of all modalities to the answer."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model, self.timed = with_operators(model), model.task.instants(1.0) is not None

    @property
    def inputs(self) -> list[str]:
        """``NAME.values`` [batch, tokens, dim], ``NAME.times``, ``NAME.mask`` for each modality, and the instants."""
        each = [f"{m}.{name}" for m in self.model.modalities for name in Tokens._fields]
        return each + ["at.times", "at.mask"] * self.timed

    @property
    def outputs(self) -> list[str]:
        """As `plait.export.graph.Graph.outputs`."""
        return ["output", *["answer"] * bool(self.model.task.legend())]

    def forward(self, flat: Sequence[Tensor]) -> tuple[Tensor, ...]:
        model = self.model
        parts = [Tokens(*flat[i : i + 3]).clean() for i in range(0, 3 * len(model.modalities), 3)]
        at = Instants(flat[-2], flat[-1]) if self.timed else None
        output = model.forward_subset(Encoded(zip(model.modalities, parts)), at=at)[""]
        return (output, model.task.readable(output)) if model.task.legend() else (output,)

    def example(self, batch: int) -> list[Tensor]:
        """Inputs to capture the graph with."""
        found = list[Tensor]()
        for i in range(len(self.model.modalities)):
            time = 5 + i
            found += [torch.randn(batch, time, self.model.dim), torch.rand(batch, time).sort(1).values]
            found.append(torch.ones(batch, time) > 0)
        return found + ([torch.rand(batch, 4).sort(1).values, torch.ones(batch, 4) > 0] if self.timed else [])


def export_stream(
    source: str | Path,
    out: str | Path,
    to: Sequence[str] = (),
    *,
    replicate: str | None = None,
    allow_code: bool = False,
) -> ExportedStream:
    """Write a causal run as graphs that are fed a little at a time, and check them against the model.

    Args:
        source: the folder of a run, or of one of its replicates.
        out: the folder to make, or one of an earlier export.
        to: formats of the steps beside ONNX, or dotted paths of your own.
        replicate: which of the run's models (``seed0``); the first by default.
        allow_code: whether the files may name classes from outside plait (`plait.models.model.Model.load`).

    Raises:
        ConfigError: an unknown format, an encoder looks ahead, the model has a wide part, or a part of it does not
            export.
        DataError: there is no trained model, or what was written differs from one pass by more than `TOLERANCE`:
            nothing is kept then.
        MissingExtra: the packages of a format are not installed.
    """
    formats_of(to)  # before a model is loaded
    folder, out = Path(source), Path(out)
    run = Run(folder, allow_code=allow_code) if Run.is_run(folder) else folder
    return write_stream(Run.model_in(run, replicate, allow_code=allow_code), out, to)


@torch.no_grad()
def write_stream(model: Model, out: Path, to: Sequence[str] = ()) -> ExportedStream:
    """As `export_stream`, of a model in memory, which is set to evaluation mode."""
    formats = formats_of([*to, "onnx"])
    if model.wide is not None or model.task.asks in ("future", "relations"):
        raise ConfigError(
            "export: the model has a quick part, which looks at whole items, or its task asks about more than times. "
            "Train with causal: true, or export without --stream."
        )
    model.eval()
    steps, answer = {m: StepGraph(model, m) for m in model.modalities}, AnswerGraph(model)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".stream-") as made:
        part, gaps = Path(made), dict[str, float]()
        for name, form in formats.items():
            paths = {m: part / f"step.{m}.{name.rpartition('.')[2]}" for m in steps}
            for m, graph in steps.items():
                _write(form, graph, _batches(form, graph), paths[m], m)
            gaps[name] = max(_step_gap(form, graph, paths[m]) for m, graph in steps.items())
        any_length = [{**sizes, 1: Dim.DYNAMIC} for sizes in _batches(formats["onnx"], answer)]
        _write(formats["onnx"], answer, any_length, part / "answer.onnx", "all")
        write_text(part / STREAM, json.dumps(_told(model, answer, steps), ensure_ascii=False, allow_nan=False))
        gaps["onnx"] = max(gaps["onnx"], *_gaps(model, LiteStream(part)))
        for name, found in gaps.items():
            if not found <= TOLERANCE:
                raise DataError(
                    f"{out}: fed in pieces, its outputs ({name}) differ from those of one pass by {found:.2g}; "
                    f"expected {TOLERANCE:g} at most. Nothing is kept: a part of the model does not survive this "
                    "format."
                )
        files = [*part.iterdir()]
        size = sum(path.stat().st_size for path in files)
        for path in files:
            os.replace(path, out / path.name)
    state = sum(x.numel() * x.element_size() for graph in steps.values() for x in leaves(graph.first))
    return ExportedStream(out, gaps, size, {m: graph.rows for m, graph in steps.items()}, state)


def _batches(form: ModelFormat, graph: StepGraph | AnswerGraph) -> list[dict[int, object]]:
    """The sizes that may change, of each input."""
    return [{} if form.fixed else {0: Dim("batch", min=1)} for _ in graph.inputs]


def _write(
    form: ModelFormat, graph: StepGraph | AnswerGraph, sizes: list[dict[int, object]], path: Path, what: str
) -> None:
    example = graph.example(1 if form.fixed else 2)
    try:
        program = torch.export.export(
            graph, (example,), dynamic_shapes=(sizes,), prefer_deferred_runtime_asserts_over_guards=True
        )
    except Exception as error:  # torch.export raises many kinds, some of them private
        kind = part_name(type(graph.encoder)) if isinstance(graph, StepGraph) else "the fusion and the heads"
        raise ConfigError(
            f"export: the step of {what} ({kind}) cannot be captured as a graph ({brief(error, 300)}). A part of your "
            "own must not branch on data."
        ) from error
    form.write(graph, program, path)


def _steady(encoder: Encoder, rows: int) -> bool:
    """Whether so many rows give one token, and leave a state of the same size, that begins with zeros."""
    first = encoder.begin(1)
    tokens = Tokens(torch.zeros(1, rows, encoder.dim_in), torch.zeros(1, rows), torch.ones(1, rows) > 0)
    after, given = encoder.step(first, tokens)
    shapes = [[x.shape for x in leaves(state)] for state in (first, after)]
    left = encoder.end(after).mask.shape[1]
    return given.mask.shape[1] == 1 and shapes[0] == shapes[1] and left == 0 and not any(x.any() for x in leaves(first))


def _told(model: Model, answer: AnswerGraph, steps: dict[str, StepGraph]) -> dict[str, object]:
    """``stream.json``."""
    kinds = {torch.float32: "float32", torch.bool: "bool", torch.int64: "int64"}
    return {
        "format": STREAM_FORMAT,
        "dims": model.dims,
        "dim": model.dim,
        "inputs": answer.inputs,
        "outputs": answer.outputs,
        "legend": model.task.legend(),
        "levels": LEVELS,
        "conformal": [one.model_dump() for one in model.conformal],
        "steps": {
            m: {"rows": own.rows, "state": [[kinds[x.dtype], [*x.shape[1:]]] for x in leaves(own.first)]}
            for m, own in steps.items()
        },
    }


def _step_gap(form: ModelFormat, graph: StepGraph, path: Path) -> float:
    """How far a written step is from the model's own, and so is the state, over a few steps."""
    made, state, worst = torch.Generator().manual_seed(0), leaves(graph.first), 0.0
    for _ in range(TRIES):
        values, times, mask, *_ = graph.example(1)
        values = torch.randn(values.shape, generator=made) * graph.std + graph.mean
        values[torch.rand(values.shape, generator=made) < 0.1] = torch.nan
        times = times + torch.rand(times.shape, generator=made).sort(1).values
        given = [values, times, torch.rand(mask.shape, generator=made) < 0.8, *state]
        wanted = graph(given)
        state = [*wanted[3:]]
        pairs = zip(wanted, form.run(graph, path, given), strict=True)
        worst = max(worst, *(gap([own.float()], [found.float()]) for own, found in pairs if own.numel()))
    return worst


def _gaps(model: Model, stream: LiteStream) -> Iterator[float]:
    """How far answers of pieces are from one pass, for drawn recordings."""
    for seed in range(TRIES):
        rng, made = np.random.default_rng(seed), dict[str, tuple[np.ndarray, np.ndarray]]()
        stream.restart()
        for i, m in enumerate(model.modalities):
            rows = int(rng.integers(1, 4 * stream.rows[m] + 8))
            values = rng.normal(size=(rows, model.dims[m])).astype(np.float32)
            values = values * model.backbone.std(m).numpy() + model.backbone.mean(m).numpy()
            values[rng.random(rows) < 0.2] = np.nan  # gaps
            values[-1, -1] = np.nan
            if seed and i == seed % len(model.modalities) and len(model.modalities) > 1:
                values[:] = np.nan  # missing
            made[m] = values, np.sort(rng.uniform(0, 5, rows)).astype(np.float32)
        if not any(np.isfinite(values).any() for values, _ in made.values()):
            continue
        wanted = _one_pass(model, made, stream)
        for m, (values, times) in made.items():
            at = 0
            while at < len(times):
                more = int(rng.integers(1, 2 * stream.rows[m] + 3))
                stream.push(m, values[at : at + more], times[at : at + more])
                at += more
        found = torch.from_numpy(stream.output())
        apart = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1))
        yield apart if found.shape == wanted.shape and bool(found.isfinite().all()) else np.inf


def _one_pass(model: Model, made: dict[str, tuple[np.ndarray, np.ndarray]], stream: LiteStream) -> Tensor:
    tokens = {
        m: Tokens(torch.from_numpy(v)[None], torch.from_numpy(t)[None], torch.from_numpy(np.isfinite(v).any(1))[None])
        for m, (v, t) in made.items()
    }
    last = max(float(t[-1]) for _, t in made.values())
    times = stream.instants(last)
    at = None
    if times is not None:
        at = Instants(torch.from_numpy(times)[None], torch.ones(1, len(times)) > 0)
    output: Tensor = model(tokens, at)[""]
    return output[0]
