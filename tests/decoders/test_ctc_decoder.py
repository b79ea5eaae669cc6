"""The decoder of CTC: what is given stays, what is open is chosen by the held-out items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.decoders.ctc_decoder import CtcDecoder
from plait.decoders.ngram import NGram

LANGUAGE = NGram.of([[0, 1]] * 50, 2, 2)


def unsure() -> NDArray[np.float64]:
    """By its sound alone the second word is 1; the language model knows that it is 2."""
    return np.log([[0.1, 0.8, 0.1], [0.9, 0.05, 0.05], [0.1, 0.5, 0.4]])


def wrong(said: Sequence[tuple[int, ...]]) -> float:
    return float(np.mean([row != (1, 2) for row in said]))


def test_held_out_items_choose_how_much_the_language_model_counts() -> None:
    decoder = CtcDecoder(10, LANGUAGE)
    assert CtcDecoder(10)(unsure()) == (1, 1)
    decoder.tune([unsure()] * 3, wrong)
    assert decoder(unsure()) == (1, 2)


def test_held_out_items_choose_how_long_texts_are() -> None:
    hesitant = np.log(np.array([[0.02, 0.5, 0.48]] * 4))
    decoder = CtcDecoder(10)
    assert len(decoder(hesitant)) > 1
    decoder.tune([hesitant], lambda said: float(np.mean([len(row) != 1 for row in said])))
    assert decoder.weights[1] < 0
    assert len(decoder(hesitant)) == 1


def test_given_weights_are_kept() -> None:
    decoder = CtcDecoder(10, LANGUAGE, 0.0, 0.7)
    decoder.tune([unsure()], wrong)
    assert decoder.weights == (0.0, 0.7, 0.0)
    assert decoder(unsure()) == (1, 1)
