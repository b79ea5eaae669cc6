"""The vision transformer in space against Hugging Face's with copied weights; tubes and time against plain indexing."""

from __future__ import annotations

import pytest
import torch

from plait.encoders.transformer import Transformer
from plait.encoders.vit import Vit
from plait.tokens import Tokens

SHAPE = [8, 8, 3]
DIM = 8 * 8 * 3


def film(rows: int, time: int) -> Tokens:
    times = torch.rand(rows, time).cumsum(1)
    return Tokens(torch.randn(rows, time, DIM), times, torch.rand(rows, time) > 0.3)


@pytest.mark.slow
def test_in_space_it_is_hugging_faces():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    ours = Vit(DIM, 16, shape=SHAPE, patch=4, layers=2, layers_time=0, heads=2).eval()
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=8,
        patch_size=4,
        layer_norm_eps=1e-5,
    )
    theirs = transformers.ViTModel(config, add_pooling_layer=False).eval()
    theirs.load_state_dict(_translated(ours, theirs.state_dict()))
    tokens = film(2, 3)
    pictures = tokens.values.reshape(6, 8, 8, 3).permute(0, 3, 1, 2)
    with torch.no_grad():
        want = theirs(pictures).last_hidden_state[:, 0].reshape(2, 3, 16)
        got = ours(tokens)
    torch.testing.assert_close(got.values[tokens.mask], want[tokens.mask], atol=1e-5, rtol=1e-5)


def _translated(ours: Vit, names: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our weights under Hugging Face's names, whichever of its two sets of names this version has."""
    state = ours.state_dict()
    found = {
        "embeddings.cls_token": state["summary"],
        "embeddings.position_embeddings": state["place"],
        # ours takes a patch row by row with its colours first, as a convolution's kernel lies
        "embeddings.patch_embeddings.projection.weight": state["enter.weight"].reshape(16, 3, 4, 4),
        "embeddings.patch_embeddings.projection.bias": state["enter.bias"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    parts = {
        "layernorm_before": "norm",
        "layernorm_after": "feed.0",
        "attention.output.dense": "out",
        "attention.o_proj": "out",
        "intermediate.dense": "feed.1",
        "mlp.fc1": "feed.1",
        "output.dense": "feed.4",
        "mlp.fc2": "feed.4",
    }
    for name in set(names) - set(found):
        layer, kind = _layer_of(name), name.rpartition(".")[2]
        third = next((i for i, w in enumerate(("q", "k", "v")) if f".{w}_proj." in name), None)
        third = next((i for i, w in enumerate((".query.", ".key.", ".value.")) if w in name), third)
        if third is not None:
            found[name] = state[f"space.{layer}.qkv.{kind}"].chunk(3)[third]
            continue
        longest = max((p for p in parts if f".{p}." in name), key=len)
        found[name] = state[f"space.{layer}.{parts[longest]}.{kind}"]
    return found


def _layer_of(name: str) -> int:
    return next(int(part) for part in name.split(".") if part.isdigit())


def test_a_tubelet_is_a_linear_map_of_its_pixels():
    torch.manual_seed(0)
    encoder = Vit(DIM, 16, shape=SHAPE, patch=[4, 2], tube=2, layers=1, layers_time=0, heads=2).eval()
    tokens = film(1, 5)
    x = tokens.clean().values.reshape(5, 8, 8, 3)
    x = torch.cat([x, torch.zeros(1, 8, 8, 3)])
    tubes = []
    for t in range(3):
        places = [encoder.summary[0, 0]]
        for i in range(2):
            for j in range(4):
                block = x[2 * t : 2 * t + 2, 4 * i : 4 * i + 4, 2 * j : 2 * j + 2]
                places.append(encoder.enter(block.permute(0, 3, 1, 2).reshape(-1)))
        tubes.append(torch.stack(places))
    want = encoder.norm(encoder.space[0](torch.stack(tubes) + encoder.place, None, None)[:, 0])
    got = encoder(tokens)
    assert got.mask[0].tolist() == [bool(tokens.mask[0, 2 * t : 2 * t + 2].any()) for t in range(3)]
    torch.testing.assert_close(got.values[0][got.mask[0]], want[got.mask[0]], atol=1e-5, rtol=1e-5)


def test_in_time_it_is_the_transformer_over_real_seconds():
    torch.manual_seed(0)
    options = {"shape": SHAPE, "patch": 4, "layers": 1, "heads": 2}
    whole, space = (Vit(DIM, 16, **options, layers_time=n).eval() for n in (2, 0))
    space.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith(("time.", "norm_time."))})
    time = Transformer(16, 16, layers=2, heads=2).eval()
    time.layers.load_state_dict(whole.time.state_dict())
    time.norm.load_state_dict(whole.norm_time.state_dict())
    time.enter = torch.nn.Identity()
    tokens = film(2, 6)
    torch.testing.assert_close(whole(tokens).values, time(space(tokens)).values, atol=1e-5, rtol=1e-5)
