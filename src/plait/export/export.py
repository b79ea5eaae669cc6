"""Write a trained model in one format or more, and check what was written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from plait.core.atomic import replacing, write_text
from plait.core.errors import ConfigError, DataError
from plait.core.parts import find
from plait.export import ModelFormat
from plait.export.graph import Graph, captured
from plait.export.parity import drawn, gap
from plait.models.conformal import LEVELS
from plait.models.model import Model
from plait.tokens.tensors import save_tensors
from plait.training.run import Run

__all__ = ["ANSWER", "PARITY", "TOLERANCE", "Exported", "export_model", "formats_of", "write_model"]

ANSWER, PARITY = "answer.json", "parity.safetensors"
FORMAT = "plait export 1"

TOLERANCE = 1e-4
"""Largest difference of a file's outputs from the model's, relative to the largest output where that is above 1."""

SHAPES = ((6, 24), (1, 9), (3, 1), (1, 30))
"""Items, and about how many rows of each modality, that a file is checked on."""

Case = tuple[list[Tensor], list[Tensor]]
"""Inputs and outputs."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: that holds it.
        gaps: by format, the largest difference from the model's own outputs on the drawn inputs.
        sizes: by format, bytes of the file.
        legend: how answers are read; empty: only the task can decode the outputs.
    """

    folder: Path
    gaps: dict[str, float]
    sizes: dict[str, int]
    legend: dict[str, object]

    def to_json(self) -> dict[str, object]:
        return {"folder": str(self.folder), "gaps": self.gaps, "bytes": self.sizes, "legend": self.legend}

    def lines(self) -> list[str]:
        """A summary for the terminal."""
        told = [
            f"wrote {self.folder}/model.{name}: {self.sizes[name] / 1e6:.2f} MB; outputs differ from the model's by "
            f"{found:.1e} at most"
            for name, found in self.gaps.items()
        ]
        note = "the task decodes its outputs by a search: the file gives them as they are, without an answer"
        return told + [f"  note: {note}"] * (not self.legend)


def export_model(
    source: str | Path,
    out: str | Path,
    to: Sequence[str] = ("onnx",),
    *,
    replicate: str | None = None,
    allow_code: bool = False,
) -> Exported:
    """Write a trained model in one format or more, and check each file against the model.

    Args:
        source: the folder of a run, or of one of its replicates.
        out: the folder to make, or one of an earlier export.
        to: names of formats (a `ModelFormat` each), or dotted paths of your own.
        replicate: which of the run's models (``seed0``); the first by default.
        allow_code: whether the files may name classes from outside plait (`plait.models.model.Model.load`).

    Raises:
        ConfigError: an unknown format or replicate, one of fixed sizes, or a part of the model that does not export.
        DataError: there is no trained model, or the outputs of a file differ by more than `TOLERANCE`; it is deleted.
        MissingExtra: the packages of a format are not installed.
    """
    _whole(to)  # before a model is loaded
    folder = Path(source)
    run = Run(folder, allow_code=allow_code) if Run.is_run(folder) else folder
    return write_model(Run.model_in(run, replicate, allow_code=allow_code), out, to)


def formats_of(to: Sequence[str]) -> dict[str, ModelFormat]:
    """The formats of these names, or dotted paths.

    Raises:
        ConfigError: an unknown name.
    """
    return {name: find(ModelFormat, name, "export.to")[0]() for name in dict.fromkeys(to)}


def _whole(to: Sequence[str]) -> dict[str, ModelFormat]:
    formats = formats_of(to)
    if fixed := [name for name, form in formats.items() if form.fixed]:
        raise ConfigError(
            f"export.to: {', '.join(fixed)} has fixed sizes, so it holds the steps of a causal model, and no whole "
            "model. Add --stream, or take onnx."
        )
    return formats


@torch.no_grad()
def _cases(model: Model, graph: Graph) -> list[Case]:
    """Drawn inputs of several sizes, and what the model itself answers: a fault of the graph shows too."""
    inputs = []
    for seed, (rows, time) in enumerate(SHAPES):
        # unequal lengths, the longest modality now the last and now the first
        times = [max(time + i * (1 if seed % 2 else -2), 1) for i in range(len(model.modalities))]
        inputs.append(drawn(graph, rows, times, seed))
    return [(own, list(graph.answered(model, own))) for own in inputs]


def write_model(model: Model, out: str | Path, to: Sequence[str] = ("onnx",)) -> Exported:
    """As `export_model`, of a model in memory, which is set to evaluation mode."""
    formats, out = _whole(to), Path(out)
    graph = Graph(model.eval())
    cases = _cases(model, graph)
    program = captured(graph, cases[0][0])
    out.mkdir(parents=True, exist_ok=True)
    gaps, sizes = dict[str, float](), dict[str, int]()
    for name, form in formats.items():
        path = out / f"model.{name.rpartition('.')[2]}"
        with replacing(path) as part:
            form.write(graph, program, part)
            gaps[name] = _checked(form, graph, part, path, cases)
        sizes[name] = path.stat().st_size
    named = [dict(zip([*graph.inputs, *graph.outputs], [*given, *wanted])) for given, wanted in cases]
    parity = {f"{i}.{name}": x.contiguous().clone() for i, own in enumerate(named) for name, x in own.items()}
    with replacing(out / PARITY) as part:
        save_tensors(parity, part)
    write_text(out / ANSWER, json.dumps(_told(model, graph), ensure_ascii=False, indent=1, allow_nan=False))
    return Exported(out, gaps, sizes, model.task.legend())


@torch.no_grad()
def _checked(form: ModelFormat, graph: Graph, part: Path, path: Path, cases: Sequence[Case]) -> float:
    """The largest difference from the model's outputs.

    Raises:
        DataError: it is above `TOLERANCE`.
    """
    count = 3 * len(graph.model.modalities)
    able = [own for own in cases if min(x.shape[1] for x in own[0][:count]) >= form.least]
    found = max(gap(wanted, form.run(graph, part, given)) for given, wanted in able)
    if not found <= TOLERANCE:
        raise DataError(
            f"{path}: its outputs differ from the model's by {found:.2g}; expected {TOLERANCE:g} at most. It is not "
            "written: a part of the model does not survive this format."
        )
    return found


def _told(model: Model, graph: Graph) -> dict[str, object]:
    """``answer.json``: what goes in, and how what comes out is read."""
    return {
        "format": FORMAT,
        "dims": model.dims,
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "legend": model.task.legend(),
        "levels": LEVELS,
        "conformal": [one.model_dump() for one in model.conformal],
    }
