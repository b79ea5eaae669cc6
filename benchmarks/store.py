"""Random ragged batches from a store of features, padded and masked: python benchmarks/store.py

Needs: datasets, webdataset (extra `bench`).
Takes: minutes.

10,000 samples of three streams, as a corpus of utterances has them: words (5-40 x 64), sound (50-150 x 40) and video
(20-75 x 44), some 30 kB each; then fewer that are longer (166 kB each). Every store is asked for the same: 32 samples,
as values, times and mask a stream, in torch. What is timed is processor time, all threads together, after a pass over
every sample that warms the page cache; rounds of all stores alternate, and a ratio is of one round's figures.

The 32 are drawn as training draws them: at random, then by like length within pools of eight batches. The bound is a
plain copy of the same rows and times into new arrays, one after another, without padding or mask, held until the next
is there; "bytes" is the ratio to it with the padding counted, which a batch has to hold and the copy has not. Beside it
stands a copy into one small buffer that never leaves the processor's cache, which no batch can be; and the bound and
ours again with batches wholly at random, of whose cells more than a third are padding. Arrow's buffers are gathered by
plait's own code: that way tells what the pack as a format is worth, and is expected to be even.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice, repeat
from pathlib import Path
from typing import Any

import needs
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from store_others import (
    BATCH,
    LONG,
    RATES,
    SHORT,
    Batches,
    Candidate,
    Samples,
    arrow_candidates,
    datasets_candidates,
    webdataset_candidates,
)
from targets import finish, target

from plait.examples.collate import Rows, pad
from plait.examples.data import Asked, ItemData
from plait.examples.data import Batches as TrainingBatches
from plait.examples.items import Item
from plait.examples.sampler import LengthBatches
from plait.store.pack import open_pack, write_pack
from plait.store.store import Store
from plait.streams.clock import Grid
from plait.tokens import Tokens

OURS = "plait: packs (flat rows and offsets)"
BOUND = "(a plain copy of the same rows and times)"
CACHED = "(the rows copied over one another)"
ARROW = "Arrow IPC, gathered by plait"
QUICK = (OURS, BOUND, CACHED, ARROW)  # so quick that a round of them is longer


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
    return ItemData(items, Source(get), Asked(torch.zeros(samples.count)), list(samples.sizes))


def in_training(data: ItemData, dims: Mapping[str, int]) -> Batches:
    """The loader of training, given an order."""

    def batches(wanted: list[NDArray[np.int64]]) -> Iterator[dict[str, Tokens]]:
        return (batch.inputs for batch in TrainingBatches(data, dims, wanted))

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

    def joined(wanted: list[NDArray[np.int64]]) -> Iterator[dict[str, Tokens]]:
        for index in wanted:
            held = [tuple(map(np.concatenate, zip(*(rows[i][m] for i in index)))) for m in dims]  # noqa: F841 (as a step)
            yield {}

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
        Candidate(BOUND, joined, opened[0], pack),
        Candidate(CACHED, copied, opened[0], pack),
    ]


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


Draw = Callable[[int], list[NDArray[np.int64]]]
"""The positions of so many batches."""


def at_random(samples: Samples) -> Draw:
    rng = np.random.default_rng(1)
    return lambda count: [rng.integers(0, samples.count, BATCH) for _ in range(count)]


def of_like_length(samples: Samples) -> Draw:
    """As training draws them, an epoch after another."""
    lengths = sum(samples.lengths.values())
    epochs = count()
    sampler = LengthBatches(lengths, batch=BATCH, seed=1, epoch=lambda: next(epochs))  # type: ignore[arg-type]
    batches = (np.array(one) for _ in repeat(None) for one in sampler if len(one) == BATCH)
    return lambda wanted: list(islice(batches, wanted))


def measure(
    candidates: list[Candidate], samples: Samples, draw: Draw, rounds: int, batches: int
) -> dict[str, NDArray[np.float64]]:
    """Samples a second of processor time, by candidate, a figure a round; before these, one pass over every sample."""
    rng = np.random.default_rng(1)
    rates: dict[str, list[float]] = {c.name: [] for c in candidates}
    for number in range(rounds + 1):
        for candidate in candidates:
            count = batches if candidate.name in QUICK else max(4, batches // 4)
            wanted = draw(count)
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
        if candidate.name not in (BOUND, CACHED):
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
    """Ours over each, the median of the rounds."""
    ours = rates[OURS]
    named = {
        "plain copy": (BOUND,),
        "plait's gather over Arrow's buffers": (ARROW,),
        "datasets, torch format": ("datasets", "torch"),
        "WebDataset": ("WebDataset",),
    }
    found = {name: statistics.median(ours / best(rates, *words)) for name, words in named.items()}
    others = {name: rate for name, rate in rates.items() if "plait" not in name and name not in (BOUND, CACHED)}
    return {**found, "best other way": statistics.median(ours / best(others))}


def padding(samples: Samples, batches: list[NDArray[np.int64]]) -> float:
    """Bytes of the batches, padded, over those of their rows."""
    sizes = [(samples.lengths[m][index], dim) for index in batches for m, dim in samples.dims().items()]
    return sum(len(n) * int(n.max()) * dim for n, dim in sizes) / sum(int(n.sum()) * dim for n, dim in sizes)


def setting(title: str, samples: Samples, rounds: int, batches: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        candidates = all_candidates(samples, Path(folder))
        rates = measure(candidates, samples, of_like_length(samples), rounds, batches)
        show(title, candidates, rates, samples)
        quick = [c for c in candidates if c.name in QUICK]
        random = measure(quick, samples, at_random(samples), rounds, batches)
        show(f"{title}, batches wholly at random", quick, random, samples)
    times = ratios(rates)
    times["plain copy, bytes"] = times["plain copy"] * padding(samples, of_like_length(samples)(100))
    return {
        "samples_per_second": {name: round(float(np.median(found))) for name, found in rates.items()},
        "times": times,
        "at random, times the plain copy": statistics.median(random[OURS] / random[BOUND]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--long", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=100, help="of 32 a round (a quarter for the others)")
    args = parser.parse_args()
    needs.check(packages=["datasets", "webdataset"])
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*not writable.*")  # what the libraries hand out is only read
    short = setting("utterances", Samples(args.samples, SHORT), args.rounds, args.batches)
    long = setting("longer", Samples(args.long, LONG), args.rounds, args.batches // 4)
    targets = [
        target(f"{title}: times {name}", found["times"][name], ">=", least)
        for title, found in (("utterances", short), ("longer", long))
        for name, least in (("plain copy", 0.7), ("plain copy, bytes", 0.7), ("best other way", 1.0))
    ]
    targets += [
        target("utterances: times datasets in torch format", short["times"]["datasets, torch format"], ">=", 1.5),
        target("utterances: times WebDataset (the fastest way)", short["times"]["WebDataset"], ">=", 10),
    ]
    finish(targets, utterances=short, longer=long)


if __name__ == "__main__":
    main()
