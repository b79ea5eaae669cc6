"""Sides listed value by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from plait.core.errors import ConfigError, raise_all
from plait.core.parts import suggest
from plait.examples.splits import Split
from plait.examples.splits.sides import SIDES, Fold, Text, as_text, fold_of, values_of

if TYPE_CHECKING:
    from plait.corpus.corpus import Corpus
    from plait.examples.items import Item

__all__ = ["Lists"]

Value = str | int | float | bool
Values = Annotated[Sequence[Value], Field(description="a list of values of the key in split.by")]
Some = Annotated[Sequence[Value], Field(min_length=1, description="a list of values of the key in split.by")]


class Lists(Split):
    """Explicit values of a key: ``{by: KEY, train: [...], valid: [...], test: [...]}``.

    Args:
        by: ``group``, ``id``, or the name of a label or meta field of the recordings.
        train, valid, test: values of that key; 1, 1.0 and '1' are the same.

    Raises:
        ConfigError: a value is in two of the lists; all such values in one message.
    """

    def __init__(self, *, by: Text, train: Some, valid: Values = (), test: Values = ()) -> None:
        self.by, self.side_of, problems = by, dict[str, str](), list[str]()
        for side, values in zip(SIDES, (train, valid, test)):
            for value in map(as_text, values):
                if self.side_of.setdefault(value, side) != side:
                    problems.append(f"split.{side}: {value!r} is listed under {self.side_of[value]} too. Keep one.")
        raise_all(ConfigError, problems)

    def divide(self, items: list[Item], corpus: Corpus) -> list[Fold]:
        values, listed = values_of(corpus, self.by, "split.by"), self.side_of
        known = set(values.values())
        raise_all(
            ConfigError,
            [
                f"split.{side}: no recording of {corpus.path.name} has {self.by} {v!r}. {suggest(v, known)}"
                for v, side in listed.items()
                if v not in known
            ],
        )
        notes = []
        if unlisted := sorted(known - set(listed)):
            notes.append(f"{self.by} {', '.join(map(repr, unlisted[:10]))}{' ...' * (len(unlisted) > 10)}: in no list.")
        # A listed value without items is no error: the unit may have dropped all of its items.
        have = {values[i.recording] for i in items if i.recording in values}
        if idle := sorted(set(listed) - have):
            notes.append(f"{self.by} {', '.join(map(repr, idle))}: listed, but without items.")
        return [fold_of(items, {r: listed[v] for r, v in values.items() if v in listed}, "", notes)]
