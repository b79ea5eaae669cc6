"""Answers of a model that `plait export` wrote, with onnxruntime and numpy alone: no torch, no plait.

>>> from plait_lite import Lite
>>> Lite("edge")  # doctest: +SKIP
Lite('edge', modalities: imu (6), pose (40))
"""

from __future__ import annotations

from plait_lite.answers import decoded, within
from plait_lite.model import Lite, LiteError
from plait_lite.stream import LiteStream

__all__ = ["Lite", "LiteError", "LiteStream", "decoded", "within"]
