"""The sides of a split, and functions that several splits share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from plait.core.errors import ConfigError
from plait.core.parts import suggest

if TYPE_CHECKING:
    from plait.corpus.corpus import Corpus
    from plait.examples.items import Item

__all__ = ["SIDES", "Fold", "Share", "Text", "as_text", "fold_of", "homes", "number_of", "refuse_shares", "values_of"]

SIDES = ("train", "valid", "test")

Share = Annotated[float, Field(ge=0, lt=1, description="a share from 0 up to, but not including, 1")]
Text = Annotated[str, Field(description="a text. Put a number in quotes")]


@dataclass(frozen=True)
class Fold:
    """One division of the items; each item's ``split`` names its side.

    Attributes:
        train, valid, test: the items of each side.
        name: '' for a single division, 'fold1' and so on for several.
        notes: what was left out and why, as text.
        left_out: number of items on no side.
    """

    train: list[Item]
    valid: list[Item]
    test: list[Item]
    name: str = ""
    notes: list[str] = field(default_factory=list)
    left_out: int = 0

    @property
    def sides(self) -> dict[str, list[Item]]:
        return {"train": self.train, "valid": self.valid, "test": self.test}


def fold_of(items: list[Item], side_of: Mapping[str, str], name: str = "", notes: list[str] | None = None) -> Fold:
    """A fold, given the side of each recording; recordings without a side are left out and counted."""
    sides: dict[str, list[Item]] = {side: [] for side in SIDES}
    without: Counter[str] = Counter()
    for item in items:
        side = side_of.get(item.recording)
        if side is None:
            without[item.recording] += 1
        else:
            sides[side].append(replace(item, split=side))
    notes = list(notes or [])
    if without:
        notes.append(f"{without.total()} items of {len(without)} recordings are on no side, such as {min(without)!r}.")
    return Fold(sides["train"], sides["valid"], sides["test"], name, notes, without.total())


def values_of(corpus: Corpus, key: str, where: str) -> dict[str, str]:
    """The value of a key for every recording that has it.

    Args:
        corpus: its manifest is read.
        key: ``group``, ``id``, or the name of a label or meta field.
        where: the option that names the key, for the error message.

    Raises:
        ConfigError: no recording has the key.
    """
    entries = corpus.entries
    if key == "id":
        return {e.id: e.id for e in entries}
    if key == "group":
        return {e.id: e.group or e.id for e in entries}
    found = {e.id: as_text(e.labels.get(key, e.meta.get(key))) for e in entries if key in e.labels or key in e.meta}
    if not found:
        known = {"group", "id"}.union(*({*e.labels, *e.meta} for e in entries))
        raise ConfigError(f"{where}: no recording of {corpus.path.name} has {key!r}. {suggest(key, known)}")
    return found


def as_text(value: object) -> str:
    """A value as text, so that 1, 1.0 and '1' name the same subject."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def number_of(salt: str, value: str) -> float:
    """A number in 0..1 that depends on salt and value only."""
    # Not Python's own hash of texts: that changes with every process.
    return int.from_bytes(hashlib.sha256((salt + value).encode()).digest()[:7], "big") / 2**56


def homes(count: Mapping[str, int], parts: int, salt: str) -> dict[str, int]:
    """Assign groups to parts with about equal numbers of items."""
    load = [0] * parts
    home: dict[str, int] = {}
    # Greedy, largest group first into the smallest part; ties by hash, never by the order of the corpus.
    for value in sorted(count, key=lambda v: (-count[v], number_of(salt, v), v)):
        home[value] = load.index(min(load))
        load[home[value]] += count[value]
    return home


def refuse_shares(test: float, valid: float) -> None:
    """Raise `ConfigError` if the shares of test and validation leave nothing to train on."""
    if test + valid >= 1:
        raise ConfigError(f"split: test and valid take {test + valid:g} of all items; leave some to train on.")
