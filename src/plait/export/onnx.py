"""ONNX, for onnxruntime and whatever else reads it."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from plait.core.errors import ConfigError, need
from plait.export import ModelFormat
from plait.export.graph import Named
from plait.export.translations import translations

__all__ = ["Onnx"]


class Onnx(ModelFormat):
    """ONNX, opset 18, by `torch.onnx.export`; read by onnxruntime."""

    def write(self, graph: Named, program: ExportedProgram, path: Path) -> None:
        need("onnx", "export", "export to ONNX")
        table, optimizer = translations(), need("onnxscript.optimizer", "export", "export to ONNX")
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of torch's exporter about itself
            made = torch.onnx.export(
                program,
                dynamo=True,
                input_names=graph.inputs,
                output_names=graph.outputs,
                custom_translation_table=table,
                optimize=False,
                verbose=False,
            )
        if made is None:
            raise ConfigError("export to ONNX: this version of torch gives no program. Install a newer one.")
        # not the exporter's own optimisation: it takes x + 1e-8 for x, and a root of 0 loses what was added to it
        optimizer.fold_constants(made.model)
        optimizer.remove_unused_nodes(made.model)
        made.save(path, external_data=False)

    def run(self, graph: Named, path: Path, inputs: Sequence[Tensor]) -> list[Tensor]:
        runtime = need("onnxruntime", "export", "checking an ONNX file")
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        given = dict(zip(graph.inputs, (x.numpy() for x in inputs)))
        return [torch.from_numpy(out) for out in session.run(graph.outputs, given)]
