"""Forecasts: reference, quantiles, missing streams, rivals; their laws are in tests/laws."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError, DataError
from plait.examples.future import Future, Track
from plait.examples.items import Item
from plait.metrics.quantiles import pinball
from plait.tasks.answers import Outlook
from plait.tasks.autoregression import Lagged, autoregress, fit_autoregression, unrolled
from plait.tasks.forecast import CENTRE, KNOWN, LAST, SCALE, SEASON, VALUE, Forecast
from plait.tasks.horizons import horizons_of, subsets_of
from plait.tokens import Instants


def wave(seed, n=300, period=12.0, noise=0.05, level=0.0, rate=1.0):
    rng = np.random.default_rng(seed)
    times = np.arange(n) / rate
    return Track(times, level + np.sin(2 * np.pi * times / period + seed) + noise * rng.normal(size=n))


def futures(tracks, seconds=40.0, starts=range(0, 240, 7)):
    return [Future(seconds, float(s), t if isinstance(t, tuple) else (t,)) for t in tracks for s in starts]


def task_of(tracks, **options):
    return Forecast(futures(tracks), **{"target": "load", "horizon": [1.0, 6.0], **options})


def items_of(targets):
    return [Item("r", t.start, t.stop, t) for t in targets]


def test_the_ridge_sees_the_period_that_persistence_misses():
    task = task_of([wave(s) for s in range(6)])
    told = task.encode(futures([wave(9)])).numpy()
    gone = lambda place: np.abs(told[..., place] - told[..., VALUE]).mean()  # noqa: E731
    assert gone(CENTRE) < 0.15
    assert gone(LAST) > 0.5


def test_white_noise_has_no_past_so_the_last_value_may_stand():
    rng = np.random.default_rng(0)
    walk = [Track(np.arange(300.0), rng.normal(size=300).cumsum()) for _ in range(6)]
    task = task_of(walk)
    told = task.encode(futures(walk)).numpy()
    off = np.abs(told[..., CENTRE] - told[..., LAST]).mean() / np.abs(told[..., VALUE] - told[..., LAST]).mean()
    assert off < 0.2  # a random walk: nothing beats its last value


def test_a_ridge_is_that_of_the_normal_equations():
    rng = np.random.default_rng(1)
    past, scale = rng.normal(size=(400, 6)).cumsum(1), rng.uniform(1, 3, 400)
    weight = rng.normal(size=(5, 2))
    future = autoregress(past, scale, weight) + 1e-3 * rng.normal(size=(400, 2))
    found = fit_autoregression([Lagged(past, scale, future, np.arange(400) // 20)])
    np.testing.assert_allclose(found, weight, atol=0.01)
    x, y = (past[:, 1:] - past[:, :1]) / scale[:, None], (future - past[:, :1]) / scale[:, None]
    direct = np.linalg.solve(x.T @ x + 1e-5 * np.trace(x.T @ x) / 5 * np.eye(5), x.T @ y)
    np.testing.assert_allclose(found, direct, atol=1e-3)


def test_the_whole_past_is_that_of_a_loop_and_nothing_later():
    task = task_of([wave(s) for s in range(6)], whole_past=True)
    track = wave(9, level=500.0)
    own = task.asked(items_of([Future(40.0, 60.0, (track,))])).own["load"]
    past = track.values[:100]
    scale, last = own[0, 0], past[-1]
    told = np.arcsinh((np.array([past.mean(), past.min(), past.max()]) - last) / scale)
    change = np.abs(past[6:] - past[:-6])
    size = np.log(np.array([past.std(), change[-24:].mean(), change.mean()]) / scale + 0.02)
    np.testing.assert_allclose(own[0, 1:], [*told, *size, np.log(101 / 6)], rtol=1e-4)
    later = Track(track.all_times, np.where(track.all_times >= 100, 999.0, track.values))
    np.testing.assert_array_equal(task.asked(items_of([Future(40.0, 60.0, (later,))])).own["load"], own)
    assert task.asked(items_of([Future(40.0, 0.0, (None,))])).own["load"].tolist() == [[1.0] * 8]


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_a_recursive_forecast_is_that_of_a_loop_over_its_own_forecasts(block):
    rng = np.random.default_rng(2)
    past, scale, weight = rng.normal(size=(5, 5)), rng.uniform(1, 2, 5), 0.3 * rng.normal(size=(4, block))
    known, told = past, []
    while len(told) < 9:
        new = autoregress(known[:, :5], scale, weight)
        told += list(new.T)
        known = np.concatenate([new[:, ::-1], known], 1)
    found = autoregress(past, scale, unrolled(weight, np.array([1.0, 2.5, 8.0])))
    np.testing.assert_allclose(found, np.stack([told[0], (told[1] + told[2]) / 2, told[7]], 1), atol=1e-12)


def pendulum(seed, n):
    """A walk whose steps are an autoregression of two lags: noise that swings."""
    rng, out = np.random.default_rng(seed), np.zeros(n + 50)
    for i in range(2, n + 50):
        out[i] = 1.9 * np.cos(0.5) * out[i - 1] - 0.9025 * out[i - 2] + rng.normal()
    return Track(np.arange(float(n)), out[50:].cumsum())


def test_a_recursive_forecast_makes_do_with_few_items_where_few_lags_say_it_all():
    few, found = futures([pendulum(s, 80) for s in range(3)], starts=range(0, 34, 3)), {}
    for strategy in ("direct", "recursive"):
        task = Forecast(few, target="load", horizon=12.0, every=1.0, lags=4, strategy=strategy)
        told = task.encode(futures([pendulum(s, 300) for s in range(20, 30)])).numpy()
        found[strategy] = np.abs(told[..., CENTRE] - told[..., VALUE]).mean()
    assert found["recursive"] < 0.97 * found["direct"], found


def test_a_recursive_forecast_counts_from_the_last_instant_of_its_own_stream():
    pairs = [(wave(s, n=75, noise=0), wave(s, n=600, rate=8.0, noise=0)) for s in range(5)]
    task = Forecast(
        futures(pairs, starts=range(0, 30, 3)), target=["a", "b"], horizon=6.0, strategy="recursive", block=2.0
    )
    told = task.encode(futures([(wave(9, noise=0), wave(9, n=600, rate=8.0, noise=0))], starts=[3, 8])).numpy()
    # At 42.875 + 6 s: 6.875 steps after the last observation of the slow stream.
    np.testing.assert_allclose(told[..., CENTRE], told[..., VALUE], atol=0.08)
    again = Forecast.restore(task.state(), **task.options)
    np.testing.assert_array_equal(again.encode(futures(pairs)[:3]), task.encode(futures(pairs)[:3]))


@pytest.mark.parametrize("cut", [60.0, 100.5])
def test_nothing_after_an_item_changes_what_it_is_told_relative_to(cut):
    task = task_of([wave(s) for s in range(6)], season=12.0)
    track = wave(20)
    later = Track(track.all_times, np.where(track.all_times >= cut, 99.0, track.values))
    told, other = (task.encode([Future(40.0, cut - 40.0, (t,))]).numpy() for t in (track, later))
    places = [CENTRE, SCALE, LAST, SEASON]
    np.testing.assert_array_equal(told[..., places], other[..., places])
    assert not np.allclose(told[..., VALUE], other[..., VALUE])


def test_streams_of_other_rates_are_told_from_their_own_last_value():
    slow, quick = wave(1), wave(2, n=1200, rate=4.0)
    task = Forecast(futures([(wave(s), wave(s, n=1200, rate=4.0)) for s in range(5)]), target=["a", "b"], horizon=6.0)
    told = task.encode([Future(40.0, 10.0, (slow, quick))]).numpy()[0, 0]
    assert told[0, LAST] == pytest.approx(slow.values[49])  # at 49 s: 50 s is the first instant of the future
    assert told[1, LAST] == pytest.approx(quick.values[199])  # at 49.75 s
    assert told[1, VALUE] == pytest.approx(quick.at(np.array([55.75]))[0], rel=1e-4)


def test_gaps_ahead_are_neither_learnt_nor_scored():
    task = task_of([wave(s) for s in range(6)])
    holes = wave(3)
    lost = Track(holes.all_times, np.where((holes.all_times > 44) & (holes.all_times < 50), np.nan, holes.values))
    targets = [Future(40.0, 0.0, (lost,)), Future(40.0, 10.0, (holes,))]  # 6 s ahead of 39 s is in the gap
    told = task.encode(targets)
    assert told[..., KNOWN].tolist() == [[[1.0], [0.0]], [[1.0], [1.0]]]
    output = torch.zeros(2, 2, task.n_outputs, requires_grad=True)
    task.loss(output, told).sum().backward()
    assert output.grad[0, 1].abs().sum() == 0 < output.grad[0, 0].abs().sum()
    assert task.metrics(task.scores(output), told.numpy())["mae"] < 0.2


def test_no_outputs_at_all_are_the_ridge_with_the_quantiles_of_its_errors():
    task = task_of([wave(s, noise=0.3) for s in range(8)])
    told = task.encode(futures([wave(s, noise=0.3) for s in range(20, 26)]))
    found = task.metrics(task.scores(torch.zeros(len(told), 2, task.n_outputs)), told.numpy())
    assert found["coverage"] == pytest.approx(0.8, abs=0.08)
    assert found["pinball_skill"] > 0.4
    assert task.metrics(task.rivals(told.numpy())["persistence"], told.numpy())["pinball_skill"] == pytest.approx(0)


def test_the_season_repeats():
    task = task_of([wave(s, noise=0.0) for s in range(6)], season=12.0)
    told = task.encode(futures([wave(7, noise=0.0)])).numpy()
    np.testing.assert_allclose(told[..., SEASON], told[..., VALUE], atol=1e-4)
    assert list(task.rivals(told)) == ["persistence", "seasonal_naive", "ridge"]


def there(*on):
    return torch.tensor(on)[:, None]


def test_without_its_own_stream_a_target_is_told_relative_to_all_training_values():
    task = task_of([wave(s, level=50.0) for s in range(6)])
    task.bind({"other": 3, "load": 1}, 8)
    (item,) = items_of([Future(40.0, 0.0, (wave(8, level=80.0),))])
    at, output = task.asked_at([item]), torch.zeros(1, 2, task.n_outputs)
    with_it, without = (
        task.decode(task.postprocess(output, there(*on), at), at)[0].values["load"][0][1]
        for on in ((True, True), (True, False))
    )
    assert with_it == pytest.approx(80, abs=2)
    assert without == pytest.approx(50, abs=1)


def test_an_item_whose_stream_is_not_there_gets_the_same_answer():
    task = task_of([wave(s, level=50.0) for s in range(6)])
    task.bind({"other": 3, "load": 1}, 8)
    (item,) = items_of([Future(40.0, 0.0, (None,))])
    at = task.asked_at([item])
    (answer,) = task.decode(task.postprocess(torch.zeros(1, 2, task.n_outputs), there(True, False), at), at)
    low, middle, high = answer.values["load"][0]
    assert low < middle < high
    assert middle == pytest.approx(50, abs=1)


def test_quantiles_never_cross():
    task = task_of([wave(s) for s in range(6)])
    scores = task.scores(torch.randn(5, 2, task.n_outputs)).reshape(5, 2, 3)
    assert (np.diff(scores, axis=-1) >= 0).all()


def test_the_loss_is_the_pinball_loss():
    task = task_of([wave(s, noise=0.3) for s in range(6)])
    told = task.encode(futures([wave(30, noise=0.3)])[:4]).double()
    scores = task.scores(torch.zeros(4, 2, task.n_outputs)).reshape(8, 3)
    truth = ((told[..., VALUE] - told[..., CENTRE]) / told[..., SCALE]).numpy().ravel()
    far = ((told[..., VALUE].numpy() - task.history.location) / task.history.spread).ravel()
    other = pinball(far, task.quantiles, np.tile(task.history.absolute.reshape(2, 3), (4, 1)))
    wanted = (pinball(truth, task.quantiles, scores) + other).mean(-1).reshape(4, 2).mean(1)
    np.testing.assert_allclose(task.loss(torch.zeros(4, 2, task.n_outputs), told).numpy(), wanted, rtol=1e-4)


def test_an_answer_prints_itself_and_becomes_json_and_annotations():
    task = Forecast(futures([(wave(s), wave(s)) for s in range(5)]), target=["a", "b"], horizon=4.0, every=2.0)
    items = items_of([Future(40.0, 7.0, (wave(1), wave(2)))])
    (answer,) = task.decode(torch.zeros(1, 2, task.n_outputs), task.asked_at(items))
    assert isinstance(answer, Outlook)
    assert answer.times == (41.0, 43.0)  # the last instant of the item is at 39 s
    assert json.loads(json.dumps(answer.to_json()))["levels"] == [0.1, 0.5, 0.9]
    later = answer.shifted(7.0)
    assert str(later).startswith("a at 50.00 s: ")
    notes = later.annotations(7.0, 47.0, tier="said")
    assert [(n.start, n.tier) for n in notes] == [(48, "said a"), (50, "said a"), (48, "said b"), (50, "said b")]
    assert str(answer).startswith("a at 43.00 s: ")


def test_several_streams_are_scored_each():
    task = Forecast(futures([(wave(s), wave(s, level=9)) for s in range(5)]), target=["a", "b"], horizon=4.0)
    told = task.encode(futures([(wave(7), wave(8, level=9))]))
    found = task.metrics(task.scores(torch.zeros(len(told), 1, task.n_outputs)), told.numpy())
    assert {"pinball_skill a", "coverage b"} <= set(found)
    losses = task.losses(task.scores(torch.zeros(len(told), 1, task.n_outputs)), told.numpy())
    assert losses.shape == (len(told), 2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"quantiles": [0.1, 0.9]}, "0.5 among them"),
        ({"quantiles": [0.5, 0.2]}, "in order"),
        ({"horizon": [5.0, 5.0]}, "task.horizon"),
        ({"horizon": -1.0}, "task.horizon"),
        ({"horizon": 2.0, "every": 3.0}, "task.every"),
        ({"horizon": 1e6, "every": 1.0}, "horizons"),
        ({"block": 2.0}, "strategy is direct"),
        ({"target": ["a", "a"]}, "twice"),
        ({"target": []}, "name of a stream"),
        ({"metric": "accuracy"}, "of quantiles"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        Forecast([], **{"target": "a", "horizon": 1.0, **options})


def test_a_target_without_any_number_is_refused():
    with pytest.raises(DataError, match="hold no number of 'load'"):
        task_of([Track(np.arange(300.0), np.full(300, np.nan))])


def test_horizons_on_a_grid_are_exact():
    assert horizons_of(0.3, 0.1) == [0.1, 0.2, pytest.approx(0.3)]


def test_bands_belong_to_the_nearest_subset():
    assert len(subsets_of(6)) == 63
    assert len(subsets_of(9)) == 19
    some = task_of([wave(s) for s in range(5)]).subsets(list("abcdefg"))
    assert (len(some), some[0], some[1], some[-1]) == (15, tuple("abcdefg"), tuple("bcdefg"), ("g",))
    task = task_of([wave(s) for s in range(5)])
    task.bind({f"m{i}": 1 for i in range(9)}, 8)
    chosen = task.trust.subset(torch.tensor([[True, True]] * 8 + [[False, True]]))
    assert task.trust.subsets[int(chosen[0])] == [True] * 8 + [False]
    assert task.trust.subsets[int(chosen[1])] == [True] * 9


def test_instants_without_a_reference_change_nothing():
    task = task_of([wave(s) for s in range(5)])
    task.bind({"load": 1}, 8)
    output = torch.randn(1, 2, task.n_outputs)
    at = Instants(torch.ones(1, 2), torch.ones(1, 2) > 0)
    assert task.postprocess(output, there(True), at) is output
