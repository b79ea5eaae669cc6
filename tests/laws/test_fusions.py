"""The laws over every fusion, found as a recipe finds it."""

from __future__ import annotations

import pytest

from plait.core.parts import parts
from plait.fusion import Fusion
from plait.testing import check_fusion

VARIANTS = [
    ("shared", {"summary": False, "unimodal_heads": "sum"}),
    ("shared", {"layers": 2, "heads": 2, "periods": [0.02, 10.0]}),
    ("concat", {"time_bins": 5, "recurrent": False}),
    ("confidence", {"by": "entropy"}),
    ("nearest", {"to": "fast", "within": 0.2}),
    ("mixture", {"top": 3, "unimodal_heads": "none"}),
    ("misa", {"unimodal_heads": "sum"}),
]

LONGER = [
    ("nearest", {"to": "fastest"}),
    ("memory", {"to": "once", "unimodal_heads": "none"}),
    ("crossmodal", {"causal": True, "layers": 2}),
    ("crossmodal", {"causal": True, "positions": "none", "layers": 1, "memory": 2}),
    ("crossmodal", {"positions": "index", "unimodal_heads": "none"}),
    ("crossmodal", {"last": True, "causal": True}),
    ("crossmodal", {"last": True, "memory": 2, "positions": "none", "unimodal_heads": "none"}),
    ("bottleneck", {"tokens": 1, "layers": 2, "unimodal_heads": "none"}),
    ("latents", {"latents": 3, "layers": 1, "unimodal_heads": "none"}),
]


@pytest.mark.parametrize("name", parts(Fusion))
def test_every_fusion_keeps_the_laws(name):
    check_fusion(parts(Fusion)[name], export=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", parts(Fusion))
def test_every_fusion_is_exported(name):
    check_fusion(parts(Fusion)[name])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_options_keep_them_too(name, options):
    check_fusion(parts(Fusion)[name], **options)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), LONGER)
def test_options_that_take_longer_keep_them_too(name, options):
    check_fusion(parts(Fusion)[name], **options)
