"""Sides drawn by a stable hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.examples.splits import Split
from plait.examples.splits.sides import Fold, Share, Text, fold_of, number_of, refuse_shares, values_of

if TYPE_CHECKING:
    from plait.corpus.corpus import Corpus
    from plait.examples.items import Item

__all__ = ["Hash"]


class Hash(Split):
    """By a stable hash (SHA-256 of salt and value): ``{hash: KEY, test: 0.2, valid: 0.0, salt: ""}``.

    A recording stays on the same side as the corpus grows.

    Args:
        hash: ``group``, ``id``, or the name of a label or meta field of the recordings.
        test, valid: shares of the values of ``hash``.
        salt: a different salt draws different sides.

    Raises:
        ConfigError: test and valid leave nothing to train on.
    """

    def __init__(self, *, hash: Text = "group", test: Share = 0.2, valid: Share = 0.0, salt: Text = "") -> None:
        refuse_shares(test, valid)
        self.key, self.test, self.valid, self.salt = hash, test, valid, salt

    def divide(self, items: list[Item], corpus: Corpus) -> list[Fold]:
        values = values_of(corpus, self.key, "split.hash")
        used = {values[i.recording] for i in items if i.recording in values}
        place = {v: number_of(self.salt, v) for v in values.values()}
        side = {v: "test" if p < self.test else "valid" if p < self.test + self.valid else "train"
                for v, p in place.items()}  # fmt: skip
        notes = self._fill(side, sorted(used, key=place.__getitem__))
        fold = fold_of(items, {r: side[v] for r, v in values.items()}, "", notes)
        if self.valid and not fold.valid:
            fold.notes.append("too few groups for validation; it is empty.")
        return [fold]

    def _fill(self, side: dict[str, str], ranked: list[str]) -> list[str]:
        """With few groups a side may stay empty: it gets the group with the nearest hash, never the last of a side."""
        notes = []
        for name, wanted in (("test", self.test), ("valid", self.valid), ("train", 1.0)):
            there = {side[v] for v in ranked}
            spare = [v for v in ranked if side[v] != name and sum(side[w] == side[v] for w in ranked) > 1]
            if wanted and name not in there and spare:
                taken = spare[-1] if name == "train" else spare[0]
                side[taken] = name
                notes.append(f"no group's hash fell into {name}: {taken!r}, the nearest, was put there.")
        return notes
