"""Slices of a model's weights are the weights of a smaller one, whatever its parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.parts import parts
from plait.encoders import Encoder
from plait.examples.data import Batch
from plait.fusion import Fusion
from plait.models.model import Model
from plait.models.slicing import Channels, Slices, Within, importance, parts_of, recalibrate
from plait.tasks.classify import Classify
from plait.testing.inputs import seeded
from plait.tokens import Tokens

FUSIONS = sorted(set(parts(Fusion)) - {"low_rank"})
"""Low rank has its constant before the channels, where no size tells of it."""

ENCODERS = sorted(set(parts(Encoder)) - {"words"})
"""Words have a table of one width."""


def model_of(
    dim: int, *, encoder: object = "gru", fusion: str = "concat", width: int = 3, modalities: str = "ab", seed: int = 0
) -> Model:
    with seeded(seed):
        dims = dict.fromkeys(modalities, width)
        encoders = dict.fromkeys(modalities, encoder)
        return Model(dims, Classify(["x", "y", "z"]), encoders=encoders, fusion=fusion, dim=dim).eval()


def tokens_of(width: int = 3, seed: int = 0, modalities: str = "ab") -> dict[str, Tokens]:
    with seeded(seed):
        times = torch.arange(8.0).expand(4, 8)
        mask = torch.rand(4, 8) < 0.8
        return {m: Tokens(torch.randn(4, 8, width), times, mask | (times == 0)) for m in modalities}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_slices_of_the_same_size_are_the_whole(fusion: str) -> None:
    large, small = model_of(16, fusion=fusion), model_of(16, fusion=fusion, seed=1)
    state = large.state_dict()
    found = Slices(large, small).of(state)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    small.load_state_dict(found)
    for name, answer in large(tokens_of()).items():
        assert torch.equal(small(tokens_of())[name], answer)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_has_a_narrower_one_in_it(fusion: str) -> None:
    large, small = model_of(32, fusion=fusion), model_of(16, fusion=fusion)
    small.load_state_dict(Slices(large, small).of(large.state_dict()))
    assert small(tokens_of())[""].isfinite().all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_has_a_narrower_one_in_it(encoder: str) -> None:
    width, options = parts(Encoder)[encoder].trial
    spec = {"name": encoder, **options}
    large, small = (model_of(dim, encoder=spec, fusion="late", width=width) for dim in (32, 16))
    small.load_state_dict(Slices(large, small).of(large.state_dict()))


@given(
    dim=st.integers(1, 8),
    parts=st.integers(1, 4),
    blocks=st.integers(1, 6),
    beside=st.integers(0, 3),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_an_axis_is_cut_in_each_of_its_blocks(
    dim: int, parts: int, blocks: int, beside: int, data: st.DataObject
) -> None:
    """Against arrays: blocks of (parts, channels) with what stands beside them, cut by indexing and put together."""
    part = dim + 1
    kept = sorted(data.draw(st.sets(st.integers(0, part - 1), min_size=1, max_size=part - 1)))
    channels = Channels(parts * part, parts, torch.tensor(kept))
    large = blocks * (parts * part + beside)
    entries = np.arange(large).reshape(blocks, -1)
    own = entries[:, : parts * part].reshape(blocks, parts, part)[:, :, kept].reshape(blocks, -1)
    want = np.concatenate([own, entries[:, parts * part :]], 1).reshape(-1)
    found = channels.of_axis(large, len(want))
    assert found is not None
    assert found.tolist() == want.tolist()


def test_gates_of_a_gru_are_cut_one_by_one() -> None:
    """A narrower GRU, written by hand, from the large one's gates: the same answers as the sliced model's encoder."""
    large, small = model_of(8, fusion="late"), model_of(4, fusion="late")
    small.load_state_dict(Slices(large, small).of(large.state_dict()))
    given = tokens_of()["a"]
    given = given._replace(mask=torch.ones_like(given.mask))
    found = small.backbone.encoders[0](given).values
    state = large.backbone.encoders[0].state_dict()
    # Two of the four channels of each direction are kept.
    ahead = gru_by_hand(given.values, state, "ahead.0", 2)
    back = gru_by_hand(given.values.flip(1), state, "back.0", 2).flip(1)
    torch.testing.assert_close(found, torch.cat([ahead, back], -1))


def gru_by_hand(x: Tensor, state: dict[str, Tensor], name: str, kept: int) -> Tensor:
    """Cho et al. 2014 as in torch: reset, update and new gate, each of which keeps its first units."""
    w, u, b, c = (state[f"{name}.{kind}_l0"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    wide = len(w) // 3
    rows = [slice(g, g + kept) for g in range(0, 3 * wide, wide)]
    gates = [(w[g], u[g, :kept], b[g], c[g]) for g in rows]
    h, out = x.new_zeros(len(x), kept), []
    for t in range(x.shape[1]):
        (ri, rh), (zi, zh), (ni, nh) = ((x[:, t] @ a.T + p, h @ v.T + q) for a, v, p, q in gates)
        r, z = torch.sigmoid(ri + rh), torch.sigmoid(zi + zh)
        h = (1 - z) * torch.tanh(ni + r * nh) + z * h
        out.append(h)
    return torch.stack(out, 1)


def test_each_modality_of_a_concatenation_keeps_its_channels_and_its_flag() -> None:
    large, small = model_of(8), model_of(4)
    # Rows: two halves; columns: two modalities.
    weight = large.state_dict()["backbone.fusion.project.weight"].reshape(2, 4, 2, 9)
    columns = [0, 1, 4, 5, 8]
    want = weight[:, :2][..., columns].reshape(4, 10)
    found = Slices(large, small).of(large.state_dict())["backbone.fusion.project.weight"]
    assert torch.equal(found, want)


def test_a_shallower_model_has_the_first_layers() -> None:
    large = model_of(16, encoder={"name": "transformer", "layers": 3})
    small = model_of(16, encoder={"name": "transformer", "layers": 1})
    found = Slices(large, small).of(large.state_dict())
    assert found.keys() == small.state_dict().keys()
    assert all(torch.equal(value, large.state_dict()[name]) for name, value in found.items())
    with pytest.raises(ConfigError, match=r"layers\.1.*none at width 16.*no slice of the other"):
        Slices(small, large)


def test_heads_of_attention_keep_channels_each() -> None:
    large, small = (model_of(dim, encoder={"name": "transformer", "heads": 4}) for dim in (32, 16))
    assert parts_of(large, 16) == 8, "two halves of each head, which rotary positions turn together"
    slices = Slices(large, small)
    assert slices.channels.index.tolist() == [4 * k + j for k in range(8) for j in (0, 1)]


def test_what_cannot_be_shared_is_told() -> None:
    with pytest.raises(ConfigError, match=r"encoders\.0.*cannot share weights"):
        Slices(model_of(16), model_of(8, encoder="linear"))
    with pytest.raises(ConfigError, match=r"factors.*cannot share weights"):
        Slices(model_of(32, fusion="low_rank"), model_of(16, fusion="low_rank"))
    with pytest.raises(ConfigError, match="channels are kept, but the models have tokens of 4 and 8"):
        Slices(model_of(8), model_of(4), Channels.leading(8, 2, 2))


@pytest.mark.parametrize(("dim", "encoder"), [(16, "gru"), (8, "gru"), (8, "lstm"), (8, {"name": "conv"})])
def test_work_within_a_larger_model_is_that_of_a_copy(dim: int, encoder: object) -> None:
    large, small = model_of(16, encoder=encoder), model_of(dim, encoder=encoder, seed=1)
    copy = model_of(dim, encoder=encoder, seed=2)
    copy.load_state_dict(Slices(large, copy).of(large.state_dict()))
    found = Within(large, small).eval().do(lambda model: model(tokens_of())[""])
    assert torch.equal(found, copy(tokens_of())[""])


def test_gradients_reach_the_shared_weights_and_no_others() -> None:
    large, small = model_of(16), model_of(8)
    within = Within(large, small)
    within.do(lambda model: model(tokens_of())[""].square().sum()).backward()
    slices, grads = within.slices, {n: p.grad for n, p in large.named_parameters()}
    assert all(p.grad is None for p in small.parameters())
    for name in ("backbone.encoders.0.ahead.0.weight_hh_l0", "backbone.fusion.project.weight"):
        inside = torch.zeros_like(grads[name])
        rows, columns = slices.axes[name]
        inside[rows[:, None], columns] = 1
        assert (grads[name] * inside).abs().sum() > 0
        assert (grads[name] * (1 - inside)).abs().sum() == 0
    # The same as the gradients of a copy.
    copy = model_of(8, seed=3)
    copy.load_state_dict(slices.of(large.state_dict()))
    copy(tokens_of())[""].square().sum().backward()
    for name, own in copy.named_parameters():
        if own.grad is not None:
            torch.testing.assert_close(slices.of({name: grads[name]}, [name])[name], own.grad)


def test_a_channel_of_large_weights_is_kept() -> None:
    large, small = model_of(16), model_of(8)
    with torch.no_grad():
        index = Channels(16, 2, torch.tensor([1, 4, 5, 6])).index
        large.get_parameter("backbone.fusion.project.weight")[index] *= 50
    assert sorted(importance(large, small).topk(4).indices.tolist()) == [1, 4, 5, 6]


def test_running_statistics_are_those_of_the_batches() -> None:
    model = model_of(8, encoder={"name": "conv", "dropout": 0.5}, fusion="late")
    before = {n: v.clone() for n, v in model.state_dict().items()}
    batches = [Batch(tokens_of(seed=k), torch.zeros(4), torch.arange(4)) for k in range(3)]
    recalibrate(model, batches)
    norm = model.backbone.encoders[0].layers[0].norm
    assert norm.momentum == 0.1
    assert not model.training
    rows = []
    for batch in batches:
        clean = model.backbone.prepare("a", batch.inputs["a"])
        seen = nn.functional.conv1d(
            nn.functional.pad(clean.values.transpose(1, 2), (2, 6)),
            before["backbone.encoders.0.layers.0.conv.weight"],
            before["backbone.encoders.0.layers.0.conv.bias"],
            stride=2,
        ).transpose(1, 2)[:, :4]
        mask = clean.mask.unflatten(1, (4, 2)).any(-1)
        rows.append(seen[mask].mean(0))
    torch.testing.assert_close(norm.running_mean, torch.stack(rows).mean(0), atol=1e-5, rtol=1e-4)
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    assert all("running" in name for name in changed)
