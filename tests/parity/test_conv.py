"""The convolution against naive loops, its batch norm against torch's on unpadded data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from plait.encoders.conv import Conv, MaskedBatchNorm
from plait.tokens import Tokens


def batch(rows: int, time: int, dim: int, seed: int) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, time, dim, generator=generator)
    times = torch.rand(rows, time, generator=generator).cumsum(1)
    return Tokens(values, times, torch.rand(rows, time, generator=generator) > 0.3)


def naive(layer, tokens: Tokens, stride: int, kernel: int, causal: bool):
    """One layer with plain loops: window by window, tap by tap, only over what is there."""
    weight, bias = layer.conv.weight.detach().numpy(), layer.conv.bias.detach().numpy()
    rows, time, _ = tokens.values.shape
    count = -(-time // stride)
    left = kernel - stride if causal else (kernel - stride + 1) // 2
    values = np.zeros((rows, count, len(bias)), np.float32)
    times, mask = np.zeros((rows, count)), np.zeros((rows, count), bool)
    for b in range(rows):
        for j in range(count):
            window = [i for i in range(j * stride, min(time, (j + 1) * stride)) if tokens.mask[b, i]]
            if not window:
                continue
            mask[b, j] = True
            seen = [float(tokens.times[b, i]) for i in window]
            times[b, j] = seen[-1] if causal else np.mean(seen)
            total = bias.copy()
            for k in range(kernel):
                i = j * stride - left + k
                if 0 <= i < time and tokens.mask[b, i]:
                    total += weight[:, :, k] @ tokens.values[b, i].numpy()
            centred = (total - total.mean()) / np.sqrt(total.var() + 1e-5)
            values[b, j] = F.gelu(torch.from_numpy(centred)).numpy()
    return values, times, mask


@settings(max_examples=25)
@given(
    time=st.integers(1, 12),
    stride=st.integers(1, 4),
    spare=st.integers(0, 3),
    causal=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_layer_is_the_naive_loop(time, stride, spare, causal, seed):
    kernel = stride + spare
    encoder = Conv(3, 4, strides=[stride], kernel=kernel, norm="layer", causal=causal).eval()
    tokens = batch(2, time, 3, seed)
    with torch.no_grad():
        out = encoder(tokens)
    values, times, mask = naive(encoder.layers[0], tokens, stride, kernel, causal)
    assert out.mask.numpy().tolist() == mask.tolist()
    np.testing.assert_allclose(out.values.numpy(), values, atol=2e-5)
    np.testing.assert_allclose(out.times.numpy(), times, atol=1e-5)


def test_masked_batch_norm_is_batch_norm_without_padding():
    ours, theirs = MaskedBatchNorm(4), torch.nn.BatchNorm1d(4)
    for seed in range(5):
        x = batch(3, 7, 4, seed).values * 3 + 1
        got = ours(x, torch.ones(3, 7, dtype=torch.bool))
        torch.testing.assert_close(got, theirs(x.flatten(0, 1)).unflatten(0, (3, 7)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    x = batch(3, 7, 4, 9).values
    got, want = ours.eval()(x, x[..., 0] > 9), theirs.eval()(x.flatten(0, 1)).unflatten(0, (3, 7))
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_masked_batch_norm_is_batch_norm_of_what_is_there():
    ours, theirs = MaskedBatchNorm(4), torch.nn.BatchNorm1d(4)
    tokens = batch(3, 7, 4, 0)
    poisoned = torch.where(tokens.mask[..., None], tokens.values, 1e3)
    got = ours(poisoned, tokens.mask)[tokens.mask]
    torch.testing.assert_close(got, theirs(tokens.values[tokens.mask]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("there", [0, 1])
def test_a_batch_of_one_token_moves_no_average(there):
    norm = MaskedBatchNorm(2)
    out = norm(torch.randn(1, 3, 2), torch.arange(3)[None] < there)
    assert out.isfinite().all()
    assert norm.running_mean.tolist() == [0, 0]
    assert norm.running_var.tolist() == [1, 1]
