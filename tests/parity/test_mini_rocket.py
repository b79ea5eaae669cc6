"""Random convolutions and statistics against naive loops, written from the paper and not from the code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plait.encoders.mini_rocket import FLAT, MiniRocket, RandomConvolutions
from plait.encoders.summary import QUANTILES, Summary
from plait.testing.inputs import sample, seeded
from plait.tokens import Tokens


def naive_shares(
    values: NDArray[np.float64],
    seen: NDArray[np.bool_],
    dilation: int,
    channels: list[int],
    taps: tuple[int, ...],
    biases: NDArray[np.float64],
    ends: bool,
) -> list[float]:
    """Shares of the observed places at which one kernel's convolution is above each bias."""
    last = max(t for t in range(len(seen)) if seen[t])
    convolved = {}
    for t in range(last + 1):
        total = 0.0
        for tap in range(9):
            at = t + (tap - 4) * dilation
            if 0 <= at < len(seen) and seen[at]:
                total += (2.0 if tap in taps else -1.0) * sum(values[at, c] for c in channels)
        convolved[t] = total
    places = [t for t in convolved if seen[t]]
    inner = [t for t in places if 4 * dilation <= t <= last - 4 * dilation]
    places = places if ends or not inner else inner
    return [sum(convolved[t] > b for t in places) / len(places) for b in biases]


@pytest.mark.parametrize(("dim", "length"), [(1, 30), (4, 70), (12, 12)])
def test_shares_are_those_of_loops(dim: int, length: int) -> None:
    with seeded(0):
        layer = RandomConvolutions(dim, length=length, features=84 * 5)
        tokens = sample(dim, time=length, seed=1).clean()
        there = Tokens(*(x[:3] for x in tokens))
        layer.fit([there])
    found = layer(tokens).reshape(4, 84, -1).double().numpy()
    taps = list(itertools.combinations(range(9), 3))
    start = 0
    for number, (dilation, count) in enumerate(zip(layer.dilations, layer.biases)):
        for row, kernel in itertools.product(range(3), range(0, 84, 7)):
            own = [c for c in layer.channels[number, kernel].tolist() if c < dim]
            biases = layer.bias[kernel, start : start + count].double().numpy() + FLAT
            wanted = naive_shares(
                tokens.values[row].double().numpy(),
                tokens.mask[row].numpy(),
                dilation,
                own,
                taps[int(layer.order[number, kernel])],
                biases,
                ends=kernel % 2 == 0,
            )
            np.testing.assert_allclose(found[row, kernel, start : start + count], wanted, atol=1e-6)
        start += count
    assert (found[3] == 0).all(), "nothing there"


def test_every_kernel_is_used_once_a_dilation_and_sees_distinct_columns() -> None:
    layer = RandomConvolutions(20, length=200, features=84 * 12)
    for order, channels in zip(layer.order, layer.channels):
        assert sorted(order.tolist()) == list(range(84))
        for row in channels.tolist():
            own = [c for c in row if c < 20]
            assert 1 <= len(own) == len(set(own)) <= 9
    assert max(layer.dilations) * 8 < 200


def test_biases_lie_within_the_convolutions_of_training_items() -> None:
    with seeded(2):
        layer = RandomConvolutions(2, length=40, features=84 * 8)
        tokens = Tokens(torch.randn(30, 40, 2), torch.arange(40.0).expand(30, 40), torch.ones(30, 40) > 0)
        layer.fit([Tokens(*(x[:10] for x in tokens)), Tokens(*(x[10:] for x in tokens))])
    shares = layer(tokens).mean(0)
    assert 0.4 < float(shares.mean()) < 0.6, "quantiles spread evenly over 0 to 1"
    assert float(shares.min()) < 0.1
    assert float(shares.max()) > 0.9


def test_statistics_are_those_of_numpy() -> None:
    tokens = sample(3, time=17, seed=4).clean()
    found = Summary(3, mean_only=False)(tokens).double().numpy().reshape(4, -1, 3)
    for row in range(3):
        seen = tokens.mask[row].numpy()
        values, times = tokens.values[row].double().numpy(), tokens.times[row].double().numpy()
        x, t = values[seen], times[seen]
        slope = [np.polyfit((t - t.mean()) / t.std(), column, 1)[0] for column in x.T]
        steps = [np.abs(values[i + 1] - values[i]) for i in range(16) if seen[i] and seen[i + 1]]
        wanted = [x.mean(0), x.std(0), slope, np.mean(steps, 0), *np.quantile(x, QUANTILES, axis=0)]
        np.testing.assert_allclose(found[row], wanted, atol=1e-4)
    assert (found[3] == 0).all()


def test_an_item_has_the_same_features_alone_and_in_any_batch_to_the_last_bit() -> None:
    with seeded(0):
        encoder = MiniRocket(6, 8, length=60, features=84 * 10)
        tokens = Tokens(torch.randn(9, 60, 6), torch.arange(60.0).expand(9, 60), torch.rand(9, 60) > 0.1)
        encoder.fit([(tokens, None)])
    whole = encoder.convolutions(tokens.clean())
    alone = torch.cat([encoder.convolutions(Tokens(*(x[i : i + 1] for x in tokens)).clean()) for i in range(9)])
    assert torch.equal(whole, alone)


def test_a_flat_stretch_tells_nothing_whatever_its_level() -> None:
    with seeded(0):
        encoder = MiniRocket(3, 8, length=50, features=84 * 5)
        level = torch.tensor([0.1, 0.7, -1.3, 2.9])[:, None, None].expand(4, 50, 3)
        flat = Tokens(level.clone(), torch.arange(50.0).expand(4, 50), torch.ones(4, 50) > 0)
        encoder.convolutions.fit([flat])
    inside = encoder.convolutions(flat).reshape(4, 84, -1)[:, 1::2, : encoder.convolutions.biases[0]]
    assert torch.equal(inside, inside[:1].expand_as(inside)), "rounding is not told from the bias that it gave"
    assert float(inside.mean()) < 0.5


def test_fitted_features_are_standardised_and_those_that_do_not_vary_are_silent() -> None:
    with seeded(0):
        encoder = MiniRocket(3, 8, length=30, features=84 * 3)
        tokens = Tokens(torch.randn(40, 30, 3), torch.arange(30.0).expand(40, 30), torch.ones(40, 30) > 0)
        tokens.values[..., 2] = 5.0
        found = encoder.fit([(tokens, None)])
    assert torch.equal(found, encoder.described(tokens))
    spread = found.std(0, unbiased=False)
    silent = spread < 1e-6
    assert torch.allclose(found.mean(0), torch.zeros(()), atol=0.05)
    assert torch.allclose(spread[~silent], torch.ones(()), atol=0.2)  # but for what is clamped
    constant = encoder.convolutions.size + 2 + 3 * torch.arange(11)
    assert silent[constant].all()
