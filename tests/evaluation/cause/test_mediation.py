from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from plait.core.errors import DataError
from plait.evaluation.cause.mediation import fusion_of, mediable, mediated, mediation_of
from plait.evaluation.contribution.bank import Bank
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item
from plait.fusion import Fusion
from plait.models.model import Model
from plait.streams.clock import Grid
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.tokens.pooling import one_token

N = 60


class Source:
    """Two streams of random numbers; the first tells the class."""

    def get(self, recording: str, modality: str):
        rng = np.random.default_rng((int(recording), modality == "hear"))
        values = rng.normal(0, 0.5, (6, 2)).astype(np.float32)
        values[:, int(recording) % 2] += 1.5 * (modality == "see")
        return values, Grid(0.0, 6, 6)


class Planted(Fusion):
    """What one stream tells goes straight to the answer as far as ``direct``, and by the other's tokens as far as
    ``via``; both by the same learnt map."""

    def __init__(self, modalities: list[str], dim: int, *, direct: float = 0.5, via: float = 0.5) -> None:
        super().__init__(modalities, dim)
        self.direct, self.via, self.map = direct, via, nn.Linear(dim, dim)
        self.leave = nn.ModuleList(nn.Identity() for _ in modalities)

    def weights(self, tokens):
        return {m: 0.0 * w for m, w in super().weights(tokens).items()}

    def forward(self, tokens):
        parts = list(self.complete(tokens).values())
        told = self.map(parts[0].values).mean(1, keepdim=True)
        see, hear = self.leave[0](self.map(parts[0].values)), self.leave[1](parts[1].values + self.via * told)
        return one_token(parts, self.direct * see.mean(1) + hear.mean(1))


def bank(fusion, task=None, train=0):
    torch.manual_seed(0)
    task = task or Classify(["x", "y"])
    model = Model(
        {"see": 2, "hear": 2}, task, dim=8, encoders=dict.fromkeys(("see", "hear"), "linear"), fusion="concat"
    )
    if isinstance(fusion, Fusion):
        model.backbone.fusion = fusion
    else:
        model = Model({"see": 2, "hear": 2}, task, dim=8, fusion=fusion)
    target = torch.tensor(np.arange(N) % 2)
    target = target.float() if task.is_numeric else target
    items = [Item(str(i), 0.0, 1.0, "xy"[i % 2], f"g{i % 10}", whole=True) for i in range(N)]
    data = ItemData(items, Source(), Asked(target), ["see", "hear"])
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(train):
        batch = data.batch(range(N), model.dims)
        loss = task.loss(model(batch.inputs)[""], batch.targets).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Bank(model, data)


def share_of(found, modality, via):
    row = next(r for r in mediation_of(found, "")["rows"] if (r["modality"], r["via"]) == (modality, via))
    return row["share"]["ratio"]


@pytest.mark.parametrize(("direct", "via", "share"), [(1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.0, 1.0, 1.0)])
@pytest.mark.parametrize("train", [0, 60])
def test_planted_shares_are_recovered(direct, via, share, train) -> None:
    own = bank(Planted(["see", "hear"], 8, direct=direct, via=via), train=train)
    if train:
        answers = torch.cat([*own.outputs({})]).argmax(1).numpy()
        assert (answers == np.arange(N) % 2).mean() > 0.9
    found = mediated(own)
    assert share_of(found, "see", "hear") == pytest.approx(share, abs=0.1)
    row = mediation_of(found, "")["rows"][0]
    assert row["direct"]["ratio"] + row["share"]["ratio"] == pytest.approx(1)
    assert row["via_alone"] == pytest.approx(share, abs=0.1)
    assert share_of(found, "hear", "see") == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("fusion", ["crossmodal", "shared", "bottleneck"])
def test_where_nothing_else_carries_it_all_goes_via_the_other_stream(fusion) -> None:
    own = bank({"name": fusion, "unimodal_heads": "none"})
    pool = own.model.backbone.fusion.pool[0]
    free = mediated(own)
    assert 0.0 < abs(share_of(free, "see", "hear")) < 0.9
    nn.init.zeros_(pool.weight)
    if fusion == "bottleneck":
        nn.init.zeros_(own.model.backbone.fusion.last[1].weight)
    assert share_of(mediated(own), "see", "hear") == pytest.approx(1, abs=1e-4)
    nn.init.zeros_(own.model.backbone.fusion.pool[1].weight)
    row = mediation_of(mediated(own), "")["rows"][0]
    assert row["share"]["ratio"] is None  # no effect, no shares


def test_it_is_what_a_run_by_hand_gives() -> None:
    own = bank({"name": "crossmodal", "layers": 1}, Regress([0.0, 1.0, 2.0]))
    (see,) = [one for one in mediated(own, seed=4) if one.modality == "see"]
    order = np.random.default_rng(4).permutation(N)
    source, model = np.roll(order, 1), own.model
    plain = torch.cat([*own.outputs({}, order)])
    fusion = model.backbone.fusion
    with torch.inference_mode():
        ahead = {m: type(t)(*(x[torch.from_numpy(order)] for x in t)) for m, t in own.encoded.items()}
        other = type(ahead["see"])(*(x[torch.from_numpy(source)] for x in own.encoded["see"]))
        was, now = fusion.streams(ahead), fusion.streams({**ahead, "see": other})
        fused = [
            [fusion.pool[i](torch.cat([s.values.mean(1), s.values.amax(1)], -1)) for i, s in enumerate(own)]
            for own in (was, now)
        ]
        joint = [
            model.ensemble.joint(one_token(was, see_ + hear_))
            for see_, hear_ in ((fused[1][0], fused[1][1]), (fused[1][0], fused[0][1]))
        ]
    changed = torch.cat([*own.outputs({"see": source}, order)])
    np.testing.assert_allclose(see.total, (changed - plain).numpy(), atol=1e-6)
    # the joint head counts one half beside the modalities' own
    by_hand = 0.5 * (joint[0] - joint[1]).numpy()
    np.testing.assert_allclose(see.total - see.direct, by_hand, atol=1e-5)


def test_without_attention_between_streams_it_says_so() -> None:
    own = bank("late")
    assert mediated(own) == []
    found = mediation_of([], fusion_of(own.model))
    assert found["rows"] == []
    assert "fusion late" in found["reason"]


def test_an_effect_is_of_the_weights_and_not_of_the_patch() -> None:
    """The same twice: hooks are gone afterwards."""
    own = bank({"name": "shared"})
    before = torch.cat([*own.outputs({})])
    mediated(own)
    assert torch.equal(torch.cat([*own.outputs({})]), before)


def test_texts_are_not_mediated() -> None:
    own = bank("shared")
    own.data.asked = Asked(torch.zeros(N, 3))
    assert not mediable(own)
    with pytest.raises(DataError, match="one class or one value"):
        mediated(own)
