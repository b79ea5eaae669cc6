from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.core.parts import build
from plait.fusion import Fusion
from plait.tokens import Tokens
from plait.tokens.attention import AttentionLayer, CrossLayer
from plait.tokens.rollout import attended, rolled, unit

FLOWS = ["shared", "latents", "bottleneck", "crossmodal"]


def tokens(seed: int, count: int, n: int = 3) -> Tokens:
    g = torch.Generator().manual_seed(seed)
    mask = torch.rand(n, count, generator=g) < 0.8
    mask[:, 0] = True
    return Tokens(torch.randn(n, count, 16, generator=g), torch.arange(count).float().expand(n, count), mask).clean()


def two() -> dict[str, Tokens]:
    return {"a": tokens(0, 5), "b": tokens(1, 8)}


@pytest.mark.parametrize("kind", [AttentionLayer, CrossLayer])
def test_weights_are_those_that_the_layer_multiplies_by(kind) -> None:
    """With values that are the keys' places, one head and no other part, the output is what the weights say."""
    torch.manual_seed(0)
    layer, x = kind(8, 1, 16, 0.0).eval(), torch.randn(2, 5, 8)
    keys = torch.tensor([[True, True, False, True, True]] * 2)
    seen = {}
    real = torch.nn.functional.scaled_dot_product_attention

    def look(q, k, v, attn_mask=None, dropout_p=0.0):
        seen["weights"] = real(q, k, torch.eye(k.shape[2]).expand(len(k), 1, -1, -1), attn_mask=attn_mask)
        return real(q, k, v, attn_mask=attn_mask)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", look)
        if kind is AttentionLayer:
            layer(x, None, keys)
            weights = layer.weights(x, None, keys)
        else:
            layer(x, x, keys=keys)
            weights = layer.weights(x, x, keys=keys)
    torch.testing.assert_close(weights, seen["weights"][:, 0])
    assert (weights[..., 2] == 0).all()


@pytest.mark.parametrize("name", FLOWS)
def test_shares_add_up_and_nothing_comes_from_what_is_not_there(name: str) -> None:
    torch.manual_seed(0)
    fusion = build(Fusion, {"name": name, "heads": 2}, ["a", "b"], 16, where="fusion").eval()
    found = fusion.flow(two())
    assert found is not None
    torch.testing.assert_close(sum(own.sum(1) for own in found.values()), torch.ones(3))
    for m, own in found.items():
        assert own.shape == two()[m].mask.shape
        assert (own >= 0).all()
        assert (own[~two()[m].mask] == 0).all()
    alone = fusion.flow({"b": tokens(1, 8)})
    torch.testing.assert_close(alone["b"].sum(1), torch.ones(3))
    assert not fusion.flow({m: t._replace(mask=t.mask & False) for m, t in two().items()})["a"].any()


def test_rollout_of_one_sequence_is_that_of_the_paper() -> None:
    """Naive: (weights + identity) / 2 of each layer, rows that add up to 1, multiplied from the last to the first."""
    torch.manual_seed(0)
    fusion = build(Fusion, {"name": "shared", "layers": 3, "heads": 2}, ["a", "b"], 16, where="fusion").eval()
    with attended(fusion) as seen:
        fusion(two())
    matrix = np.eye(13)
    for weights in seen:
        matrix = (0.5 * weights[0].numpy() + 0.5 * np.eye(13)) @ matrix
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-5)
    sizes = [int(t.mask[0].sum()) for t in two().values()]
    want = np.concatenate([t.mask[0].numpy() / (2 * k) for t, k in zip(two().values(), sizes)]) @ matrix
    np.testing.assert_allclose(torch.cat([*fusion.flow(two()).values()], 1)[0], want, rtol=1e-5, atol=1e-7)


def test_a_token_that_all_attend_to_gets_the_attention() -> None:
    came = torch.cat(unit([tokens(0, 2), tokens(1, 2)]), 1)
    weights = torch.zeros(3, 4, 4)
    weights[..., 3] = 1
    for _ in range(20):
        came = rolled(weights, came)
    torch.testing.assert_close(came[..., 3], torch.ones(3, 4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["concat", "opinion_pool"])
def test_a_fusion_without_attention_has_no_flow(name: str) -> None:
    assert build(Fusion, name, ["a", "b"], 16, where="fusion").flow(two()) is None


def test_hooks_are_gone_afterwards() -> None:
    layer = AttentionLayer(8, 2, 16, 0.0)
    with attended(layer) as seen:
        layer(torch.zeros(1, 2, 8), None, None)
    layer(torch.zeros(1, 2, 8), None, None)
    assert len(seen) == 1
