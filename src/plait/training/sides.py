"""The sides of a run: which example was on which side when it was trained. Written once, never changed.

A corpus changes later: recordings are added, labels corrected, clocks synchronised, sides swapped in the manifest. A
run must be scored on examples that it was not trained on. So it keeps its examples with digests of their streams, and
reports what has changed since.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from plait.core.atomic import read_bytes
from plait.core.errors import DataError
from plait.core.parts import Options
from plait.corpus.corpus import Corpus, RecordingEntry
from plait.examples.future import Future
from plait.examples.items import Fold, Item
from plait.examples.scenes import Scene
from plait.examples.targets import target_from_json, target_to_json

__all__ = ["FILE", "Sides"]

FILE = "examples.parquet"

SHOWN = 5
"""Most examples that a message names."""

Key = tuple[str, float, float, int]
"""An example: recording, start, stop, and its number among those of the same interval (two annotators, say)."""


class Sides:
    """The examples of a run, the side of each in every fold, and digests of their streams.

    Args:
        table: one row per example: ``recording start stop whole before after others target group split``, a digest of
            the recording's ``streams`` (their paths, sizes and clocks), and one column ``side NAME`` per fold.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._rows: list[Options] = table.to_pylist()
        self._by_key = dict(zip(_keys(self._rows), self._rows))

    @classmethod
    def of(cls, corpus: Corpus, items: Sequence[Item], folds: Sequence[Fold]) -> Sides:
        """The sides of a recipe on its corpus."""
        streams = {i: _streams_digest(corpus, corpus.entry(i)) for i in {item.recording for item in items}}
        # Targets as JSON: a Parquet column has one type, but targets are numbers, texts or annotations.
        columns: Options = {
            "recording": [i.recording for i in items],
            "start": [float(i.start) for i in items],
            "stop": [float(i.stop) for i in items],
            "whole": [i.whole for i in items],
            "before": [i.context[0] for i in items],
            "after": [i.context[1] for i in items],
            "others": [json.dumps(dict(i.others)) for i in items],
            "target": [json.dumps(target_to_json(i.target)) for i in items],
            "group": [i.group for i in items],
            "split": [i.split for i in items],
            "number": [i.number for i in items],
            "streams": [streams[i.recording] for i in items],
        }
        for fold in folds:
            side = {(i.recording, i.start, i.stop): name for name, side in fold.sides.items() for i in side}
            columns[f"side {fold.name}"] = [side.get((i.recording, i.start, i.stop), "") for i in items]
        return cls(pa.table(columns))

    @classmethod
    def read(cls, folder: Path, digest: str) -> Sides:
        """The sides of a run; its ``run.json`` holds the SHA-256 of their file.

        Raises:
            DataError: the file is missing, damaged, or of another run, so the training examples are unknown.
        """
        path = folder / FILE
        try:
            content = read_bytes(path)
            if hashlib.sha256(content).hexdigest() != digest:
                raise ValueError("run.json holds another digest")
            return cls(pq.read_table(io.BytesIO(content)))
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise DataError(
                f"{path}: is not the file that this run began with ({error}), so nobody knows which examples it was "
                "trained on. Restore the file, or train again: another --out, or --overwrite."
            ) from error

    def to_bytes(self) -> bytes:
        """The content of `FILE`: a Parquet table."""
        found = io.BytesIO()
        pq.write_table(self.table, found)
        return found.getvalue()

    @cached_property
    def items(self) -> list[Item]:
        return [_item(row) for row in self._rows]

    def remember(self, items: Iterable[Item]) -> Sides:
        """Take targets that a run does not keep, such as the future of a stream, from the items of its corpus."""
        found = {(i.recording, i.start, i.stop): i.target for i in items if isinstance(i.target, Future | Scene)}
        if found:
            self.items = [replace(i, target=found.get((i.recording, i.start, i.stop), i.target)) for i in self.items]
        return self

    def folds(self) -> list[Fold]:
        """The folds that the run began with."""
        names = [name.removeprefix("side ") for name in self.table.column_names if name.startswith("side ")]
        return [self._fold(name) for name in names]

    def _fold(self, name: str) -> Fold:
        sides: dict[str, list[Item]] = {"train": [], "valid": [], "test": [], "": []}
        for item, row in zip(self.items, self._rows):
            side = row[f"side {name}"]
            sides[side].append(replace(item, split=side))
        return Fold(sides["train"], sides["valid"], sides["test"], name, [], len(sides[""]))

    def added(self, now: Sides) -> int:
        """Number of examples in ``now`` that are new."""
        return len(now._by_key.keys() - self._by_key.keys())

    def changes(self, now: Sides, *, new: bool = False) -> list[str]:
        """What has changed in these examples, one phrase per kind of change; ``new``: new examples are a change too."""
        both = [(row, now._by_key[key]) for key, row in self._by_key.items() if key in now._by_key]
        gone = [row for key, row in self._by_key.items() if key not in now._by_key]
        found = [f"{len(gone)} examples are gone, or begin or end elsewhere: {_named(gone)}"] if gone else []
        for column, what in (
            ("target", "have another target"),
            ("split", "are on another side in the manifest"),
            ("group", "belong to another group"),
            ("streams", "have other streams, files or clocks"),
            ("others", "have other segments as context"),
        ):
            # A run of before there were such segments has no column for them.
            other = [(a, b) for a, b in both if a.get(column, b[column]) != b[column]]
            tell = _was(column) if column not in ("streams", "others") else None
            found += [f"{len(other)} examples {what}: {_named([a for a, _ in other], other, tell)}"] if other else []
        if new and (rows := [row for key, row in now._by_key.items() if key not in self._by_key]):
            found.append(f"{len(rows)} examples are new: {_named(rows)}")
        return found


def _item(row: Options) -> Item:
    about = row["recording"], row["start"], row["stop"], target_from_json(json.loads(row["target"]))
    others = {kind: tuple((a, b) for a, b in own) for kind, own in json.loads(row.get("others") or "{}").items()}
    return Item(
        *about, row["group"], row["split"], row["whole"], (row["before"], row["after"]), others, row.get("number")
    )


def _was(column: str) -> Callable[[Options, Options], str]:
    return lambda a, b: f" ({a[column] or 'none'} -> {b[column] or 'none'})"


def _named(
    rows: Sequence[Options],
    pairs: Sequence[tuple[Options, Options]] = (),
    tell: Callable[[Options, Options], str] | None = None,
) -> str:
    names = [_item(row).id + (tell(*pairs[i]) if tell else "") for i, row in enumerate(rows[:SHOWN])]
    return ", ".join(names) + (" ..." if len(rows) > SHOWN else "")


def _keys(rows: Sequence[Options]) -> list[Key]:
    seen: Counter[tuple[str, float, float]] = Counter()
    keys = []
    for row in rows:
        place = (row["recording"], row["start"], row["stop"])
        keys.append((*place, seen[place]))
        seen[place] += 1
    return keys


def _streams_digest(corpus: Corpus, entry: RecordingEntry) -> str:
    """A digest of paths, sizes of files, clocks and texts, without the report of the synchronisation.

    Defaults are left out, so that another option of a manifest's streams leaves runs readable.
    """
    plain = {name: own.model_dump(mode="json", exclude_defaults=True) for name, own in entry.streams.items()}
    for name, stream in plain.items():
        stream.pop("sync", None)
        # Sizes, not contents: reading a whole corpus at each start would take too long.
        stream["size"] = _size(corpus, entry.streams[name].path)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _size(corpus: Corpus, path: str | None) -> int | None:
    """Bytes of a file, or of all files in a folder that is one stream."""
    if path is None:
        return None
    full = corpus.folder / path
    try:
        return sum(one.stat().st_size for one in ([full] if full.is_file() else full.rglob("*")) if one.is_file())
    except OSError:
        return None
