"""The recurrent encoders against torch's own with packed sequences of what is there."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from plait.encoders.recurrent import Gru, Lstm
from plait.tokens import Tokens


def copied(encoder, kind, layers: int, both: bool):
    """torch's stacked layer with the weights of ours."""
    theirs = kind(5, 8 // (1 + both), layers, batch_first=True, bidirectional=both)
    for i in range(layers):
        for part, end in [(encoder.ahead, "")] + [(encoder.back, "_reverse")] * both:
            for name, weight in part[i].named_parameters():
                getattr(theirs, name.replace("_l0", f"_l{i}") + end).data.copy_(weight.data)
    return theirs.eval()


@pytest.mark.parametrize(("ours", "theirs"), [(Gru, torch.nn.GRU), (Lstm, torch.nn.LSTM)])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [True, False])
def test_as_packed_sequences(ours, theirs, layers, both):
    torch.manual_seed(layers)
    encoder = ours(5, 8, layers=layers, bidirectional=both).eval()
    mask = torch.rand(6, 11) > 0.4
    mask[:, 3] = True
    mask[0] = True
    tokens = Tokens(torch.randn(6, 11, 5), torch.arange(11.0).expand(6, 11), mask)
    packed = pack_sequence([tokens.values[b, mask[b]] for b in range(6)], enforce_sorted=False)
    with torch.no_grad():
        want, lengths = pad_packed_sequence(copied(encoder, theirs, layers, both)(packed)[0], batch_first=True)
        got = encoder(tokens)
    for b in range(6):
        torch.testing.assert_close(got.values[b, mask[b]], want[b, : lengths[b]], atol=1e-5, rtol=1e-5)
    assert got.values[~mask].abs().sum() == 0
