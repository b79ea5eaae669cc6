"""Raw films to words: a model of drawn mouths is given whole faces, and what it cannot work with is named."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest

from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import CorpusWriter
from plait.demo.face import face_film
from plait.prediction import transcribe as module
from plait.prediction.transcribe import Transcript, transcribe
from plait.readers.textgrid import TextGrid
from plait.recipe import load_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.training.fit import fit
from plait.training.run import Run
from plait.transforms.face import Mouth

OPEN = {"thin": 0.25, "half": 0.6, "wide": 1.0}
ORDERS = [[a, b, c] for a in OPEN for b in OPEN for c in OPEN if a != b != c]
WORD, RATE = 0.8, 12
"""Seconds of each word, pictures per second."""


def spoken(words: list[str], seed: int) -> np.ndarray:
    """A film of a face that opens its mouth as the words say, [n, 160, 200, 3], and moves a little.

    Lips meet where a word begins, as they do for a consonant.
    """
    rng = np.random.default_rng(seed)
    n = round(WORD * RATE)
    opened = np.arange(n) >= n // 4
    mouth = np.concatenate([OPEN[word] * opened for word in words]) + rng.normal(0, 0.03, n * len(words))
    way = np.array([100 + 20 * rng.uniform(-1, 1), 75]) + np.cumsum(rng.normal(0, 0.3, (len(mouth), 2)), 0)
    return face_film(way, 70, mouth=np.clip(mouth, 0, 1), height=160, width=200)


def write_film(path: Path, pictures: np.ndarray, rate: int) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        out.mux(stream.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("said")


@pytest.fixture(scope="module")
def words_run(folder: Path) -> Run:
    """Trained on films of mouths alone, as lip reading usually is."""
    with CorpusWriter(folder / "mouths") as out:
        for i in range(24):
            words = ORDERS[i % len(ORDERS)]
            mouth = Mouth()(Stream.of(spoken(words, i), rate=RATE)).read()
            notes = [Annotation(k * WORD, (k + 1) * WORD, word, "words") for k, word in enumerate(words)]
            streams = {"video": Stream.of(mouth, rate=RATE), "audio": Stream.of(np.zeros((29, 1)), rate=10)}
            out.add(f"m{i:02}", streams, annotations=notes)
    (folder / "words.yaml").write_text(
        f"corpus: {folder}/mouths/manifest.jsonl\n"
        "task: {name: transcribe, target: words, rate: 12, beam: 1}\n"
        "streams: {video: {feature: dct}}\n"
        "split: {hash: id, test: 0.1, valid: 0.1}\n"
        "model: {dim: 32}\n"
        "augment: {crop_resize: 0}\n"  # words fill the films to their ends
        "train: {epochs: 80, batch: 6, seeds: [0]}\n"
    )
    return fit(load_recipe(folder / "words.yaml"), folder / "run", cache=folder / "cache", quiet=True)


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    path = folder / "clip.mp4"
    write_film(path, spoken(["wide", "thin", "half"], 99), RATE)
    return path


@pytest.mark.slow
def test_words_of_a_raw_film_with_their_times(
    words_run: Run, clip: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["transcribe", str(clip), "--run", str(words_run.folder), "--cache", str(folder / "cache")]
    argv += ["--crop", "{name: mouth, detector: cascade, down: 0.8}"]
    assert main([*argv, "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["transcripts"]
    assert (said["recording"], said["text"], said["used"]) == ("clip", "wide thin half", ["video"])
    for k, word in enumerate(said["words"]):
        assert (word["start"], word["stop"]) == pytest.approx((k * WORD, (k + 1) * WORD), abs=0.3)
        assert 0.5 < word["confidence"] <= 1
    assert main([*argv, "--to", "textgrid", "--out", str(folder / "grids")]) == 0
    assert "clip: wide thin half (from video; crop: name mouth, detector cascade, down 0.8)" in capsys.readouterr().out
    tiers = TextGrid().open(folder / "grids" / "clip.TextGrid")
    assert [str(v) for t in tiers.values() for v in t.read() if str(v)] == ["wide", "thin", "half"]
    # A clip that is cropped already is taken as it is.
    mouth = Mouth()(Stream.of(spoken(["half", "thin", "half"], 98), rate=RATE)).read()
    write_film(folder / "mouth.mp4", mouth, RATE)
    found, moved = transcribe(words_run, folder / "mouth.mp4", crop=None, cache=folder / "cache")
    assert ([one.text for one in found], moved) == (["half thin half"], None)


@pytest.mark.slow
def test_what_cannot_be_transcribed_is_named(words_run: Run, folder: Path, clip: Path) -> None:
    cache = folder / "cache"
    write_film(folder / "wall.mp4", np.full((30, 120, 160, 3), 90, np.uint8), RATE)
    with pytest.raises(DataError, match=r"wall\.mp4.*a face in 0 of \d+ pictures") as told:
        transcribe(words_run, folder / "wall.mp4", cache=cache)
    assert "--crop none" in str(told.value)
    assert str(told.value).startswith(str(folder / "wall.mp4"))
    (folder / "notes.srt").write_text("1\n00:00:00,100 --> 00:00:00,600\nhello\n")
    with pytest.raises(DataError, match=r"notes\.srt: is no video or sound that the model knows.*expected video"):
        transcribe(words_run, folder / "notes.srt", cache=cache)
    with pytest.raises(DataError, match=r"gone\.mp4: no such file or folder"):
        transcribe(words_run, folder / "gone.mp4", cache=cache)
    (folder / "junk.mp4").write_bytes(b"no film at all")
    with pytest.raises(DataError, match=r"junk\.mp4"):
        transcribe(words_run, folder / "junk.mp4", cache=cache)
    with pytest.raises(ConfigError, match="give both, or neither"):
        transcribe(words_run, clip, to="textgrid", cache=cache)
    with pytest.raises(ConfigError, match="there is no format 'textgird'"):
        transcribe(words_run, clip, to="textgird", out=folder / "new", cache=cache)
    with pytest.raises(ConfigError, match="is there already"):
        transcribe(words_run, clip, to="textgrid", out=clip, cache=cache)
    with pytest.raises(ConfigError, match="there is no step 'mouse'"):
        transcribe(words_run, clip, crop="mouse", cache=cache)


def test_a_run_of_another_task_is_refused(tiny_recipe: Path, tmp_path: Path) -> None:
    run = fit(load_recipe(tiny_recipe, ["train.epochs=1"]), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    with pytest.raises(ConfigError, match="its task is classify; expected a run of task transcribe"):
        transcribe(run, tmp_path / "any.mp4", cache=tmp_path)


def test_the_crop_comes_first_where_pictures_are_not_cropped_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    half = {"name": "crop", "box": [0, 0.5, 1, 0.5]}
    films = {"name": "dct", "preprocess": [half]}
    assert module._uncropped(films, "a")
    assert not module._uncropped({"name": "dct", "preprocess": ["face"]}, "a")
    assert not module._uncropped({"name": "log_mel"}, "a")
    own = {"name": "mouth", "detector": "cascade", "down": 0.7}
    assert module._framings(own) == [own]
    assert module._after(own, films)["preprocess"] == [own, half]
    assert module._after(own, {"name": "dct"})["preprocess"] == [own]
    monkeypatch.setattr(module, "_has_mesh", lambda: True)
    tried = module._framings("mouth")
    assert [one["down"] for one in tried] == list(module.FRAMINGS)
    assert {one["detector"] for one in tried} == {"mesh"}
    assert module._framings("face") == [{"name": "face", "detector": "mesh"}]
    assert module._framings(half) == [half]
    monkeypatch.undo()
    assert module._has_mesh() == bool(find_spec("ai_edge_litert") and find_spec("mediapipe"))


def test_the_surest_place_is_taken_and_looked_at_more_closely() -> None:
    tried = []

    def sure(plan: dict[str, float]) -> float:
        tried.append(plan["down"])
        return -abs(plan["down"] - 0.73)

    assert module._best(module._framings("mouth"), sure)["down"] == 0.725
    assert tried == [*module.FRAMINGS, 0.725, 0.775]


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["cascade", "mesh"])
def test_the_place_of_the_mouth_is_found(detector: str, words_run: Run, clip: Path, folder: Path) -> None:
    if detector == "mesh" and not (find_spec("ai_edge_litert") and find_spec("mediapipe")):
        pytest.skip("the extra keypoints or its models are not installed")
    crop = {"name": "mouth", "detector": detector}
    (one,), _ = transcribe(words_run, clip, crop=crop, cache=folder / "cache")
    assert one.text.endswith("wide thin half")  # the crop is not quite that of the training: more may be found before
    assert one.crop is not None
    if detector == "cascade":  # which cut the films of training, at 0.8
        assert 0.75 <= one.crop["down"] <= 0.85
    assert f"detector {detector}, down" in str(one)


def test_nothing_said_is_told() -> None:
    quiet = Transcript("a", (), (), ("video",), "no answer: none of the model's modalities is there")
    assert str(quiet) == "a: (nothing) (no answer: none of the model's modalities is there)"
    assert quiet.to_json()["words"] == quiet.annotations() == []
