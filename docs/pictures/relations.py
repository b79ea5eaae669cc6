"""Draws docs/images/relations.png: a made-up answer over a made-up picture.

python docs/pictures/relations.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.report.scene_graph import draw_relations
from plait.tasks.answers import Relations

IMAGE = Path(__file__).parents[1] / "images/relations.png"
SKY, GRASS, COAT, SKIN, HORSE, HAT = (
    (205, 225, 240), (150, 185, 120), (70, 90, 150), (235, 195, 165), (130, 90, 60), (60, 50, 50)
)  # fmt: skip

ANSWER = Relations(
    (
        ("0", "ride", "1", 0.91),
        ("0", "wear", "2", 0.84),
        ("1", "on", "3", 0.72),
        ("3", "under", "1", 0.55),
    ),
    {"0": "person", "1": "horse", "2": "hat", "3": "grass"},
    {"0": (175, 40, 235, 190), "1": (90, 120, 320, 275), "2": (180, 28, 230, 58), "3": (0, 240, 400, 300)},
)


def picture() -> NDArray[np.uint8]:
    """A rider, in rectangles and ellipses."""
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[:] = SKY
    y, x = np.mgrid[:300, :400]
    pixels[240:] = GRASS
    for cx, cy, rx, ry, colour in (
        (200, 175, 90, 42, HORSE), (300, 140, 22, 26, HORSE), (205, 120, 22, 42, COAT), (205, 65, 16, 18, SKIN),
        (205, 47, 24, 9, HAT), (215, 168, 9, 26, COAT),
    ):  # fmt: skip
        pixels[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1] = colour
    for left in (125, 150, 250, 270):
        pixels[200:272, left : left + 10] = HORSE
    return pixels


def main() -> None:
    draw_relations(IMAGE, ANSWER, picture())


if __name__ == "__main__":
    main()
