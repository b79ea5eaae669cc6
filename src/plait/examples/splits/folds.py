"""Cross-validation: folds of whole groups, each tested once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from plait.core.errors import ConfigError
from plait.examples.splits import Split
from plait.examples.splits.sides import Fold, Share, Text, fold_of, homes, number_of, values_of

if TYPE_CHECKING:
    from plait.corpus.corpus import Corpus
    from plait.examples.items import Item

__all__ = ["Folds"]

Parts = Annotated[int, Field(ge=2, description="a whole number from 2 up")]


class Folds(Split):
    """Folds of whole groups, balanced in number of items: ``{folds: K, by: KEY, valid: 0.0, salt: ""}``.

    Each item is tested exactly once.

    Args:
        folds: number of folds.
        by: ``group``, ``id``, or the name of a label or meta field of the recordings.
        valid: the share of a fold's training groups used for validation.
        salt: a different salt draws different folds.
    """

    holds_back: ClassVar[bool] = False

    def __init__(self, *, folds: Parts = 5, by: Text = "group", valid: Share = 0.0, salt: Text = "") -> None:
        self.folds, self.by, self.valid, self.salt = folds, by, valid, salt

    def divide(self, items: list[Item], corpus: Corpus) -> list[Fold]:
        values = values_of(corpus, self.by, "split.by")
        count = Counter(values[i.recording] for i in items if i.recording in values)
        if len(count) < self.folds:
            raise ConfigError(
                f"split.folds: {self.folds} folds, but the items have only {len(count)} values of "
                f"{self.by!r}. Ask for at most {len(count)} folds, or divide by another key."
            )
        home = homes(count, self.folds, self.salt)
        return [self._fold(items, values, home, k) for k in range(self.folds)]

    def _fold(self, items: list[Item], values: dict[str, str], home: Mapping[str, int], k: int) -> Fold:
        training = [v for v, at in home.items() if at != k]
        # By hash with a salt of its own: the order of the test folds must not decide who validates.
        training.sort(key=lambda v: (number_of(f"{self.salt}valid", v), v))
        wanted = max(1, round(self.valid * len(training))) if self.valid else 0
        # One group always stays to train on.
        valid = set(training[: min(wanted, len(training) - 1)])
        notes = ["one training group only; validation is empty."] if wanted and not valid else []
        side = {v: "test" if at == k else "valid" if v in valid else "train" for v, at in home.items()}
        return fold_of(items, {r: side[v] for r, v in values.items() if v in side}, f"fold{k + 1}", notes)
