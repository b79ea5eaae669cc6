"""Draws docs/images/joint.png: digits in the joint spaces of linear and of deep CCA (held-out pairs), and a movement
told from another stream by a pre-trained model.

PLAIT_DATA=... python docs/pictures/joint.py RUN [CACHE], with a run of recipes/utd_pretrain.yaml; the digits are those
of benchmarks/av_digits.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

from plait.examples.data import Asked, ItemData
from plait.multiview.cca import Cca
from plait.multiview.deep_cca import DeepCca
from plait.store.store import Store
from plait.tokens import cat
from plait.training.experiment import Experiment, open_corpus
from plait.training.run import Run

DOCS = Path(__file__).parents[1]
GREY, BLUE, ORANGE = "#777777", "#3b6fb6", "#d9822b"
CLIP, HAND, HIDDEN = "a6_s2_t1", 3 * 11 + 1, (0.3, 0.7)


def digits_of(cache: Path) -> tuple[Any, Any]:
    """The digits as benchmarks/cca.py prepares them: training and test pairs with their classes."""
    sys.path.insert(0, str(DOCS.parent / "benchmarks"))
    from cca import digits, pca

    sides = digits(Path(os.environ["PLAIT_DATA"]), cache)
    reduce = pca(sides["train"][0], 100)
    return tuple((reduce(sides[s][0]), sides[s][1]) for s in ("train", "test"))


def joint_space(axes: Any, model: Any, train: Any, test: Any, title: str) -> None:
    """Held-out items on the two directions that separate the digits best in the training items' joint space."""
    place = model.common(train[0])
    means = np.stack([place[train[1] == c].mean(0) for c in range(10)])
    axis = np.linalg.svd(means - means.mean(0))[2][:2].T
    seen, heard = (v @ axis for v in model.transform(test[0]))
    colours = plt.get_cmap("tab10")(test[1])
    axes.scatter(*seen.T, c=colours, s=9, marker="s", linewidths=0, alpha=0.6)
    axes.scatter(*heard.T, edgecolors=colours, facecolors="none", s=16, marker="o", linewidths=0.8, alpha=0.7)
    for c in range(10):
        x, y = heard[test[1] == c].mean(0)
        axes.text(x, y, str(c), fontsize=11, fontweight="bold", ha="center", va="center")
    total = model.correlations(test[0]).sum()
    axes.set(title=f"{title}: total correlation {total:.1f} of 10", xticks=[], yticks=[])


def told(axes: Any, folder: Path, cache: Path) -> None:
    """The height of a hand, hidden for a while, told from what is left and from the sensor at the wrist."""
    run = Run(folder)
    experiment = Experiment.of(run.recipe, open_corpus(run.recipe, folder))
    items = [i for i in experiment.items if i.recording == CLIP]
    data = ItemData(items, experiment.prepare(Store(cache), {CLIP}), Asked(torch.zeros(1)), experiment.modalities)
    model = run.model(run.replicates[0])
    tokens = data.batch([0], model.dims).inputs
    pose = tokens["skeleton"]
    out = (pose.times < HIDDEN[0]) | (pose.times > HIDDEN[1])
    shown = {**tokens, "skeleton": pose._replace(mask=pose.mask & out)}
    with torch.inference_mode():
        source = cat([*model.encode(shown).values()])
        guess = model.task.ask.at("skeleton", pose.times, source)[0, :, HAND]
    index = model.modalities.index("skeleton")
    metres = guess * model.backbone.std("skeleton")[HAND] + model.backbone.get_buffer(f"mean_{index}")[HAND]
    times, inside = pose.times[0].numpy(), ~out[0].numpy()
    axes.axvspan(*HIDDEN, color="#f0f0f0")
    axes.plot(times, pose.values[0, :, HAND], ":", color=GREY, lw=1.6, label="what was there")
    axes.plot(times, np.where(inside, np.nan, pose.values[0, :, HAND]), color=BLUE, lw=1.8, label="shown")
    axes.plot(times[inside], metres[inside], color=ORANGE, lw=1.8, label="told")
    axes.set(title="A hidden span, told from what is left", xlabel="share of the action")
    axes.set_ylabel("height of the right hand, m")
    axes.legend(frameon=False, fontsize=8)


def main() -> None:
    folder, cache = Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else ".plait-cache")
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    told(axes[2], folder, cache)
    train, test = digits_of(cache)
    joint_space(axes[0], Cca(10, ridge=0.1).fit(train[0]), train, test, "Linear CCA")
    joint_space(axes[1], DeepCca(10).fit(train[0]), train, test, "Deep CCA")
    axes[0].set_xlabel("held-out digits; squares: written, circles: spoken")
    figure.savefig(DOCS / "images/joint.png", dpi=110)


if __name__ == "__main__":
    main()
