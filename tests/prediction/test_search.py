"""Index and search of a trained run: by text, by file, by both; classes by texts alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from plait import fit
from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import CorpusWriter
from plait.prediction.predict import Predictor
from plait.prediction.search import Searcher
from plait.recipe import parse_recipe
from plait.store.index import ROWS
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

pytestmark = pytest.mark.slow

THINGS = ["dog", "cat", "car", "boat", "tree"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on recordings of one thing each, with two captions; and the folder of its corpus."""
    return made(tmp_path_factory.mktemp("search"), "correlations: 4, csls: 3")


def made(folder: Path, options: str) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    with CorpusWriter(folder / "c") as out:
        for i in range(60):
            kind = i % 5
            seen = np.eye(5)[[kind]] + 0.1 * rng.standard_normal((1, 5))
            notes = [Annotation(0.0, 1.0, t, "caption") for t in (f"a {THINGS[kind]}", f"{THINGS[kind]} number {i}")]
            split = "train" if i < 45 else "test"
            out.add(f"p{i:02d}", {"seen": Stream.of(seen, rate=1)}, annotations=notes, split=split)
    recipe = parse_recipe(f"""
corpus: {folder}/c/manifest.jsonl
task: {{name: retrieve, query: [text], gallery: [seen], unit: segment, tier: caption, {options}}}
split: {{by: manifest}}
streams:
  seen: {{feature: series, encoder: identity}}
  text: {{tier: caption, feature: {{name: hashed_text, dim: 64, letters: 0}}, encoder: identity}}
fusion: late
model: {{dim: 64}}
augment: {{crop_resize: 0}}
train: {{epochs: 6, seeds: [0], batch: 32}}
""")
    fit(recipe, folder / "run", cache=folder / "cache", quiet=True)
    return folder / "run", folder


@pytest.fixture
def searcher(trained: tuple[Path, Path]) -> Searcher:
    return Searcher(Predictor(trained[0], cache=trained[1] / "cache"))


def kinds(ranking: object) -> list[str]:
    return [THINGS[int(hit.name[1:]) % 5] for hit in ranking.hits]  # type: ignore[attr-defined]


def test_what_a_text_asks_for_is_found_and_equal_rows_are_one(
    searcher: Searcher, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    made = searcher.index(trained[1] / "c/manifest.jsonl", tmp_path / "i")
    assert (made.rows, made.left_out, made.recall) == (60, 0, None), "one row per picture, not one per caption"
    index = searcher.open(tmp_path / "i")
    (found,) = searcher.search(index, text="the boat", k=8)
    assert kinds(found.ranking) == ["boat"] * 8
    assert found.used == ("text",)
    assert found.ranking.hits[0].stop == 1.0, "the moment is told"
    picture = next((trained[1] / "c/arrays").glob("p02*"))
    (own,) = searcher.search(index, paths=[picture], k=3)
    assert own.ranking.hits[0].name == "p02"
    (both,) = searcher.search(index, text="a car", paths=[picture], k=3)
    assert set(both.used) == {"text", "seen"}


def test_classes_are_told_by_texts_alone(searcher: Searcher, trained: tuple[Path, Path]) -> None:
    pictures = sorted((trained[1] / "c/arrays").glob("p5?*"))
    found = searcher.classify(pictures, {name: [f"a {name}", name] for name in THINGS})
    right = [one.ranking.hits[0].name == THINGS[int(one.recording[1:3]) % 5] for one in found]
    assert len(right) == 10
    assert np.mean(right) > 0.8
    assert sum(hit.score for hit in found[0].ranking.hits) == pytest.approx(1.0, abs=1e-4)


def test_indexes_of_texts_and_of_other_models(searcher: Searcher, trained: tuple[Path, Path], tmp_path: Path) -> None:
    made = searcher.index(trained[1] / "c/manifest.jsonl", tmp_path / "i", of=["text"])
    assert made.rows == 120
    index = searcher.open(tmp_path / "i")
    (found,) = searcher.search(index, paths=[next((trained[1] / "c/arrays").glob("p03*"))], k=4)
    assert all("boat" in hit.text for hit in found.ranking.hits)
    (tmp_path / "i" / ROWS).write_bytes(b"")
    with pytest.raises(DataError, match="plait index"):
        searcher.open(tmp_path / "i")
    with pytest.raises(ConfigError, match="no modality 'smell'"):
        searcher.index(trained[1] / "c/manifest.jsonl", tmp_path / "j", of=["smell"])
    with pytest.raises(ConfigError, match="there is no query"):
        searcher.search(index, text=" ")


def test_the_commands(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = str(trained[0]), trained[1]
    cache = ["--cache", str(folder / "cache")]
    asked = ["index", run, str(folder / "c/manifest.jsonl"), "--out", str(tmp_path / "i"), "--approximate"]
    assert main([*asked, *cache]) == 0
    assert "exact search" in capsys.readouterr().out, "too few rows for lists"
    monkeypatch.setattr("plait.store.index.FEWEST", 40)
    assert main([*asked, *cache]) == 0
    assert "recall@10 against exact" in capsys.readouterr().out
    assert main(["search", run, "a tree", "--index", str(tmp_path / "i"), "-k", "2", *cache]) == 0
    out = capsys.readouterr().out
    assert out.startswith("from text:\n1. p")
    assert main(["search", run, "a tree", "--index", str(tmp_path / "none"), *cache]) != 0
    assert "is no index" in capsys.readouterr().err


def test_candidates_are_put_in_the_order_of_the_matching_network(tmp_path: Path) -> None:
    run, folder = made(tmp_path, "matching: 1.0, projection_dim: 8")
    searcher = Searcher(Predictor(run, cache=folder / "cache"))
    searcher.index(folder / "c/manifest.jsonl", tmp_path / "i")
    index = searcher.open(tmp_path / "i")
    (found,) = searcher.search(index, text="a boat", k=5)
    scores = [hit.score for hit in found.ranking.hits]
    assert scores == sorted(scores, reverse=True)
    # The same, straight from the network: the query against each picture that was found.
    pictures = [next((folder / "c/arrays").glob(f"{hit.name}*")) for hit in found.ranking.hits]
    model, direct = searcher.model, []
    with searcher._asked("a boat", (), (), "") as asked, torch.inference_mode():
        (words,) = searcher._encoded(asked.data)
        for picture in pictures:
            with searcher.predictor.examples([picture]) as seen:
                (film,) = searcher._encoded(seen.data)
            direct.append(float(model.task.matches(words, film).sigmoid()))
    np.testing.assert_allclose(scores, direct, atol=1e-4)
    # A picture that asks has no modality of the query's side: it stays in the order of similarity.
    (own,) = searcher.search(index, paths=[pictures[0]], k=2)
    assert own.ranking.hits[0].name == found.ranking.hits[0].name
