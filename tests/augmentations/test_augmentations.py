from __future__ import annotations

from collections.abc import Collection

import pytest
import torch

from plait.augmentations import Setting, Vary
from plait.augmentations.crop_resize import CropResize
from plait.augmentations.gaussian_noise import GaussianNoise
from plait.augmentations.random_gain import RandomGain
from plait.augmentations.rotate import Rotate
from plait.tokens import Instants, Tokens
from plait.tokens.dropout import modality_dropout
from plait.tokens.instants import at_instants


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def tokens(rows: int = 4, steps: int = 50, dim: int = 3) -> Tokens:
    times = torch.arange(steps) / 10.0
    mask = torch.arange(steps) < torch.tensor([[steps], [steps // 2], [3], [0]])[:rows]
    values = times[None, :, None].expand(rows, steps, dim).clone()
    return Tokens(torch.where(mask[..., None], values, torch.nan), times.expand(rows, steps), mask)


def on(regular: Collection[str] = ()) -> Setting:
    return Setting(regular, lambda m: torch.tensor([1.0, 10.0]))


def test_warping_a_ramp_gives_the_cropped_ramp() -> None:
    ramp = tokens()
    warped = CropResize(share=0.2)({"a": ramp}, on({"a"}))["a"]
    for row, n in ((0, 50), (1, 25)):
        values = warped.values[row, :n, 0]
        assert bool(warped.mask[row, :n].all())
        assert not bool(warped.mask[row, n:].any())
        steps = values.diff()
        torch.testing.assert_close(steps, steps[:1].expand(len(steps)), rtol=1e-3, atol=1e-4)
        assert 0 <= values[0] <= 0.2 * (n - 1) / 10 + 1e-4
        assert 0.8 * (n - 1) / 10 - 1e-4 <= values[-1] <= (n - 1) / 10 + 1e-4


def test_warping_is_shared_between_modalities() -> None:
    batch = {"a": tokens(), "b": tokens()}
    warped = CropResize(share=0.3)(batch, on({"a", "b"}))
    torch.testing.assert_close(warped["a"].clean().values, warped["b"].clean().values)
    assert not torch.equal(warped["a"].clean().values, batch["a"].clean().values)


def test_irregular_modalities_keep_their_values_and_their_times_are_stretched() -> None:
    ramp = tokens()
    warped = CropResize(share=0.2)({"a": ramp}, on())["a"]
    torch.testing.assert_close(warped.clean().values[warped.mask], ramp.values[warped.mask])
    first = warped.times[0][warped.mask[0]]
    assert 0 <= first[0] < 0.2
    assert 4.6 < first[-1] <= 4.9 + 1e-4


def test_turning_keeps_lengths_and_the_axis() -> None:
    start = tokens(dim=6)
    turned = Rotate(degrees=90, axis="y")({"a": start}, on())["a"]
    for part in (slice(0, 3), slice(3, 6)):
        before, after = start.clean().values[..., part], turned.clean().values[..., part]
        torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(after[..., 1], before[..., 1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(turned.clean().values, start.clean().values)


def test_a_quarter_turn_about_z_takes_x_to_y(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *size: torch.ones(*size))
    one = Tokens(torch.tensor([[[1.0, 0.0, 0.0]]]), torch.zeros(1, 1), torch.ones(1, 1) > 0)
    found = Rotate(degrees=90, axis="z")({"a": one}, on())["a"].values.abs().flatten()
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)


def test_gain_is_one_factor_an_item_within_its_range() -> None:
    start = tokens()
    ratio = RandomGain(share=0.2)({"a": start}, on())["a"].values / start.values
    found = ratio[0][1:].flatten()
    torch.testing.assert_close(found, found[:1].expand(len(found)))
    assert 0.8 <= float(found[0]) <= 1.2


def test_jitter_follows_the_spread() -> None:
    flat = Tokens(torch.zeros(8, 500, 2), torch.zeros(8, 500), torch.ones(8, 500) > 0)
    noise = GaussianNoise(amount=0.1)({"a": flat}, on())["a"].values
    assert noise[..., 0].std().item() == pytest.approx(0.1, rel=0.1)
    assert noise[..., 1].std().item() == pytest.approx(1.0, rel=0.1)


def test_modality_dropout_never_hides_the_last_one() -> None:
    batch = {"a": tokens(4), "b": tokens(2)._replace()}
    batch["b"] = Tokens(*(torch.cat([x, x]) for x in batch["b"]))
    before = torch.stack([t.present for t in batch.values()]).any(0)
    hidden = 0
    for _ in range(50):
        dropped = modality_dropout(batch, 0.6)
        after = torch.stack([t.present for t in dropped.values()])
        assert torch.equal(after.any(0), before)
        hidden += int((~after[:, :2]).sum())
    assert 40 < hidden < 160


def test_modality_dropout_by_name() -> None:
    batch = {m: Tokens(torch.zeros(400, 1, 1), torch.zeros(400, 1), torch.ones(400, 1) > 0) for m in "abc"}
    kept = {m: t.present for m, t in modality_dropout(batch, {"a": 0.5, "b": 0.1}).items()}
    assert kept["c"].all()
    assert [float((~kept[m]).float().mean()) for m in "ab"] == pytest.approx([0.5, 0.1], abs=0.08)
    two = {m: t.present for m, t in modality_dropout({m: batch[m] for m in "ab"}, {"a": 0.9, "b": 0.9}).items()}
    assert (two["a"] | two["b"]).all()


@pytest.mark.parametrize("regular", [(), {"a"}])
def test_answers_stay_at_what_was_recorded_at_their_instants(regular: Collection[str]) -> None:
    ramp = Tokens(*(x[:1] for x in tokens()))  # its values are its times
    at = Instants(torch.arange(50.0)[None] / 10, torch.ones(1, 50) > 0)
    varied = Vary({"crop_resize": 0.3})({"a": ramp}, on(regular)._replace(at=at))
    assert varied.at is not None
    assert not torch.equal(varied.at.times, at.times)
    found = at_instants(varied["a"].clean(), varied.at)[0, :, 0]
    assert 10 < int(varied.at.mask.sum()) < 50
    torch.testing.assert_close(found[varied.at.mask[0]], at.times[varied.at.mask], atol=0.06, rtol=0)
