"""Graph attention against naive loops; scenes of several objects, which the laws' own sample does not have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError, DataError
from plait.encoders.scene_graph import GraphAttention, SceneGraph
from plait.testing import check_encoder
from plait.testing.inputs import difference
from plait.tokens import Tokens

SCENES = [3, 1, 4, 2]


def scenes(rows: int = 2, dim: int = 6, seed: int = 0) -> Tokens:
    """Rows whose objects stand in scenes of 3, 1, 4 and 2; in the second row two of them are not there."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.repeat_interleave(torch.arange(len(SCENES)) / 2, torch.tensor(SCENES)).expand(rows, -1)
    mask = torch.ones(rows, sum(SCENES), dtype=torch.bool)
    mask[1:, 0] = mask[1:, 5] = False
    return Tokens(torch.randn(rows, sum(SCENES), dim, generator=generator), times, mask)


def naive(layer: GraphAttention, x: np.ndarray, times: np.ndarray, mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Equations 1 to 5 for one row, object by object, head by head."""
    linear, own, theirs = (w.detach().numpy() for w in (layer.linear.weight, layer.own, layer.theirs))
    heads, size = own.shape
    h = (x @ linear.T).reshape(len(x), heads, size)
    out = np.zeros((len(x), heads * size))
    for i in np.flatnonzero(mask):
        near = [j for j in np.flatnonzero(mask) if times[j] == times[i]]
        for k in range(heads):
            e = []
            for j in near:
                a = own[k] @ h[i, k] + theirs[k] @ h[j, k]
                a = a if a > 0 else 0.2 * a
                if layer.places is not None:
                    a += layer.places(torch.from_numpy(box[j] - box[i]))[k].item()
                e.append(a)
            weight = np.exp(np.array(e) - max(e))
            weight /= weight.sum()
            out[i, k * size : (k + 1) * size] = sum(w * h[j, k] for w, j in zip(weight, near))
    return out


@pytest.mark.parametrize("places", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
def test_attention_is_the_naive_loop(places, heads):
    torch.manual_seed(heads)
    encoder = SceneGraph(6, 12, box=2 if places else None, heads=heads, objects=4, layers=1).eval()
    tokens = scenes(dim=6).clean()
    layer, x = encoder.rounds[0], encoder.enter(tokens.values)
    box = tokens.values[..., 2:6]
    with torch.no_grad():
        got = layer(x, encoder.together(tokens), encoder._apart(box) if places else None).numpy()
    for row in range(2):
        want = naive(layer, *(a[row].detach().numpy() for a in (x, tokens.times, tokens.mask, box)))
        seen = tokens.mask[row].numpy()
        np.testing.assert_allclose(got[row][seen], want[seen], atol=1e-5)


def test_a_scene_is_one_token_and_knows_nothing_of_others():
    torch.manual_seed(0)
    encoder, tokens = SceneGraph(6, 8, box=0, objects=4).eval(), scenes()
    out = encoder(tokens)
    assert out.mask.sum(1).tolist() == [4, 4]
    assert out.mask[0].nonzero().flatten().tolist() == [0, 3, 4, 8]
    assert out.mask[1].nonzero().flatten().tolist() == [1, 3, 4, 8]
    assert out.times[out.mask].tolist() == [0.0, 0.5, 1.0, 1.5] * 2
    alone = encoder(Tokens(*(x[:, 4:8] for x in tokens)))
    torch.testing.assert_close(alone.values[:, 0], out.values[:, 4])


def test_the_order_of_objects_does_not_matter_nor_where_the_camera_looks():
    torch.manual_seed(0)
    encoder, tokens = SceneGraph(6, 8, box=2, objects=4).eval(), scenes(rows=1)
    order = [2, 0, 1, 3, 7, 5, 6, 4, 9, 8]
    torch.testing.assert_close(encoder(tokens._replace(values=tokens.values[:, order])).values, encoder(tokens).values)
    talk = encoder.rounds[0]
    x, together = encoder.enter(tokens.values), encoder.together(tokens)
    moved = tokens.values[..., 2:6] + 5.0
    torch.testing.assert_close(
        talk(x, together, encoder._apart(moved)), talk(x, together, encoder._apart(tokens.values[..., 2:6]))
    )


def test_objects_hear_of_each_other():
    torch.manual_seed(0)
    encoder, tokens = SceneGraph(6, 8, objects=4).eval(), scenes(rows=1)
    other = tokens.values.clone()
    other[0, 6] += 1.0
    apart = (encoder(tokens).values - encoder(tokens._replace(values=other)).values).abs().amax(2)[0]
    assert (apart > 0).nonzero().flatten().tolist() == [4]
    messages = encoder.rounds[0](encoder.enter(other), encoder.together(tokens))
    before = encoder.rounds[0](encoder.enter(tokens.values), encoder.together(tokens))
    assert ((messages - before).abs().amax(2)[0] > 0).nonzero().flatten().tolist() == [4, 5, 6, 7]


class Crowded(SceneGraph):
    """The laws' sample, with its times brought to half seconds, so that several rows share one."""

    def forward(self, tokens: Tokens) -> Tokens:
        return super().forward(tokens._replace(times=(tokens.times * 2).ceil() / 2))


@pytest.mark.slow
def test_scenes_of_several_objects_keep_the_laws():
    check_encoder(Crowded, objects=8)


def test_more_objects_than_foreseen_are_told():
    tokens = scenes(rows=1)
    SceneGraph(6, 8, objects=4)(tokens)
    with pytest.raises(DataError, match="more than 3 rows"):
        SceneGraph(6, 8, objects=3)(tokens)


def test_times_that_all_but_agree_are_one_instant():
    encoder, tokens = SceneGraph(6, 8, objects=4).eval(), scenes(rows=1)
    shaky = tokens.times + torch.linspace(0, 1e-4, 10)
    got, want = encoder(tokens._replace(times=shaky)), encoder(tokens)
    assert not difference(got._replace(times=want.times), want)
    assert encoder(tokens._replace(times=tokens.times + torch.arange(10) / 100)).mask.all()


@pytest.mark.parametrize(
    "options", [{"box": 3}, {"box": -1}, {"heads": 3}, {"objects": 0}, {"layers": 0}, {"within": 0}]
)
def test_wrong_options(options):
    with pytest.raises(ConfigError, match="scene_graph"):
        SceneGraph(6, 8, **options)
