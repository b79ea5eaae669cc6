"""Hugging Face datasets of other tools: their columns as files, labels and streams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plait.core.errors import DataError
from plait.core.names import Names
from plait.corpus.corpus import RecordingEntry, StreamEntry, write_manifest
from plait.interchange import Moved
from plait.interchange.hf_files import Row, object_of, parts_of, rows_of
from plait.readers import reader_for
from plait.streams.recording import Label

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_foreign"]

SIDES = {"train": "train", "validation": "valid", "valid": "valid", "dev": "valid", "test": "test"}


def read_foreign(path: Path, out: Path, moved: Moved, *, rate: float | None, id: str) -> None:
    """One recording per row: ``Audio`` and ``Image`` become files and streams; class labels, texts, numbers and truth
    values become labels; lists of (rows of) numbers become streams at ``rate``. The part's name gives the split.

    Raises:
        DataError: there are no rows, or two rows have the same id.
    """
    entries: dict[str, RecordingEntry] = {}
    files = Names()
    for folder in parts_of(path):
        told = object_of(folder / "dataset_info.json").get("features")
        features = told if isinstance(told, dict) else {}
        side = SIDES.get(folder.name, "") if folder != path else ""
        for row in rows_of(folder):
            name = str(row[id].as_py()) if id in row else f"{folder.name}-{len(entries):06d}"
            if name in entries:
                raise DataError(f"{folder}: two rows have the {id} {name!r}; name another column with the option id.")
            entries[name] = _entry(name, side, row, features, out, moved, rate, files)
    if not entries:
        raise DataError(f"{path}: has no rows.")
    write_manifest(out / "manifest.jsonl", list(entries.values()))
    moved.recordings = len(entries)


def _entry(
    name: str,
    side: str,
    row: Row,
    features: Mapping[str, object],
    out: Path,
    moved: Moved,
    rate: float | None,
    files: Names,
) -> RecordingEntry:
    streams: dict[str, StreamEntry] = {}
    labels: dict[str, Label] = {}
    for column, value in row.items():
        about = features.get(column)
        about = about if isinstance(about, dict) else {}
        kind = about.get("_type")
        # Arrays stay in Arrow until they are known to be numbers: as Python objects they take many times the memory.
        found = value.as_py() if kind in ("Audio", "Image", "ClassLabel", "Value") else value
        if found is None or (hasattr(value, "is_valid") and not value.is_valid):
            continue
        if kind in ("Audio", "Image"):
            stream = _file(out, files.of(name, column), found)
        elif kind == "ClassLabel":
            names = about.get("names") or []
            labels[column] = names[found] if 0 <= found < len(names) else found  # -1: the class is not known
            continue
        elif isinstance(found, str | int | float | bool):
            labels[column] = found
            continue
        else:
            stream = _array(out, files.of(name, column), value, rate)
        if stream is None:
            moved.note(f"values of the column {column!r}")
        else:
            streams[column] = stream
            moved.streams += 1
    return RecordingEntry(id=name, streams=streams, labels=labels, split=side)


def _file(out: Path, name: str, found: Mapping[str, object]) -> StreamEntry | None:
    """The bytes of a sound or a picture as a file, if they are in the dataset and a reader knows the ending."""
    data, given = found.get("bytes"), str(found.get("path") or "")
    if not isinstance(data, bytes) or not data:
        return None
    # Only the ending is taken from the path: it is that of the disk on which the dataset was made.
    ending = Path(given).suffix.lower() or _ending(data)
    relative = f"files/{name}{ending}"
    if reader_for(Path(relative)) is None:
        return None
    target = out / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return StreamEntry(path=relative)


MAGIC = {
    b"RIFF": ".wav",
    b"fLaC": ".flac",
    b"OggS": ".ogg",
    b"ID3": ".mp3",
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
}


def _ending(data: bytes) -> str:
    return next((ending for magic, ending in MAGIC.items() if data.startswith(magic)), "")


def _array(out: Path, name: str, value: pa.Scalar, rate: float | None) -> StreamEntry | None:
    """A list of numbers, or of rows of one length, as an array on a grid."""
    if rate is None:
        return None
    try:
        values = np.asarray(value.as_py(), np.float32)
    except (TypeError, ValueError):
        return None
    if values.ndim not in (1, 2) or not len(values):
        return None
    relative = f"arrays/{name}.npy"
    (out / "arrays").mkdir(parents=True, exist_ok=True)
    np.save(out / relative, values, allow_pickle=False)
    return StreamEntry(path=relative, options={"kind": "series"}, rate=rate)
