"""Published fusions against naive loops over their equations, or an independent implementation."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import torch
from scipy import stats
from torch import nn

from plait.fusion.confidence import Confidence
from plait.fusion.gated import Gated
from plait.fusion.low_rank import LowRank
from plait.fusion.memory import Memory
from plait.fusion.misa import moment_distance, overlap
from plait.fusion.mixture import Mixture
from plait.fusion.product_of_experts import ProductOfExperts
from plait.fusion.tensor_fusion import TensorFusion
from plait.testing.inputs import sample
from plait.tokens.attention import AttentionLayer, CrossLayer
from plait.tokens.pooling import pooled


def close(got, want, atol=1e-5):
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=got.dtype), atol=atol, rtol=1e-4)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_one(row):
    return [1.0, *row.tolist()]


@torch.no_grad()
def test_tensor_fusion_is_every_product():
    small = [randn(2, 3), randn(2, 2, seed=1), randn(2, 4, seed=2)]
    want = [[a * b * c for a, b, c in product(*(with_one(x[row]) for x in small))] for row in range(2)]
    close(TensorFusion.products(small), want)


@torch.no_grad()
def test_low_rank_is_the_map_of_the_whole_tensor():
    fusion = LowRank(["a", "b", "c"], 3, rank=2)
    fusion.bias.data, fusion.terms.data = randn(3, seed=5), randn(2, seed=6)
    small = [randn(2, 6, seed=i) for i in range(3)]
    a, b, c = fusion.factors
    weight = torch.zeros(7, 7, 7, 3)
    for r in range(2):
        for i, j, k in product(range(7), repeat=3):
            weight[i, j, k] += fusion.terms[r] * a[r, i] * b[r, j] * c[r, k]
    want = fusion.bias.repeat(2, 1)
    for row in range(2):
        one, two, three = (with_one(x[row]) for x in small)
        for i, j, k in product(range(7), repeat=3):
            want[row] += weight[i, j, k] * one[i] * two[j] * three[k]
    close(fusion.product(small), want)


@torch.no_grad()
def test_the_gated_unit_of_two_modalities_is_the_papers():
    fusion, x = Gated(["v", "t"], 4), randn(3, 2, 8)
    got = fusion.unit(x, torch.ones(3, 2) > 0)
    both, (v, t) = torch.cat([x[:, 0], x[:, 1]], 1), fusion.gate.weight.chunk(2)
    z = 1 / (1 + torch.exp(-(both @ (v - t).T)))
    h_v, h_t = (torch.tanh(x[:, i] @ fusion.value[i].weight.T + fusion.value[i].bias) for i in range(2))
    close(got, z * h_v + (1 - z) * h_t)


def naive_memory(fusion, values, seen):
    """The published code's loop, one item, with torch's own cells."""
    cells = []
    for i, inner in enumerate(fusion.inner):
        cell = nn.LSTMCell(values.shape[-1], fusion.hidden)
        cell.weight_ih.data, cell.bias_ih.data = inner.weight.data, inner.bias.data
        cell.weight_hh.data, cell.bias_hh.data = fusion.again[i].T, torch.zeros(4 * fusion.hidden)
        cells.append(cell)
    state = [(torch.zeros(1, fusion.hidden), torch.zeros(1, fusion.hidden)) for _ in cells]
    memory = torch.zeros(1, fusion.dim)
    for t in range(len(values)):
        new = [c(values[None, t, i], state[i]) if seen[t, i] else state[i] for i, c in enumerate(cells)]
        star = torch.cat([s[1] for s in state] + [s[1] for s in new], 1)
        attended = torch.softmax(fusion.look(star), 1) * star
        hat = torch.tanh(fusion.propose(attended))
        both = torch.cat([attended, memory], 1)
        memory = torch.sigmoid(fusion.keep(both)) * memory + torch.sigmoid(fusion.write(both)) * hat
        state = new
    return torch.cat([s[0] for s in state], 1), memory


@torch.no_grad()
def test_memory_fusion_is_the_naive_loop():
    fusion = Memory(["a", "b", "c"], 6).eval()
    values, seen = randn(2, 5, 3, 6), torch.ones(2, 5, 3) > 0
    seen[1, 2, 0] = seen[1, 4, 1] = False
    hidden, cells = fusion.recur(values, seen)
    memory = fusion.remember(cells, seen.any(1), torch.ones(2, 5) > 0)
    for row in range(2):
        want = naive_memory(fusion, values[row], seen[row])
        close(hidden[row], want[0][0])
        close(memory[row], want[1][0])


@torch.no_grad()
def test_layers_of_attention_are_torchs_own():
    x, source, there = randn(2, 5, 8), randn(2, 3, 8, seed=1), torch.tensor([[True, True, True], [True, False, True]])
    cross, own = CrossLayer(8, 2, 16, 0.0).eval(), AttentionLayer(8, 2, 16, 0.0).eval()
    other = nn.MultiheadAttention(8, 2, batch_first=True)
    other.in_proj_weight.data = torch.cat([cross.query.weight, cross.key_value.weight])
    other.in_proj_bias.data = torch.cat([cross.query.bias, cross.key_value.bias])
    other.out_proj.load_state_dict(cross.out.state_dict())
    key = cross.norm_source(source)
    want = x + other(cross.norm(x), key, key, key_padding_mask=~there, need_weights=False)[0]
    close(cross(x, source, keys=there), want + cross.feed(want))
    whole = nn.TransformerEncoderLayer(8, 2, 16, 0.0, nn.GELU(), batch_first=True, norm_first=True)
    for mine, name in ((own.norm, "norm1"), (own.feed[0], "norm2"), (own.feed[1], "linear1"), (own.feed[4], "linear2")):
        getattr(whole, name).load_state_dict(mine.state_dict())
    whole.self_attn.load_state_dict(
        {
            "in_proj_weight": own.qkv.weight,
            "in_proj_bias": own.qkv.bias,
            "out_proj.weight": own.out.weight,
            "out_proj.bias": own.out.bias,
        }
    )
    seen = torch.ones(2, 5) > 0
    seen[1, 3] = False
    close(own(x, None, seen), whole.train()(x, src_key_padding_mask=~seen))


def test_a_query_that_may_see_nothing_is_left_to_the_feed_forward_part():
    layer, x = CrossLayer(8, 2, 16, 0.0).eval(), randn(1, 4, 8)
    with torch.no_grad():
        none = layer(x, randn(1, 3, 8, seed=1), keys=torch.zeros(1, 3) > 0)
        close(none, x + layer.feed(x))
        close(layer(x, x[:, :0], keys=torch.zeros(1, 0) > 0), none)


@torch.no_grad()
def test_misa_compares_moments_as_its_definition_says():
    a, b = randn(7, 3).sigmoid(), randn(7, 3, seed=1).sigmoid()
    some = [torch.tensor([1, 1, 1, 0, 1, 1, 0]) > 0, torch.tensor([1, 0, 1, 1, 1, 1, 1]) > 0]
    x, y = a[some[0]].numpy(), b[some[1]].numpy()
    want = np.linalg.norm(x.mean(0) - y.mean(0))
    want += sum(np.linalg.norm(stats.moment(x, k) - stats.moment(y, k)) for k in (2, 3, 4, 5))
    close(moment_distance(a, b, *some), want)
    both = some[0] & some[1]
    x, y = (
        (v - v.mean(0)) / np.linalg.norm(v - v.mean(0), axis=1, keepdims=True)
        for v in (a[both].numpy(), b[both].numpy())
    )
    want = np.mean([float((x[:, i] * y[:, j]).sum()) ** 2 for i, j in product(range(3), repeat=2)])
    close(overlap(a, b, both), want)


@torch.no_grad()
def test_the_mixture_asks_the_best_experts_that_are_there():
    fusion = Mixture(["a", "b", "c"], 4, top=2).eval()
    fusion.score.weight.data, fusion.score.bias.data = randn(4, 24), randn(4, seed=1)
    vectors, there = pooled([sample(4, seed=i)._replace(mask=sample(4).mask.roll(i, 0)) for i in range(3)])
    got, scores = fusion.gates(vectors, there), fusion.score(vectors.flatten(1))
    for row in range(4):
        known = [i for i in range(3) if there[row, i]] + [3]
        best = sorted(known, key=lambda i: -scores[row, i])[:2]
        total = sum(math.exp(scores[row, i]) for i in best)
        close(got[row], [math.exp(scores[row, i]) / total if i in best else 0.0 for i in range(4)])


@torch.no_grad()
def test_the_mixtures_importance_loss_is_the_squared_coefficient_of_variation():
    fusion, batch = Mixture(["a", "b"], 4, importance=0.5).eval(), {"a": sample(4), "b": sample(4, seed=1)}
    fusion.score.weight.data = randn(3, 16)
    total = fusion.gates(*pooled(batch.values())).sum(0).numpy()
    close(fusion.loss(batch), 0.5 * (total.std() / total.mean()) ** 2)


@torch.no_grad()
def test_products_of_experts_are_products_of_densities():
    fusion = ProductOfExperts(["a", "b"], 4)
    outputs, weights = torch.tensor([[[1.5]], [[-0.4]]]), torch.tensor([[0.7], [3.0]])
    fusion.bind(1, is_numeric=True)
    axis = np.linspace(-8, 8, 20_001)
    dense = stats.norm.pdf(axis)
    for value, precision in ((1.5, 0.7), (-0.4, 3.0)):
        dense = dense * stats.norm.pdf(axis, value, precision**-0.5)
    close(fusion.aggregate(outputs, weights)[0, 0], (axis * dense).sum() / dense.sum(), 1e-4)
    fusion.bind(3, is_numeric=False)
    logits = randn(2, 1, 3)
    want = np.prod([torch.softmax(logits[i, 0], -1).numpy() ** float(weights[i, 0]) for i in range(2)], 0)
    close(fusion.aggregate(logits, weights).softmax(-1)[0], want / want.sum())


@torch.no_grad()
def test_confidence_by_entropy_is_scipys_entropy():
    fusion = Confidence(["a", "b", "c"], 4, by="entropy")
    fusion.bind(5, is_numeric=False)
    logits, there = randn(3, 2, 5) * 2, torch.tensor([[1.0, 1], [1, 0], [1, 1]])
    for row in range(2):
        known = [i for i in range(3) if there[i, row]]
        sure = [-4 * stats.entropy(logits[i, row].softmax(-1).numpy()) / math.log(5) for i in known]
        share = np.exp(sure) / np.exp(sure).sum()
        want = sum(s * logits[i, row] for s, i in zip(share, known))
        close(fusion.aggregate(logits, there)[row], want)
