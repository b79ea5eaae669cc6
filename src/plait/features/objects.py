"""Objects in pictures: box, confidence and a code of the class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.parts import Spec, build
from plait.features import Feature
from plait.features.checks import above_zero
from plait.streams.clock import Clock
from plait.streams.objects import Objects, objects_of
from plait.streams.stream import Stream

__all__ = ["BOX", "ObjectRows"]

BOX = 8
"""Columns before the class: centre x and y, width and height as shares of the picture, the logarithms of both, the
area, and the confidence. `plait.encoders.scene_graph` reads the first four."""


class ObjectRows(Feature):
    """One row per object: `BOX` columns of its box, then its class, [n, 8 + codes + names]; the first are optional.

    The class is a code of random signs, drawn by a digest of its name (Weinberger et al., "Feature hashing for large
    scale multitask learning", ICML 2009): nothing is learnt or listed, and a linear layer after it is an embedding of
    the classes, of which any two are nearly orthogonal. Beside it may stand what another feature says of the name.

    Args:
        boxes: whether there are columns of the box; a task of relations is told the boxes anyway.
        codes: signs in the code of a class.
        names: a feature of words (`plait.features.word_vectors`, `plait.features.pretrained.HfText`) that is computed
            of the classes' names; None: none.

    >>> from plait.streams.objects import object_text
    >>> texts = [object_text("dog", (0, 0, 5, 10), picture=(20, 10)), object_text("cat", (10, 5, 10, 5))]
    >>> values, _ = ObjectRows(codes=4)(Stream.of(texts, times=[0.0, 0.0]))
    >>> values.shape, values[0, :4].tolist()
    ((2, 12), [0.125, 0.5, 0.25, 1.0])
    """

    kinds = ("words",)

    def __init__(self, *, boxes: bool = True, codes: int = 128, names: Spec | None = None) -> None:
        above_zero("object_rows", codes=codes)
        self._box, self._codes = BOX * boxes, codes
        self.causal = not boxes  # where no picture's size is told, it is taken from all boxes
        self._names = None if names is None else build(Feature, names, where="object_rows.names")

    def dim(self, shape: tuple[int, ...]) -> int:
        return self._box + self._codes + (0 if self._names is None else self._names.dim(shape))

    def groups(self, dim: int) -> list[int]:
        # One scale for a code and one for a name: a rare class must not become a large number.
        first = self._box
        return [*range(first), *[first] * self._codes, *[first + 1] * (dim - first - self._codes)]

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        found = objects_of(stream)
        codes = np.array([_code(name, self._codes) for name in found.classes], np.float32).reshape(-1, self._codes)
        columns = [_box(found)[:, : self._box], codes]
        if self._names is not None:
            columns.append(_named(self._names, found.classes))
        return np.concatenate(columns, 1), stream.clock

    def files(self) -> list[Path]:
        return [] if self._names is None else self._names.files()


def _named(names: Feature, classes: Sequence[str]) -> NDArray[np.float32]:
    """What a feature of words says of each object's class."""
    known = sorted(set(classes))
    rows = names(Stream.of(np.array(known, object), times=np.arange(len(known))))[0]
    return rows[np.searchsorted(known, classes)] if known else rows


def _box(found: Objects) -> NDArray[np.float32]:
    low, high = found.boxes[:, :2] / found.sizes, found.boxes[:, 2:] / found.sizes
    size = high - low
    rest = [np.log(size), size.prod(1, keepdims=True), found.confidence[:, None]]
    return np.concatenate([(low + high) / 2, size, *rest], 1).astype(np.float32)


@lru_cache(maxsize=100_000)
def _code(name: str, size: int) -> tuple[float, ...]:
    bits = np.unpackbits(np.frombuffer(_digest(name, -(-size // 8)), np.uint8))[:size]
    return tuple((2.0 * bits - 1.0).tolist())


def _digest(name: str, size: int) -> bytes:
    """As many bytes as are asked for."""
    parts = (blake2b(f"{i}:{name}".encode()).digest() for i in range(-(-size // 64)))
    return b"".join(parts)[:size]
