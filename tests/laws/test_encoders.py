"""The laws over every encoder, found as a recipe finds it."""

from __future__ import annotations

import pytest

from plait.encoders import Encoder
from plait.encoders.chain import build_encoder
from plait.parts import parts
from plait.testing import check_encoder
from plait.tokens import Tokens

VARIANTS = [
    ("linear", {"norm": True}),
    ("conv", {"norm": "layer"}),
    ("conv", {"norm": "batch", "causal": True}),
    ("conv", {"strides": [1], "kernel": 3}),
    ("conv", {"strides": [4, 3], "causal": True}),
    ("gru", {"bidirectional": False}),
    ("gru", {"layers": 2}),
    ("lstm", {"layers": 2, "bidirectional": False}),
]


@pytest.mark.parametrize("name", parts(Encoder))
def test_every_encoder_keeps_the_laws(name):
    check_encoder(parts(Encoder)[name])


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


@pytest.mark.parametrize("causal", [False, True])
def test_a_chain_keeps_them(causal):
    check_encoder(Chained, causal=causal)
    assert Chained(3, 8, causal=causal).causal is causal
