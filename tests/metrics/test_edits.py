"""Alignments by the fewest edits, against jiwer and by their own properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.metrics.edits import edits
from plait.metrics.error_rates import Wer
from plait.metrics.word_edits import DeletionRate, InsertionRate, SubstitutionRate

TEXTS = st.lists(st.sampled_from("abcd"), max_size=7)


@given(TEXTS, TEXTS)
def test_an_alignment_holds_both_texts_in_order(true: list[str], said: list[str]) -> None:
    found = edits(true, said)
    assert [a for a, _ in found if a is not None] == true
    assert [b for _, b in found if b is not None] == said


@settings(deadline=None)  # the first import of torchmetrics takes seconds
@given(st.lists(st.tuples(TEXTS.filter(bool), TEXTS), min_size=1, max_size=4))
def test_the_three_kinds_add_up_to_the_word_error_rate(pairs: list[tuple[list[str], list[str]]]) -> None:
    true, said = [" ".join(a) for a, _ in pairs], [" ".join(b) for _, b in pairs]
    kinds = sum(metric()(true, said) for metric in (SubstitutionRate, DeletionRate, InsertionRate))
    assert kinds == pytest.approx(Wer()(true, said))


@settings(deadline=None)
@given(TEXTS.filter(bool), TEXTS)
def test_jiwer_counts_as_many_edits(true: list[str], said: list[str]) -> None:
    jiwer = pytest.importorskip("jiwer", reason="jiwer is not installed")
    theirs = jiwer.process_words(" ".join(true), " ".join(said))
    found = edits(true, said)
    assert sum(a != b for a, b in found) == theirs.substitutions + theirs.deletions + theirs.insertions
    assert sum(a is None for a, _ in found) - sum(b is None for _, b in found) == theirs.insertions - theirs.deletions


def test_without_words_there_is_no_rate_and_unequal_numbers_are_refused() -> None:
    assert math.isnan(DeletionRate()([""], ["a"]))
    with pytest.raises(DataError, match="1 true texts and 2 answers"):
        InsertionRate()(["a"], ["a", "b"])
