"""A raw folder as a run's corpus: the run's manifest is of that folder and these options, or it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus
from plait.recipe import CorpusPlan, load_recipe
from plait.training import imported
from plait.training.claim import claim
from plait.training.imported import import_once, note_of


def raw(folder: Path, names: str) -> CorpusPlan:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.imu.csv").write_text("time,x\n" + "".join(f"{i / 10},{i}\n" for i in range(20)))
    (folder / "labels.csv").write_text("id,y\n" + "".join(f"{name},{'uv'[i % 2]}\n" for i, name in enumerate(names)))
    return CorpusPlan(folder=str(folder))


def ids(manifest: Path) -> list[str]:
    return Corpus(manifest, allow_outside=True).ids


def test_an_import_is_made_once_and_anew_for_another_folder(tmp_path: Path) -> None:
    one, two, manifest = raw(tmp_path / "one", "abcd"), raw(tmp_path / "two", "efgh"), tmp_path / "run/manifest.jsonl"
    import_once(one, manifest)
    made = manifest.stat().st_mtime_ns
    import_once(one, manifest)
    assert manifest.stat().st_mtime_ns == made
    import_once(two, manifest)
    assert ids(manifest) == ["e", "f", "g", "h"]
    import_once(CorpusPlan(folder=two.folder, options={"skip": ["h.*"]}), manifest)
    assert ids(manifest) == ["e", "f", "g"]


def test_a_manifest_that_somebody_made_or_changed_is_left_alone(tmp_path: Path) -> None:
    one, two, manifest = raw(tmp_path / "one", "abcd"), raw(tmp_path / "two", "efgh"), tmp_path / "manifest.jsonl"
    manifest.write_text('{"id": "mine"}\n')
    with pytest.raises(ConfigError, match="is not what an import of"):
        import_once(one, manifest)
    assert manifest.read_text() == '{"id": "mine"}\n'
    manifest.unlink()
    import_once(one, manifest)
    manifest.write_text(manifest.read_text().replace('"imu": {', '"imu": {"offset": 0.5, '))
    changed = manifest.read_text()
    import_once(one, manifest)  # what sync writes into it stays
    with pytest.raises(ConfigError, match="is not what an import of"):
        import_once(two, manifest)
    assert manifest.read_text() == changed


def test_an_import_that_was_cut_off_is_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, manifest = raw(tmp_path / "one", "abcd"), tmp_path / "manifest.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(imported, "_digest", lambda path: (_ for _ in ()).throw(SystemExit))  # killed after the manifest
        with pytest.raises(SystemExit):
            import_once(plan, manifest)
    import_once(plan, manifest)
    assert ids(manifest) == ["a", "b", "c", "d"]


def test_an_import_that_failed_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        import_once(CorpusPlan(folder=str(tmp_path / "empty")), tmp_path / "manifest.jsonl")
    assert not note_of(tmp_path / "manifest.jsonl").exists()


def test_a_recipe_on_another_folder_never_trains_on_the_first(tmp_path: Path) -> None:
    """As when a fit is refused, and the recipe is mended: the folder's manifest is still of the recipe before."""
    one, two = raw(tmp_path / "one", "abcdefgh"), raw(tmp_path / "two", "ijklmnop")

    def recipe(plan: CorpusPlan, target: str) -> Any:
        path = tmp_path / "r.yaml"
        path.write_text(f"corpus: {{folder: {plan.folder}}}\ntask: {{name: classify, target: {target}}}\n")
        return load_recipe(path)

    with pytest.raises(ConfigError, match="nope"):
        claim(tmp_path / "run", recipe(one, "nope"))
    assert claim(tmp_path / "run", recipe(two, "y")).corpus.ids == list("ijklmnop")
    with pytest.raises(ConfigError, match="nope"):
        claim(tmp_path / "run", recipe(one, "nope"), overwrite=True)
    assert ids(tmp_path / "run/manifest.jsonl") == list("ijklmnop")
    assert claim(tmp_path / "run", recipe(one, "y"), overwrite=True).corpus.ids == list("abcdefgh")
    assert not list((tmp_path / "run").glob("*.new.*"))
