"""Moving statistics against a loop over all pairs of tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plait.core.errors import ConfigError
from plait.encoders.moving_statistics import MovingStatistics, ordered, windows_for
from plait.tokens import Instants, Tokens


def drawn(seed: int, time: int = 12) -> Tokens:
    rng = torch.Generator().manual_seed(seed)
    times = torch.rand(2, time, generator=rng)
    return Tokens(torch.randn(2, time, 3, generator=rng), times, torch.rand(2, time, generator=rng) > 0.3)


@given(st.integers(0, 10**6), st.booleans())
def test_they_are_those_of_a_loop(seed: int, causal: bool) -> None:
    tokens = ordered(drawn(seed).clean())
    windows = [0.11, 0.6]
    found = MovingStatistics(3, 4, windows=windows, causal=causal).raw(tokens).numpy()
    for row in range(2):
        own = tokens.mask[row].numpy()
        times, values = tokens.times[row].numpy()[own], tokens.values[row].numpy()[own]
        for i, t in enumerate(times):
            low, high = (windows, [0.0] * 2) if causal else ([w / 2 for w in windows],) * 2
            inside = [(times > t - a) & (times <= t + b) for a, b in zip(low, high)]
            wanted = [values[x].mean(0) for x in inside] + [np.maximum(values[x].std(0), 1e-3) for x in inside]
            assert found[row, i] == pytest.approx(np.concatenate(wanted), abs=1e-5)


def test_what_is_fitted_is_what_is_read_at_the_instants() -> None:
    encoder = MovingStatistics(3, 4, windows=[0.3], causal=True)
    batches = [(drawn(seed), Instants(torch.full((2, 2), 0.9), torch.tensor([[True, False], [True, True]])))
               for seed in (1, 2)]  # fmt: skip
    rows = encoder.fit(batches)
    assert rows.shape == (6, 6)
    assert rows.mean(0).abs().max() < 1e-5
    last = ordered(batches[0][0].clean())
    described = encoder.described(last)[0, int(last.mask[0].sum()) - 1]
    assert torch.allclose(rows[0], described, atol=1e-5), "all tokens of the item are before its instant"


def test_no_window_is_refused() -> None:
    for windows in ([], [0.0], [float("nan")]):
        with pytest.raises(ConfigError, match=r"moving_statistics\.windows: got"):
            MovingStatistics(3, 4, windows=windows)


@given(st.floats(0.2, 5000), st.floats(0.1, 4000), st.booleans())
def test_windows_grow_from_a_row_to_the_item(rows: float, seconds: float, causal: bool) -> None:
    found = windows_for(rows, seconds, causal=causal)
    assert 1 <= len(found) <= 6
    assert found == sorted(found)
    assert 0 < found[0] <= found[-1] <= seconds / min(rows, 1) + 1e-9
