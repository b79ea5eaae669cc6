"""Lags, on the own clock and the own scale of each item; the laws are in tests/laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError
from plait.encoders.lags import LARGEST, SMALL, Lags
from plait.tokens import Tokens


def tokens(values, times):
    values = torch.tensor(values, dtype=torch.float32)[None, :, None]
    times = torch.tensor(times, dtype=torch.float32)[None]
    return Tokens(values, times, torch.ones_like(times) > 0)


def test_what_it_sees_is_what_a_loop_computes():
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 20, 30))
    values = rng.normal(size=30).cumsum()
    encoder = Lags(1, 4, step=1.5, count=3, windows=[2.0, 6.0])
    found = encoder.described(tokens(values, times))[0].numpy()
    end, last, scale = times[-1], values[-1], values.std() + SMALL
    wanted = [(np.interp(end - 1.5 * k, times, values) - last) / scale for k in (3, 2, 1)]
    parts = [values[times >= end - w] for w in (2.0, 6.0)]
    wanted += [(p.mean() - last) / scale for p in parts]
    wanted += [np.log((p.std() + SMALL * scale) / scale) for p in parts]
    wanted += [np.log(scale), last]
    np.testing.assert_allclose(found, np.clip(wanted, -LARGEST, LARGEST), atol=2e-3)


def test_lags_do_not_depend_on_level_and_size():
    rng = np.random.default_rng(1)
    values, times = rng.normal(size=40).cumsum(), np.arange(40.0)
    encoder = Lags(1, 4, step=1.0, count=8)
    one, other = (encoder.described(tokens(v, times))[0, :8] for v in (10 * values, 50 * values + 7))
    np.testing.assert_allclose(one, other, atol=1e-2)  # but for the little that is added to the deviation


def test_its_token_stands_at_the_last_observation():
    out = Lags(1, 4)(tokens(np.zeros(5), [0.0, 1.0, 2.0, 3.0, 4.5]))
    assert out.times.tolist() == [[4.5]]


@pytest.mark.parametrize("options", [{"step": 0.0}, {"windows": [-1.0]}, {"count": 0}])
def test_nothing_to_see_is_refused(options):
    with pytest.raises(ConfigError, match="lags: "):
        Lags(1, 4, **options)
