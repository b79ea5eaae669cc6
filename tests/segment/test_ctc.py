"""Words put on their sound by a CTC model: a tiny one of transformers, made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.segment import ctc
from plait.segment.ctc import letter_probabilities, word_times
from plait.streams.stream import Stream

LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
SOUND = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("ctc")
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(LETTERS)}))
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        vocab_size=len(LETTERS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, pad_token_id=0,
    )  # fmt: skip
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return str(folder)


def sound(values: np.ndarray = SOUND, rate: int = 16000, start: float = 0.0) -> Stream:
    return Stream.of(values, rate=rate, start=start, kind="waveform")


def text(*sentences: str) -> Stream:
    return Stream.of(np.array(sentences, object), spans=([0.0] * len(sentences),) * 2)


def test_letters_are_those_that_transformers_gives(model: str) -> None:
    import torch
    import transformers

    got, edges = letter_probabilities(sound(), model=model)
    network = transformers.Wav2Vec2ForCTC.from_pretrained(model).eval()
    heard = transformers.AutoFeatureExtractor.from_pretrained(model)(SOUND, sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        want = network(**heard).logits[0].log_softmax(-1).numpy()
    assert got == pytest.approx(want, abs=1e-4)
    assert edges[:3] == pytest.approx([0.0025, 0.0225, 0.0425])
    assert len(edges) == len(got) + 1


def test_words_are_where_the_letters_are(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With posteriors that spell a text at known frames, each word has its times, shifted with the sound's clock."""
    spelt = np.zeros((149, len(LETTERS)), np.float32)
    said = {"BIN": 20, "BLUE": 60, "NOW": 110}
    spelt[:, 0] = 6
    for word, at in said.items():
        for i, letter in enumerate(word):
            spelt[at + 3 * i : at + 3 * i + 3, 0] = 0
            spelt[at + 3 * i : at + 3 * i + 3, LETTERS.index(letter)] = 6
    spelt[[50, 100], 4], spelt[[50, 100], 0] = 6, 0
    logs = spelt - np.log(np.exp(spelt).sum(1, keepdims=True))
    monkeypatch.setattr(ctc._Letters, "_encode", lambda self, values, front: logs)
    found = word_times(sound(start=100.0), text("bin blue,", "Now! 77"), model=model)
    assert found.words == ("bin", "blue,", "Now!")
    assert found.start - 100 == pytest.approx([20 * 0.02 + 0.0025, 60 * 0.02 + 0.0025, 110 * 0.02 + 0.0025])
    assert found.stop - 100 == pytest.approx([29 * 0.02 + 0.0025, 72 * 0.02 + 0.0025, 119 * 0.02 + 0.0025])
    assert found.score.min() > -0.2
    assert found.notes == {"words without a letter that the model knows": 1}


def test_sentences_with_spans_are_sought_near_them(model: str) -> None:
    sentences = Stream.of(np.array(["bin blue", "now please"], object), spans=([0.2, 1.9], [1.0, 2.5]))
    found = word_times(sound(), sentences, model=model)
    assert found.words == ("bin", "blue", "now", "please")
    assert (found.stop[:2] <= 2.04).all()
    assert (found.start[2:] >= 0.88).all()
    assert found.notes == {"words hardly said there": 4}, "a model without training is sure of nothing"


def test_what_cannot_be_done_is_said(model: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no word of the text can be said"):
        word_times(sound(), text("77 88"), model=model)
    with pytest.raises(DataError, match="149 frames cannot hold"):
        word_times(sound(), text("never " * 60), model=model)
    with pytest.raises(DataError, match="expected words"):
        word_times(sound(), sound(), model=model)
    with pytest.raises(ConfigError, match=r"words\.model: 'no/such-model' is neither"):
        word_times(sound(), text("a"), model="no/such-model")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigError):
        word_times(sound(), text("a"), model=str(tmp_path))
