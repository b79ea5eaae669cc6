"""Samples for benchmarks/store.py, and the stores that plait's is held against, each used as well as we know how."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from plait.examples.collate import Ragged, Rows
from plait.tokens import Tokens

BATCH = 32
RATES = {"words": 3.0, "sound": 40.0, "video": 25.0}
SHORT = {"words": (5, 40, 64), "sound": (50, 150, 40), "video": (20, 75, 44)}
LONG = {"words": (10, 50, 300), "sound": (150, 600, 74), "video": (45, 180, 35)}

Sizes = Mapping[str, tuple[int, int, int]]
Batches = Callable[[list[NDArray[np.int64]]], Iterator[dict[str, Tokens]]]
"""Given the positions of the batches wanted, gives them (a store that only streams gives as many of its own)."""


class Samples:
    """Ragged features of three streams, drawn from a seed."""

    def __init__(self, count: int, sizes: Sizes) -> None:
        rng = np.random.default_rng(0)
        self.count, self.sizes = count, sizes
        self.lengths = {m: rng.integers(low, high + 1, count) for m, (low, high, _) in sizes.items()}
        self._seed = {m: k for k, m in enumerate(sizes)}

    @property
    def nbytes(self) -> float:
        """Bytes of features a sample, on average."""
        return sum(4 * dim * float(self.lengths[m].mean()) for m, (_, _, dim) in self.sizes.items())

    def get(self, i: int, m: str) -> NDArray[np.float32]:
        rng = np.random.default_rng((self._seed[m], i))
        return rng.standard_normal((int(self.lengths[m][i]), self.sizes[m][2]), dtype=np.float32)

    def dims(self) -> dict[str, int]:
        return {m: dim for m, (_, _, dim) in self.sizes.items()}


@dataclass
class Candidate:
    """One way to keep the samples: how batches come out of it, seconds to open it, where it lies."""

    name: str
    batches: Batches
    opened: float
    place: Path


def pad_torch(values: Mapping[str, list[torch.Tensor]]) -> dict[str, Tokens]:
    """What one writes by hand for lists of tensors: pad, count, compare; times from the rate."""
    out = {}
    for m, rows in values.items():
        counts = torch.tensor([len(r) for r in rows])
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        steps = torch.arange(padded.shape[1])
        mask = steps < counts[:, None]
        out[m] = Tokens(padded, torch.where(mask, steps / RATES[m], 0.0), mask)
    return out


# Arrow IPC -----------------------------------------------------------------------------------------------------------


def arrow_candidates(samples: Samples, folder: Path) -> list[Candidate]:
    """One file of three columns of lists of rows; a first sample of one zero row lets padding be gathered."""
    path, dims = folder / "arrow" / "samples.arrow", samples.dims()
    path.parent.mkdir()
    columns = {}
    for m, dim in dims.items():
        flat = np.concatenate([np.zeros((1, dim), np.float32), *(samples.get(i, m) for i in range(samples.count))])
        offsets = np.cumsum([0, 1, *samples.lengths[m]])
        rows = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), dim)
        columns[m] = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), rows)
    table = pa.table(columns)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    del table, columns
    started = time.process_time()
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    ragged = {m: _ragged(table[m].chunk(0), m, dim) for m, dim in dims.items()}
    opened = time.process_time() - started

    def views(wanted: list[NDArray[np.int64]]) -> Iterator[dict[str, Tokens]]:
        return ({m: ragged[m].pad(index, dim) for m, dim in dims.items()} for index in wanted)

    def taken(wanted: list[NDArray[np.int64]]) -> Iterator[dict[str, Tokens]]:
        for index in wanted:
            part = table.take(pa.array(index + 1))
            found = {}
            for m, dim in dims.items():
                column = part[m].combine_chunks()
                flat = torch.from_numpy(column.values.values.to_numpy().reshape(-1, dim).copy())
                found[m] = list(torch.split(flat, np.diff(column.offsets.to_numpy()).tolist()))
            yield pad_torch(found)

    return [
        Candidate("Arrow IPC, gathered by plait", views, opened, path),
        Candidate("Arrow IPC, pyarrow take", taken, opened, path),
    ]


def _ragged(column: Any, m: str, dim: int) -> Ragged:
    """The samples of a column, viewed in Arrow's own buffers."""
    values, offsets = column.values.values.to_numpy().reshape(-1, dim), column.offsets.to_numpy().tolist()
    ticks = (np.arange(1000) / RATES[m]).astype(np.float32)
    return Ragged(Rows(values[a:b], ticks[: b - a]) for a, b in pairwise(offsets[1:]))


# Hugging Face datasets -----------------------------------------------------------------------------------------------


def datasets_candidates(samples: Samples, folder: Path) -> list[Candidate]:
    import datasets

    datasets.disable_progress_bars()
    dims = samples.dims()
    kinds = {
        "flat lists": {m: datasets.Sequence(datasets.Value("float32")) for m in dims},
        "Array2D": {m: datasets.Array2D((None, dim), "float32") for m, dim in dims.items()},
    }
    found = []
    for kind, features in kinds.items():
        flat = kind == "flat lists"

        def generate(flat: bool = flat) -> Iterator[dict[str, Any]]:
            for i in range(samples.count):
                yield {m: samples.get(i, m).ravel() if flat else samples.get(i, m) for m in dims}

        place = folder / f"datasets_{kind.replace(' ', '_')}"
        made = datasets.Dataset.from_generator(
            generate, features=datasets.Features(features), cache_dir=str(folder / "hf"), split=kind.replace(" ", "_")
        )
        made.save_to_disk(place)
        started = time.process_time()
        stored = datasets.load_from_disk(str(place))
        opened = time.process_time() - started
        for form in ("torch", "numpy", "arrow") if flat else ("torch",):
            reader = _datasets_batches(stored.with_format(form), form, dims)
            found.append(Candidate(f"datasets, {form} format, {kind}", reader, opened, place))
    return found


def _datasets_batches(stored: Any, form: str, dims: Mapping[str, int]) -> Batches:
    def tensors(column: Any, dim: int) -> list[torch.Tensor]:
        if form == "arrow":
            column = column.combine_chunks()
            flat = torch.from_numpy(column.flatten().to_numpy().reshape(-1, dim).copy())
            return list(torch.split(flat, (np.diff(column.offsets.to_numpy()) // dim).tolist()))
        rows = [torch.from_numpy(x) if form == "numpy" else x for x in column]
        return [x if x.ndim == 2 else x.view(-1, dim) for x in rows]

    def batches(wanted: list[NDArray[np.int64]]) -> Iterator[dict[str, Tokens]]:
        for index in wanted:
            rows = stored[index.tolist()]
            yield pad_torch({m: tensors(rows[m], dim) for m, dim in dims.items()})

    return batches


# WebDataset ----------------------------------------------------------------------------------------------------------


def webdataset_candidates(samples: Samples, folder: Path, shard: int = 1000) -> list[Candidate]:
    import webdataset as wds

    dims, found = samples.dims(), []
    for kind in ("ten", "npz", "npy"):
        place = folder / f"webdataset_{kind}"
        place.mkdir()
        with wds.ShardWriter(str(place / "%04d.tar"), maxcount=shard, verbose=0) as out:
            for i in range(samples.count):
                arrays = {m: samples.get(i, m) for m in dims}
                whole = {"ten": {"all.ten": list(arrays.values())}, "npz": {"all.npz": arrays}}
                out.write({"__key__": f"{i:05d}", **whole.get(kind, {f"{m}.npy": a for m, a in arrays.items()})})
        found.append(
            Candidate(f"WebDataset, shuffled shards of {kind}", _webdataset_batches(place, kind, dims), 0.0, place)
        )
    return found


def _webdataset_batches(place: Path, kind: str, dims: Mapping[str, int]) -> Batches:
    import webdataset as wds

    def arrays(sample: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        if kind == "ten":
            return dict(zip(dims, sample["all.ten"]))
        return {m: sample["all.npz"][m] for m in dims} if kind == "npz" else {m: sample[f"{m}.npy"] for m in dims}

    def endless() -> Iterator[dict[str, NDArray[np.float32]]]:
        shards = sorted(map(str, place.glob("*.tar")))
        while True:
            stream = wds.WebDataset(shards, shardshuffle=len(shards), seed=0).shuffle(1000, initial=100).decode()
            yield from map(arrays, stream)

    stream = endless()  # goes on from round to round, so that filling the buffer is not counted again and again

    def batches(wanted: list[NDArray[np.int64]]) -> Iterator[dict[str, Tokens]]:
        for _ in wanted:
            rows = [next(stream) for _ in range(BATCH)]
            yield pad_torch({m: [torch.from_numpy(r[m]) for r in rows] for m in dims})

    return batches
