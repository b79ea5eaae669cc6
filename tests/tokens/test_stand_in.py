"""What stands for a modality that is not there."""

from __future__ import annotations

import pytest
import torch

from plait.core.errors import ConfigError
from plait.tasks.classify import Classify
from plait.tokens import Tokens, masked_mean_max
from plait.tokens.imputer import ModalityImputer

DIM = 4


def tokens(*there: bool, steps: int = 3, fill: float = float("nan")) -> Tokens:
    mask = torch.tensor(there)[:, None].expand(-1, steps)
    values = torch.where(mask[..., None], torch.randn(len(there), steps, DIM), fill)
    return Tokens(values, torch.where(mask, torch.arange(steps) + 5.0, fill), mask)


def test_nothing_stands_for_anything_unless_asked() -> None:
    parts = [tokens(True, False), tokens(True, True)]
    assert ModalityImputer(2, DIM, "none")(parts) is parts
    assert ModalityImputer(2, DIM, "none").loss(parts) is None
    assert not list(ModalityImputer(2, DIM, "none").parameters())
    with pytest.raises(ConfigError, match="expected one of none, token, reconstruct"):
        ModalityImputer(2, DIM, "zeros")


@pytest.mark.parametrize("kind", ["token", "reconstruct"])
def test_a_stand_in_comes_where_something_is_missing_and_something_is_there(kind: str) -> None:
    parts = [tokens(True, False, False), tokens(True, True, False)]
    one, two = ModalityImputer(2, DIM, kind)(parts)
    assert one.mask[:, -1].tolist() == [False, True, False]
    assert two.mask[:, -1].tolist() == [False, False, False]
    assert one.times[1, -1] == pytest.approx(6.0)
    assert torch.equal(one.mask[:, :-1], parts[0].mask)
    assert one.clean().values.isfinite().all()


def test_a_reconstruction_learns_what_the_others_say() -> None:
    torch.manual_seed(0)
    fill = ModalityImputer(3, DIM, "reconstruct")
    turn = torch.randn(DIM, DIM)
    optimizer = torch.optim.Adam(fill.parameters(), 0.02)
    losses = []
    for _ in range(300):
        x, z = tokens(True, True, True, True), tokens(False, False, False, False)
        loss = fill.loss([x, x.with_values(x.values @ turn), z])
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    # the maximum in time of a turned vector is not a linear map of means and maxima: only in part
    assert losses[-1] < 0.4 * losses[0]
    x = tokens(True, fill=0.0)
    true = masked_mean_max(x.with_values(x.values @ turn)).detach()
    gone = tokens(False)
    said = fill([x, gone, gone])[1].values[0, -1]
    near = (said - (true[0, :DIM] + true[0, DIM:]) / 2).square().mean()
    far = ((true[0, :DIM] + true[0, DIM:]) / 2).square().mean()
    assert near < far


def test_what_is_masked_moves_no_stand_in() -> None:
    torch.manual_seed(0)
    fill = ModalityImputer(2, DIM, "reconstruct")
    some = tokens(True, True)
    mask = some.mask.clone()
    mask[:, 1] = False
    some = some._replace(mask=mask)
    nan = some._replace(values=torch.where(mask[..., None], some.values, torch.nan))
    gone = tokens(False, False)
    for a, b in zip(fill([some, gone]), fill([nan, gone])):
        assert torch.equal(a.clean().values, b.clean().values)
    loss = fill.loss([nan.with_values(nan.values.requires_grad_()), nan])
    assert loss is not None
    assert loss.isfinite()


@pytest.mark.parametrize("kind", ["token", "reconstruct"])
def test_a_model_saves_and_loads_with_them(kind: str, tmp_path) -> None:
    from plait.models.model import Model

    torch.manual_seed(0)
    model = Model(
        {"a": 3, "b": 2, "c": 2}, Classify(["x", "y"]), dim=16, missing=kind, encoders=dict.fromkeys("abc", "linear")
    )
    model.eval().save(tmp_path)
    again = Model.load(tmp_path)
    assert again.backbone.imputer.kind == kind
    batch = {
        "a": Tokens(torch.randn(2, 4, 3), torch.arange(4.0).expand(2, 4), torch.ones(2, 4) > 0),
        "b": Tokens(torch.randn(2, 4, 2), torch.arange(4.0).expand(2, 4), torch.ones(2, 4) > 0),
    }
    with torch.no_grad():
        out = model(batch)[""]
        assert torch.equal(out, again(batch)[""])
        masked = {**batch, "c": Tokens(torch.randn(2, 5, 2), torch.zeros(2, 5), torch.zeros(2, 5) > 0)}
        assert torch.allclose(out, model(masked)[""], atol=1e-6)
        alone = model({"a": batch["a"]})
        assert torch.allclose(alone[""], alone["a"], atol=1e-6)
