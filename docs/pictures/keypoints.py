"""Draws docs/images/keypoints.png: points on a photograph, mouths found by the mesh, the share of right keypoints.

python docs/pictures/keypoints.py
Needs the extra keypoints and its models; the shares are those that benchmarks/keypoints.py prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np

from plait.demo.face import face_film
from plait.streams.stream import Stream
from plait.transforms import apply_steps
from plait.transforms.face import Mouth

TARGET = Path(__file__).parents[1] / "images/keypoints.png"
BLUE, RED, GREY, LIGHT = "#2563a8", "#c23b22", "#9aa0a6", "#c9ced4"
PHOTOGRAPH = Path(matplotlib.__file__).parent / "mpl-data/sample_data/grace_hopper.jpg"
PCK = {
    "the box's centre": (8.1, 23.5, LIGHT),
    "mean place of the others": (25.4, 66.2, GREY),
    "keypoints": (68.4, 81.0, BLUE),
    "keypoints, sure ones": (71.5, 83.8, RED),
}


def draw_photograph(ax: Any) -> None:
    picture = np.array(matplotlib.image.imread(PHOTOGRAPH))
    film = Stream.of(np.repeat(picture[None], 2, 0), rate=25)
    ax.imshow(picture)
    for of, colour, size in (("face", "#7fe57f", 1.2), ("body", "#ffd23f", 16)):
        x, y, _ = apply_steps(film, [{"name": "keypoints", "of": of}]).read()[1].T
        ax.scatter(x, y, s=size, color=colour, linewidths=0)
    ax.set(xlim=(0, picture.shape[1]), ylim=(picture.shape[0], 0))
    ax.set_title("of: face (468 points), of: body (33)", loc="left", fontsize=10)
    ax.axis("off")


def draw_mouths(raw: Any, crops: Any) -> None:
    t = np.arange(48) / 12
    way = np.stack([160 + 60 * np.sin(1.3 * t), 120 + 14 * np.sin(2.1 * t)], 1)
    film = Stream.of(face_film(way, 84, mouth=np.abs(np.sin(3 * t)), noise=6), rate=12)
    pictures, mouths = film.read(), Mouth(detector="mesh")(film).read()
    mesh = apply_steps(film, [{"name": "keypoints", "of": "face"}]).read()
    for k, i in enumerate(range(2, 48, 12)):
        raw.imshow(pictures[i], extent=(330 * k, 330 * k + 320, 240, 0))
        raw.scatter(330 * k + mesh[i, :, 0], mesh[i, :, 1], s=0.5, color="#1d7a1d", linewidths=0)
        crops.imshow(mouths[i], extent=(330 * k, 330 * k + 320, 213, 0))
    for ax, bottom, title in (
        (raw, 240, "followed from picture to picture"),
        (crops, 213, "mouth, detector: mesh"),
    ):
        ax.set(xlim=(0, 1310), ylim=(bottom, 0))
        ax.set_title(title, loc="left", fontsize=10)
        ax.axis("off")


def draw_shares(ax: Any) -> None:
    for k, (name, (*values, colour)) in enumerate(PCK.items()):
        places = np.arange(2) + 0.2 * (k - 1.5)
        ax.bar(places, values, 0.18, color=colour, label=name)
        for x, value in zip(places, values):
            ax.text(x, value + 1, f"{value:.0f}", ha="center", fontsize=8)
    ax.set(ylim=(0, 100), xticks=(0, 1), xticklabels=("within 0.1 of the box", "within 0.2"))
    ax.set_title("right keypoints, 73 people of COCO: %", loc="left", fontsize=10)
    ax.legend(fontsize=8, frameon=False, loc="upper left", ncol=2)
    ax.spines[["top", "right"]].set_visible(False)


def main() -> None:
    figure = plt.figure(figsize=(12, 5.4), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=[1, 1.9], height_ratios=[1, 0.9, 1.5])
    draw_photograph(figure.add_subplot(grid[:, 0]))
    draw_mouths(figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1]))
    draw_shares(figure.add_subplot(grid[2, 1]))
    figure.savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main()
