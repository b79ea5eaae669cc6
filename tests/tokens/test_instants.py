"""Tokens at instants, against numpy one row at a time."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.tokens import Instants, Tokens
from plait.tokens.instants import at_instants


def a_batch(seed: int, causal_ties: bool = False) -> tuple[Tokens, Instants]:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 12, (4, 7)) / 2 + (0 if causal_ties else rng.uniform(0, 0.2, (4, 7))), 1)
    mask = rng.random((4, 7)) < rng.choice([0.3, 1.0])
    mask[3] = False
    values = np.where(mask[..., None], rng.normal(size=(4, 7, 2)), np.nan)
    at = np.sort(rng.choice([*range(-1, 8), *times.ravel().tolist()], (4, 5)), 1)
    made = Tokens(torch.from_numpy(values).float(), torch.from_numpy(times).float(), torch.from_numpy(mask))
    return made, Instants(torch.from_numpy(at).float(), torch.ones(4, 5, dtype=torch.bool))


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_it_is_numpys_interpolation(seed: int) -> None:
    tokens, at = a_batch(seed)
    found = at_instants(tokens, at)
    for row in range(4):
        seen = tokens.mask[row]
        for d in range(2):
            if not seen.any():
                assert not found[row].any()
                continue
            known = tokens.times[row][seen].numpy(), tokens.values[row][seen][:, d].numpy()
            np.testing.assert_allclose(found[row, :, d].numpy(), np.interp(at.times[row].numpy(), *known), atol=1e-4)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_causal_is_the_last_observation_until_then(seed: int) -> None:
    tokens, at = a_batch(seed, causal_ties=True)
    found = at_instants(tokens, at, causal=True)
    for row in range(4):
        for k, t in enumerate(at.times[row].tolist()):
            before = [i for i in range(7) if tokens.mask[row, i] and tokens.times[row, i] <= t]
            want = tokens.values[row, before[-1]] if before else torch.zeros(2)
            torch.testing.assert_close(found[row, k], want)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.booleans())
def test_order_and_padding_change_nothing(seed: int, causal: bool) -> None:
    tokens, at = a_batch(seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(7))
    turned = Tokens(tokens.values[:, order], tokens.times[:, order], tokens.mask[:, order])
    more = Tokens(*(torch.cat([x, x[:, :3]], 1) for x in turned))._replace(
        mask=torch.cat([turned.mask, torch.zeros(4, 3, dtype=torch.bool)], 1)
    )
    torch.testing.assert_close(at_instants(tokens, at, causal=causal), at_instants(more, at, causal=causal))


def test_gradients_reach_what_is_used_and_nothing_masked() -> None:
    tokens, at = a_batch(5)
    values = tokens.values.clone().requires_grad_()
    at_instants(tokens.with_values(values), at).sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()
    assert not values.grad[~tokens.mask].any()
