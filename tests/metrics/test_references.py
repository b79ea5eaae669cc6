"""Metrics of texts with several references: equal to the field's scorer, by values that it gave.

The figures are those of pycocoevalcap 1.2 (`Cider().compute_score`, `Bleu(4).compute_score`, `Rouge().compute_score`)
for the same texts, less its tokenizer: words are what spaces separate.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.metrics import metrics_for
from plait.metrics.any_match import AnyMatch
from plait.metrics.bleu import bleu
from plait.metrics.cider import Cider, CiderTable, Rarity, cider_each
from plait.metrics.rouge_l import RougeL

REFERENCES = [
    ["a black dog runs on the grass", "the dog is running", "a dog runs"],
    ["two men sit on a bench", "people on a bench"],
    ["a girl in a red dress jumps into the water"],
    ["a brown dog jumps over a log", "the brown dog leaps"],
]
ANSWERS = ["a dog runs on the grass", "two men on a bench", "a boy jumps into the the water", "a dog"]


def test_the_values_of_the_fields_scorer():
    assert Cider()(REFERENCES, ANSWERS) == pytest.approx(2.6945511744387782, rel=1e-12)
    each = cider_each(REFERENCES, ANSWERS)
    np.testing.assert_allclose(each, [3.76633591, 4.04569142, 2.3396716, 0.62650577], atol=1e-8)
    found = [bleu(REFERENCES, ANSWERS, order) for order in (1, 2, 3, 4)]
    wanted = [0.7009207046941723, 0.6126098641202594, 0.5267300774431007, 0.39879027145601453]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert RougeL()(REFERENCES, ANSWERS) == pytest.approx(0.7171237800925921, rel=1e-12)


TEXTS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=7).map(" ".join)


@given(
    data=st.data(), pairs=st.lists(st.tuples(st.lists(TEXTS, min_size=1, max_size=3), TEXTS), min_size=1, max_size=6)
)
def test_parts_of_a_table_are_scored_as_parts_of_the_texts(data, pairs):
    references, answers = [own for own, _ in pairs], [said for _, said in pairs]
    rows = data.draw(st.lists(st.integers(0, len(pairs) - 1), max_size=8))
    found = CiderTable(references, answers)(np.array(rows, int))
    wanted = Cider()([references[i] for i in rows], [answers[i] for i in rows])
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12, nan_ok=True)


def test_one_reference_is_enough_to_match():
    assert AnyMatch()([["a dog", "the dog"], ["a cat"]], ["the  dog", "cat"]) == 0.5


def test_rarity_may_come_from_other_texts():
    common = Rarity([["a dog"], ["a dog"], ["a dog"], ["a cat"]])
    cat, dog = (cider_each([["dog cat"]], [word], common)[0] for word in ("cat", "dog"))
    assert cat > dog > 0
    assert cider_each([["a dog"]], ["a dog"]).tolist() == [0.0]  # of one item nothing is rare


def test_what_does_not_fit_is_refused():
    for metric in metrics_for("references", "cider", where="here").values():
        with pytest.raises(DataError, match="2 items and 1 answers"):
            metric([["a"], ["b"]], ["a"])
        with pytest.raises(DataError, match="no reference"):
            metric([[]], ["a"])
