"""Words taken for words."""

from __future__ import annotations

import numpy as np

from plait.evaluation.word_errors import MOST_WORDS, NOTHING, OTHER, word_confusion


def test_every_word_of_both_sides_is_counted_once() -> None:
    pairs = [("set white with s two", "set white by s"), ("lay red", "lay red now"), ("bin", "bin")]
    found = word_confusion(pairs)
    counts, place = np.array(found["counts"]), {word: i for i, word in enumerate(found["classes"])}
    assert counts.sum() - counts[place[NOTHING]].sum() == sum(len(a.split()) for a, _ in pairs)
    assert counts.sum() - counts[:, place[NOTHING]].sum() == sum(len(b.split()) for _, b in pairs)
    assert counts[place["with"], place["by"]] == counts[place[NOTHING], place["now"]] == 1
    assert counts[place["two"], place[NOTHING]] == 1
    assert counts[place[OTHER], place[OTHER]] == 6


def test_of_many_words_those_with_most_errors_have_rows() -> None:
    pairs = [(f"w{i:03}", "x") for i in range(200)] + [("w150", "x")]
    found = word_confusion(pairs)
    assert len(found["classes"]) == MOST_WORDS + 2
    assert {"w150", "x"} <= set(found["classes"])
    assert np.sum(found["counts"]) == 201
