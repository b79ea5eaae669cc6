"""The flow within the two-stream encoder against least squares pixel by pixel, and against motions that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.encoders.cnn import Cnn
from plait.encoders.two_stream import TwoStream, lucas_kanade
from plait.tokens import Tokens


def texture(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.sin(0.7 * x + 0.3) * torch.cos(0.5 * y) + torch.sin(0.4 * (x + 2 * y)) * 0.7


def moved(right: float, down: float, size: int = 24) -> torch.Tensor:
    """The texture after it has moved so far, [1, 1, size, size]."""
    y, x = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    return texture(x - right, y - down)[None, None]


def test_the_flow_is_least_squares_in_each_window():
    torch.manual_seed(0)
    before, after = torch.randn(1, 1, 9, 11), torch.randn(1, 1, 9, 11)
    got = lucas_kanade(before, after, window=5, prior=0.02)[0, 0].numpy()
    smooth, slope = np.array([0.229879, 0.540242, 0.229879]), np.array([-0.425287, 0, 0.425287])

    def through(picture: torch.Tensor, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        wide = np.pad(picture[0, 0].numpy(), 1, mode="edge")
        return np.array([[along @ wide[i : i + 3, j : j + 3] @ across for j in range(11)] for i in range(9)])

    right, down = through((before + after) / 2, smooth, slope), through((before + after) / 2, slope, smooth)
    change = through(after - before, smooth, smooth)
    for i in range(9):
        for j in range(11):
            inside = (slice(max(i - 2, 0), i + 3), slice(max(j - 2, 0), j + 3))
            slopes = np.stack([right[inside].ravel(), down[inside].ravel()], 1)
            # the prior as two more equations; beyond the edge stand zeros, which count as pixels of the window
            rows = np.concatenate([slopes, np.eye(2) * np.sqrt(0.02 * 25)])
            aims = np.concatenate([-change[inside].ravel(), np.zeros(2)])
            want = np.linalg.lstsq(rows, aims, rcond=None)[0]
            np.testing.assert_allclose(got[:, i, j], want, atol=1e-4)


@pytest.mark.parametrize(("right", "down"), [(0.5, 0.0), (0.0, -0.7), (-0.8, 0.6), (0.6, -0.4), (0.0, 0.0)])
def test_a_known_motion_is_found(right, down):
    flow = lucas_kanade(moved(0, 0), moved(right, down))[0, 0, :, 4:-4, 4:-4]
    found = flow.flatten(1).median(1).values
    np.testing.assert_allclose(found, [right, down], atol=0.1)


def test_the_flow_is_a_velocity_whatever_the_rate():
    encoder = TwoStream(24 * 24, 4, shape=[24, 24], stack=1)
    pictures = torch.stack([moved(0.6 * t, 0)[0, 0] for t in range(4)])[None, :, None]
    once = Tokens(torch.zeros(1, 4, 1), torch.arange(4.0)[None] / 10, torch.ones(1, 4) > 0)
    velocity = encoder._velocity(pictures, once)
    assert not velocity[0, 0].any()
    seen = velocity[0, 1:, :, 4:-4, 4:-4].flatten(2).median(-1).values
    np.testing.assert_allclose(seen, [[0.6 * 10 / 24, 0]] * 3, atol=0.02)
    every_other = Tokens(*(x[:, ::2] for x in once))
    slow = encoder._velocity(pictures[:, ::2], every_other)[0, 1, :, 4:-4, 4:-4].flatten(1).median(1).values
    np.testing.assert_allclose(slow, [0.6 * 10 / 24, 0], atol=0.02)
    gap = encoder._velocity(pictures, once._replace(mask=torch.tensor([[True, False, True, True]])))
    assert gap.flatten(2).any(-1)[0].tolist() == [False, False, False, True]


def test_the_flow_has_a_gradient():
    before = moved(0, 0, 8).requires_grad_()
    lucas_kanade(before, torch.zeros(1, 1, 8, 8)).square().sum().backward()
    assert before.grad.isfinite().all()
    assert before.grad.any()


def test_given_flow_it_is_two_networks_side_by_side():
    torch.manual_seed(0)
    both = TwoStream(5 * 6 * 3, 4, shape=[5, 6, 3], flow=2, stack=3, widths=[4, 8], dropout=0.0).eval()
    still, moving = Cnn(30, 4, shape=[5, 6], widths=[4, 8]).eval(), Cnn(60, 4, shape=[5, 6, 2], widths=[4, 8], stack=3)
    moving.eval()
    still.tower.load_state_dict(both.appearance.state_dict())
    moving.tower.load_state_dict(both.motion.state_dict())
    for encoder, part in ((still, slice(0, 32)), (moving, slice(32, 64))):
        encoder.leave.weight.data.copy_(both.leave.weight[:, part])
        encoder.leave.bias.data.copy_(both.leave.bias / 2)
    tokens = Tokens(torch.randn(2, 5, 90), torch.arange(5.0).expand(2, 5), torch.rand(2, 5) > 0.3)
    pixels = tokens.values.unflatten(-1, (5, 6, 3))
    parts = [
        encoder(tokens.with_values(x.flatten(2))).values
        for encoder, x in ((still, pixels[..., :1]), (moving, pixels[..., 1:]))
    ]
    torch.testing.assert_close(both(tokens).values, parts[0] + parts[1], atol=1e-5, rtol=1e-5)
