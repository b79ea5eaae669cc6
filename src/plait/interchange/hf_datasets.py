"""Hugging Face datasets in the layout of ``save_to_disk``: Arrow streams and two JSON files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.interchange import Format, Moved
from plait.interchange.hf_files import Row, described, parts_of, rows_of
from plait.interchange.hf_foreign import read_foreign
from plait.interchange.sample import Piece, Sample, add_sample, clock_facts, clock_of
from plait.streams.recording import Annotation

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["HfDatasets"]

MARK = "plait-dataset-1"
PER_BATCH = 16
"""Recordings in memory at a time while writing."""


class HfDatasets(Format):
    """A dataset with one row per recording, for ``datasets.load_from_disk``.

    Columns: id, group, split; labels and meta as JSON; annotations as a list of start, stop, label (JSON), tier and
    annotator; for each stream NAME its values (``NAME``: a list of rows of numbers, or of texts; null if the recording
    has no such stream), the start and end of each value (``NAME.starts``, ``NAME.stops``, seconds) and ``NAME.clock``
    (JSON).

    Written and read with Arrow, a few recordings at a time: the package ``datasets`` is not needed. Datasets of other
    tools are read by `plait.interchange.hf_foreign`.

    Args:
        rate: observations per second of the lists of numbers in a dataset of another tool.
        id: the column with the recordings' ids in such a dataset; without it they are numbered.
    """

    def __init__(self, *, rate: float | None = None, id: str = "id") -> None:
        self._rate, self._id = rate, id

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        import pyarrow as pa

        head: list[Sample] = []
        widths: dict[str, int] = {}
        rest = iter(found)
        # Arrow fixes the width of a column before the first row: it is that of the first recording with the stream.
        wanted = {name for entry in corpus.entries for name in entry.streams}
        for sample in rest:
            head.append(sample)
            widths.update({n: -1 if p.words else p.values.shape[1] for n, p in sample.streams.items()})
            if wanted <= set(widths) or len(head) == len(corpus):
                break
        columns = _columns(sorted(widths))
        moved.note("names of streams that other columns have (their columns end in _)", _renamed(columns))
        schema = pa.schema(_fields(pa, {columns[n]: widths[n] for n in columns}))
        # Beside the target, so that the move at the end stays on one disk.
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            folder = Path(scratch) / "whole"
            folder.mkdir()
            data = str(folder / "data-00000-of-00001.arrow")
            with pa.OSFile(data, "wb") as file, pa.ipc.new_stream(file, schema) as to:
                for rows in _batched(_chain(head, rest), widths, columns):
                    to.write_batch(pa.RecordBatch.from_pylist(rows, schema))
            _describe(folder, schema, columns)
            os.replace(folder, out)

    def read(self, path: Path, out: Path, moved: Moved) -> None:
        for folder in parts_of(path):
            about = described(folder)
            if about.get("mark") != MARK:
                read_foreign(path, out, moved, rate=self._rate, id=self._id)
                return
        with CorpusWriter(out) as writer:
            for folder in parts_of(path):
                columns = _told_columns(folder)
                for row in rows_of(folder):
                    sample = _sample(row, columns, folder)
                    moved.note("ends of the intervals of numbers", add_sample(writer, sample))
                    moved.recordings += 1
                    moved.streams += len(sample.streams)


def _chain(head: list[Sample], rest: Iterator[Sample]) -> Iterator[Sample]:
    # Popped, and not `itertools.chain`, so that what is written is not kept in memory.
    while head:
        yield head.pop(0)
    yield from rest


ABOUT = ("id", "group", "split", "labels", "meta", "annotations")
TIMES = (".starts", ".stops", ".clock")


def _columns(names: Sequence[str]) -> dict[str, str]:
    """A column for each stream; neither it nor the columns of its times has the name of another."""
    taken, found = set(ABOUT), dict[str, str]()
    for name in names:
        column = next(c for c in (name + "_" * i for i in count()) if taken.isdisjoint({c, *(c + t for t in TIMES)}))
        taken |= {column, *(column + t for t in TIMES)}
        found[name] = column
    return found


def _renamed(columns: dict[str, str]) -> int:
    return sum(name != column for name, column in columns.items())


def _told_columns(folder: Path) -> dict[str, str]:
    """The column of each stream; in datasets of earlier versions it has the stream's name.

    Raises:
        DataError: the description does not name them.
    """
    told = described(folder).get("streams")
    if isinstance(told, list):
        return {str(name): str(name) for name in told}
    if isinstance(told, dict):
        return {str(name): str(column) for name, column in told.items()}
    raise DataError(f"{folder / 'dataset_info.json'}: does not say which columns are streams. Write the dataset anew.")


def _batched(
    found: Iterator[Sample], widths: dict[str, int], columns: dict[str, str]
) -> Iterator[list[dict[str, object]]]:
    rows: list[dict[str, object]] = []
    for sample in found:
        rows.append(_row(sample, widths, columns))
        if len(rows) == PER_BATCH:
            yield rows
            rows = []
    if rows:
        yield rows


def _row(sample: Sample, widths: dict[str, int], columns: dict[str, str]) -> dict[str, object]:
    row: dict[str, object] = {
        "id": sample.id,
        "group": sample.group,
        "split": sample.split,
        "labels": json.dumps(sample.labels),
        "meta": json.dumps(sample.meta, default=str),
        "annotations": [{**vars(a), "label": json.dumps(a.label)} for a in sample.annotations],
    }
    for name, piece in sample.streams.items():
        width = -1 if piece.words else piece.values.shape[1]
        if name not in widths or width != widths[name]:
            raise DataError(
                f"{sample.id!r} {name!r}: {width} numbers per observation, but {widths.get(name)} in another "
                "recording. The columns of a dataset have one width; choose the same channels everywhere."
            )
        column, (starts, stops) = columns[name], piece.edges()
        row[column] = list(piece.values)
        row[f"{column}.starts"], row[f"{column}.stops"] = starts, stops
        row[f"{column}.clock"] = json.dumps(clock_facts(piece.clock))
    return row


def _fields(pa: ModuleType, widths: dict[str, int]) -> list[pa.Field]:
    text, number = pa.string(), pa.float64()
    annotation = {"start": number, "stop": number, "label": text, "tier": text, "annotator": text}
    fields = [(n, text) for n in ABOUT[:-1]]
    fields.append((ABOUT[-1], pa.list_(pa.struct(annotation))))
    for name, width in widths.items():
        values = pa.list_(text) if width < 0 else pa.list_(pa.list_(pa.float32(), width))
        fields += [(name, values), (f"{name}.starts", pa.list_(number)), (f"{name}.stops", pa.list_(number))]
        fields.append((f"{name}.clock", text))
    return [pa.field(n, kind) for n, kind in fields]


def _feature(kind: pa.DataType) -> dict[str, object]:
    """An Arrow type in the JSON of the package ``datasets``."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "List"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": {"double": "float64", "float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}


def _describe(folder: Path, schema: pa.Schema, columns: dict[str, str]) -> None:
    state: dict[str, object] = {
        "_data_files": [{"filename": "data-00000-of-00001.arrow"}],
        "_fingerprint": os.urandom(8).hex(),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    info = {
        "citation": "",
        "description": json.dumps({"mark": MARK, "streams": columns}),
        "features": {field.name: _feature(field.type) for field in schema},
        "homepage": "",
        "license": "",
    }
    (folder / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2), encoding="utf-8")


def _sample(row: Row, columns: dict[str, str], folder: Path) -> Sample:
    try:
        plain = {c: row[c].as_py() for c in ABOUT}
        streams = {name: _piece(row, column) for name, column in columns.items() if row[column].is_valid}
        annotations = tuple(Annotation(**{**a, "label": json.loads(a["label"])}) for a in plain["annotations"])
        labels, meta = json.loads(plain["labels"]), json.loads(plain["meta"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: a row is not whole ({error!r}). Write the dataset anew.") from error
    return Sample(plain["id"], streams, labels, annotations, meta, plain["group"], plain["split"])


def _piece(row: Row, name: str) -> Piece:
    values = row[name].values
    starts, stops = (np.asarray(row[f"{name}.{which}"].values, np.float64) for which in ("starts", "stops"))
    return Piece(numbers(values), clock_of(json.loads(row[f"{name}.clock"].as_py()), starts, stops))


def numbers(values: pa.Array) -> NDArray[np.generic]:
    """An Arrow array of rows of numbers as [n, dim], or of texts as [n]."""
    import pyarrow as pa

    # The flat buffer, reshaped: a list of lists would make every number a Python object.
    if pa.types.is_fixed_size_list(values.type):
        return np.asarray(values.flatten()).reshape(len(values), values.type.list_size)
    return np.array(values.to_pylist(), object)
