"""The convolutional networks over pictures and clips against torch's own layers, and the inflated against the flat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from plait.core.errors import ConfigError
from plait.encoders.c3d import C3d
from plait.encoders.cnn import Cnn
from plait.encoders.i3d import I3d, inflate
from plait.encoders.pictures import NORMS, Unit
from plait.tokens import Tokens

HEIGHT, WIDTH = 6, 9
SHAPE = [HEIGHT, WIDTH, 2]
DIM = HEIGHT * WIDTH * 2


def film(rows: int, time: int, *, share: float = 1.0, seed: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, time, DIM, generator=generator)
    mask = torch.rand(rows, time, generator=generator) < share
    return Tokens(values, torch.arange(float(time)).expand(rows, time), mask)


def pictures(tokens: Tokens) -> torch.Tensor:
    """[batch, channels, time, height, width], by plain indexing."""
    rows, time = tokens.mask.shape
    return tokens.values.reshape(rows, time, HEIGHT, WIDTH, 2).permute(0, 4, 1, 2, 3)


def reference(unit: Unit) -> nn.Sequential:
    """torch's own layers with the weights of one of ours (which are named alike)."""
    deep = isinstance(unit.conv, nn.Conv3d)
    norm = (nn.BatchNorm3d if deep else nn.BatchNorm2d)(len(unit.norm.weight))
    state = unit.norm.state_dict() | {"num_batches_tracked": torch.tensor(0)}
    norm.load_state_dict({k: v.clone() for k, v in state.items()})
    return nn.Sequential(unit.conv, norm, nn.ReLU() if unit.relu else nn.Identity()).train(unit.training)


@pytest.mark.parametrize("train", [False, True])
def test_cnn_is_a_residual_network_of_the_observed_frames(train):
    torch.manual_seed(0)
    encoder = Cnn(DIM, 5, shape=SHAPE, widths=[4, 4, 8], dropout=0.0)
    encoder(film(3, 4, seed=9))
    encoder.train(train)
    tokens = film(3, 7, share=0.6)
    x = pictures(tokens).permute(0, 2, 1, 3, 4)[tokens.mask]
    theirs = {name: reference(m) for name, m in encoder.named_modules() if isinstance(m, Unit)}
    x = theirs["tower.stem"](x)
    for i in range(2):
        x = F.max_pool2d(x, 2, ceil_mode=True)
        skip = theirs[f"tower.blocks.{i}.skip"](x) if i else x
        x = F.relu(theirs[f"tower.blocks.{i}.second"](theirs[f"tower.blocks.{i}.first"](x)) + skip)
    assert x.shape[2:] == (2, 3)
    places = [x[:, :, a, b].mean(-1) for a in ([0], [1]) for b in ([0, 1], [1, 2])]
    want = encoder.leave(torch.stack(places, -1).flatten(1))
    torch.testing.assert_close(encoder(tokens).values[tokens.mask], want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("train", [False, True])
def test_c3d_is_torchs_layers_where_all_frames_are_there(train):
    torch.manual_seed(0)
    encoder = C3d(DIM, 5, shape=SHAPE, widths=[4, 6], layers=[1, 2], strides=[1, 2], grid=1, dropout=0.0).train(train)
    tokens = film(2, 8)
    x = pictures(tokens)
    for stage, stride in zip(encoder.stages, (1, 2)):
        for unit in stage:
            x = reference(unit)(x)
        x = F.max_pool3d(x, (stride, 2, 2), ceil_mode=True)
    want = encoder.leave(F.relu(encoder.full(x.mean((-1, -2)).mT)))
    torch.testing.assert_close(encoder(tokens).values, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("train", [False, True])
def test_an_inception_module_is_torchs_layers(train):
    torch.manual_seed(0)
    encoder = I3d(DIM, 5, shape=SHAPE, widths=[4, 8], strides=[1], dropout=0.0).train(train)
    module = encoder.tower.blocks[0]
    x = torch.rand(2, 4, 5, 3, 4)
    through = {name: reference(m) for name, m in module.named_modules() if isinstance(m, Unit)}
    want = torch.cat(
        [
            through["point"](x),
            through["middle.1"](through["middle.0"](x)),
            through["narrow.1"](through["narrow.0"](x)),
            through["top"](F.max_pool3d(x, 3, 1, 1)),
        ],
        1,
    )
    assert [len(through[n][1].weight) for n in ("point", "middle.1", "narrow.1", "top")] == [2, 4, 1, 1]
    torch.testing.assert_close(module(x, None), want, atol=1e-5, rtol=1e-5)


def test_a_gap_counts_as_zeros_in_every_kernel():
    torch.manual_seed(0)
    unit = Unit(2, 3, 3, depth=3, norm="group").eval()
    x, seen = torch.randn(1, 2, 6, 4, 4), torch.tensor([1.0, 1, 0, 1, 1, 1])
    weight, padded = unit.conv.weight.detach().numpy(), F.pad(x, (1, 1, 1, 1)).numpy()[0]
    sums = np.zeros((1, 3, 6, 4, 4), np.float32)
    for t in range(6):
        for k in range(3):
            if 0 <= t + k - 1 < 6 and seen[t + k - 1]:
                for i in range(4):
                    for j in range(4):
                        patch = padded[:, t + k - 1, i : i + 3, j : j + 3]
                        sums[0, :, t, i, j] += np.einsum("ocij,cij->o", weight[:, :, k], patch)
    clean = x * seen[:, None, None]
    np.testing.assert_allclose(unit.conv(clean).detach().numpy(), sums, atol=1e-5)
    out = unit(clean, seen[:, None, None])
    assert not out[0, :, 2].any()
    alone = Unit(2, 3, 3, depth=0, norm="group")
    want = F.relu(alone.norm(torch.from_numpy(sums[:, :, 3]), None))
    torch.testing.assert_close(out[:, :, 3], want, atol=1e-5, rtol=1e-5)


def test_the_group_norm_is_torchs_on_each_frame():
    torch.manual_seed(0)
    ours, theirs = NORMS["group"](16), nn.GroupNorm(2, 16)
    x = torch.randn(2, 16, 5, 3, 4) * 3 + 1
    frames = theirs(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 5)).transpose(1, 2)
    torch.testing.assert_close(ours(x, None), frames, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("space", [(4, 3), (5, 4, 3)])
def test_the_batch_norm_is_that_of_what_is_seen(space):
    torch.manual_seed(0)
    ours, theirs = NORMS["batch"](4), nn.BatchNorm1d(4)
    x = torch.randn(6, 4, *space) * 2 + 1
    seen = (torch.rand(6, 1, *(space[:1] if len(space) == 3 else []), *[1] * 2) > 0.4).float()
    chosen = seen.expand(6, 1, *space)[:, 0] > 0
    got = ours(torch.where(seen > 0, x, 7.0), seen).movedim(1, -1)[chosen]
    torch.testing.assert_close(got, theirs(x.movedim(1, -1)[chosen]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    got, want = ours.eval()(x, seen), theirs.eval()(x.movedim(1, -1).flatten(0, -2))
    torch.testing.assert_close(got.movedim(1, -1).flatten(0, -2), want, atol=1e-4, rtol=1e-4)


def test_one_number_a_channel_moves_no_average():
    norm = NORMS["batch"](2)
    assert norm(torch.randn(1, 2, 1, 1), None).isfinite().all()
    assert norm(torch.randn(3, 2, 4, 4), torch.zeros(3, 1, 1, 1)).isfinite().all()
    assert norm.running_mean.tolist() == [0, 0]
    assert norm.running_var.tolist() == [1, 1]


@pytest.mark.parametrize("block", ["inception", "residual"])
def test_on_a_boring_film_the_inflated_network_is_the_flat_one(block):
    torch.manual_seed(0)
    options = {"shape": SHAPE, "widths": [4, 8, 8], "block": block}
    flat = Cnn(DIM, 5, **options)
    flat(film(4, 4, seed=3))
    flat.eval()
    deep = I3d(DIM, 5, **options, strides=[1, 2]).eval().inflated(flat.state_dict())
    picture = film(1, 1)
    boring = Tokens(picture.values.expand(1, 24, DIM), torch.arange(24.0)[None], torch.ones(1, 24) > 0)
    got, want = deep(boring), flat(picture)
    # five kernels of three frames reach five frames from each end; then two frames are one
    inner = got.values[:, 4:-4]
    torch.testing.assert_close(inner, want.values.expand_as(inner), atol=1e-4, rtol=1e-4)
    assert (got.values[:, 0] - want.values[:, 0]).abs().max() > 1e-3


def test_any_convolution_can_be_inflated():
    flat, deep = nn.Conv2d(3, 4, (5, 3), padding=1), nn.Conv3d(3, 4, (7, 5, 3), padding=(3, 1, 1))
    deep.load_state_dict(inflate(flat.state_dict(), deep.state_dict()))
    picture = torch.randn(2, 3, 8, 8)
    got = deep(picture[:, :, None].expand(-1, -1, 9, -1, -1))
    torch.testing.assert_close(got[:, :, 4], flat(picture), atol=1e-5, rtol=1e-5)


def test_what_does_not_fit_is_not_inflated():
    deep = I3d(DIM, 5, shape=SHAPE, widths=[4, 8, 8])
    with pytest.raises(ConfigError, match="in one network only"):
        deep.inflated(Cnn(DIM, 5, shape=SHAPE, widths=[4, 8, 8]).state_dict())
    with pytest.raises(ConfigError, match="same widths"):
        deep.inflated(Cnn(DIM, 5, shape=SHAPE, widths=[8, 8, 8], block="inception").state_dict())
