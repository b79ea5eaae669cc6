"""Each page of docs/parts: its example, written into a package outside of plait, is found by its dotted path, keeps its
law, and is named as the page names it."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.catalogue import SORTS, base_of
from plait.cli import main
from plait.core.parts import find, options_of
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.recipe import Recipe, dump_recipe, load_recipe, parse_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.training.full import full_recipe

PARTS = Path(__file__).parents[2] / "docs/parts"
SORT = {"transform": "steps", "report-section": "sections", "export-format": "formats"}
PAGES = sorted(page.stem for page in PARTS.glob("*.md") if page.stem != "index")
LONGEST = 60
"""Lines of an example that are not empty."""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (PARTS / f"{page}.md").read_text(encoding="utf-8"), re.S)


def base(page: str) -> type[Any]:
    return base_of(SORT.get(page, f"{page}s"))


class Own:
    """A page's example in the package ``mylab``, outside of plait."""

    def __init__(self, page: str, folder: Path) -> None:
        self.page, self.folder = page, folder
        self.code, self.test = blocks(page, "python")
        found = re.match(r"# mylab/(\w+)\.py\n", self.code)
        assert found, "an example begins with the comment `# mylab/<file>.py`"
        (folder / "mylab").mkdir()
        (folder / "mylab/__init__.py").touch()
        (folder / f"mylab/{found[1]}.py").write_text(self.code, encoding="utf-8")
        module = importlib.import_module(f"mylab.{found[1]}")
        parts = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
        (self.cls,) = [c for c in parts if issubclass(c, base(page))]
        self.path = f"{module.__name__}.{self.cls.__name__}"

    def recipe(self, text: str | None = None) -> Recipe:
        """The page's YAML as a part of a recipe, with every default; it names the example."""
        (text,) = [text] if text else blocks(self.page, "yaml")
        assert self.path in text
        more = "" if "task:" in text else "task: {name: classify, target: mood}\n"
        return full_recipe(parse_recipe(f"corpus: study/manifest.jsonl\n{more}{text}"))


@pytest.fixture
def own(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Own(request.param, tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "mylab"]:
        del sys.modules[name]


def each(*pages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("own", pages, indirect=True)


def study(folder: Path) -> Corpus:
    """Twelve recordings of a sensor and words, with labels, years and annotations."""
    rng = np.random.default_rng(0)
    with CorpusWriter(folder / "study") as out:
        for i in range(12):
            imu = Stream.of(rng.normal(i % 2, 0.5, (40, 3)), rate=10)
            said = Stream.of(["yes"], spans=([0.5], [1.0]))
            mood, feeling = (
                "calm" if i % 2 else "wild",
                "+".join(n for n, on in (("tired", i % 2), ("sad", i % 3)) if on),
            )
            labels = {"mood": mood, "feeling": feeling or "tired"}
            notes = [Annotation(0.0, 1.0, "walk", "move")]
            out.add(f"r{i}", {"imu": imu, "said": said}, labels=labels, annotations=notes, group=f"g{i // 2}",
                    meta={"year": 2015 + i})  # fmt: skip
    return Corpus(folder / "study/manifest.jsonl")


def fitted(own: Own, text: str) -> Any:
    """A tiny run of the study with a part of a recipe."""
    from plait.training.fit import fit

    study(own.folder)
    scaled = str(own.page == "task").lower()  # by the task's own likelihood
    quick = f"model: {{dim: 8}}\ntrain: {{epochs: 1, wide: false, temperature_scaling: {scaled}}}\n"
    more = "" if "task:" in text else "task: {name: classify, target: mood}\n"
    path = own.folder / "recipe.yaml"
    path.write_text(f"corpus: study/manifest.jsonl\n{more}{text}{quick}")
    return fit(load_recipe(path), own.folder / "runs/mood", cache=own.folder / "cache", quiet=True)


def test_every_kind_of_part_has_a_page() -> None:
    assert {base(page) for page in PAGES} == {base_of(sort) for sort in SORTS} - {base_of("imputers")}


def test_the_index_names_every_page_base_and_law() -> None:
    import plait.testing

    text = (PARTS / "index.md").read_text(encoding="utf-8")
    assert {page for page in PAGES if f"]({page}.md)" not in text} == set()
    for page in PAGES:
        assert f"`{base(page).__module__}.{base(page).__name__}`" in text
    laws = set(re.findall(r"`plait\.testing\.(\w+)`", text))
    assert laws == {name for name in plait.testing.__all__ if name.startswith("check_")}


@pytest.mark.slow
@each(*PAGES)
def test_the_example_is_whole_and_keeps_its_law(own: Own) -> None:
    lines = own.code.splitlines()
    assert len(lines) >= 15
    assert sum(map(bool, lines)) <= LONGEST
    cls, options = find(base(own.page), own.path, "here")
    assert (cls, options) == (own.cls, {})
    space: dict[str, Any] = {}
    exec(compile(own.test, f"docs/parts/{own.page}.md", "exec"), space)
    tests: list[Callable[..., None]] = [f for name, f in space.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test(*([own.folder] if "tmp_path" in inspect.signature(test).parameters else []))


@each(*PAGES)
def test_it_is_listed_as_plaits_own_are(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json", "--class", own.path]) == 0
    ((sort, found),) = json.loads(capsys.readouterr().out).items()
    assert (base_of(sort), found[own.path]["what"][-1]) == (base(own.page), ".")
    assert set(found[own.path]["options"]) == set(options_of(own.cls))


@each("transform", "feature", "encoder")
def test_a_recipe_names_a_part_of_a_stream(own: Own) -> None:
    recipe = own.recipe()
    assert own.path in dump_recipe(recipe)
    for option in options_of(own.cls):
        assert f"{option}:" in dump_recipe(recipe)


@each("fusion", "metric", "split", "unit", "task", "augmentation")
def test_a_recipe_names_it(own: Own) -> None:
    recipe = own.recipe()
    assert own.path in dump_recipe(recipe)
    assert parse_recipe(dump_recipe(recipe)) == recipe


@each("augmentation", "split", "encoder", "transform", "feature", "fusion")
def test_a_wrong_option_is_refused_as_plaits_own_are(own: Own) -> None:
    from plait.core.errors import ConfigError

    (text,) = blocks(own.page, "yaml")
    option = next(name for name in options_of(own.cls) if f"{name}:" in text)
    with pytest.raises(ConfigError, match=rf"Did you mean '{option}'"):
        own.recipe(text.replace(f"{option}:", f"{option}x:"))


@each("reader")
def test_an_import_names_the_reader(own: Own) -> None:
    (own.folder / "study").mkdir()
    for id in ("p1", "p2"):
        (own.folder / f"study/{id}.heart.rr").write_text("812\n790\n805\n")
    (own.folder / "import.yaml").write_text(blocks("reader", "yaml")[0])
    (line,) = re.findall(r"\$ plait (.*)", blocks("reader", "console")[0])
    assert main(shlex.split(line)) == 0
    corpus = Corpus(own.folder / "study/manifest.jsonl")
    assert list(corpus.ids) == ["p1", "p2"]
    np.testing.assert_allclose(corpus["p1"].streams["heart"].clock.times, [0.812, 1.602, 2.407])


@each("transform", "noise")
def test_the_functions_of_python_take_it(own: Own) -> None:
    from plait.transforms import apply_steps
    from plait.transforms.noise import add_noise

    stream = Stream.of(np.full((50, 1), 20.0), rate=10)
    if own.page == "transform":
        assert np.isnan(apply_steps(stream, [own.path]).read()).all()
    else:
        assert (add_noise(stream, own.path, 0.2, 1).read() > 20).sum() == 10


@pytest.mark.slow
@each("noise", "augmentation", "feature", "task")
def test_a_run_is_trained_with_it_and_scored(own: Own) -> None:
    from plait.evaluation.evaluate import evaluate
    from plait.prediction.predict import predict

    text = blocks(own.page, "yaml")[0].replace(", face: 0.1", "")
    run = fitted(own, text)
    result = evaluate(run, cache=own.folder / "cache")
    if own.page == "noise":
        assert {p["level"] for p in result["robustness"]["noise"]} == {0.0, 0.05, 0.1, 0.2}
    answers = predict(run, [own.folder / "study/manifest.jsonl"], cache=own.folder / "cache")
    assert len(answers) == 12


@pytest.mark.slow
@each("report-section")
def test_evaluate_names_the_section(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    from plait.evaluation.evaluate import evaluate
    from plait.report.report import write_report

    run = fitted(own, "")
    (line,) = re.findall(r"\$ plait (.*)", blocks(own.page, "console")[0])
    assert main([*shlex.split(line), "--cache", "cache"]) == 0
    write_report(evaluate(run, cache="cache"), Path("own.html"), sections=[{"name": own.path, "least": 1.1}])
    assert "Groups to look at" in Path("own.html").read_text(encoding="utf-8")


@each("export-format")
def test_export_names_the_format(own: Own) -> None:
    study(own.folder)
    for line in re.findall(r"\$ plait (.*)", blocks(own.page, "console")[0]):
        assert main(shlex.split(line)) == 0
    assert Path("tracks/r0.txt").read_text().startswith("0.000000\t1.000000\tmove: walk\n")
    assert Path("rounded/r0.txt").read_text().startswith("0.000\t1.000\tmove: walk\n")
