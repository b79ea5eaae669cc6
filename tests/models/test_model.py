"""The model: subsets, gaps, standardising, loss, save and load."""

from __future__ import annotations

import json
from itertools import chain, combinations

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError, DataError
from plait.core.parts import parts
from plait.fusion import Fusion
from plait.models.backbone import default_encoder
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.testing.inputs import exported, poisoned, sample, shifted, widened
from plait.tokens import Tokens

DIMS = {"imu": 6, "a.b": 3, "keys": 4}


def batch() -> dict[str, Tokens]:
    """Rows of `sample`; the last modality is one observation an item."""
    return {"imu": sample(6), "a.b": sample(3, time=5, rate=2.0, seed=1), "keys": sample(4, time=1, seed=2)}


def made(fusion="concat", **options) -> Model:
    torch.manual_seed(0)
    encoders = {"a.b": ["linear", "gru"], "keys": "linear", "imu": [{"name": "conv", "strides": [2]}, "gru"]}
    model = Model(DIMS, Classify(["x", "y", "z"]), **{"encoders": encoders, "fusion": fusion, "dim": 16, **options})
    model.backbone.set_scale("imu", np.arange(6.0), np.full(6, 2.0))
    model.train()
    model(batch())
    return model.eval()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return set(a) == set(b) and all(torch.allclose(a[k], b[k], atol=1e-5) for k in a)


@pytest.fixture(params=sorted(parts(Fusion)))
def model(request) -> Model:
    return made(request.param)


def test_every_subset_is_finite_and_the_same_however_it_is_missing(model):
    full = batch()
    encoded = model.encode(full)
    for some in chain.from_iterable(combinations(DIMS, n) for n in range(4)):
        out = model.forward_subset(encoded, some)
        assert set(out) == {"", *some}
        assert all(v.isfinite().all() for v in out.values())
        kept = model.forward_subset(model.kept(encoded), some)
        assert kept.keys() == out.keys()
        assert all(torch.equal(value, out[name]) for name, value in kept.items())
        masked = {m: t if m in some else t._replace(mask=t.mask & False) for m, t in full.items()}
        assert torch.allclose(model(masked)[""], out[""], atol=1e-5)
        if some:
            assert same(model({m: full[m] for m in some}), out)


def test_what_is_masked_padding_order_rows_and_shift_change_nothing(model):
    full = batch()
    out = model(full)
    assert same(out, model({m: poisoned(t, float("nan")) for m, t in full.items()}))
    assert same(out, model({m: widened(t, 3) for m, t in full.items()}))
    assert same(out, model({m: full[m] for m in reversed(list(full))}))
    assert same(out, model({m: shifted(t, 12.5) for m, t in full.items()}))
    alone = [model({m: Tokens(*(x[i : i + 1] for x in t)) for m, t in full.items()})[""] for i in range(4)]
    assert torch.allclose(out[""], torch.cat(alone), atol=1e-5)


def test_an_item_with_nothing_gets_the_prior(model):
    out = model(batch())[""]  # row 3 of each sample is empty
    want = torch.zeros(3) if model.ensemble.joint is None else model.ensemble.joint.linear.bias
    assert torch.allclose(out[3], want, atol=1e-6)


def test_an_encoder_without_tokens_in_the_batch_is_not_run(model, monkeypatch):
    empty = {m: t._replace(mask=t.mask & False) if m == "imu" else t for m, t in batch().items()}
    want = model(empty)

    def fail(tokens):
        raise RuntimeError("was run")

    monkeypatch.setattr(model.backbone.encoders[0], "forward", fail)
    assert same(want, model(empty))
    with pytest.raises(RuntimeError, match="was run"):
        model(batch())


def test_the_output_is_weighted_joint_plus_weighted_own(model):
    if type(model.backbone.fusion).aggregate is not Fusion.aggregate:
        pytest.skip("it mixes in another way, which its own tests check")
    encoded = model.encode(batch())
    out = model.forward_subset(encoded)
    weights = model.backbone.fusion.weights(encoded)
    total = sum(weights[m][:, None] * out[m] for m in DIMS)
    if model.ensemble.joint is not None:
        total = total + model.backbone.fusion.joint_weight(encoded)[:, None] * model.ensemble.joint(
            model.backbone.fusion(encoded)
        )
    assert torch.allclose(out[""], total, atol=1e-6)


@pytest.mark.slow
def test_it_exports():
    model = made()  # one is enough: the laws export each fusion
    full = batch()
    graph = exported(Model, model, full)
    assert same(model(full), graph(full))
    gone = {m: t._replace(mask=t.mask & (m != "imu")) for m, t in full.items()}
    assert same(model(gone), graph(gone))


def test_it_loads_to_the_same_numbers(model, tmp_path):
    model.save(tmp_path)
    again = Model.load(tmp_path)
    assert not again.training
    assert again.describe() == model.describe()
    assert all(torch.equal(v, again(batch())[k]) for k, v in model(batch()).items())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_a_saved_model_holds_all_defaults(tmp_path):
    made().save(tmp_path)
    saved = json.loads((tmp_path / "model.json").read_text())
    assert saved["fusion"]["time_bins"] == 24
    assert saved["encoders"]["imu"][0]["kernel"] == 5
    assert saved["task"] == {"name": "classify", **Classify(["a", "b"]).options}
    assert saved["task_state"]["classes"] == ["x", "y", "z"]


def test_a_regression_model_loads_too(tmp_path):
    model = Model({"m": 2}, Regress([1.0, 5.0], loss="huber", sentiment=True), dim=16).eval()
    model.save(tmp_path)
    again = Model.load(tmp_path)
    tokens = {"m": sample(2)}
    assert torch.equal(model(tokens)[""], again(tokens)[""])
    assert again.task.options == model.task.options
    assert again.task.decode(again(tokens)[""]) == model.task.decode(model(tokens)[""])


def _cut(path):
    path.write_bytes(path.read_bytes()[:100])


GARBLED = [
    (lambda d: (d / "model.json").unlink(), "cannot be read"),
    (lambda d: (d / "model.json").write_text("{"), "garbled"),
    (lambda d: (d / "model.json").write_text("[1]"), "not a model"),
    (lambda d: (d / "model.json").write_bytes(b"\xff\xfe\x00"), "garbled"),
    (lambda d: (d / "model.json").write_text('{"format": "plait model 6"}'), "garbled"),
    (lambda d: (d / "model.safetensors").unlink(), "not the weights"),
    (lambda d: _cut(d / "model.safetensors"), "not the weights"),
    (lambda d: (d / "model.safetensors").write_bytes(b"hello"), "not the weights"),
    (lambda d: made("late").save(d / "late") or (d / "late/model.json").replace(d / "model.json"), "not the weights"),
]


@pytest.mark.parametrize(("harm", "told"), GARBLED)
def test_a_garbled_or_foreign_folder_is_a_data_error(tmp_path, harm, told):
    made().save(tmp_path)
    harm(tmp_path)
    with pytest.raises(DataError, match=told) as error:
        Model.load(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("change", [{"dims": {}}, {"fusion": "none such"}, {"dim": 7}, {"task": {"name": "x"}}])
def test_a_changed_description_is_a_data_error(tmp_path, change):
    made().save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match="garbled"):
        Model.load(tmp_path)


def test_standardising_fills_gaps_with_the_mean():
    model = Model({"m": 2}, Classify(["a", "b"]), dim=16)
    model.backbone.set_scale("m", [10.0, np.nan], [2.0, 0.0])
    nan = float("nan")
    values = torch.tensor([[[12.0, 1.0], [nan, 3.0], [nan, nan], [float("inf"), 2.0]]])
    ready = model.backbone.prepare("m", Tokens(values, torch.zeros(1, 4), torch.ones(1, 4) > 0))
    assert ready.mask.tolist() == [[True, True, False, True]]
    assert ready.values.tolist() == [[[1.0, 1.0], [0.0, 3.0], [0.0, 0.0], [0.0, 2.0]]]
    assert model.backbone.std("m").tolist() == [2.0, 1.0]


def test_every_head_learns_by_itself_from_what_is_there():
    model, full = made(unimodal_weight=0.5), batch()
    target = model.task.encode(["x", "y", "z", "x"])
    # row 1 has no token of the last modality, row 3 none at all
    there = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0], [1, 0, 1, 0]])
    _check_learnt(model, full, target, there)
    full["a.b"] = full["a.b"].with_values(full["a.b"].values * float("nan"))
    full["keys"] = full["keys"]._replace(mask=full["keys"].mask & False)
    _check_learnt(model, full, target, torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))


def _check_learnt(model: Model, full, target, there) -> None:
    encoded = model.encode(full)
    heads, _ = model.head_logits(encoded, model.forward_subset(encoded))
    each = torch.stack([model.task.loss(out, target) for out in heads])
    view = model.view(encoded)
    losses = model.task.step([view], target)
    torch.testing.assert_close(losses["fused"], each[-1].mean())
    torch.testing.assert_close(losses["unimodal"], (each[:-1] * there).sum(0).mean())
    torch.testing.assert_close(view.fused, heads[-1])


def test_what_is_hidden_from_the_fusion_is_not_hidden_from_its_own_head():
    model, full = made(), batch()
    encoded = model.encode(full)
    shown = {**encoded, "imu": encoded["imu"]._replace(mask=encoded["imu"].mask & False)}
    whole, part = model.view(encoded), model.view(encoded, shown)
    torch.testing.assert_close(part.unimodal["imu"], whole.unimodal["imu"])
    torch.testing.assert_close(part.fused, model.fused(shown, model.ensemble.unimodal(encoded)))
    assert (part.fused - whole.fused).abs().max() > 1e-4
    torch.testing.assert_close(model.view(encoded, part=shown).partial, part.fused)


def test_a_late_fusion_learns_by_its_mix():
    model, full = made("late"), batch()
    torch.testing.assert_close(model.view(model.encode(full)).fused, model(full)[""])


def test_every_parameter_learns():
    model = made().train()
    target = model.task.encode(["x", "y", "z", "x"])
    losses = model.task.step([model.view(model.encode(batch()))], target)
    sum(losses.values()).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert dead == []


def test_wrong_input_is_told():
    model = made()
    with pytest.raises(DataError, match="without any modality"):
        model({})
    with pytest.raises(DataError, match=r"no modality 'pose'.*imu"):
        model({"pose": sample(3)})
    with pytest.raises(DataError, match="'imu' has 5 features, but the model was made for 6"):
        model({"imu": sample(5)})
    with pytest.raises(DataError, match="no modality 'pose'"):
        model.forward_subset(model.encode(batch()), ["pose"])
    with pytest.raises(DataError, match=r"scale of 'imu'.*\(6,\)"):
        model.backbone.set_scale("imu", np.zeros(3), np.ones(3))
    with pytest.raises(DataError, match="expected one or more"):
        Model({}, Classify(["a", "b"]))


def test_wrong_parts_are_told_with_their_place():
    task = Classify(["a", "b"])
    with pytest.raises(ConfigError, match=r"encoders.m\[1\]: there is no encoder 'gruu'. Did you mean 'gru'?"):
        Model({"m": 2}, task, encoders={"m": ["conv", "gruu"]})
    with pytest.raises(ConfigError, match=r"encoders.m\[0\].stride: conv has no such option. Did you mean 'strides'?"):
        Model({"m": 2}, task, encoders={"m": [{"name": "conv", "stride": 2}]})
    with pytest.raises(ConfigError, match="fusion: there is no fusion 'sharde'"):
        Model({"m": 2}, task, fusion="sharde")
    with pytest.raises(ConfigError, match=r"model.unimodal_weight: got 0.*fusion.unimodal_heads: mean"):
        Model({"m": 2}, task, dim=16, unimodal_weight=0)
    Model({"m": 2}, task, dim=16, unimodal_weight=0, fusion={"name": "concat", "unimodal_heads": "none"})
    with pytest.raises(ConfigError, match="width 15"):
        Model({"m": 2}, task, dim=15)


@pytest.mark.parametrize("length", [2, 5, 16, 20, 28, 30, 64, 75, 128, 181, 300, 1000, 3840, 57600])
def test_the_default_encoder_brings_streams_to_about_twenty_tokens(length):
    conv, gru = default_encoder(length)
    assert (conv["name"], gru["name"]) == ("conv", "gru")
    left = length / np.prod(conv["strides"])
    assert left == length if length <= 28 else 14 <= left <= 29
    assert max(conv["strides"]) <= 4


def test_a_stream_of_single_observations_gets_a_linear_layer():
    assert default_encoder(0) == default_encoder(1) == default_encoder(1.9) == [{"name": "linear"}]
