"""The laws, public: one check per kind of part. Each raises `LawBroken`, which names the law and what broke it.

>>> from plait.encoders.linear import Linear
>>> from plait.testing import check_encoder
>>> check_encoder(Linear, norm=True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.core.lazy import lazy

if TYPE_CHECKING:
    from plait.testing.augmentation import check_augmentation
    from plait.testing.encoder import check_encoder
    from plait.testing.feature import check_feature
    from plait.testing.format import check_format
    from plait.testing.fusion import check_fusion
    from plait.testing.fuzz import fuzz_reader
    from plait.testing.laws import LawBroken
    from plait.testing.metric import check_metric
    from plait.testing.noise import check_noise
    from plait.testing.packing import check_packing
    from plait.testing.reader import check_reader
    from plait.testing.section import check_section
    from plait.testing.split import check_split
    from plait.testing.step import check_step
    from plait.testing.stream import check_stream
    from plait.testing.task import check_task
    from plait.testing.unit import check_unit

__all__ = [
    "LawBroken",
    "check_augmentation",
    "check_encoder",
    "check_feature",
    "check_format",
    "check_fusion",
    "check_metric",
    "check_noise",
    "check_packing",
    "check_reader",
    "check_section",
    "check_split",
    "check_step",
    "check_stream",
    "check_task",
    "check_unit",
    "fuzz_reader",
]

# Imported on first access: the laws of readers must not import torch.
_HOMES = {
    "LawBroken": "laws",
    "check_augmentation": "augmentation",
    "check_encoder": "encoder",
    "check_feature": "feature",
    "check_format": "format",
    "check_fusion": "fusion",
    "check_metric": "metric",
    "check_noise": "noise",
    "check_packing": "packing",
    "check_reader": "reader",
    "check_section": "section",
    "check_split": "split",
    "check_step": "step",
    "check_stream": "stream",
    "check_task": "task",
    "check_unit": "unit",
    "fuzz_reader": "fuzz",
}

__getattr__ = lazy(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
