"""Random ragged batches from a store of features, padded and masked: python benchmarks/store.py

10,000 samples of three streams, as a corpus of utterances has them: words (5-40 x 64), sound (50-150 x 40) and video
(20-75 x 44), some 30 kB each; then fewer that are longer (166 kB each). Every store is asked for the same: 32 samples
drawn at random, as values, times and mask a stream, in torch. What is timed is processor time, all threads together,
after a pass over every sample that warms the page cache; rounds of all stores alternate.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait.features.pack import open_pack, write_pack
from plait.features.store import Store
from plait.streams.clock import Grid
from plait.streams.items import Item
from plait.tokens import Tokens
from plait.tokens.collate import Ragged, Rows, pad
from plait.training.data import Batches as TrainingBatches
from plait.training.data import ItemData

BATCH = 32
OURS = "plait: packs (flat rows and offsets)"
BOUND = "(the same rows copied once, not padded)"
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


def pad_plain(items: list[dict[str, Rows]], dims: Mapping[str, int]) -> dict[str, Tokens]:
    """The plain loop: each row looked through for what is missing, each time that it is asked for."""
    out = {}
    for m, dim in dims.items():
        longest = max(len(item[m].times) for item in items)
        values, times = np.zeros((len(items), longest, dim), np.float32), np.zeros((len(items), longest), np.float32)
        mask = np.zeros((len(items), longest), bool)
        for i, item in enumerate(items):
            n = len(item[m].times)
            values[i, :n], times[i, :n] = item[m]
            mask[i, :n] = np.isfinite(values[i, :n]).any(1)
        out[m] = Tokens(torch.from_numpy(values), torch.from_numpy(times), torch.from_numpy(mask))
    return out


# plait ---------------------------------------------------------------------------------------------------------------


class Source:
    """Features by recording and modality, as training asks for them."""

    def __init__(self, get: Callable[[str], Any]) -> None:
        self._get = get

    def get(self, recording: str, modality: str) -> Any:
        return self._get(f"{modality}{recording}")


def keep(samples: Samples, folder: Path) -> Store:
    """The samples as `plait prepare` keeps them: a file each, and a pack a stream."""
    store = Store(folder / "items")
    for m in samples.sizes:
        for i in range(samples.count):
            values = samples.get(i, m)
            store.put(f"{m}{i:05d}", values, Grid(0, RATES[m], len(values)))
        keys = [f"{m}{i:05d}" for i in range(samples.count)]
        write_pack(folder / "packs" / f"{m}.safetensors", keys, store)
    return store


def data_of(samples: Samples, get: Callable[[str], Any]) -> ItemData:
    items = [Item(f"{i:05d}", 0.0, 1.0, "", whole=True) for i in range(samples.count)]
    return ItemData(items, Source(get), torch.zeros(samples.count), list(samples.sizes))


def in_training(data: ItemData, dims: Mapping[str, int]) -> Batches:
    """The loader of training, given an order."""

    def batches(wanted: list[NDArray[np.int64]]) -> Iterator[dict[str, Tokens]]:
        return (tokens for tokens, _, _ in TrainingBatches(data, dims, wanted))

    return batches


def plait_candidates(samples: Samples, folder: Path) -> list[Candidate]:
    store, dims = keep(samples, folder), samples.dims()
    started = time.process_time()
    packs = {m: open_pack(folder / "packs" / f"{m}.safetensors") for m in dims}
    packed = data_of(samples, lambda key: packs[key[:-5]].get(key))  # type: ignore[union-attr]
    opened = [time.process_time() - started]
    started = time.process_time()
    single = data_of(samples, store.get)
    opened.append(time.process_time() - started)

    rows = [{m: packed.rows[m][i] for m in dims} for i in range(samples.count)]

    def plain(wanted: list[NDArray[np.int64]]) -> Iterator[dict[str, Tokens]]:
        return (pad_plain([rows[i] for i in index], dims) for index in wanted)

    def anew(wanted: list[NDArray[np.int64]]) -> Iterator[dict[str, Tokens]]:
        for index in wanted:
            found = {m: [store.get(f"{m}{i:05d}") for i in index] for m in dims}
            yield {m: pad([Rows(v, c.times.astype(np.float32)) for v, c in found[m]], dim) for m, dim in dims.items()}

    def copied(wanted: list[NDArray[np.int64]]) -> Iterator[dict[str, Tokens]]:
        room = {m: np.empty((int(samples.lengths[m].max()), dim), np.float32) for m, dim in dims.items()}
        for index in wanted:
            for i in index:
                for m, (values, _) in rows[i].items():
                    room[m][: len(values)] = values
            yield {}

    pack, items = folder / "packs", folder / "items"
    return [
        Candidate(OURS, in_training(packed, dims), opened[0], pack),
        Candidate("plait: a file an item, maps held", in_training(single, dims), opened[1], items),
        Candidate("plait: a file an item, opened each time", anew, 0.0, items),
        Candidate("pack, rows padded by a plain loop", plain, opened[0], pack),
        Candidate(BOUND, copied, opened[0], pack),
    ]


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
        Candidate("Arrow IPC, its buffers gathered like a pack", views, opened, path),
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


# measuring -----------------------------------------------------------------------------------------------------------


def check(candidate: Candidate, samples: Samples) -> None:
    """The first batch holds what was asked for, to the bit (a store that streams: what one sample holds)."""
    index = np.arange(BATCH) * (samples.count // BATCH)
    tokens = next(candidate.batches([index]))
    for m, t in tokens.items():
        asked = samples.lengths[m][index] if "WebDataset" not in candidate.name else t.mask.sum(1).numpy()
        if not np.array_equal(t.mask.sum(1).numpy(), asked) or t.values.shape[2] != samples.sizes[m][2]:
            raise RuntimeError(f"{candidate.name}: another shape than was asked for")
        if "WebDataset" not in candidate.name:
            for row, i in enumerate(index):
                truth = samples.get(int(i), m)
                seconds = (np.arange(len(truth)) / RATES[m]).astype(np.float32)
                same = np.array_equal(t.values[row, : len(truth)].numpy(), truth)
                if not same or not np.allclose(t.times[row, : len(truth)].numpy(), seconds, atol=1e-5):
                    raise RuntimeError(f"{candidate.name}: other features than were asked for")


def measure(candidates: list[Candidate], samples: Samples, rounds: int, batches: int) -> dict[str, NDArray[np.float64]]:
    """Samples a second of processor time, by candidate, a figure a round; before these, one pass over every sample."""
    rng = np.random.default_rng(1)
    rates: dict[str, list[float]] = {c.name: [] for c in candidates}
    for number in range(rounds + 1):
        for candidate in candidates:
            count = batches if candidate.name == OURS else max(4, batches // 4)
            wanted = [rng.integers(0, samples.count, BATCH) for _ in range(count)]
            if number == 0:
                wanted = np.array_split(rng.permutation(samples.count), samples.count // BATCH)
            started = time.process_time()
            for _ in candidate.batches(wanted):
                pass
            if number:
                rates[candidate.name].append(BATCH * count / (time.process_time() - started))
    return {name: np.array(found) for name, found in rates.items()}


def all_candidates(samples: Samples, folder: Path) -> list[Candidate]:
    makers = (plait_candidates, arrow_candidates, datasets_candidates, webdataset_candidates)
    found = [candidate for make in makers for candidate in make(samples, folder)]
    for candidate in found:
        if candidate.name != BOUND:
            check(candidate, samples)
    return found


def show(title: str, candidates: list[Candidate], rates: Mapping[str, NDArray[np.float64]], samples: Samples) -> None:
    table = Table(title=f"{title}: {samples.count} samples, {samples.nbytes / 1000:.0f} kB each")
    for name in ("kept as", "samples a second", "lowest - highest", "MB/s", "opened in s", "MB on disk", "files"):
        table.add_column(name, justify="left" if name == "kept as" else "right")
    for c in candidates:
        found = rates[c.name]
        files = [p for p in ([c.place] if c.place.is_file() else c.place.rglob("*")) if p.is_file()]
        table.add_row(
            c.name,
            f"{np.median(found):,.0f}",
            f"{found.min():,.0f} - {found.max():,.0f}",
            f"{np.median(found) * samples.nbytes / 1e6:,.0f}",
            f"{c.opened:.2f}",
            f"{sum(p.stat().st_size for p in files) / 1e6:,.0f}",
            str(len(files)),
        )  # fmt: skip
    Console(width=150).print(table)


def best(rates: Mapping[str, NDArray[np.float64]], *words: str) -> NDArray[np.float64]:
    """The rounds of the fastest candidate whose name holds all the words."""
    return max((found for name, found in rates.items() if all(w in name for w in words)), key=np.median)


def ratios(rates: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    ours = rates[OURS]
    others = {"datasets, torch format": ("datasets", "torch"), "WebDataset": ("WebDataset",)}
    return {name: statistics.median(ours / best(rates, *words)) for name, words in others.items()}


def setting(title: str, samples: Samples, rounds: int, batches: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        candidates = all_candidates(samples, Path(folder))
        rates = measure(candidates, samples, rounds, batches)
        show(title, candidates, rates, samples)
    medians = {name: round(float(np.median(found))) for name, found in rates.items()}
    return {"samples_per_second": medians, "times": ratios(rates), "ours": float(np.median(rates[OURS]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--long", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=100, help="of 32 a round (a quarter for the others)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*not writable.*")  # what the libraries hand out is only read
    short = setting("utterances", Samples(args.samples, SHORT), args.rounds, args.batches)
    long = setting("longer", Samples(args.long, LONG), args.rounds, args.batches // 4)
    finish(
        [
            target("random batches of 32, three streams, samples a second", short["ours"], ">=", 30_000),
            target(
                "times datasets in torch format (the faster way)", short["times"]["datasets, torch format"], ">=", 1.5
            ),
            target("times WebDataset (the fastest way)", short["times"]["WebDataset"], ">=", 10),
        ],
        utterances=short,
        longer=long,
    )


if __name__ == "__main__":
    main()
