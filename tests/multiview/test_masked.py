"""Masked reconstruction: what is hidden, and that it can be told from the rest and from other streams."""

from __future__ import annotations

import pytest
import torch

from plait.core.errors import ConfigError
from plait.multiview.masked import ASKED, Reconstruct, hide_spans
from plait.tokens import Tokens, cat


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def stream(rows, steps, dim, rate, late=0.0):
    times = (late + torch.arange(steps) / rate).expand(rows, -1).clone()
    return Tokens(torch.randn(rows, steps, dim), times, torch.ones(rows, steps, dtype=torch.bool))


def test_about_the_wanted_share_is_hidden_in_pieces_of_the_wanted_length():
    batch = {"a": stream(200, 100, 1, 50.0, late=30.0), "b": stream(200, 40, 2, 20.0, late=30.0)}
    shown = hide_spans(batch, 0.4, 0.1)
    for m in batch:
        assert abs(float((~shown[m].mask).float().mean()) - 0.4) < 0.03
    hidden = ~shown["a"].mask
    edges = (hidden[:, 1:] != hidden[:, :-1]).sum(1)
    assert 3 < float(edges.float().mean()) < 7  # cells of a tenth: about 2 * 10 * 0.4 * 0.6
    together = (hidden[:, ::5] == ~shown["b"].mask[:, ::2]).float().mean()
    assert abs(float(together) - 0.52) < 0.05  # other spans in each modality


def test_what_was_missing_stays_missing_and_nothing_else_changes():
    one = stream(5, 20, 3, 10.0)
    mask = one.mask.clone()
    mask[0], mask[1, 5:] = False, False
    holed = Tokens(torch.where(mask[..., None], one.values, float("nan")), one.times, mask)
    shown = hide_spans({"a": holed}, 0.5, 0.1)["a"]
    assert not bool((shown.mask & ~mask).any())
    assert torch.equal(shown.times, one.times)
    assert hide_spans({"a": holed}, 0.0, 0.1)["a"].mask.equal(mask)
    assert not bool(hide_spans({"a": holed}, 1.0, 0.1)["a"].mask.any())


def test_shifting_all_times_changes_no_answer():
    ask, tokens = Reconstruct({"a": 3, "b": 2}, 16), stream(4, 12, 16, 5.0)
    later = tokens._replace(times=tokens.times + 128)
    when = torch.rand(4, 7)
    assert torch.allclose(ask.at("b", when, tokens), ask.at("b", when + 128, later), atol=1e-3)


def test_what_is_masked_and_rows_without_tokens_change_nothing():
    ask, tokens = Reconstruct({"a": 3}, 16), stream(4, 12, 16, 5.0)
    mask = tokens.mask.clone()
    mask[0], mask[1, 4:] = False, False
    holed = tokens._replace(mask=mask)
    poisoned = holed._replace(values=torch.where(mask[..., None], tokens.values, float("nan")))
    truth = stream(4, 12, 3, 5.0)
    shown = truth._replace(mask=truth.mask & (torch.arange(12) > 5))
    torch.manual_seed(1)
    loss = ask({"a": truth}, {"a": shown}, holed)
    torch.manual_seed(1)
    assert torch.equal(loss, ask({"a": truth}, {"a": shown}, poisoned))
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in ask.parameters())
    assert float(ask({"a": truth}, {"a": truth}, holed)) == 0  # nothing hidden, nothing to tell


def test_only_what_was_hidden_counts():
    ask, tokens = Reconstruct({"a": 2}, 8), stream(2, 6, 8, 5.0)
    truth = stream(2, 6, 2, 5.0)
    shown = truth._replace(mask=torch.arange(6).expand(2, 6) != 3)
    changed = truth.values.clone()
    changed[:, [0, 1, 2, 4, 5]] += 5.0
    loss = ask({"a": truth}, {"a": shown}, tokens)
    assert torch.allclose(loss, ask({"a": truth._replace(values=changed)}, {"a": shown}, tokens))
    told = ask.at("a", truth.times[:, 3:4], tokens)
    assert torch.allclose(loss, (told - truth.values[:, 3:4]).square().mean())


@pytest.mark.slow
def test_it_learns_to_tell_a_stream_from_another_at_the_right_instant():
    def batch(rows):
        phase, late = torch.rand(rows, 1) * 6.28, torch.rand(rows, 1) * 0.1
        slow = (late + torch.arange(20) / 20).clone()
        fast = (late + torch.arange(50) / 50).clone()
        everywhere = torch.ones(rows, 50, dtype=torch.bool)
        a = Tokens(
            torch.stack([(6.28 * slow + phase).sin(), (6.28 * slow + phase).cos()], -1), slow, everywhere[:, :20]
        )
        return {
            "a": a,
            "b": Tokens(a.values.new_zeros(rows, 50, 1) + (6.28 * fast + phase).sin()[..., None], fast, everywhere),
        }

    enter = torch.nn.Linear(2, 32)
    ask = Reconstruct({"a": 2, "b": 1}, 32, periods=(0.1, 4.0))
    optimizer = torch.optim.Adam([*enter.parameters(), *ask.parameters()], lr=5e-3)
    for _ in range(250):
        truth = batch(32)
        shown = {"a": truth["a"], "b": truth["b"]._replace(mask=torch.zeros_like(truth["b"].mask))}
        loss = ask(truth, shown, cat([truth["a"].with_values(enter(truth["a"].values))]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1  # of a variance of 0.5


def test_many_hidden_observations_are_asked_for_a_few_at_a_time():
    ask, tokens, truth = Reconstruct({"a": 1}, 8), stream(2, 4, 8, 5.0), stream(2, 500, 1, 5.0)
    asked = []
    ask.look.register_forward_pre_hook(lambda _, args: asked.append(args[0].shape[1]))
    ask({"a": truth}, {"a": truth._replace(mask=torch.zeros_like(truth.mask))}, tokens)
    assert asked == [ASKED]


def test_a_width_that_does_not_fit_is_told():
    with pytest.raises(ConfigError, match="width 12 with 4 heads"):
        Reconstruct({"a": 1}, 12)
