"""The temporal convolutional network against the modules of the published code, and against naive loops over gaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from plait.encoders.tcn import Tcn
from plait.tokens import Tokens


class TemporalBlock(nn.Module):
    """As in the authors' code (locuslab/TCN, tcn.py): padded on both sides, then the end is chopped off."""

    def __init__(self, dim_in: int, dim: int, kernel: int, dilation: int):
        super().__init__()
        self.chop = (kernel - 1) * dilation
        self.conv1 = weight_norm(nn.Conv1d(dim_in, dim, kernel, padding=self.chop, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(dim, dim, kernel, padding=self.chop, dilation=dilation))
        self.downsample = nn.Conv1d(dim_in, dim, 1) if dim_in != dim else None

    def forward(self, x):
        out = torch.relu(self.conv1(x)[..., : -self.chop])
        out = torch.relu(self.conv2(out)[..., : -self.chop])
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


@pytest.mark.parametrize("kernel", [2, 3])
def test_the_causal_one_is_the_published_network(kernel):
    torch.manual_seed(0)
    ours = Tcn(3, 6, layers=3, kernel=kernel, norm="weight", causal=True).eval()
    theirs = nn.Sequential(*[TemporalBlock(6 if i else 3, 6, kernel, 2**i) for i in range(3)]).eval()
    for block, own in zip(theirs, ours.blocks):
        block.conv1.load_state_dict(own.first.conv.state_dict())
        block.conv2.load_state_dict(own.second.conv.state_dict())
        if block.downsample is not None:
            block.downsample.weight.data.copy_(own.skip.weight[..., None])
            block.downsample.bias.data.copy_(own.skip.bias)
    x = torch.randn(2, 20, 3)
    with torch.no_grad():
        got = ours(Tokens(x, torch.arange(20.0).expand(2, 20), torch.ones(2, 20) > 0)).values
        want = theirs(x.mT).mT
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def by_hand(convolution, x: np.ndarray, seen: list[bool], dilation: int, causal: bool) -> np.ndarray:
    weight, bias = convolution.conv.weight.detach().numpy(), convolution.conv.bias.detach().numpy()
    kernel, out = weight.shape[2], np.zeros((len(x), len(bias)), np.float32)
    for t in range(len(x)):
        total = bias.copy()
        for k in range(kernel):
            at = t + (k - (kernel - 1 if causal else kernel // 2)) * dilation
            if 0 <= at < len(x) and seen[at]:
                total += weight[:, :, k] @ x[at]
        out[t] = np.maximum(total, 0)
    return out


@settings(max_examples=20)
@given(time=st.integers(1, 12), causal=st.booleans(), kernel=st.sampled_from([3, 5]), seed=st.integers(0, 99))
def test_with_gaps_it_is_the_naive_loop(time, causal, kernel, seed):
    torch.manual_seed(seed)
    encoder = Tcn(2, 4, layers=2, kernel=kernel, norm="weight", causal=causal).eval()
    mask = torch.rand(1, time) > 0.3
    tokens = Tokens(torch.randn(1, time, 2), torch.arange(float(time))[None], mask)
    seen, x = mask[0].tolist(), tokens.values[0].numpy()
    with torch.no_grad():
        got = encoder(tokens).values[0]
        for i, block in enumerate(encoder.blocks):
            y = by_hand(block.second, by_hand(block.first, x, seen, 2**i, causal), seen, 2**i, causal)
            x = np.maximum(y + block.skip(torch.from_numpy(x)).numpy(), 0)
    np.testing.assert_allclose(got[mask[0]], x[mask[0].numpy()], atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_it_reaches_as_far_as_it_says(causal):
    torch.manual_seed(0)
    encoder = Tcn(2, 4, layers=3, causal=causal, norm="layer").eval()
    values = torch.randn(1, 101, 2, requires_grad=True)
    at = 100 if causal else 50
    encoder(Tokens(values, torch.arange(101.0)[None], torch.ones(1, 101) > 0)).values[0, at].pow(2).sum().backward()
    reached = values.grad[0].abs().sum(-1).nonzero()[:, 0]
    assert int(reached.max() - reached.min()) + 1 == encoder.receptive_field
    assert int(reached.max()) == (at if causal else at + encoder.receptive_field // 2)
