"""The decoder by attention: a distribution over sequences, whatever is padded; its search is exact with a wide beam."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from plait.decoders.attention import AttentionDecoder
from plait.decoders.ctc_decoder import CtcDecoder


@pytest.fixture
def decoder() -> AttentionDecoder:
    torch.manual_seed(0)
    return AttentionDecoder(2, dim=16, heads=2).eval().requires_grad_(False)


def heard(batch: int = 1, steps: int = 3, outputs: int = 3) -> Tensor:
    return torch.randn(batch, steps, outputs, generator=torch.Generator().manual_seed(1)).log_softmax(-1)


def test_probabilities_are_those_of_one_token_after_another(decoder: AttentionDecoder) -> None:
    logs, sequences = heard(), [(1, 2, 2), (), (2,)]
    found = decoder.score(logs[0].double().numpy(), sequences)
    for sequence, score in zip(sequences, found):
        wanted = 0.0
        for i in range(len(sequence) + 1):
            rows = torch.tensor([sequence[:i]], dtype=torch.long)
            column = sequence[i] if i < len(sequence) else 0
            wanted += float(decoder(logs, rows)[0, -1].log_softmax(-1)[column])
        assert score == pytest.approx(wanted, abs=1e-5)
        padded = torch.tensor([[*sequence, -1]])
        assert float(decoder.loss(logs, padded)) == pytest.approx(-wanted / (len(sequence) + 1), abs=1e-5)


def test_padding_and_company_change_nothing(decoder: AttentionDecoder) -> None:
    logs, tokens = heard(2), torch.tensor([[1, 2, -1], [2, -1, -1]])
    blank = torch.tensor([1.0, 0.0, 0.0]).mul(30).log_softmax(-1).expand(2, 4, 3)
    alone = torch.cat([decoder(logs[i : i + 1], tokens[i : i + 1]) for i in range(2)])
    padded = decoder(torch.cat([logs, blank], 1), torch.cat([tokens, torch.full((2, 2), -1)], 1))
    torch.testing.assert_close(padded[:, :4], alone, atol=1e-5, rtol=0)


def test_calibration_may_ask_in_double_precision(decoder: AttentionDecoder) -> None:
    logs, tokens = heard(), torch.tensor([[1, 2]])
    torch.testing.assert_close(decoder.loss(logs.double(), tokens), decoder.loss(logs, tokens))


def test_a_token_that_training_lacks_is_not_asked_for(decoder: AttentionDecoder) -> None:
    logs = heard()
    both, known = decoder.loss(logs, torch.tensor([[1, 3]])), decoder.loss(logs, torch.tensor([[1, -1]]))
    assert both.isfinite().all()
    assert both.item() != known.item()  # the end comes after both


def test_the_search_is_exhaustive_with_a_wide_beam(decoder: AttentionDecoder) -> None:
    logs = heard()[0].double().numpy()
    every = [s for n in range(4) for s in itertools.product((1, 2), repeat=n)]
    for bonus in (0.0, 2.0, -1.0):
        score = decoder.score(logs, every) + bonus * np.array([len(s) for s in every])
        best = decoder.search(logs, beam=100, insertion_bonus=bonus)[0]
        assert best.tokens == every[int(score.argmax())]
        assert best.score == pytest.approx(score.max(), abs=1e-5)
    assert decoder.search(np.zeros((0, 3)), beam=2)[0].tokens == ()


def test_it_learns_what_follows_what() -> None:
    """What is heard is the same; only the order of the tokens tells the second one."""
    torch.manual_seed(0)
    decoder = AttentionDecoder(4, dim=32, heads=2, layers=1, dropout=0.0)
    optimizer = torch.optim.Adam(decoder.parameters(), 3e-3)
    sure = torch.full((2, 2, 5), -9.0)
    sure[0, 0, 1] = sure[1, 0, 2] = 0.0  # the first token is heard, the second is not
    sure[:, 1, 3:] = np.log(0.5)
    for _ in range(150):
        optimizer.zero_grad()
        decoder.loss(sure.log_softmax(-1), torch.tensor([[1, 3], [2, 4]])).mean().backward()
        optimizer.step()
    decoder.eval()
    rows = list(sure.log_softmax(-1).double().numpy())
    assert [decoder.search(row, beam=3)[0].tokens for row in rows] == [(1, 3), (2, 4)]
    hybrid = CtcDecoder(10, attention=decoder, attention_weight=0.3)
    hybrid.tune(rows, lambda said: float(np.mean([a != b for a, b in zip(said, [(1, 3), (2, 4)])])))
    assert hybrid.weights[2] > 0
    assert [hybrid(row) for row in rows] == [(1, 3), (2, 4)]
