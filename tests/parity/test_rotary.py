"""Rotary attention on real seconds against naive loops over complex numbers."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch

from plait.fusion.shared import Shared
from plait.tokens import Tokens
from plait.tokens.attention import rotate, rotation


def turned(x: np.ndarray, seconds: float, shortest: float, longest: float) -> list[complex]:
    half = len(x) // 2
    out = []
    for i in range(half):
        period = shortest * (longest / shortest) ** (i / (half - 1))
        out.append(complex(x[i], x[i + half]) * cmath.exp(2j * math.pi * seconds / period))
    return out


def test_attention_is_the_naive_loop():
    torch.manual_seed(0)
    fusion = Shared(["a", "b"], 16, heads=2, periods=(0.1, 20.0), dropout=0.0).eval()
    layer = fusion.layers[0]
    x, times = torch.randn(1, 6, 16), torch.tensor([[0.0, 0.3, 0.31, 2.0, 5.0, 9.0]])
    keys = torch.tensor([[True, True, True, True, True, False]])
    with torch.no_grad():
        got = layer(x, rotation(times, 8, 0.1, 20.0), keys)[0].numpy()
        q, k, v = layer.qkv(layer.norm(x))[0].chunk(3, -1)
        met = np.zeros((6, 16), np.float32)
        for h in range(2):
            part = slice(8 * h, 8 * h + 8)
            for i in range(6):
                left = turned(q[i, part].numpy(), float(times[0, i]), 0.1, 20.0)
                score = []
                for j in range(5):
                    right = turned(k[j, part].numpy(), float(times[0, j]), 0.1, 20.0)
                    score.append(sum((a * b.conjugate()).real for a, b in zip(left, right)) / math.sqrt(8))
                share = np.exp(score) / np.exp(score).sum()
                met[i, part] = share @ v[:5, part].numpy()
        want = x + layer.out(torch.from_numpy(met))[None]
        want = (want + layer.feed(want))[0].numpy()
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("shift", [0.25, 12.5])
def test_products_depend_on_differences_of_time_only(shift):
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 7, 32), torch.randn(1, 1, 7, 32)
    times = torch.arange(7.0)[None] / 8

    def products(t):
        turn = rotation(t, 32, 0.05, 100.0)
        return rotate(q, turn) @ rotate(k, turn).transpose(-1, -2)

    torch.testing.assert_close(products(times), products(times + shift), atol=5e-3, rtol=0)


@pytest.mark.parametrize("length", [1.0, 60.0])
def test_the_periods_tell_neighbours_apart(length):
    # 20 tokens an item, normalised time (1 s) or a minute: the kernel of a query on itself must fall off
    times = torch.linspace(0, length, 20)[None]
    turn = rotation(times, 32, 0.05, 100.0)
    ones = torch.ones(1, 1, 20, 32)
    similar = (rotate(ones, turn) @ rotate(ones, turn).transpose(-1, -2))[0, 0] / 32
    assert similar.diagonal().min() > 0.999
    assert (similar - torch.eye(20)).max() < 0.95
    assert similar[0, 1] - similar[0, -1] > 0.3


def test_an_item_without_tokens_stays_finite():
    fusion = Shared(["a"], 16).eval()
    out = fusion({"a": Tokens(torch.full((2, 3, 16), torch.nan), torch.zeros(2, 3), torch.zeros(2, 3) > 0)})
    assert out.mask.sum() == 0
    assert out.values.isfinite().all()
