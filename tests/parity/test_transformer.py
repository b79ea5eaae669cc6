"""The transformer over real time against naive loops over complex numbers, observed token by observed token."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.encoders.transformer import Transformer
from plait.tokens import Tokens

PERIODS = (0.1, 20.0)


def batch(time: int, seed: int) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    times = torch.rand(1, time, generator=generator).cumsum(1)
    mask = torch.rand(1, time, generator=generator) > 0.3
    return Tokens(torch.randn(1, time, 3, generator=generator), times, mask)


def turned(x: np.ndarray, seconds: float) -> list[complex]:
    half = len(x) // 2
    period = [PERIODS[0] * (PERIODS[1] / PERIODS[0]) ** (i / (half - 1)) for i in range(half)]
    return [complex(x[i], x[i + half]) * cmath.exp(2j * math.pi * seconds / period[i]) for i in range(half)]


def layer_by_hand(layer, x: torch.Tensor, seconds: list[float], heads: int, sees) -> torch.Tensor:
    q, k, v = (part.numpy() for part in layer.qkv(layer.norm(x)).chunk(3, -1))
    width, met = x.shape[1] // heads, np.zeros(x.shape, np.float32)
    for h in range(heads):
        part = slice(width * h, width * (h + 1))
        right = [turned(k[j, part], seconds[j]) for j in range(len(x))]
        for i in range(len(x)):
            left, chosen = turned(q[i, part], seconds[i]), [j for j in range(len(x)) if sees(i, j)]
            score = [sum((a * b.conjugate()).real for a, b in zip(left, right[j])) / math.sqrt(width) for j in chosen]
            share = np.exp(score) / np.exp(score).sum()
            met[i, part] = share @ v[chosen, part]
    x = x + layer.out(torch.from_numpy(met))
    return x + layer.feed(x)


@settings(max_examples=15)
@given(
    time=st.integers(1, 10),
    window=st.sampled_from([None, 1, 2, 5, 30]),
    causal=st.booleans(),
    seed=st.integers(0, 99),
)
def test_it_is_the_naive_loop_over_what_is_observed(time, window, causal, seed):
    torch.manual_seed(seed)
    encoder = Transformer(3, 16, layers=2, heads=2, periods=PERIODS, causal=causal, window=window).eval()
    tokens = batch(time, seed)
    seen = tokens.mask[0]

    def sees(i: int, j: int) -> bool:
        return (not causal or j <= i) and (window is None or abs(i - j) <= window)

    with torch.no_grad():
        got = encoder(tokens)
        x = encoder.enter(tokens.values[0][seen])
        for layer in encoder.layers:
            x = layer_by_hand(layer, x, tokens.times[0][seen].tolist(), 2, sees)
        want = encoder.norm(x)
    assert torch.equal(got.mask, tokens.mask)
    torch.testing.assert_close(got.values[0][seen], want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"window": 16}, {"window": 16, "causal": True}])
def test_what_is_kept_for_the_gradient_is_linear_in_length(options):
    encoder = Transformer(3, 16, layers=1, heads=2, **options).train()

    def kept(time: int) -> int:
        total = 0

        def count(x: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += x.numel()
            return x

        tokens = Tokens(torch.randn(1, time, 3), torch.arange(time)[None] / 10, torch.ones(1, time) > 0)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
            encoder(tokens)
        return total

    assert kept(1600) < 2.1 * kept(800)


def test_a_window_reaches_so_far_and_no_farther():
    encoder = Transformer(3, 16, layers=1, heads=2, window=4).eval()
    tokens = Tokens(torch.randn(1, 20, 3, requires_grad=True), torch.arange(20.0)[None], torch.ones(1, 20) > 0)
    encoder(tokens).values[0, 9].square().sum().backward()
    reached = tokens.values.grad[0].abs().sum(-1).nonzero()[:, 0].tolist()
    assert reached == list(range(5, 14))


def test_a_window_as_wide_as_the_item_is_full_attention():
    torch.manual_seed(0)
    full, near = Transformer(3, 16).eval(), Transformer(3, 16, window=13).eval()
    near.load_state_dict(full.state_dict())
    tokens = batch(12, 1)
    torch.testing.assert_close(full(tokens).values, near(tokens).values, atol=1e-5, rtol=1e-5)
