"""Readers that are plait's own, beside the libraries that could do their work; and what the gate before HDF5 costs.

Needs: edfio, mcap, mcap-ros2-support, pyedflib and webvtt-py (extra `bench`).
Takes: half a minute; 150 MB in the folder for temporary files.

python benchmarks/readers.py

Each line is the best of some runs; a ratio above 1 says that plait's is faster.
"""

from __future__ import annotations

import json
import struct
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import needs
import numpy as np
from targets import finish, target

from plait.readers._ros import RosDecoder
from plait.readers._webvtt import cues_of
from plait.readers.csd import Csd
from plait.readers.edf import Edf
from plait.readers.mcap import Mcap

Row = tuple[str, str, float, float]
"""What is done, by which library, and the milliseconds that plait and the library take."""

SCAN = "float32[] ranges\n"
VECTORS = "geometry_msgs/Vector3 turn\ngeometry_msgs/Vector3 force\nfloat64[9] covariance\n" + "=" * 80
VECTORS += "\nMSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n"


def milliseconds(work: Callable[[], Any], runs: int = 3) -> float:
    best = np.inf
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return 1000 * float(best)


def all_of(decode: Callable[[bytes], Any], messages: list[bytes]) -> list[Any]:
    return [decode(message) for message in messages]


def edf(folder: Path) -> list[Row]:
    """A night of 32 channels at 256 Hz, cut to half an hour."""
    import edfio
    import pyedflib

    path, rate, seconds = folder / "night.edf", 256, 1800
    noise = np.random.default_rng(0).uniform(-150, 150, (32, rate * seconds))
    signals = [edfio.EdfSignal(x, rate, label=f"E{i}", physical_range=(-200, 200)) for i, x in enumerate(noise)]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(0.5, None, "on")]).write(path)
    stream = Edf().open(path)["signals"]
    theirs = edfio.read_edf(path)
    a, b = 600 * rate, 610 * rate

    def by_edfio() -> Any:
        return np.stack([s.get_data_slice(600, 610) for s in theirs.signals], 1)

    with pyedflib.EdfReader(str(path)) as other:

        def by_pyedflib() -> Any:
            return np.stack([other.readSignal(k, a, b - a) for k in range(32)], 1)

        assert np.abs(stream[a:b].read() - by_edfio()).max() < 1e-9
        assert np.abs(stream[a:b].read() - by_pyedflib()).max() < 1e-9
        ours = milliseconds(lambda: stream[a:b].read(), 9)
        return [
            ("EDF: 10 s of 32 channels", "edfio", ours, milliseconds(by_edfio, 9)),
            ("EDF: 10 s of 32 channels", "pyedflib", ours, milliseconds(by_pyedflib, 9)),
        ]


def webvtt(folder: Path) -> list[Row]:
    """5,000 cues with identifiers, settings, tags and notes between them."""
    import webvtt as library

    def stamp(i: int) -> str:
        return f"{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}.000"

    text = "WEBVTT\n\n" + "".join(
        f"NOTE {i}\n\nid{i}\n{stamp(i)} --> {stamp(i + 1)} align:start\n<v Ann>line {i}</v>\nand more\n\n"
        for i in range(5000)
    )
    assert [c.raw_text for c in library.from_string(text)] == [body for _, _, body in cues_of(text).rows]
    return [
        (
            "WebVTT: 5,000 cues",
            "webvtt-py",
            milliseconds(lambda: cues_of(text)),
            milliseconds(lambda: library.from_string(text)),
        )
    ]


def ros(folder: Path) -> list[Row]:
    """Many small messages, and few with an array each."""
    from mcap_ros2._dynamic import generate_dynamic

    small = [b"\0\1\0\0" + struct.pack("<15d", *range(i, i + 15)) for i in range(5000)]
    large = [b"\0\1\0\0" + struct.pack("<I", 1000) + np.arange(1000, dtype="<f4").tobytes()] * 300
    rows = []
    for what, text, messages in (("5,000 of 15 numbers", VECTORS, small), ("300 of 1,000 numbers", SCAN, large)):
        ours = RosDecoder("a/msg/M", text, ros1=False)
        theirs = generate_dynamic("a/M", text)["a/M"]
        own, other = (milliseconds(partial(all_of, decode, messages)) for decode in (ours, theirs))
        rows.append((f"ROS 2: {what}", "mcap-ros2-support", own, other))
    return rows


def mcap(folder: Path) -> list[Row]:
    """Three topics of 200,000 messages in chunks of 1 MiB."""
    from mcap.data_stream import ReadDataStream
    from mcap.reader import make_reader
    from mcap.records import MessageIndex
    from mcap.writer import Writer

    path, step = folder / "walk.mcap", 10**6
    with open(path, "wb") as file:
        out = Writer(file)
        out.start()
        topics = [out.register_channel(f"/{name}", "json", 0) for name in "xyz"]
        for i in range(200_000):
            out.add_message(topics[i % 3], i * step, json.dumps({"x": i, "y": [1, 2.5]}).encode(), i * step)
        out.finish()
    stream = Mcap(topics=["/x"]).open(path)["x"]

    def times() -> list[Any]:
        """What opening needs: when each message was."""
        with open(path, "rb") as file:
            summary = make_reader(file).get_summary()
            assert summary is not None
            found = []
            for chunk in summary.chunk_indexes:
                for offset in chunk.message_index_offsets.values():
                    file.seek(offset + 9)
                    found.append(MessageIndex.read(ReadDataStream(file)))
            return found

    def blocks(read: Callable[[int, int], Any]) -> None:
        for lo in range(0, 20_000, 500):
            read(lo, lo + 500)

    def theirs(lo: int, hi: int) -> list[Any]:
        with open(path, "rb") as file:
            found = make_reader(file).iter_messages(["/x"], starting_at=3 * lo * step, ending_before=3 * hi * step)
            return [json.loads(message.data) for _, _, message in found]

    assert [m["x"] for m in theirs(500, 600)] == stream[500:600].read()[:, 0].tolist()
    return [
        ("MCAP: opening 200,000 messages", "mcap", milliseconds(lambda: Mcap().open(path)), milliseconds(times)),
        (
            "MCAP: 40 blocks of 500",
            "mcap",
            milliseconds(lambda: blocks(lambda lo, hi: stream[lo:hi].read()), 2),
            milliseconds(lambda: blocks(theirs), 2),
        ),
    ]


def hdf5(folder: Path) -> list[Row]:
    """A sequence of 2,000 recordings, by h5py behind the gate and without it."""
    import h5py

    path, rng = folder / "face.csd", np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for i in range(2000):
            n = int(rng.integers(20, 400))
            file[f"A/data/v{i}/features"] = rng.normal(size=(n, 74)).astype("f4")
            file[f"A/data/v{i}/intervals"] = np.stack([np.arange(n), np.arange(n) + 1], 1) / 10.0
    (stream,) = Csd(recording="v7").open(path).values()

    def contents() -> Any:
        with h5py.File(path, locking=False) as file:
            return {key: (own["features"].shape, own["intervals"][()]) for key, own in file["A/data"].items()}

    def one() -> Any:
        with h5py.File(path, locking=False) as file:
            return file["A/data/v7/features"][:]

    assert np.array_equal(stream.read(), one())
    return [
        ("HDF5: opening 2,000 recordings", "h5py", milliseconds(lambda: Csd().open(path)), milliseconds(contents)),
        ("HDF5: reading one", "h5py", milliseconds(stream.read, 20), milliseconds(one, 20)),
    ]


def main() -> None:
    needs.check(packages=["edfio", "mcap", "mcap_ros2", "pyedflib", "webvtt"])
    rows: list[Row] = []
    for measure in (edf, webvtt, ros, mcap, hdf5):
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(Path(folder))
    print(f"{'what':<34}{'library':<20}{'plait':>10}{'library':>10}{'ratio':>8}")
    for what, library, ours, theirs in rows:
        print(f"{what:<34}{library:<20}{ours:>7.1f} ms{theirs:>7.1f} ms{theirs / ours:>8.2f}")
    gate = [ours - theirs for what, library, ours, theirs in rows if what == "HDF5: reading one"]
    finish(
        [target("what the gate adds to a reading, ms", gate[0], "<=", 5)],
        rows=[dict(zip(("what", "library", "plait_ms", "library_ms"), row)) for row in rows],
    )


if __name__ == "__main__":
    main()
