"""The three kinds of word errors, each as a share of the true words; together they are the word error rate."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

from plait.core.parts import part_name
from plait.metrics import Metric
from plait.metrics.edits import Edit, word_edits
from plait.metrics.error_rates import check_pairs

__all__ = ["DeletionRate", "InsertionRate", "SubstitutionRate"]


class _Rate(Metric):
    """Edits of one kind, divided by the words of the true texts; nan if these have no words."""

    of = "texts"
    higher_is_better = False
    bounds = (0.0, 1.0)
    percent = True

    @staticmethod
    @abstractmethod
    def counts(edit: Edit) -> bool:
        """Whether an edit is of the kind."""

    def __call__(self, target: Sequence[str], scores: Sequence[str]) -> float:
        check_pairs(part_name(type(self)), target, scores)
        words = sum(len(text.split()) for text in target)
        found = sum(self.counts(e) for true, said in zip(target, scores) for e in word_edits(true, said))
        return found / words if words else math.nan


class SubstitutionRate(_Rate):
    """Words answered by another word, divided by the words of the true texts; nan if these have no words."""

    rank = 30

    @staticmethod
    def counts(edit: Edit) -> bool:
        return None not in edit and edit[0] != edit[1]


class DeletionRate(_Rate):
    """Words that the answer lacks, divided by the words of the true texts; nan if these have no words."""

    rank = 31

    @staticmethod
    def counts(edit: Edit) -> bool:
        return edit[1] is None


class InsertionRate(_Rate):
    """Words that only the answer has, divided by the words of the true texts; nan if these have no words."""

    bounds = (0.0, math.inf)
    rank = 32

    @staticmethod
    def counts(edit: Edit) -> bool:
        return edit[0] is None
