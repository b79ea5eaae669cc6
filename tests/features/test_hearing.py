"""Encoders of waveforms, tried on tiny ones with random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.core.errors import ConfigError
from plait.features import sound as in_windows
from plait.features.hearing import HfSound
from plait.streams.clock import Grid
from plait.streams.stream import ArraySource, Stream

KERNELS, STRIDES = [10, 3, 2], [5, 2, 2]  # a row each 20 samples, of 10 + 5 * 2 + 10 * 1 = 30


def test_what_is_wrong_with_a_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="such as facebook/wav2vec2-base"):
        HfSound()
    with pytest.raises(ConfigError, match=r"hf_sound.model: .* no readable config\.json"):
        HfSound(model=str(tmp_path)).dim(())
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    with pytest.raises(ConfigError, match="names no conv_kernel and conv_stride"):
        _ = HfSound(model=str(tmp_path)).rate
    with pytest.raises(ConfigError, match=r"hf_sound.piece: got 0"):
        HfSound(model=str(tmp_path), piece=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
class TestTinyModels:
    @pytest.fixture(scope="class", params=["Wav2Vec2", "Hubert", "WavLM"])
    def folder(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
        transformers = pytest.importorskip("transformers")
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        config = getattr(transformers, f"{request.param}Config")(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            conv_dim=[8, 8, 8],
            conv_kernel=KERNELS,
            conv_stride=STRIDES,
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2,
        )
        folder = tmp_path_factory.mktemp(request.param)
        getattr(transformers, f"{request.param}Model")(config).save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 8000, "do_normalize": True}))
        return folder

    def sound(self, n: int, seed: int = 0) -> Stream:
        wave = 0.1 * np.random.default_rng(seed).normal(size=n).astype(np.float32)
        return Stream.of(wave, rate=8000, start=2.0, kind="waveform")

    def naive(self, folder: Path, wave: np.ndarray) -> np.ndarray:
        import torch
        from transformers import AutoModel

        normal = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        with torch.inference_mode():
            return AutoModel.from_pretrained(folder).eval()(torch.from_numpy(normal)[None]).last_hidden_state[0].numpy()

    def test_a_short_sound_is_one_pass_of_the_model(self, folder: Path) -> None:
        feature, stream = HfSound(model=str(folder)), self.sound(4000)
        values, clock = feature(stream)
        np.testing.assert_allclose(values, self.naive(folder, stream.read()[:, 0]), atol=1e-5)
        assert (feature.dim(()), feature.rate) == (16, Fraction(400))
        assert clock == Grid(2 + Fraction(15, 8000), 400, 199)
        assert feature(self.sound(29))[0].shape == (0, 16)
        assert len(feature(self.sound(30))[0]) == 1

    def test_long_sound_goes_in_pieces_with_margins(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        feature, stream = HfSound(model=str(folder), piece=0.25, margin=0.05), self.sound(7013)
        values, clock = feature(stream)
        wave, steps = stream.read()[:, 0], 1 + (7013 - 30) // 20
        assert len(values) == len(clock) == steps
        for lo in range(0, steps, 100):
            first, past = max(lo - 20, 0), min(lo + 120, steps)
            whole = past == steps
            piece = self.naive(folder, wave[20 * first : None if whole else 20 * (past - 1) + 30])
            np.testing.assert_allclose(values[lo : lo + 100], piece[lo - first :][:100], atol=1e-5)
        for block in (777, 3000):
            monkeypatch.setattr(in_windows, "BLOCK", block)
            np.testing.assert_array_equal(feature(stream)[0], values)

    def test_what_lies_beyond_its_receptive_field_changes_nothing(self, folder: Path) -> None:
        feature, stream, other = (
            HfSound(model=str(folder), piece=0.2, margin=0.05),
            self.sound(9000),
            self.sound(9000, 1),
        )
        values, clock = feature(stream)
        for row in (0, 130, len(values) - 1):
            far = np.abs(stream.clock.times - clock.times[row]) > feature.receptive_field
            mixed = np.where(far[:, None], other.read(), stream.read())
            changed, _ = feature(replace(stream, source=ArraySource(mixed)))
            np.testing.assert_array_equal(changed[row], values[row])

    def test_a_gap_is_nan(self, folder: Path) -> None:
        stream = self.sound(4000)
        wave = np.array(stream.read())
        wave[1000:1010] = np.nan
        feature = HfSound(model=str(folder))
        values, clock = feature(replace(stream, source=ArraySource(wave)))
        touched = np.abs(clock.times - (2 + 1005 / 8000)) < (15 + 5) / 8000
        np.testing.assert_array_equal(np.isnan(values).all(1), touched)
        assert feature.notes() == {"windows in a gap": int(touched.sum())}

    def test_layers(self, folder: Path) -> None:
        stream = self.sound(1000)
        layers = [HfSound(model=str(folder), layer=k)(stream)[0] for k in (0, 1, 2, -1)]
        np.testing.assert_array_equal(layers[2], layers[3])
        assert not np.allclose(layers[0], layers[1])
        with pytest.raises(ConfigError, match="the model has 2 layers"):
            HfSound(model=str(folder), layer=3)(stream)


@pytest.mark.slow
def test_a_model_of_text_is_refused(tmp_path: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")
    config = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    transformers.BertModel(config).save_pretrained(tmp_path)
    known = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**known, "conv_kernel": [2], "conv_stride": [2]}))
    stream = Stream.of(np.zeros(100, np.float32), rate=16000, kind="waveform")
    with pytest.raises(ConfigError, match="takes input_ids; expected an encoder of waveforms"):
        HfSound(model=str(tmp_path))(stream)
