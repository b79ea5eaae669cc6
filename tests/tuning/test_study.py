"""The journal of a search: cut off anywhere, it goes on with the trials that it would have had."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from plait.core.errors import ConfigError, DataError
from plait.tuning.space import Choice, Point, Range, Space
from plait.tuning.study import Direction, Journal, Kept

pytest.importorskip("optuna", reason="optuna is not installed")

GRID: Space = {"a": Choice(("1", "2", "3")), "b": Choice(('"x"', '{"name": "y"}'))}
WIDE: Space = {**GRID, "lr": Range(1e-4, 1e-1, log=True, whole=False), "n": Range(1, 9, log=False, whole=True)}
ONE: Sequence[Direction] = ("maximize",)
TWO: Sequence[Direction] = ("maximize", "minimize")


def journal(path: Path, sampler: str, trials: int = 16, directions: Sequence[Direction] = TWO) -> Journal:
    space = GRID if sampler == "grid" else WIDE
    return Journal(path, space, sampler=sampler, seed=3, trials=trials, directions=directions)


def found(point: Point, directions: Sequence[Direction]) -> Kept:
    value = float(str(point["a"])) - abs(float(str(point.get("lr", 0.01))) - 0.01) * 20
    return {"values": [value, 10 - value / 2][: len(directions)], "measured": None, "problems": []}


def searched(path: Path, sampler: str, directions: Sequence[Direction] = TWO, *, cut: bool = False) -> dict[int, Point]:
    """All points of a search; ``cut``: the process ends after every step, one time in two within a line."""
    one, step = journal(path, sampler, directions=directions), 0
    while True:
        waiting = list(one.waiting.items())
        asked = waiting[0] if waiting else one.ask()
        if cut:
            if step % 2:
                with open(path, "ab") as file:
                    file.write(b'{"op_code":8,"worker')
            one = journal(path, sampler, directions=directions)
            if asked is not None:
                assert one.waiting == {asked[0]: asked[1]}, "what was asked for is still to be trained"
        if asked is None:
            return dict(one.points)
        one.tell(asked[0], 0, found(asked[1], directions))
        step += 1
        if cut:
            one = journal(path, sampler, directions=directions)


@pytest.mark.parametrize("directions", [ONE, TWO])
@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "grid"])
def test_a_search_that_is_cut_off_at_every_step_has_the_same_trials(
    tmp_path: Path, sampler: str, directions: Sequence[Direction]
) -> None:
    whole = searched(tmp_path / "whole.jsonl", sampler, directions)
    assert searched(tmp_path / "cut.jsonl", sampler, directions, cut=True) == whole
    assert len(whole) == (6 if sampler == "grid" else 16)
    assert len({json.dumps(p, sort_keys=True) for p in whole.values()}) == len(whole), "no point twice"


def test_the_file_is_lines_of_json(tmp_path: Path) -> None:
    searched(tmp_path / "j.jsonl", "tpe")
    assert [f.name for f in tmp_path.iterdir()] == ["j.jsonl"], "no lock and no snapshot beside it"
    for line in (tmp_path / "j.jsonl").read_text().splitlines():
        json.loads(line)


def test_a_kill_between_keeping_and_telling_is_made_good(tmp_path: Path) -> None:
    one = journal(tmp_path / "j.jsonl", "random")
    number, point = one.ask() or (-1, {})
    one.study.set_user_attr(f"{number}.0", found(point, TWO))
    again = journal(tmp_path / "j.jsonl", "random")
    assert not again.waiting
    assert again.study.trials[number].values == found(point, TWO)["values"]


def test_a_small_space_ends_the_search(tmp_path: Path) -> None:
    one = Journal(tmp_path / "j", GRID, sampler="tpe", seed=0, trials=40, directions=ONE)
    while (new := one.ask()) is not None:
        one.tell(new[0], 0, found(new[1], ONE))
    assert len(one.points) == 6


def test_tpe_finds_the_better_end(tmp_path: Path) -> None:
    """Beside random points, or it would be no search."""
    best = {}
    for sampler in ("tpe", "random"):
        one = Journal(tmp_path / sampler, WIDE, sampler=sampler, seed=0, trials=40, directions=ONE)
        values = []
        while (new := one.ask()) is not None:
            kept = found(new[1], ONE)
            values.append((kept["values"] or [0])[0])
            one.tell(new[0], 0, kept)
        best[sampler] = sorted(values)[len(values) // 2]
    assert best["tpe"] > best["random"] + 0.2


def test_a_failed_trial_is_told_and_not_asked_for_again(tmp_path: Path) -> None:
    one = journal(tmp_path / "j", "random", trials=2)
    number, _ = one.ask() or (-1, {})
    one.tell(number, 0, {"values": None, "measured": None, "problems": ["no such thing."]})
    assert one.kept[number, 0]["problems"] == ["no such thing."]
    assert one.ask() is not None
    assert not [t for t in one.study.trials if t.number == number and t.state.name != "FAIL"]


def test_what_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a grid needs values, but lr, n has a range"):
        Journal(tmp_path / "j", WIDE, sampler="grid", seed=0, trials=4, directions=ONE)
    with pytest.raises(ConfigError, match=r"there is no 'tpee'\. Did you mean 'tpe'"):
        Journal(tmp_path / "j", WIDE, sampler="tpee", seed=0, trials=4, directions=ONE)
    (tmp_path / "other").write_text("no\njson\n")
    with pytest.raises(DataError, match="is no journal of a search"):
        Journal(tmp_path / "other", WIDE, sampler="tpe", seed=0, trials=4, directions=ONE)
