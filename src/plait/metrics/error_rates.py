"""Error rates of texts: edits that turn the answers into the true texts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plait.core.errors import DataError
from plait.metrics import Metric

__all__ = ["Cer", "Wer", "check_pairs"]


class Wer(Metric):
    """Word error rate: words to insert, delete or replace, divided by the words of the true texts (torchmetrics).

    nan if the true texts have no words.
    """

    of = "texts"
    higher_is_better = False
    bounds = (0.0, math.inf)
    percent = True
    rank = 10

    def __call__(self, target: Sequence[str], scores: Sequence[str]) -> float:
        from torchmetrics.functional.text import word_error_rate

        return _rate("wer", word_error_rate, target, scores)


class Cer(Metric):
    """Character error rate: the same in characters, spaces included (torchmetrics); nan if the true texts are empty."""

    of = "texts"
    higher_is_better = False
    bounds = (0.0, math.inf)
    percent = True
    rank = 20

    def __call__(self, target: Sequence[str], scores: Sequence[str]) -> float:
        from torchmetrics.functional.text import char_error_rate

        return _rate("cer", char_error_rate, target, scores)


def check_pairs(name: str, target: Sequence[str], scores: Sequence[str]) -> None:
    """Check that there is an answer to each true text.

    Raises:
        DataError: there are more of the one than of the other.
    """
    if len(target) != len(scores):
        raise DataError(f"{name}: {len(target)} true texts and {len(scores)} answers; expected one of each per item.")


def _rate(name: str, rate: object, target: Sequence[str], scores: Sequence[str]) -> float:
    check_pairs(name, target, scores)
    if not any(text.split() for text in target):
        return math.nan
    return float(rate(list(scores), list(target)))  # type: ignore[operator]
