"""Captions and relations from a corpus to the report, to drawings and to annotations; with any stream missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from plait import Run, fit
from plait.cli import main
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.recipe import parse_recipe
from plait.streams.objects import object_text
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

pytestmark = pytest.mark.slow

COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200)}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty films of two seconds: a red or blue square, with a tone or without."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(40):
            colour, loud = list(COLOURS)[i % 2], i % 4 < 2
            film = rng.integers(0, 40, (8, 24, 32, 3)).astype(np.uint8)
            x = int(rng.integers(2, 20))
            film[:, 8:18, x : x + 10] = COLOURS[colour]
            wave = np.sin(np.arange(2000) * 2.0) * loud + 0.01 * rng.normal(size=2000)
            streams = {
                "video": Stream.of(film, rate=4),
                "sound": Stream.of(wave.astype(np.float32), rate=1000, kind="waveform"),
            }
            text = f"a {colour} square {'hums' if loud else 'is silent'}"
            split = "test" if i >= 32 else "train"
            out.add(f"r{i:02}", streams, annotations=[Annotation(0.0, 2.0, text, "caption")], split=split)
    return folder / "manifest.jsonl"


def evaluated(run: Run, common: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `plait evaluate` prints."""
    assert main(["evaluate", str(run.folder), "--json", *common]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_captions_from_a_corpus_to_drawings(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = parse_recipe(f"""
corpus: {films}
task: {{name: caption, target: caption, decoder: recurrent, least: 1, width: 32, smoothing: 0, dropout: 0,
  word_dropout: 0, metric: any_match}}
split: {{by: manifest}}
streams:
  video:
    feature: {{name: frames, height: 24, width: 32, grey: false}}
    encoder: {{name: regions, shape: [24, 32, 3], patch: 8, layers: 1, kernel: 1, dropout: 0}}
  sound: {{feature: {{name: log_mel, rate: 1000, mels: 10, window: 0.1, hop: 0.1}}, encoder: conv}}
augment: {{crop_resize: 0, gaussian_noise: 0, modality_dropout: 0.1}}
fusion: late
model: {{dim: 32}}
train: {{epochs: 40, batch: 8, lr: 0.01, temperature_scaling: false}}
""")
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    common = ["--cache", str(tmp_path / "cache")]
    found = evaluated(run, common, capsys)
    exact = {" ".join(s["modalities"]): s["metrics"]["any_match"]["mean"] for s in found["subsets"]}
    assert exact["video sound"] > 0.85, exact
    # From one stream only half of the text can be known.
    assert max(exact["video"], exact["sound"]) < exact["video sound"], exact
    assert found["deletion"] is not None
    assert "is silent" in Path(found["report"]).read_text(encoding="utf-8")
    assert main(["predict", str(run.folder), str(films), "--draw", str(tmp_path / "drawn"), "--json", *common,
                 "--annotate", str(films.parent / "said.jsonl")]) == 0  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    assert len(said["drawn"]) == 40
    assert all(cv2.imread(path) is not None for path in said["drawn"])
    assert {word["stream"] for row in said["predictions"] for word in row["words"]} >= {"video"}
    (note,) = Corpus(films.parent / "said.jsonl")["r39"].tier("predicted")
    assert note.label == Corpus(films)["r39"].tier("caption")[0].label


def test_relations_from_a_corpus_to_drawings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, rng = tmp_path / "c", np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(60):
            cup, plate = rng.permutation([20, 120]) + rng.integers(0, 60, 2)
            objects = [object_text("cup", (int(cup), 60, 30, 30)), object_text("plate", (int(plate), 70, 60, 20))]
            label = f"0 {'left of' if cup < plate else 'right of'} 1"
            things = Stream.of(np.array(objects, object), spans=([0.0, 0.0], [1.0, 1.0]))
            picture = Stream.of(np.full((1, 120, 240, 3), 90, np.uint8), rate=1)
            out.add(f"p{i}", {"things": things, "picture": picture}, annotations=[Annotation(0.0, 1.0, label, "said")],
                    split="test" if i > 50 else "train")  # fmt: skip
    recipe = parse_recipe(f"""
corpus: {folder}/manifest.jsonl
task: {{name: relate, unit: recording, target: said, objects: things, hidden: 32, messages: 8}}
streams: {{things: {{feature: {{name: object_rows, boxes: false}}, encoder: linear}}}}
fusion: late
split: {{by: manifest}}
model: {{dim: 16}}
augment: {{crop_resize: 0, gaussian_noise: 0, modality_dropout: 0}}
train: {{epochs: 12, lr: 0.01, temperature_scaling: false}}
""")
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    common = ["--cache", str(tmp_path / "cache")]
    found = evaluated(run, common, capsys)
    assert found["subsets"][-1]["metrics"]["recall@50 k=1"]["mean"] > 0.9
    assert "Recall of relations" in Path(found["report"]).read_text(encoding="utf-8")
    manifest = str(folder / "manifest.jsonl")
    assert main(["predict", str(run.folder), manifest, "--draw", str(tmp_path / "drawn"), "--json", *common,
                 "--annotate", str(folder / "said.jsonl")]) == 0  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    assert len(said["drawn"]) == 60
    # The picture, not an empty one, is behind the boxes.
    assert (cv2.imread(said["drawn"][0]) == 90).all(-1).mean() > 0.1
    notes = Corpus(folder / "said.jsonl")["p55"].tier("predicted")
    assert notes[0].label == Corpus(manifest)["p55"].tier("said")[0].label


def test_relations_that_only_pixels_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, rng = tmp_path / "c", np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(90):
            signs = rng.choice([-1, 1], 2)
            at = [int(x) for x in rng.permutation([10, 120]) + rng.integers(0, 60, 2)]
            picture = np.full((1, 120, 240, 3), 120, np.uint8)
            for x, sign in zip(at, signs):
                picture[0, 40:70, x : x + 30] = (120 + 6 * sign * np.arange(-15, 15))[:, None]
            objects = [object_text("tile", (x, 40, 30, 30)) for x in at]
            things = Stream.of(np.array(objects, object), spans=([0.0, 0.0], [1.0, 1.0]))
            streams = {"things": things, "picture": Stream.of(picture, rate=1)}
            notes = [Annotation(0.0, 1.0, f"0 {'faces' if signs[0] > 0 else 'shuns'} 1", "said")]
            out.add(f"p{i}", streams, annotations=notes, split="test" if i >= 60 else "train")
    recipe = parse_recipe(f"""
corpus: {folder}/manifest.jsonl
task: {{name: relate, unit: recording, target: said, objects: things, hidden: 32, messages: 0}}
streams:
  things: {{feature: {{name: object_rows, boxes: false}}, encoder: linear}}
  pixels: {{stream: picture, boxes: things, feature: {{name: frames, height: 4, width: 4}}, encoder: linear}}
fusion: late
split: {{by: manifest}}
model: {{dim: 16}}
augment: {{crop_resize: 0, gaussian_noise: 0, modality_dropout: 0.2}}
train: {{epochs: 30, batch: 8, lr: 0.01, temperature_scaling: false}}
""")
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    common = ["--cache", str(tmp_path / "cache")]
    found = evaluated(run, common, capsys)
    recall = {" ".join(s["modalities"]): s["metrics"]["recall@50 k=1"]["mean"] for s in found["subsets"]}
    assert recall["things pixels"] > 0.9 > 0.8 > recall["things"], recall
    assert recall["pixels"] > 0.9, recall
    assert main(["predict", str(run.folder), str(folder / "manifest.jsonl"), "--json", *common]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 90
