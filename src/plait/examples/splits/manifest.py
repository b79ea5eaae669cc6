"""Sides that the manifest gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from plait.core.errors import DataError, raise_all
from plait.core.parts import suggest
from plait.examples.splits import Split
from plait.examples.splits.sides import SIDES, Fold, fold_of

if TYPE_CHECKING:
    from plait.corpus.corpus import Corpus
    from plait.examples.items import Item

__all__ = ["Manifest"]


class Manifest(Split):
    """The ``split`` that each recording has in the manifest: ``{by: manifest}``.

    Args:
        by: ``manifest``.
    """

    def __init__(self, *, by: Literal["manifest"] = "manifest") -> None:
        self.by = by

    def divide(self, items: list[Item], corpus: Corpus) -> list[Fold]:
        wrong = sorted({i.split for i in items if i.split and i.split not in SIDES})
        raise_all(DataError, [f"split: {w!r} in the manifest is not a side. {suggest(w, SIDES)}" for w in wrong])
        return [fold_of(items, {i.recording: i.split for i in items if i.split})]
