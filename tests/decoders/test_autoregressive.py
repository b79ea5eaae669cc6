"""Decoders that say one token after another: kept keys give what one pass gives; searches find what they should."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError
from plait.decoders.autoregressive import DECODERS, END, Memory, TransformerDecoder
from plait.decoders.search import beam_search, sample


def made(kind: str, tokens: int = 5, dim: int = 8):
    torch.manual_seed(0)
    decoder = DECODERS[kind](tokens, dim).eval()
    with torch.no_grad():  # far from uniform, so that searches differ
        decoder.bias.normal_(std=0.5)
        decoder.embedding.weight.mul_(4)
    return decoder


def memory(batch: int = 3, places: int = 6, dim: int = 8) -> Memory:
    mask = torch.ones(batch, places) > 0
    mask[1:2, 3:] = False
    mask[2:] = False  # nothing to look at
    return Memory(torch.randn(batch, places, dim, generator=torch.Generator().manual_seed(1)), mask)


@pytest.mark.parametrize("kind", DECODERS)
def test_steps_with_kept_keys_equal_one_pass(kind):
    decoder, seen = made(kind), memory()
    tokens = torch.tensor([[1, 2, 3], [4, 4, 1], [99, 5, 2]])  # 99: an unknown one
    logits, attention = decoder(seen, tokens)
    state, said = decoder.begin(seen), torch.cat([torch.full((3, 1), END), tokens], 1)
    for step in range(4):
        one, looked, state = decoder.advance(said[:, step], state)
        torch.testing.assert_close(one, logits[:, step], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(looked, attention[:, step], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", DECODERS)
def test_masked_places_and_other_items_change_nothing(kind):
    decoder, seen = made(kind), memory()
    tokens = torch.tensor([[1, 2], [3, 4], [5, 1]])
    whole, attention = decoder(seen, tokens)
    other = seen._replace(values=torch.where(seen.mask[..., None], seen.values, torch.nan))
    longer = Memory(torch.cat([other.values, other.values], 1), torch.cat([seen.mask, seen.mask & False], 1))
    torch.testing.assert_close(decoder(longer, tokens)[0], whole)
    alone, _ = decoder(Memory(seen.values[1:2, :3], seen.mask[1:2, :3]), tokens[1:2])
    torch.testing.assert_close(alone, whole[1:2], atol=1e-5, rtol=1e-4)
    assert bool(whole.isfinite().all())
    assert not attention[~seen.mask[:, None].expand_as(attention)].any()


def exact(decoder, seen: Memory, longest: int) -> dict[tuple[int, ...], float]:
    """The logarithm of the probability of every text of at most so many tokens; the longest need no end."""
    found = {}
    for length in range(longest + 1):
        for tokens in itertools.product(range(1, decoder.tokens + 1), repeat=length):
            logs = decoder(seen, torch.tensor([tokens], dtype=torch.long).reshape(1, -1))[0][0].log_softmax(-1)
            ends = [*tokens, END] if length < longest else list(tokens)
            found[tokens] = float(sum(logs[i, token] for i, token in enumerate(ends)))
    return found


@pytest.mark.parametrize("kind", DECODERS)
def test_a_wide_beam_is_exact(kind):
    decoder, seen = made(kind, tokens=2), memory(1)
    with torch.no_grad():
        every = exact(decoder, seen, 3)
    found = beam_search(decoder.advance, decoder.begin(seen), beam=20, longest=3, length_penalty=0.0)[0]
    best = sorted(every, key=lambda tokens: -every[tokens])
    assert [one.tokens for one in found] == best[: len(found)]
    assert len(found) == 15  # 1 + 2 + 4 + 8 texts
    for one in found:
        assert one.log_prob == pytest.approx(every[one.tokens], abs=1e-4)
        assert one.attention.shape == (len(one.tokens), 6)


def test_many_items_at_a_time_are_searched_as_each_alone():
    decoder, seen = made("transformer"), memory()
    for beam in (1, 3):
        together = beam_search(decoder.advance, decoder.begin(seen), beam=beam, longest=6)
        for i, own in enumerate(together):
            alone = beam_search(
                decoder.advance,
                decoder.begin(Memory(seen.values[i : i + 1], seen.mask[i : i + 1])),
                beam=beam,
                longest=6,
            )[0]
            assert [one.tokens for one in own] == [one.tokens for one in alone]
            assert own[0].score == pytest.approx(own[0].log_prob / (len(own[0].tokens) + (len(own[0].tokens) < 6)))


def test_draws_follow_the_probabilities():
    decoder, seen = made("transformer", tokens=2), memory(1)
    with torch.no_grad():
        first = decoder(seen, torch.zeros(1, 0).long())[0][0, 0].softmax(-1).numpy()
    drawn = sample(decoder.advance, decoder.begin(seen), count=3000, longest=1, seed=1)[0]
    found = np.bincount([one.tokens[0] if one.tokens else 0 for one in drawn], minlength=3) / 3000
    np.testing.assert_allclose(found, first, atol=0.03)
    likeliest = sample(decoder.advance, decoder.begin(seen), count=5, longest=1, top=0.01)[0]
    assert {one.tokens for one in likeliest} == {(int(first.argmax()),) if first.argmax() else ()}
    two = memory(2)
    both = sample(decoder.advance, decoder.begin(two), count=4, longest=5)
    assert [one.tokens for one in both[0]] == [
        one.tokens for one in sample(decoder.advance, decoder.begin(seen), count=4, longest=5)[0]
    ]


def test_wrong_options_are_refused():
    decoder, seen = made("transformer"), memory(1)
    with pytest.raises(ConfigError, match="beam 0"):
        beam_search(decoder.advance, decoder.begin(seen), beam=0)
    with pytest.raises(ConfigError, match="temperature"):
        sample(decoder.advance, decoder.begin(seen), temperature=0.0)
    with pytest.raises(ConfigError, match="heads"):
        TransformerDecoder(5, 9, heads=2)
