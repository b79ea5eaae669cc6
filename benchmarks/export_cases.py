"""Small models of every encoder and fusion, for benchmarks/export.py and the tests of the export."""

from __future__ import annotations

import torch

from plait.core.parts import parts
from plait.encoders import Encoder
from plait.fusion import Fusion
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.testing.inputs import sample, seeded
from plait.tokens import Tokens

__all__ = ["small_model"]


def small_model(encoder: str, fusion: str) -> Model:
    """A model of two modalities, the first with the encoder, each part with the options of its trial.

    Weights are moved away from their initial values, of which some are 0 or equal, and a training batch has moved the
    running statistics.
    """
    dim, options = parts(Encoder)[encoder].trial
    encoders = {"one": {"name": encoder, **options}, "other": "linear"}
    fused = {"name": fusion, **parts(Fusion)[fusion].trial}
    with seeded(1):
        model = Model({"one": dim, "other": 3}, Classify(["x", "y", "z"]), encoders=encoders, fusion=fused, dim=16)
        model.train()(_batch(dim))
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.1)
        model.temperature.copy_(torch.tensor([1.5, 0.7, 1.2]))
    return model.eval()


def _batch(dim: int) -> dict[str, Tokens]:
    return {"one": sample(dim), "other": sample(3, time=7, rate=4.0)}
