"""What laws and parity do not say of the transformer and the temporal convolutional network."""

from __future__ import annotations

import pytest
import torch

from plait.core.errors import ConfigError
from plait.encoders.tcn import Tcn
from plait.encoders.transformer import Transformer
from plait.testing.inputs import difference, sample
from plait.tokens import Tokens


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"window": 3}, {"window": 2, "causal": True}])
def test_a_gap_is_not_there_at_all(options):
    torch.manual_seed(0)
    encoder, whole = Transformer(3, 16, **options).eval(), sample(3, time=9)
    mask = torch.ones(1, 9, dtype=torch.bool)
    mask[0, 3:5] = False
    without = Tokens(*(torch.cat([x[:1, :3], x[:1, 5:]], 1) for x in whole))
    out = encoder(Tokens(whole.values[:1], whole.times[:1], mask))
    short = Tokens(*(torch.cat([x[:, :3], x[:, 5:]], 1) for x in out))
    assert not difference(encoder(without), short)


def test_the_transformer_knows_when_and_not_where():
    torch.manual_seed(0)
    encoder, tokens = Transformer(3, 16).eval(), sample(3, time=6)
    out, slower = encoder(tokens), encoder(tokens._replace(times=3 * tokens.times))
    assert (out.values - slower.values)[0].abs().max() > 1e-2
    order = torch.tensor([2, 0, 5, 4, 1, 3])
    shuffled = encoder(Tokens(*(x[:, order] for x in tokens)))
    assert not difference(Tokens(*(x[:, order] for x in out)), shuffled)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"layers": 0}, "0 layers"),
        ({"heads": 3}, "3 heads at width 16"),
        ({"periods": [1.0]}, "two rising numbers"),
        ({"periods": [0.0, 1.0]}, "two rising numbers"),
        ({"window": 0}, "window 0"),
    ],
)
def test_wrong_options_of_the_transformer(options, word):
    with pytest.raises(ConfigError, match=word):
        Transformer(3, 16, **options)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"layers": 0}, "0 layers"), ({"kernel": 4}, "odd unless causal"), ({"kernel": 1, "causal": True}, "kernel"),
     ({"norm": "group"}, "norm is 'group'")],
)  # fmt: skip
def test_wrong_options_of_the_tcn(options, word):
    with pytest.raises(ConfigError, match=word):
        Tcn(3, 16, **options)
    assert Tcn(3, 16, kernel=4, causal=True).causal


def test_batch_norm_of_the_tcn_does_not_see_padding():
    short = Tokens(*(x[:3] for x in sample(3, time=6)))
    long = Tokens(
        torch.cat([short.values, torch.full((3, 40, 3), 1e6)], 1),
        torch.cat([short.times, torch.zeros(3, 40)], 1),
        torch.cat([short.mask, torch.zeros(3, 40, dtype=torch.bool)], 1),
    )
    torch.manual_seed(0)
    encoder = Tcn(3, 4, dropout=0.0).train()
    assert not difference(encoder(short), encoder(long))
