"""Words to tokens and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.tasks.spelling import KINDS, Subwords, spelling_of

TEXTS = st.lists(st.text("abcd", min_size=1, max_size=6), max_size=6)


@pytest.mark.parametrize("kind", KINDS)
@given(TEXTS, TEXTS)
def test_a_text_comes_back_and_so_does_each_word(kind: str, known: list[str], words: list[str]) -> None:
    spelling = spelling_of(kind, known, 12)
    tokens = spelling.split(words)
    assert spelling.join(tokens) == " ".join(words)
    assert [spelling.join([tokens[i] for i in own]) for own in spelling.grouped(tokens)] == words


@given(TEXTS, st.integers(1, 20))
def test_an_inventory_holds_what_its_words_need_and_no_more_than_asked(known: list[str], size: int) -> None:
    spelling = Subwords.of(known, size)
    letters = {piece for word in known for piece in Subwords([]).split([word])}
    assert len(letters) + len(spelling.merges) <= max(size, len(letters))
    assert set(spelling.split(known)) <= letters | {"".join(pair) for pair in spelling.merges}


def test_frequent_words_become_one_token() -> None:
    spelling = Subwords.of(["place"] * 9 + ["lay"], 50)
    assert spelling.split(["place", "lay"]) == ["▁place", "▁lay"]
    assert spelling.split(["lays"]) == ["▁lay", "s"]
