"""What laws and parity do not say of the encoders of pictures and clips: shapes, options, gaps, recipes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError
from plait.encoders.c3d import C3d
from plait.encoders.chain import build_encoder
from plait.encoders.cnn import Cnn
from plait.encoders.i3d import I3d
from plait.encoders.transformer import Transformer
from plait.encoders.two_stream import TwoStream
from plait.encoders.vit import Vit
from plait.features.flow import OpticalFlow
from plait.features.image import Frames
from plait.streams.stream import Stream
from plait.testing.inputs import difference, sample
from plait.tokens import Tokens

EVERY = [Cnn, C3d, I3d, TwoStream, Vit]


def film(shape: list[int], *, rows: int = 2, time: int = 9, share: float = 1.0, seed: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, time, int(np.prod(shape)), generator=generator)
    mask = torch.rand(rows, time, generator=generator) < share
    return Tokens(values, torch.arange(float(time)).expand(rows, time) / 25, mask)


@pytest.mark.parametrize("cls", EVERY)
def test_a_shape_that_does_not_fit(cls):
    with pytest.raises(ConfigError, match=r"rows of 100 numbers are not pictures of shape \[24, 32\], which have 768"):
        cls(100, 16)
    with pytest.raises(ConfigError, match=r"expected \[height, width\]"):
        cls(100, 16, shape=[100])


@pytest.mark.parametrize(
    ("feature", "shape", "channels"),
    [
        (Frames(), None, 1),
        (Frames(differences=True), None, 2),
        (Frames(height=8, width=12, grey=False), [8, 12, 3], 3),
        (Frames(height=8, width=12, grey=False, differences=True), [8, 12, 3], 6),
        (OpticalFlow(), [6, 8, 3], 3),
    ],
)
def test_pictures_are_laid_out_as_the_features_flatten_them(feature, shape, channels):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3)).astype(np.uint8)
    values, clock = feature(Stream.of(pixels, rate=25))
    encoder = Cnn(values.shape[1], 8, shape=shape)
    assert encoder.channels == channels
    seen = []
    encoder.see = lambda pictures, tokens: seen.append(pictures) or tokens
    encoder(Tokens(torch.from_numpy(values)[None], torch.zeros(1, len(clock)), torch.ones(1, len(clock)) > 0))
    height, width = (shape or [24, 32])[:2]
    for plane in range(channels):
        whole, colour = divmod(plane, (shape or [0, 0, 1])[2])
        size = height * width * (shape or [0, 0, 1])[2]
        picture = values[2, whole * size : (whole + 1) * size].reshape(height, width, -1)[..., colour]
        assert torch.equal(seen[0][0, 2, plane], torch.from_numpy(picture.copy()))


@pytest.mark.parametrize(
    ("cls", "options", "word"),
    [
        (Cnn, {"widths": []}, "widths"),
        (Cnn, {"block": "dense"}, "block 'dense'"),
        (Cnn, {"norm": "layer"}, "norm 'layer'"),
        (Cnn, {"grid": 0}, "grid 0"),
        (Cnn, {"stack": 0}, "stack 0"),
        (I3d, {"widths": [16, 20, 24]}, "multiples of 8"),
        (I3d, {"depth": 2}, "depth 2"),
        (I3d, {"strides": [2]}, "expected 2 of them"),
        (C3d, {"layers": [1]}, "layers"),
        (C3d, {"widths": [], "layers": [], "strides": []}, "widths"),
        (Vit, {"patch": 7}, "divide 24 x 32"),
        (Vit, {"heads": 3}, "3 heads at width 16"),
        (Vit, {"tube": 0}, "tube 0"),
        (Vit, {"periods": [2.0, 1.0]}, "two rising"),
        (TwoStream, {"flow": 1}, "flow 1 of 1 channels"),
        (TwoStream, {"stack": 0}, "stack 0"),
    ],
)
def test_wrong_options(cls, options, word):
    with pytest.raises(ConfigError, match=word):
        cls(24 * 32, 16, **options)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ConfigError) as error:
        Cnn(24 * 32, 16, widths=[0], block="dense", norm="layer")
    assert len(error.value.problems) == 3


@pytest.mark.parametrize("cls", [Cnn, C3d, I3d, TwoStream])
def test_batch_norm_in_training_does_not_see_padding(cls):
    short = film([24, 32], time=6, share=0.7)
    padding = torch.full((2, 14, 768), 1e6)
    long = Tokens(
        torch.cat([short.values, padding], 1),
        torch.cat([short.times, torch.zeros(2, 14)], 1),
        torch.cat([short.mask, torch.zeros(2, 14) > 0], 1),
    )
    torch.manual_seed(0)
    encoder = cls(768, 8, dropout=0.0).train()
    assert not difference(encoder(short), encoder(long))


@pytest.mark.slow
@pytest.mark.parametrize("cls", [I3d, Transformer])
def test_what_is_captured_as_a_graph_takes_other_batches_and_lengths(cls):
    dim_in, options = cls.trial
    encoder = cls(dim_in, 16, **options).eval()
    tokens, free = sample(dim_in, time=21), {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    more = Tokens(*(torch.cat([x, x[:2]]) for x in tokens))
    graph = torch.export.export(encoder, (sample(dim_in),), dynamic_shapes=(Tokens(free, free, free),)).module()
    assert not difference(encoder(more), graph(more))


def test_tokens_stand_at_the_mean_time_of_their_frames():
    tokens = film([6, 8], rows=1, time=8)
    tokens = tokens._replace(mask=torch.tensor([[True, True, True, False, False, False, False, True]]))
    for encoder in (I3d(48, 8, shape=[6, 8]), C3d(48, 8, shape=[6, 8]), Vit(48, 8, shape=[6, 8], patch=2, tube=2)):
        out = encoder(tokens)
        assert out.mask.tolist() == [[True, True, False, True]]
        np.testing.assert_allclose(out.times[0], [0.5 / 25, 2 / 25, 0, 7 / 25], atol=1e-6)


def test_a_stack_holds_the_frames_before():
    torch.manual_seed(0)
    encoder = Cnn(48, 8, shape=[6, 8], stack=3, norm="group").eval()
    tokens = film([6, 8], rows=1)
    tokens.values.requires_grad_()
    encoder(tokens).values[0, 5].square().sum().backward()
    assert tokens.values.grad[0].any(-1).nonzero()[:, 0].tolist() == [3, 4, 5]


def test_a_cnn_under_a_recurrent_top():
    spec = [{"name": "cnn", "shape": [6, 8], "widths": [4, 8]}, {"name": "gru", "bidirectional": False}]
    hybrid = build_encoder(spec, 48, 8, "encoders.film").eval()
    assert hybrid.causal
    assert hybrid(film([6, 8], share=0.6)).values.shape == (2, 9, 8)
