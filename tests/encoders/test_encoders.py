"""What the laws do not say of the encoders: gaps, times, options."""

from __future__ import annotations

import pytest
import torch

from plait.core.errors import ConfigError
from plait.encoders.chain import build_encoder, encoder_specs
from plait.encoders.conv import Conv
from plait.encoders.conv2d import Conv2d
from plait.encoders.recurrent import Gru
from plait.testing.inputs import difference, sample
from plait.tokens import Tokens


def test_a_recurrence_steps_over_a_gap():
    encoder, whole = Gru(3, 8).eval(), sample(3, time=8)
    without = Tokens(*(torch.cat([x[:1, :3], x[:1, 5:]], 1) for x in whole))
    mask = torch.ones(1, 8, dtype=torch.bool)
    mask[0, 3:5] = False
    out = encoder(Tokens(whole.values[:1], whole.times[:1], mask))
    short = Tokens(*(torch.cat([x[:, :3], x[:, 5:]], 1) for x in out))
    assert not difference(encoder(without), short)


def test_a_convolution_keeps_the_place_of_a_gap():
    times = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    mask = torch.tensor([[True, False, False, False, True, True, False]])
    out = Conv(2, 4, strides=[2], norm="layer")(Tokens(torch.randn(1, 7, 2), times, mask))
    assert out.mask.tolist() == [[True, False, True, False]]
    assert out.times.tolist() == [[0.0, 0.0, 4.5, 0.0]]


def test_batch_norm_in_training_does_not_see_padding():
    short = Tokens(*(x[:3] for x in sample(3, time=6)))
    long = Tokens(
        torch.cat([short.values, torch.full((3, 40, 3), 1e6)], 1),
        torch.cat([short.times, torch.zeros(3, 40)], 1),
        torch.cat([short.mask, torch.zeros(3, 40, dtype=torch.bool)], 1),
    )
    torch.manual_seed(0)
    encoder = Conv(3, 4, dropout=0.0, norm="batch").train()
    assert not difference(encoder(short), encoder(long))


@pytest.mark.parametrize(
    "options", [{"strides": []}, {"strides": [6]}, {"strides": [0]}, {"norm": "group"}, {"kernel": 1}]
)
def test_wrong_options_of_conv(options):
    with pytest.raises(ConfigError, match="conv"):
        Conv(3, 4, **options)


@pytest.mark.parametrize("options", [{"widths": []}, {"pools": [2]}, {"strides": [2, 2, 5]}, {"kernel": 4}])
def test_wrong_options_of_conv2d(options):
    with pytest.raises(ConfigError, match="conv2d"):
        Conv2d(9, 4, **options)


def test_a_pattern_is_the_same_in_all_columns():
    """Moved by whole pools, a pattern gives the same numbers, moved as well."""
    encoder = Conv2d(16, 4, widths=[5], strides=[1], pools=[4]).eval()
    encoder.leave = torch.nn.Identity()
    low, high = torch.zeros(1, 6, 16), torch.zeros(1, 6, 16)
    low[:, 2:4, 1:3] = high[:, 2:4, 9:11] = torch.randn(1, 2, 2)
    found = [encoder(Tokens(x, torch.arange(6.0)[None], torch.ones(1, 6) > 0)).values for x in (low, high)]
    columns = [x.unflatten(-1, (5, 4)) for x in found]
    assert torch.allclose(columns[0][..., :2], columns[1][..., 2:])


def test_wrong_options_of_gru():
    with pytest.raises(ConfigError, match="0 layers"):
        Gru(3, 4, layers=0)
    with pytest.raises(ConfigError, match="width 5"):
        Gru(3, 5)


def test_a_chain_of_one_is_the_encoder_itself():
    assert type(build_encoder(["gru"], 3, 8, "e")) is type(build_encoder("gru", 3, 8, "e")) is Gru
    assert [s["name"] for s in encoder_specs(["conv", {"name": "gru"}], "e")] == ["conv", "gru"]
    with pytest.raises(ConfigError, match="e: an empty list"):
        build_encoder([], 3, 8, "e")
