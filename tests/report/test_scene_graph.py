"""A scene graph is drawn, with a picture and without."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from plait.report.scene_graph import COLOURS, draw_relations
from plait.tasks.answers import Relations

ANSWER = Relations(
    (("a", "on", "b", 0.9), ("b", "under", "a", 0.4), ("a", "touch", "a", 0.2)),
    {"a": "cup", "b": "table"},
    {"a": (10.0, 10.0, 40.0, 40.0), "b": (0.0, 40.0, 90.0, 80.0)},
)


@pytest.mark.parametrize("picture", [None, np.zeros((90, 120), np.uint8), np.zeros((90, 120, 3), np.uint8)])
def test_both_objects_are_in_the_drawing(tmp_path, picture):
    draw_relations(tmp_path / "a.png", ANSWER, picture)
    drawn = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
    for colour in COLOURS[:2]:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(drawn.astype(int) - wanted).max(-1) < 3).sum() > 300, colour


def test_nothing_is_drawn_too(tmp_path):
    draw_relations(tmp_path / "a.png", Relations((), {}, {}))
    assert (tmp_path / "a.png").stat().st_size > 1000
