"""Generated worlds in which it is known what causes what: why.py's part ``cause`` tells them apart.

In each there are speakers of three dialects at four sites, a timbre (loud or not), and a class (yes or no):

- ``cause``: the timbre acts on the class;
- ``confounder``: the dialect acts on both;
- ``collider``: neither acts on the other, but only recordings that have one of the two were kept;
- ``mediator``: the timbre acts on the pitch, and that alone on the class;
- ``clean``: nothing acts on anything.

Beside them ``sites``, a cause and an effect of a number at several sites, and ``planted``, models in which it is known
which share of a stream's effect goes via another one's tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor, nn

from plait.evaluation.contribution.bank import Bank
from plait.evaluation.replicates import ReplicateOutput
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item
from plait.fusion import Fusion
from plait.models.model import Model
from plait.streams.clock import Grid
from plait.tasks.classify import Classify
from plait.tokens import Tokens
from plait.tokens.pooling import one_token

__all__ = ["WORLDS", "World", "planted", "sites", "world"]

Floats = NDArray[np.float64]
WORLDS = ("cause", "confounder", "collider", "mediator", "clean")
SPEAKERS, EACH = 40, 25
KEPT = 0.2
"""Of recordings with neither the timbre nor the class, the share that is kept in the collider's world."""


class World(NamedTuple):
    """Attributes:
    facts: by item, what the manifest tells.
    groups: by item, the speaker.
    target: class of each item.
    scores: of a model that reads the sound of the timbre, [items, 2].
    """

    facts: dict[str, dict[str, object]]
    groups: dict[str, str]
    target: NDArray[np.intp]
    scores: Floats


def world(name: str, seed: int) -> World:
    """A thousand items, or those of them that were kept."""
    rng = np.random.default_rng((seed, WORLDS.index(name)))
    speaker = np.repeat(np.arange(SPEAKERS), EACH)
    dialect, own = np.arange(SPEAKERS) % 3, rng.normal(0, 0.3, SPEAKERS)
    side = (dialect[speaker] - 1.0) if name == "confounder" else np.zeros(len(speaker))
    loud = rng.random(len(speaker)) < special.expit(1.5 * side)
    high = rng.random(len(speaker)) < np.where(loud, 0.85, 0.15)
    by = {"cause": loud - 0.5, "mediator": high - 0.5}.get(name, np.zeros(len(speaker)))
    yes = rng.random(len(speaker)) < special.expit(1.5 * by + 1.5 * side + own[speaker])
    share = np.where(loud | yes, 1.0, KEPT)
    kept = rng.random(len(speaker)) < share if name == "collider" else np.ones(len(speaker), bool)
    facts: dict[str, dict[str, object]] = {}
    for i in np.flatnonzero(kept):
        facts[f"r{i:04d}"] = {
            "class": "yes" if yes[i] else "no",
            "timbre": "loud" if loud[i] else "calm",
            "pitch": "high" if high[i] else "low",
            "dialect": "abc"[dialect[speaker[i]]],
            "site": f"site{speaker[i] % 4}",
            "chosen": "loud or yes" if name == "collider" else "all",
            "share": float(share[i]) if name == "collider" else 1.0,
        }
    groups = {item: f"g{int(item[1:]) // EACH}" for item in facts}
    target = yes[kept].astype(np.intp)
    return World(facts, groups, target, _heard(loud[kept], target, speaker[kept], rng))


def _heard(
    loud: NDArray[np.bool_], target: NDArray[np.intp], speaker: NDArray[np.intp], rng: np.random.Generator
) -> Floats:
    """A logistic model of the sound, fitted to the other half of the speakers."""
    sound = loud + rng.normal(0, 0.3, len(loud))
    found = np.empty((len(loud), 2))
    for half in (0, 1):
        out = speaker % 2 == half
        rows = np.stack([np.ones(len(loud)), sound], 1)
        weight = np.zeros(2)
        for _ in range(20):
            said = special.expit(rows[~out] @ weight)
            slope = rows[~out].T @ (said - target[~out]) + weight
            weight -= np.linalg.solve((rows[~out] * (said * (1 - said))[:, None]).T @ rows[~out] + np.eye(2), slope)
        found[out, 1] = special.expit(rows[out] @ weight)
    found[:, 0] = 1 - found[:, 1]
    return found


def sites(
    seed: int, *, shift: float = 1.0, count: int = 3
) -> tuple[list[ReplicateOutput], dict[str, dict[str, object]]]:
    """A cause of a number that has another mean at each site, and an effect of it that has another offset there; the
    answers are the best linear ones over all sites."""
    rng = np.random.default_rng((seed, 77))
    speaker = np.repeat(np.arange(24), 15)
    site = speaker % count
    cause = shift * site + rng.normal(size=len(site))
    target = cause + rng.normal(0, 0.5, len(site))
    effect = target + shift * (site - 1) + rng.normal(0, 0.5, len(site))
    outputs = {}
    for name in (("cause",), ("effect",), ("cause", "effect")):
        rows = np.stack([np.ones(len(site)), *({"cause": cause, "effect": effect}[m] for m in name)], 1)
        outputs[name] = (rows @ np.linalg.lstsq(rows, target, rcond=None)[0])[:, None]
    items, there = [str(i) for i in range(len(site))], np.ones(len(site), bool)
    mean, groups = np.full((len(site), 1), target.mean()), [f"g{i}" for i in speaker]
    present = {"cause": there, "effect": there}
    pool = ReplicateOutput(0, "", items, items, groups, target, present, outputs, mean)
    return [pool], {i: {"site": f"site{k}"} for i, k in zip(items, site)}


class _Planted(Fusion):
    """The first stream goes straight to the answer as far as 1 - ``via``, and by the second's tokens as far as ``via``,
    by one map."""

    def __init__(self, modalities: list[str], dim: int, *, via: float) -> None:
        super().__init__(modalities, dim)
        self.via, self.map = via, nn.Linear(dim, dim)
        self.leave = nn.ModuleList(nn.Identity() for _ in modalities)

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Tensor]:
        return {m: 0.0 * w for m, w in super().weights(tokens).items()}

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        one, two = self.complete(tokens).values()
        told = self.map(one.values)
        also = self.leave[1](two.values + self.via * told.mean(1, keepdim=True))
        return one_token([one, two], (1 - self.via) * self.leave[0](told).mean(1) + also.mean(1))


class _Drawn:
    """Two streams of which the first tells the class."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def get(self, recording: str, modality: str) -> tuple[NDArray[np.float32], Grid]:
        rng = np.random.default_rng((self.seed, int(recording), modality == "two"))
        values = rng.normal(0, 1, (8, 2)).astype(np.float32)
        values[:, int(recording) % 2] += 1.0 * (modality == "one")
        return values, Grid(0.0, 8, 8)


def planted(via: float, seed: int, *, count: int = 100, steps: int = 80) -> tuple[Bank, float]:
    """A trained model and its items, and the share of its right answers."""
    torch.manual_seed(seed)
    names, task = ["one", "two"], Classify(["x", "y"])
    model = Model({"one": 2, "two": 2}, task, dim=8, encoders=dict.fromkeys(names, "linear"))
    model.backbone.fusion = _Planted(names, 8, via=via)
    items = [Item(str(i), 0.0, 1.0, "xy"[i % 2], f"g{i % 10}", whole=True) for i in range(count)]
    data = ItemData(items, _Drawn(seed), Asked(torch.arange(count) % 2), names)
    batch, optimizer = data.batch(range(count), model.dims), torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(steps):
        loss = task.loss(model(batch.inputs)[""], batch.targets).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bank = Bank(model, data)
    said = torch.cat([*bank.outputs({})]).argmax(1)
    return bank, float((said == batch.targets).float().mean())
