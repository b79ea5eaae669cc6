"""Generated worlds in which it is known what causes what: why.py's part ``cause`` tells them apart.

In each there are speakers of three dialects at four sites, a timbre (loud or not), and a class (yes or no):

- ``cause``: the timbre acts on the class;
- ``confounder``: the dialect acts on both;
- ``collider``: neither acts on the other, but only recordings that have one of the two were kept;
- ``mediator``: the timbre acts on the pitch, and that alone on the class;
- ``clean``: nothing acts on anything.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["WORLDS", "World", "world"]

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
