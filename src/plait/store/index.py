"""An index of vectors on disk: exact search, or by inverted lists; damage is told, and nothing is pickled."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy.typing import NDArray

from plait.core.atomic import open_file, read_bytes, replacing, write_text
from plait.core.errors import ConfigError, DataError, need
from plait.core.parts import Options
from plait.store.tensorfile import open_tensors, write_tensors

__all__ = ["Found", "Row", "VectorIndex"]

FORMAT = "plait index 1"
FILE, VECTORS, ROWS, LISTS = "index.json", "vectors.safetensors", "rows.arrow", "lists.faiss"

NEAR, LEAST = 8, 64
"""A search looks at one in so many lists, and at so many of them at least."""

CANDIDATES = 200
"""Vectors that a search by lists gives at least, to be compared exactly."""

FEWEST, LEARNT = 1000, 40
"""Fewest rows that lists are made of, and rows per list that their centres are learnt from."""

SMALL = 20_000
"""Up to this many vectors exact search is as quick, and no lists are made unless they are asked for."""

BLOCK = 1 << 24
"""Most similarities in memory."""

Vectors = Float[np.ndarray, "rows width"]


class Row(NamedTuple):
    """What a vector of an index is of.

    Attributes:
        recording: its id.
        start, stop: seconds of the recording.
        group: rows of one group are right answers to each other.
        text: the text of its annotation; "" where it has none.
    """

    recording: str
    start: float
    stop: float
    group: str = ""
    text: str = ""


class Found(NamedTuple):
    """The most similar rows of an index, per query, best first.

    Attributes:
        places: rows of the index, [queries, k].
        similarity: inner products, [queries, k].
    """

    places: Int[np.ndarray, "queries k"]
    similarity: Float[np.ndarray, "queries k"]


@dataclass
class VectorIndex:
    """Vectors of length 1 with what they are of; in a folder (`write`, `open`), and in memory.

    With `build_lists` it is an inverted file with product quantisation in 4 bits (Jegou, Douze and Schmid 2011, IEEE
    TPAMI 33(1); Andre, Kermarrec and Le Scouarnec 2017, ICMR), by faiss: twice as many lists as the root of the number
    of vectors. A search looks at an eighth of the lists, or at 64, and compares what it finds exactly.

    Attributes:
        vectors: [rows, width] float32.
        rows: what each is of.
        about: anything that must fit when it is opened again, as JSON.
        lists: of faiss; None: every search is exact.
        kept: more arrays, by name.

    >>> index = VectorIndex(np.eye(3, dtype=np.float32), [Row(name, 0.0, 1.0) for name in "abc"])
    >>> found = index.search(np.array([[0.6, 0.8, 0.0]], np.float32), 2)
    >>> [index.rows[i].recording for i in found.places[0]]
    ['b', 'a']
    """

    vectors: Vectors
    rows: Sequence[Row]
    about: Options = field(default_factory=dict)
    lists: Any = None
    kept: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.rows) or not len(self.rows):
            raise DataError(
                f"an index of {len(self.rows)} rows with vectors {self.vectors.shape}; expected [rows, width] and one "
                "row or more."
            )

    def __len__(self) -> int:
        return len(self.rows)

    def build_lists(self, threads: int = 1) -> VectorIndex:
        """Add inverted lists, for search among many vectors; fewer than `FEWEST` go without: exact search is as quick.

        Args:
            threads: of the processor.

        Raises:
            MissingExtra: faiss is not installed.
        """
        if len(self) < FEWEST:
            return self
        faiss = _faiss()
        count = min(2 * round(len(self) ** 0.5), len(self) // LEARNT)
        width = self.vectors.shape[1]
        lists = faiss.index_factory(
            width, f"IVF{count},PQ{width // 2 if width % 2 == 0 else width}x4fs", faiss.METRIC_INNER_PRODUCT
        )
        with _threads(faiss, threads):
            lists.train(np.ascontiguousarray(self.vectors[:: max(1, len(self) // (LEARNT * count))]))
            lists.add(np.ascontiguousarray(self.vectors))
        self.lists = lists
        return self

    def search(self, queries: Vectors, k: int = 10, *, exact: bool | None = None, threads: int = 1) -> Found:
        """The k rows with the largest inner products.

        Args:
            queries: [queries, width], of length 1.
            k: how many rows per query; all, if there are fewer.
            exact: compare every row; None: only if there are no lists.
            threads: of the processor, for the lists.

        Raises:
            DataError: the queries have another width.
            ConfigError: ``exact`` is False, but there are no lists; ``k`` is below 1.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            raise DataError(f"queries {queries.shape}; expected [queries, {self.vectors.shape[1]}], as in the index.")
        if k < 1 or (exact is False and self.lists is None):
            raise ConfigError(f"search: k {k}, exact {exact}; expected 1 or more, and lists for a search by them.")
        if self.lists is None or exact:
            return _exact(self.vectors, queries, min(k, len(self)))
        return self._by_lists(queries, min(k, len(self)), threads)

    def _by_lists(self, queries: Vectors, k: int, threads: int) -> Found:
        wanted = min(max(CANDIDATES, k), len(self))
        self.lists.nprobe = max(self.lists.nlist // NEAR, LEAST)
        with _threads(_faiss(), threads):
            keys = self.lists.search(queries, wanted)[1]
        places, similarity = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        for i, (query, near) in enumerate(zip(queries, keys)):
            near = np.unique(near[(near >= 0) & (near < len(self))])
            found = self.vectors[near] @ query
            best = np.argsort(-found, kind="stable")[:k]
            if len(best) < k:  # the lists that were looked at have too few
                places[i], similarity[i] = (part[0] for part in _exact(self.vectors, query[None], k))
                continue
            places[i], similarity[i] = near[best], found[best]
        return Found(places, similarity)

    def recall(self, queries: Vectors, k: int = 10) -> float:
        """The share of the k exact answers that a search by lists finds; 1 without lists."""
        if self.lists is None:
            return 1.0
        exact, quick = (self.search(queries, k, exact=exact).places for exact in (True, False))
        return float(np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(exact, quick)]))

    def write(self, folder: str | Path) -> None:
        """Write ``vectors.safetensors``, ``rows.arrow``, perhaps ``lists.faiss``, and ``index.json``, which has the
        digest of each.

        Raises:
            OSError: the folder is not writable, or the disk is full.
        """
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        (place / FILE).unlink(missing_ok=True)  # no mark of a whole index while its files change
        arrays = {**self.kept, "vectors": self.vectors.astype(np.float32, copy=False)}
        write_tensors(place / VECTORS, arrays, {"format": FORMAT})
        with replacing(place / ROWS) as part:
            part.write_bytes(_table(self.rows))
        if self.lists is not None:
            with replacing(place / LISTS) as part:
                part.write_bytes(_faiss().serialize_index(self.lists).tobytes())
        else:
            (place / LISTS).unlink(missing_ok=True)
        files = {name: _digest(place / name) for name in (VECTORS, ROWS, LISTS) if (place / name).exists()}
        about = {"format": FORMAT, "rows": len(self), "width": self.vectors.shape[1], "files": files, **self.about}
        about["digest"] = _digest_of(about)
        write_text(place / FILE, json.dumps(about, ensure_ascii=False, indent=1), durable=True)

    @classmethod
    def open(cls, folder: str | Path) -> VectorIndex:
        """The index that `write` wrote.

        Raises:
            DataError: a file is missing, damaged, or of another index. MissingExtra: it has lists, and faiss is not
                installed.
        """
        place = Path(folder)
        about = _about(place)
        files = about.pop("files")
        for name, digest in files.items():
            _check(place / name, digest)
        stored = open_tensors(place / VECTORS, FORMAT)
        rows = _rows(place / ROWS)
        arrays = {} if stored is None else stored.tensors()
        vectors = arrays.pop("vectors", None)
        if vectors is None or vectors.shape != (about["rows"], about["width"]) or len(rows) != about["rows"]:
            raise DataError(f"{place}: its files do not belong together. Make it anew: plait index")
        lists = _lists(place / LISTS, vectors.shape) if LISTS in files else None
        kept = {k: v for k, v in about.items() if k not in ("format", "rows", "width")}
        return cls(vectors, rows, kept, lists, arrays)


def _faiss() -> Any:
    return need("faiss", "retrieval", "an index with lists")


@contextmanager
def _threads(faiss: Any, count: int) -> Iterator[None]:
    """faiss has one number of threads for all that a process does; it is put back."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _lists(path: Path, shape: tuple[int, ...]) -> Any:
    try:
        found = _faiss().deserialize_index(np.frombuffer(read_bytes(path), np.uint8))
    except RuntimeError as error:
        raise DataError(f"{path}: is damaged. Make the index anew: plait index") from error
    if (found.ntotal, found.d) != shape:
        raise DataError(f"{path}: is of other vectors. Make the index anew: plait index")
    return found


def _exact(vectors: Vectors, queries: Vectors, k: int) -> Found:
    step = max(1, BLOCK // len(vectors))
    parts = [_best(queries[i : i + step] @ vectors.T, k) for i in range(0, len(queries), step)]
    none = np.zeros((0, k))
    return Found(*(np.concatenate(own) for own in zip(*parts))) if parts else Found(none.astype(np.int64), none)


def _best(similarity: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    near = np.argpartition(-similarity, k - 1, 1)[:, :k] if k < similarity.shape[1] else None
    chosen = similarity if near is None else np.take_along_axis(similarity, near, 1)
    order = np.argsort(-chosen, 1, kind="stable")
    places = order if near is None else np.take_along_axis(near, order, 1)
    return places.astype(np.int64), np.take_along_axis(chosen, order, 1)


def _table(rows: Iterable[Row]) -> bytes:
    columns = dict(zip(Row._fields, map(list, zip(*rows))))
    table, out = pa.table(columns), io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def _rows(path: Path) -> list[Row]:
    try:
        table = pa.ipc.open_file(pa.BufferReader(read_bytes(path))).read_all()
        columns = [table.column(name).to_pylist() for name in Row._fields]
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(f"{path}: is damaged ({error}). Make the index anew: plait index") from error
    return [Row(*own) for own in zip(*columns)]


def _about(place: Path) -> Any:
    about: Any
    try:
        about = json.loads(read_bytes(place / FILE))
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise ValueError("another format")
        if about.pop("digest", None) != _digest_of(about):
            raise ValueError("it does not fit its digest")
    except FileNotFoundError as error:
        raise DataError(f"{place}: is no index. Make one: plait index RUN CORPUS") from error
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{place / FILE}: is damaged ({error}). Make the index anew: plait index") from error
    return dict(about)


def _digest_of(about: Mapping[str, object]) -> str:
    return hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()


def _check(path: Path, digest: object) -> None:
    try:
        found = _digest(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Make the index anew: plait index") from error
    if found != digest:
        raise DataError(f"{path}: is not as it was written. Make the index anew: plait index")


def _digest(path: Path) -> str:
    found = hashlib.blake2b(digest_size=16)
    with open_file(path) as file:
        while part := file.read(1 << 22):
            found.update(part)
    return found.hexdigest()
