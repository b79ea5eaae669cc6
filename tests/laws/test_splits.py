"""The law over every split: an item and a group on one side, whatever the order of the recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import PlaitError
from plait.core.parts import parts
from plait.corpus.corpus import Corpus, RecordingEntry, write_manifest
from plait.examples.items import Item
from plait.examples.splits import Fold, Split, find_split
from plait.testing import LawBroken, check_split

recording = st.tuples(st.integers(0, 9), st.sampled_from(["train", "valid", "test", ""]))
# Few ones lack groups that a split names; many have them all.
recordings = st.lists(recording, max_size=20) | st.lists(recording, min_size=30, max_size=60)
share = st.sampled_from([0.0, 0.1, 0.5])
common: dict[str, Any] = {"tune": st.sampled_from([0, 2, 3]), "subject_dependent": st.booleans()}
key = st.sampled_from(["group", "id", "half"])
specs: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "manifest": st.fixed_dictionaries({"by": st.just("manifest")}, optional=common),
    "lists": st.fixed_dictionaries(
        {"by": st.just("group"), "train": st.just([f"g{i}" for i in range(5)])},
        optional={"valid": st.just(["g5", "g6"]), "test": st.just(["g7"]), **common},
    ),
    "hash": st.fixed_dictionaries({"hash": key}, optional={"test": share, "valid": share, **common}),
    "folds": st.fixed_dictionaries(
        {"folds": st.integers(2, 5)}, optional={"by": key, "valid": share, "subject_dependent": st.booleans()}
    ),
}


def corpus_of(folder: Path, rows: list[tuple[int, str]]) -> tuple[list[Item], Corpus]:
    """Recordings of so many groups, with one, two or three items each."""
    entries = [
        RecordingEntry(id=f"r{i}", group=f"g{g}", split=side, labels={"half": g % 2})
        for i, (g, side) in enumerate(rows)
    ]
    write_manifest(folder / "manifest.jsonl", entries)
    items = [Item(e.id, w, w + 1.0, 0, e.group or "", e.split) for k, e in enumerate(entries) for w in range(1 + k % 3)]
    return items, Corpus(folder / "manifest.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("form", parts(Split))
def test_an_item_and_a_group_stand_on_one_side(form: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert form in specs, f"say here which options the new split {form!r} takes"
    folder, divided = tmp_path_factory.mktemp("law"), 0

    @settings(max_examples=150)
    @given(rows=recordings, spec=specs[form])
    def law(rows: list[tuple[int, str]], spec: dict[str, Any]) -> None:
        nonlocal divided
        assert find_split(spec) is parts(Split)[form]
        items, corpus = corpus_of(folder, rows)
        try:
            divided += len(check_split(items, corpus, spec))
        except PlaitError:
            return  # too few groups, or a group on two sides in the manifest: refused

    law()
    assert divided > 20, "the law was held over folds"


class ByOrder(Split):
    """Breaks the law: the first half of the recordings, in whatever order they come."""

    def divide(self, items: list[Item], corpus: Corpus) -> list[Fold]:
        first = {e.id for e in corpus.entries[: len(corpus.entries) // 2]}
        return [Fold([i for i in items if i.recording in first], [], [i for i in items if i.recording not in first])]


def test_the_law_can_be_broken(tmp_path: Path) -> None:
    items, corpus = corpus_of(tmp_path, [(i, "") for i in range(6)])
    with pytest.raises(LawBroken, match="another order"):
        check_split(items, corpus, {"name": f"{__name__}.ByOrder"})
