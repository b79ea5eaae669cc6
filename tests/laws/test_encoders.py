"""The laws over every encoder, found as a recipe finds it."""

from __future__ import annotations

import pytest

from plait.core.parts import parts
from plait.encoders import Encoder
from plait.encoders.chain import build_encoder
from plait.testing import check_encoder
from plait.tokens import Tokens

VARIANTS = [
    ("linear", {"norm": True}),
    ("conv", {"norm": "layer"}),
    ("conv", {"norm": "batch", "causal": True}),
    ("conv", {"strides": [1], "kernel": 3}),
    ("conv", {"strides": [4, 3], "causal": True}),
    ("conv2d", {"causal": True}),
    ("conv2d", {"strides": [1, 3], "pools": [1, 2], "kernel": 5}),
    ("gru", {"bidirectional": False}),
    ("gru", {"layers": 2}),
    ("lstm", {"layers": 2, "bidirectional": False}),
    ("st_gcn", {"partition": "uniform", "importance": False, "strides": [2, 2]}),
    ("st_gcn", {"partition": "distance", "bones": True, "weighted": True, "causal": True}),
    ("st_gcn", {"axes": 4, "strides": [1, 1], "widths": [5, 5], "causal": True}),
    ("st_gcn_pp", {"bones": True, "causal": True, "strides": [3, 2]}),
    ("scene_graph", {"box": None, "layers": 1, "heads": 1}),
    ("hf", {"tune": "frozen"}),
    ("hf", {"tune": "lora", "rank": 2, "checkpointing": True}),
    ("transformer", {"causal": True}),
    ("transformer", {"window": 3}),
    ("transformer", {"window": 4, "causal": True}),
    ("mini_rocket", {"length": 1}),
    ("mini_rocket", {"length": 300, "features": 84}),
    ("tcn", {"norm": "weight", "kernel": 2, "causal": True}),
    ("tcn", {"norm": "layer", "layers": 2}),
    ("cnn", {"norm": "group", "stack": 3}),
    ("cnn", {"block": "inception", "grid": 1}),
    ("i3d", {"block": "residual", "strides": [3, 2], "norm": "group"}),
    ("c3d", {"norm": "group", "grid": 1}),
    ("vit", {"tube": 1, "layers_time": 0}),
    ("vit", {"tube": 3, "layers_time": 2}),
    ("two_stream", {"shape": [5, 2, 3], "flow": 2, "stack": 2}),
    ("two_stream", {"shape": [5, 3, 2], "norm": "group"}),
]


@pytest.mark.parametrize("name", parts(Encoder))
def test_every_encoder_keeps_the_laws(name):
    check_encoder(parts(Encoder)[name], export=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", parts(Encoder))
def test_every_encoder_is_exported(name):
    check_encoder(parts(Encoder)[name])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_options_keep_them_too(name, options):
    check_encoder(parts(Encoder)[name], **options)


class Chained(Encoder):
    """A chain as a class with the constructor of all encoders."""

    def __init__(self, dim_in: int, dim: int, *, causal: bool = False) -> None:
        super().__init__()
        specs = [{"name": "conv", "causal": causal}, {"name": "gru", "bidirectional": not causal}]
        self.chain = build_encoder(specs, dim_in, dim, "test")
        self.dim_in, self.dim, self.causal = dim_in, dim, self.chain.causal

    def forward(self, tokens: Tokens) -> Tokens:
        return self.chain(tokens)


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_a_chain_keeps_them(causal):
    check_encoder(Chained, causal=causal)
    assert Chained(3, 8, causal=causal).causal is causal
