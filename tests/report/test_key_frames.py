"""A caption drawn: the file is a picture; what cannot be drawn is told."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from plait.core.errors import DataError
from plait.report.key_frames import draw_caption
from plait.streams.stream import Stream
from plait.tasks.evidence import Caption

FILM = Stream.of(np.zeros((4, 8, 10, 3), np.uint8), rate=2)


def test_key_frames_and_boxes_are_drawn(tmp_path: Path) -> None:
    words = ((0.0, 1.0, "a", 0.9), (0.5, 1.0, "dog", 0.8))
    plain = Caption(words, ("eye", "eye"), (None, None), (0.5, 1.5))
    boxed = Caption(words, ("eye", "eye"), (None, (0.2, 0.2, 0.4, 0.4)), (0.5, 1.5))
    sizes = []
    for name, answer in (("plain", plain), ("boxed", boxed)):
        draw_caption(FILM, answer, tmp_path / f"{name}.png", source="eye")
        sizes.append(cv2.imread(str(tmp_path / f"{name}.png")))
    assert sizes[0].shape == sizes[1].shape
    assert (sizes[0] != sizes[1]).any()


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    sound = Stream.of(np.zeros(8, np.float32), rate=4)
    answer = Caption(((0.0, 1.0, "a", 0.9),), ("eye",), (None,), ())
    with pytest.raises(DataError, match="expected pictures"):
        draw_caption(sound, answer, tmp_path / "x.png", source="eye")
    with pytest.raises(DataError, match="no words"):
        draw_caption(FILM, Caption(()), tmp_path / "x.png", source="eye")
