"""The laws over every fusion, found as a recipe finds it."""

from __future__ import annotations

import pytest

from plait.fusion import Fusion
from plait.parts import parts
from plait.testing import check_fusion

VARIANTS = [
    ("shared", {"summary": False, "own": "sum"}),
    ("shared", {"layers": 2, "heads": 2, "periods": [0.02, 10.0]}),
    ("concat", {"steps": 5, "recurrent": False}),
]


@pytest.mark.parametrize("name", parts(Fusion))
def test_every_fusion_keeps_the_laws(name):
    check_fusion(parts(Fusion)[name])


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_options_keep_them_too(name, options):
    check_fusion(parts(Fusion)[name], **options)
