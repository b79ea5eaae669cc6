"""Small files that claim, unpack to or hold absurd amounts, made by code; none may cost more than a broken one."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from plait.testing.fuzz import Case

__all__ = ["make_bombs"]

MB = 1 << 20
_BOMBS: list[Callable[[Path], Iterator[Case]]] = []


def make_bombs(folder: Path) -> list[Case]:
    """All of them, written into ``folder``."""
    return [case for make in _BOMBS for case in make(folder)]


def bomb(make: Callable[[Path], Iterator[Case]]) -> Callable[[Path], Iterator[Case]]:
    _BOMBS.append(make)
    return make


def _case(reader: str, path: Path, data: bytes | str = b"", **options: Any) -> Case:
    if data:
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return Case(reader, path, options)


# ---- MCAP


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(content)) + content


def _chunk(records: bytes, packing: str = "zstd") -> bytes:
    import lz4.frame
    import zstandard

    packed = {"zstd": zstandard.ZstdCompressor(1).compress, "lz4": lz4.frame.compress}[packing](records)
    head = struct.pack("<QQQII", 0, 0, len(records), 0, len(packing)) + packing.encode()
    return _record(6, head + struct.pack("<Q", len(packed)) + packed)


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode()


def _mcap(*records: bytes) -> bytes:
    magic = b"\x89MCAP0\r\n"
    return magic + b"".join(records) + magic


CHANNEL = _record(4, struct.pack("<HH", 1, 0) + _text("/x") + _text("json") + struct.pack("<I", 0))
MESSAGE = _record(5, struct.pack("<HIQQ", 1, 0, 0, 0) + b'{"x":1}')


@bomb
def _mcap_bombs(folder: Path) -> Iterator[Case]:
    tiny, zeros = b"\x7f" + bytes(8), bytes(80 * MB)
    many = _chunk(CHANNEL + MESSAGE + tiny * (80 * MB // len(tiny)))
    yield _case("mcap", folder / "tiny_records.mcap", _mcap(many))
    yield _case("mcap", folder / "messages.mcap", _mcap(_chunk(CHANNEL + MESSAGE * (80 * MB // len(MESSAGE)))))
    yield _case("mcap", folder / "lz4.mcap", _mcap(_chunk(CHANNEL + MESSAGE + tiny * (60 * MB // 9), "lz4")))
    half = _chunk(CHANNEL + MESSAGE + _record(127, zeros[: 60 * MB]))
    yield _case("mcap", folder / "many_chunks.mcap", _mcap(*[half] * 300))
    index = b"".join(_record(7, struct.pack("<HIQQ", i, 16, 0, 0)) for i in range(2, 60_000))
    yield _case("mcap", folder / "strange_channels.mcap", _mcap(half, index))
    twins = b"".join(CHANNEL.replace(struct.pack("<HH", 1, 0), struct.pack("<HH", i, 0)) for i in range(20_000))
    at = struct.pack("<QQ", 0, len(twins))
    index = b"".join(_record(7, struct.pack("<HI", i, 16) + at) for i in range(20_000))
    same = _chunk(twins + MESSAGE + _record(127, zeros[: 60 * MB]))
    for time in ("log", "stamp"):
        yield _case("mcap", folder / f"channels_{time}.mcap", _mcap(same, index), time=time)
    types = "".join(f"{'=' * 80}\nMSG: a/T{i}\n" + f"T{i + 1} x{{}}\n".format(i) * 9 for i in range(18))
    schema = _text("a/T0") + _text("ros2msg") + _text(f"T0 x\n{types}{'=' * 80}\nMSG: a/T18\nint8 x\n")
    channel = _record(4, struct.pack("<HH", 1, 1) + _text("/x") + _text("cdr") + struct.pack("<I", 0))
    yield _case(
        "mcap",
        folder / "types.mcap",
        _mcap(_record(3, struct.pack("<H", 1) + schema), channel, MESSAGE[:31] + b"\0\1\0\0" + bytes(3)),
    )
    pairs = struct.pack("<QQ", 0, len(CHANNEL)) * 100
    indexed = b"".join(half + _record(7, struct.pack("<HI", 1, len(pairs)) + pairs) for _ in range(60))
    yield _case("mcap", folder / "many_reads.mcap", _mcap(indexed))


# ---- archives


@bomb
def _archives(folder: Path) -> Iterator[Case]:
    head = {"BVP": "0\n64\n", "ACC": "0,0,0\n32,32,32\n"}
    for name, size, way in (
        ("deflated", 80 * MB, 8),
        ("packed_by_lzma", MB, 14),
        ("lines", 30 * MB, 8),
        ("last", 15 * MB, 8),
    ):
        with zipfile.ZipFile(folder / f"{name}.zip", "w", way) as archive:
            for sensor, text in head.items():
                rows = "1\n" * (size // 2) + "x\n" * (name == "last") if sensor == "BVP" else "1,1,1\n" * 5
                archive.writestr(f"{sensor}.csv", text + rows)
        yield _case("e4", folder / f"{name}.zip")
    with zipfile.ZipFile(folder / "deflated.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", _npy((80 * MB,), "|u1", bytes(80 * MB)))
    yield _case("array", folder / "deflated.npz")
    for name, shape in (("claims", (10**15,)), ("wraps", (2**62, 2**62)), ("rows_of_nothing", (2**62, 0))):
        with zipfile.ZipFile(folder / f"{name}.npz", "w") as archive:
            archive.writestr("x.npy", _npy(shape, "<f8", bytes(64)))
        yield _case("array", folder / f"{name}.npz")
        yield _case("array", folder / f"{name}.npy", _npy(shape, "<f8", bytes(64)))
    with zipfile.ZipFile(folder / "words.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", _npy((15 * MB,), "<U1", bytes(60 * MB)))
    yield _case("array", folder / "words.npz", variable="x")


def _npy(shape: tuple[int, ...], dtype: str, data: bytes) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue() + data


# ---- MATLAB and HDF5


@bomb
def _matlab(folder: Path) -> Iterator[Case]:
    import scipy.io

    scipy.io.savemat(folder / "packed.mat", {"x": np.zeros(10 * MB)}, do_compression=True)
    yield _case("array", folder / "packed.mat")
    element = bytearray(120) + struct.pack("<2I", 0, 0) + b""
    claim = struct.pack("<14I", 14, 2**31, 6, 8, 6, 0, 5, 8, 2**27, 2**3, 1 | 1 << 16, 120, 9, 2**31)
    packed = zlib.compress(claim)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    yield _case("array", folder / "claims.mat", head + struct.pack("<2I", 15, len(packed)) + packed + bytes(element))


@bomb
def _hdf5(folder: Path) -> Iterator[Case]:
    import h5py

    def sequence(name: str, **how: Any) -> Path:
        with h5py.File(folder / name, "w") as file:
            own = file.create_group("A/data/a")
            n = how.pop("n")
            own.create_dataset("features", (n, 1), dtype="f4", **how)
            own["features"][...] = np.zeros((n, 1), "f4")
            own["intervals"] = np.stack([np.arange(3), np.arange(3) + 1], 1) / 4.0
        return folder / name

    deflated = sequence("deflated.csd", n=18 * MB, chunks=(18 * MB, 1), compression="gzip")
    data = deflated.read_bytes().replace(struct.pack("<2Q", 3, 2), struct.pack("<2Q", 18 * MB, 2))
    yield _case("csd", deflated, data)
    with h5py.File(folder / "deflated73.mat", "w") as file:
        file.create_dataset("x", data=np.zeros(10 * MB), chunks=(MB,), compression="gzip")
    yield _case("array", folder / "deflated73.mat")
    with h5py.File(folder / "links.csd", "w") as file:
        group = file.create_group("A")
        for i in range(1200):
            group[f"g{i}"] = group
        for i in range(1200):
            file[f"h{i}"] = group
    yield _case("csd", folder / "links.csd")
    yield from _filters(folder)


def _filters(folder: Path) -> Iterator[Case]:
    """A chunk that was deflated twice, or shuffled twice."""
    import h5py

    n = 2 * MB
    path = folder / "filters73.mat"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.zeros(n, "f8"), chunks=(n,), compression="gzip", shuffle=True)
    data = path.read_bytes()
    shuffle, deflate = (data.index(struct.pack("<4H", number, 8, 1, 1)) for number in (2, 1))
    for name, target, source in (("deflate", shuffle, deflate), ("shuffle", deflate, shuffle)):
        twice = bytearray(data)
        twice[target : target + 8] = data[source : source + 8]
        yield _case("array", folder / f"{name}_twice.mat", bytes(twice))


# ---- tables


@bomb
def _tables(folder: Path) -> Iterator[Case]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    zeros = pa.array(np.zeros(MB, np.int32))
    times = pa.chunked_array([zeros] * 20)
    for packing in ("none", "zstd"):
        pq.write_table(pa.table({"t": times, "x": times}), folder / f"{packing}.parquet", compression=packing)
        yield _case("table", folder / f"{packing}.parquet", rate=1)
    pq.write_table(pa.table({"t": zeros[:80], "x": ["x" * MB] * 80}), folder / "long_texts.parquet")
    yield _case("table", folder / "long_texts.parquet", rate=1, columns=["x"])
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(MB, np.int32)), pa.array(["x" * MB]))
    pq.write_table(pa.table({"t": zeros, "x": text}), folder / "one_text.parquet", compression="zstd")
    yield _case("table", folder / "one_text.parquet", rate=1)
    yield _case(
        "table", folder / "one_text_named.parquet", (folder / "one_text.parquet").read_bytes(), rate=1, columns=["x"]
    )
    columns = ",".join(f"c{i}" for i in range(100_000))
    yield _case("table", folder / "columns.csv", f"{columns}\n{'1,' * 99_999}1\n", rate=1)
    yield _case("table", folder / "quotes.csv", 't,x\n0,"' + '""' * MB + "\n")


# ---- texts


@bomb
def _texts(folder: Path) -> Iterator[Case]:
    points = [{"frame": n, "landmarks": [[0.5, 0.5]] * 20_000} for n in (0, 99_999)]
    yield _case("keypoints", folder / "a.pose.json", json.dumps(points))
    yield _case("keypoints", folder / "digits.pose.json", '[{"frame": ' + "9" * 100_000 + "}]")
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0 2 <exists> '
    yield _case("text_grid", folder / "count.TextGrid", head + '1 "IntervalTier" "a" 0 2 999999999 ' + " " * 10**6)
    yield _case("text_grid", folder / "quotes.TextGrid", head + '1 "IntervalTier" "a" 0 2 1 0 2 ' + '"' * 999_999)
    yield _case("text_grid", folder / "tiers.TextGrid", head + "20000 " + '"TextTier" "a" 0 2 0\n' * 20_000)
    for ending, first in (("srt", ""), ("vtt", "WEBVTT\n\n")):
        yield _case(
            "subtitles", folder / f"angles.{ending}", first + "00:00:01.000 --> 00:00:02.000\n" + "<a " * 300_000
        )
        yield _case("subtitles", folder / f"arrows.{ending}", first + "--> " * 300_000)
        yield _case(
            "subtitles", folder / f"digits.{ending}", first + "9" * 300_000 + ":00:01.000 --> 00:00:02.000\nx\n"
        )
    names = "".join(f"<n{i}>1</n{i}>" for i in range(90))
    point = '<trkpt lat="1" lon="2"><time>2026-03-01T12:00:00Z</time></trkpt>'
    gpx = point.replace("</trkpt>", names + "</trkpt>") + point * 12_000
    yield _case("gpx", folder / "names.gpx", f"<gpx><trk><trkseg>{gpx}</trkseg></trk></gpx>", on_disorder="sort")
    yield _case("elan", folder / "chain.eaf", _chain(4000))


def _chain(n: int) -> str:
    """Tiers that lean on each other in the order in which they do not stand."""
    slots = [f"s{i}" for i in range(2 * n + 2)]
    known = {0: 0, 2 * n + 1: 10**6}
    times = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{s}"' + (f' TIME_VALUE="{known[i]}"' if i in known else "") + "/>"
        for i, s in enumerate(slots)
    )
    one = (
        '<TIER TIER_ID="t{0}"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{0}" TIME_SLOT_REF1="s{1}" '
        'TIME_SLOT_REF2="s{2}"/></ANNOTATION><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="b{0}" '
        'TIME_SLOT_REF1="s{2}" TIME_SLOT_REF2="s{3}"/></ANNOTATION></TIER>'
    )
    tiers = "".join(one.format(i, i, i + 1, 2 * n + 1) for i in reversed(range(n)))
    return f"<ANNOTATION_DOCUMENT><TIME_ORDER>{times}</TIME_ORDER>{tiers}</ANNOTATION_DOCUMENT>"


# ---- physiology


@bomb
def _edf(folder: Path) -> Iterator[Case]:
    def file(count: int, records: str, duration: str, samples: str, data: bytes) -> bytes:
        texts = (("0", 8), ("X", 80), ("X", 80), ("02.03.26", 8), ("12.00.05", 8), (str(256 * (count + 1)), 8))
        texts += (("EDF+D", 44), (records, 8), (duration, 8), (str(count), 4))
        fields = [
            ("a", 16),
            ("", 80),
            ("uV", 8),
            ("-1", 8),
            ("1", 8),
            ("-9", 8),
            ("9", 8),
            ("", 80),
            (samples, 8),
            ("", 32),
        ]
        head = "".join(text.ljust(size) for text, size in texts)
        return (head + "".join(text.ljust(size) * count for text, size in fields)).encode() + data

    yield _case("edf", folder / "records.edf", file(1, "99999999", "1", "1", b""))
    yield _case("edf", folder / "samples.edf", file(1, "-1", "1e-99", "99999999", bytes(64)))
    yield _case("edf", folder / "signals.edf", file(9999, "1", "1e7", "1", bytes(2 * 9999)))
    notes = file(1, "-1", "0", "1", b"").replace(b"a".ljust(16), b"EDF Annotations ")
    yield _case("edf", folder / "notes.edf", notes + bytes(2 * 10**6))
