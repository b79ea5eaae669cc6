"""Operators that torch's exporter lacks mean the same in onnxruntime."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from plait.export.translations import translations
from plait.testing.inputs import seeded
from plait.tokens.loop import over_time


class Operators(nn.Module):
    """Ties in what is sorted and searched, and lengths that differ."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        seen, steps = x > 0, x.round()
        rising = steps.sort(1).values.contiguous()
        return (
            *steps.sort(dim=1, stable=True),
            *steps.sort(dim=1, stable=True, descending=True),
            torch.searchsorted(rising, steps.contiguous(), right=True),
            torch.searchsorted(rising, x.contiguous()),
            torch.where(seen.any(1, keepdim=True), seen, ~seen),
            torch.where(seen, x, 0.0),
        )


class Loop(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        last, every = over_time(lambda s, row: ((s[0] / 2 + row[0]).tanh(),), (x.new_zeros(x.shape[0]),), [x.T])
        return last[0], every[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch's exporter about itself
@pytest.mark.parametrize("kind", [Operators, Loop])
def test_they_are_the_same_at_every_size(kind: type[nn.Module], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    sizes = ({0: Dim("batch", min=1), 1: Dim.DYNAMIC},)
    with seeded(0):
        cases = [2 * torch.randn(size) for size in ((3, 7), (1, 1), (4, 30), (2, 2))]
    program = torch.export.export(kind(), (cases[0],), dynamic_shapes=sizes)
    made = torch.onnx.export(program, dynamo=True, verbose=False, custom_translation_table=translations())
    assert made is not None
    made.save(tmp_path / "made.onnx")
    session = runtime.InferenceSession(str(tmp_path / "made.onnx"), providers=["CPUExecutionProvider"])
    for x in cases:
        found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        for own, wanted in zip(found, kind()(x), strict=True):
            assert torch.allclose(torch.from_numpy(own), wanted, atol=1e-6)
