"""WebDataset: tar files of samples, with a file for each part of a sample."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.atomic import replacing
from plait.core.errors import DataError
from plait.core.names import Names, encoded_name, plain_name
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.features.checks import above_zero
from plait.importing.folder import import_folder
from plait.interchange import Format, Moved
from plait.interchange.sample import Piece, Sample, add_sample, clock_facts, clock_of
from plait.streams.recording import Annotation

__all__ = ["Webdataset"]

LARGEST = 1 << 31
"""The largest size of a member of a tar file, in bytes."""


class Webdataset(Format):
    """A folder of ``shard-000000.tar`` ...; each recording is one sample.

    Its members: ``KEY.json`` (id, labels, annotations, clocks, the texts of streams of words) and, for each stream of
    numbers, ``KEY.STREAM.npy`` [n, dim] and, unless it is on a grid, ``KEY.STREAM.times.npy`` [n, 2], the start and end
    of each observation in seconds. Arrays are written and read without pickle.

    Tar files of other tools are unpacked file by file, and imported like a folder with `plait import`.

    Source: the WebDataset format specification (members of one sample share what stands before the first dot).

    Args:
        per_shard: recordings per tar file.
    """

    def __init__(self, *, per_shard: int = 1000) -> None:
        above_zero("webdataset", per_shard=per_shard)
        self._per_shard = per_shard

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        out.mkdir()
        shard: list[Sample] = []
        number = 0
        for sample in found:
            shard.append(sample)
            if len(shard) == self._per_shard:
                _write_shard(out / f"shard-{number:06d}.tar", shard)
                shard, number = [], number + 1
        if shard:
            _write_shard(out / f"shard-{number:06d}.tar", shard)

    def read(self, path: Path, out: Path, moved: Moved) -> None:
        tars = sorted(path.glob("*.tar")) if path.is_dir() else [path]
        if not tars:
            raise DataError(f"{path}: holds no .tar file. Expected the shards of a WebDataset.")
        ours = all(_is_ours(tar) for tar in tars)
        if not ours:
            _unpack(tars, out, moved)
            report = import_folder(out)
            moved.recordings = report.recordings
            return
        with CorpusWriter(out) as writer:
            for sample in (s for tar in tars for s in _read_shard(tar)):
                moved.note("ends of the intervals of numbers", add_sample(writer, sample))
                moved.recordings += 1
                moved.streams += len(sample.streams)


def _write_shard(path: Path, shard: list[Sample]) -> None:
    with replacing(path) as part, tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
        for sample in shard:
            key = encoded_name(sample.id)
            streams: dict[str, object] = {}
            for i, (name, piece) in enumerate(sample.streams.items()):
                # Members are numbered: a stream's name may hold a dot, which ends a sample's key.
                own = {**clock_facts(piece.clock), "member": f"s{i}"}
                grid = own["clock"] == "grid"
                if piece.words:
                    own["texts"] = [str(t) for t in piece.values]
                    own["edges"] = np.stack(piece.edges(), 1).tolist()
                else:
                    _member(tar, f"{key}.{own['member']}.npy", _npy(piece.values))
                    if not grid:
                        _member(tar, f"{key}.{own['member']}.times.npy", _npy(np.stack(piece.edges(), 1)))
                streams[name] = own
            about = {"format": "plait-sample-1", **sample.about(), "streams": streams}
            _member(tar, f"{key}.json", json.dumps(about, default=str).encode())


def _npy(values: NDArray[np.generic]) -> bytes:
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(values), allow_pickle=False)
    return out.getvalue()


def _member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    # No time and no owner: the same corpus gives the same bytes.
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the regular files in a tar file.

    Raises:
        DataError: it is not a tar file, is cut short, or a member is too large.
    """
    try:
        with tarfile.open(path, "r:*") as tar:
            for info in tar:
                if info.isfile():
                    # Before it is read: a header may promise more than there is memory.
                    if info.size > LARGEST:
                        raise DataError(f"{path}: {info.name} has {info.size} bytes; expected at most {LARGEST}.")
                    handle = tar.extractfile(info)
                    data = handle.read() if handle else b""
                    if len(data) != info.size:
                        raise DataError(f"{path}: ends within {info.name}; it is cut short. Fetch it anew.")
                    yield info.name, data
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as a tar file ({error}). Fetch it anew.") from error


def _key(name: str) -> tuple[str, str]:
    """A sample's key and the ending: what is before and after the first dot of a member's file name."""
    folder, _, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return f"{folder}/{stem}" if folder else stem, ending


def _grouped(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Samples: successive members with the same key."""
    key, parts = "", dict[str, bytes]()
    for name, data in _members(path):
        own, ending = _key(name)
        if parts and own != key:
            yield key, parts
            parts = {}
        key = own
        parts[ending] = data
    if parts:
        yield key, parts


def _is_ours(path: Path) -> bool:
    """Whether plait wrote the file, judged by its first sample."""
    for _, parts in _grouped(path):
        try:
            return bool(json.loads(parts.get("json", b"{}")).get("format") == "plait-sample-1")
        except (ValueError, AttributeError):
            return False
    return False


def _read_shard(path: Path) -> Iterator[Sample]:
    for key, parts in _grouped(path):
        try:
            about = json.loads(parts["json"])
            streams = {name: _piece(parts, own) for name, own in about["streams"].items()}
            annotations = tuple(Annotation(**a) for a in about["annotations"])
            known = {k: about[k] for k in ("labels", "meta", "group", "split")}
            yield Sample(about["id"], streams, annotations=annotations, **known)
        except (KeyError, ValueError, TypeError, AttributeError, EOFError) as error:
            raise DataError(f"{path}: sample {key!r} is not whole ({error!r}). Write the shard anew.") from error


def _piece(parts: Mapping[str, bytes], own: Mapping[str, object]) -> Piece:
    if "texts" in own:
        edges = np.array(own["edges"], np.float64).reshape(-1, 2)
        return Piece(np.array(own["texts"], object), clock_of(own, edges[:, 0], edges[:, 1]))
    values = np.load(io.BytesIO(parts[f"{own['member']}.npy"]), allow_pickle=False)
    if own["clock"] == "grid":
        at = np.zeros(len(values))
        return Piece(values, clock_of(own, at, at))
    edges = np.load(io.BytesIO(parts[f"{own['member']}.times.npy"]), allow_pickle=False)
    return Piece(values, clock_of(own, edges[:, 0], edges[:, 1]))


def _unpack(tars: list[Path], out: Path, moved: Moved) -> None:
    """Write every member as a file ``KEY.ENDING``, with its folders in its name, so that none leaves ``out``.

    The same key in another shard is another sample, as in WebDataset itself.
    """
    out.mkdir(parents=True, exist_ok=True)
    # Joined without a dot: what follows a dot would be taken for the name of a stream.
    files, homes = Names(lambda key: plain_name(key.replace("/", "-")), joint="-"), dict[str, Path]()
    for tar in tars:
        for name, data in _members(tar):
            key, ending = _key(name)
            again = [] if homes.setdefault(key, tar) == tar else [tar.stem]
            path = out / f"{files.of(key, *again)}.{plain_name(ending)}"
            if not ending or path.exists():
                moved.note("members whose names have no ending or occur twice")
                continue
            path.write_bytes(data)
            moved.streams += 1
