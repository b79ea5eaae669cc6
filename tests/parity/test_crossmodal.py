"""The cross-modal transformer against the equations of the authors' code, written out item by item and head by head."""

from __future__ import annotations

import math

import pytest
import torch

from plait.fusion.crossmodal import Crossmodal
from plait.tokens import Tokens

LENGTHS = {"l": 3, "a": 7, "v": 5}


def attend(q, k, v, heads, slack):
    """One item: q [time, dim], k and v [time', dim]; the mask of the authors, by place."""
    out = torch.zeros_like(q)
    width = q.shape[1] // heads
    for h in range(heads):
        part = slice(h * width, (h + 1) * width)
        for i in range(len(q)):
            seen = [j for j in range(len(k)) if slack is None or j <= i + slack]
            score = torch.stack([q[i, part] @ k[j, part] / math.sqrt(width) for j in seen]).softmax(0)
            out[i, part] = sum(s * v[j, part] for s, j in zip(score, seen))
    return out


def layer_of(layer, x, source, heads, causal):
    slack = abs(len(x) - len(x if source is None else source)) if causal else None
    if source is None:
        q, k, v = layer.qkv(layer.norm(x)).chunk(3, -1)
    else:
        q = layer.query(layer.norm(x))
        k, v = layer.key_value(layer.norm_source(source)).chunk(2, -1)
    x = x + layer.out(attend(q, k, v, heads, slack))
    norm, first, _, _, second = layer.feed
    return x + second(first(norm(x)).relu())


def sines(count, dim):
    table = torch.zeros(count, dim)
    for place in range(count):
        for i in range(dim // 2):
            angle = (place + 1) * math.exp(-i * math.log(10000) / (dim // 2 - 1))
            table[place, i], table[place, dim // 2 + i] = math.sin(angle), math.cos(angle)
    return table


def naive(fusion, item, causal, places):
    names, found = list(item), []
    ready = {m: math.sqrt(fusion.dim) * x + (sines(len(x), fusion.dim) if places else 0) for m, x in item.items()}
    for i, m in enumerate(names):
        streams = []
        for j, other in enumerate(n for n in names if n != m):
            x = ready[m]
            for layer in fusion.pairs[i][j]:
                x = layer_of(layer, x, ready[other], fusion.heads, causal)
            streams.append(fusion.norms[i][j](x))
        x = math.sqrt(2 * fusion.dim) * torch.cat(streams, -1)
        for layer in fusion.memory[i]:
            x = layer_of(layer, x, None, fusion.heads, causal)
        found.append(fusion.leave[i](x))
    return found


@torch.no_grad()
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("places", [False, True])
def test_streams_are_those_of_the_authors_code(causal, places):
    torch.manual_seed(0)
    fusion = Crossmodal(
        list(LENGTHS), 8, layers=2, memory=2, heads=2, causal=causal, positions="index" if places else "none"
    ).eval()
    whole = {m: Tokens(torch.randn(2, n, 8), torch.rand(2, n), torch.ones(2, n) > 0) for m, n in LENGTHS.items()}
    gaps = {m: t._replace(mask=t.mask.clone()) for m, t in whole.items()}
    gaps["a"].mask[1, 2:4] = False  # a gap: the same as if the row were shorter
    gaps["v"].mask[0, 4:] = False
    for batch in (whole, gaps):
        got = fusion.streams(batch)
        for row in range(2):
            item = {m: t.values[row, t.mask[row]] for m, t in batch.items()}
            for one, want in zip(got, naive(fusion, item, causal, places)):
                torch.testing.assert_close(one.values[row, one.mask[row]], want, atol=1e-5, rtol=1e-4)
        for one, end in zip(got, fusion.ends(batch)):
            last = one.mask.shape[1] - 1 - one.mask.flip(1).int().argmax(1)
            torch.testing.assert_close(end, one.values[torch.arange(2), last], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_in_seconds_it_does_not_matter_how_a_stream_is_laid_out():
    torch.manual_seed(0)
    fusion = Crossmodal(["a", "b"], 8, heads=2, causal=True).eval()
    a = Tokens(torch.randn(1, 6, 8), torch.arange(6.0)[None] / 3, torch.ones(1, 6) > 0)
    b = Tokens(torch.randn(1, 9, 8), torch.arange(9.0)[None] / 5, torch.ones(1, 9) > 0)
    order = torch.randperm(9)
    mixed = Tokens(b.values[:, order], b.times[:, order], b.mask[:, order])
    torch.testing.assert_close(fusion({"a": a, "b": b}).values, fusion({"a": a, "b": mixed}).values)
    later = b.with_values(torch.where(b.times[..., None] > 0.9, 7.0, b.values))
    before, after = (fusion.streams({"a": a, "b": x})[0].values[0] for x in (b, later))
    early = a.times[0] <= 0.9
    torch.testing.assert_close(before[early], after[early])
    assert not torch.allclose(before[~early], after[~early], atol=1e-3)
