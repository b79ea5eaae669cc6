"""MCAP: files by the format's own writers, in all encodings that are read, and broken ones."""

from __future__ import annotations

import base64
import io
import json
import logging
import struct
import sys

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError, MissingExtra
from plait.readers import open_streams
from plait.readers._budget import USUAL
from plait.readers._mcap_file import index
from plait.readers._ros import RosDecoder
from plait.readers.mcap import Mcap
from plait.streams.clock import Ticks

writer = pytest.importorskip("mcap.writer")

VECTOR = "\n" + "=" * 80 + "\nMSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n"
TIME = "\n" + "=" * 80 + "\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
HEADER = "\n" + "=" * 80 + "\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n" + TIME
IMU = "std_msgs/Header header\ngeometry_msgs/Vector3 turn\nfloat32[] ranges\nbool on\nint8 n\n" + HEADER + VECTOR


def _write(path, topics, *, chunked=True, packing="ZSTD", **options):
    """Topics by name: (message encoding, schema name, schema encoding, schema, [(log time ns, bytes)])."""
    with open(path, "wb") as file:
        kind = getattr(writer.CompressionType, packing)
        out = writer.Writer(file, compression=kind, use_chunking=chunked, chunk_size=400, **options)
        out.start()
        rows = []
        for topic, (encoding, name, coding, schema, messages) in topics.items():
            number = out.register_schema(name, coding, schema) if coding else 0
            channel = out.register_channel(topic, encoding, number)
            rows += [(at, channel, data) for at, data in messages]
        for at, channel, data in sorted(rows):
            out.add_message(channel, at, data, at + 10)
        out.finish()
    return path


def _json(values, step=10**8, first=0):
    return ("json", "", "", b"", [(first + i * step, json.dumps(v).encode()) for i, v in enumerate(values)])


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("packing", ["ZSTD", "LZ4", "NONE"])
def test_topics_become_streams_whatever_the_packing(tmp_path, packing, chunked):
    pose = [{"x": i, "at": {"y": i / 2, "ok": i % 2 == 0}, "name": "a"} for i in range(30)]
    said = [{"data": f"word {i}"} for i in range(4)]
    topics = {"/robot/pose": _json(pose), "/said": _json(said, 10**9, 5)}
    found = open_streams(_write(tmp_path / "a.mcap", topics, packing=packing, chunked=chunked))
    stream = found["robot_pose"]
    assert (stream.channels, stream.clock) == (("x", "at.y", "at.ok"), Ticks(np.arange(30) / 10))
    assert stream.read().tolist() == [[i, i / 2, float(i % 2 == 0)] for i in range(30)]
    assert stream.cut(0.95, 1.25).read()[:, 0].tolist() == [10, 11, 12]
    assert found["said"].read().tolist() == [f"word {i}" for i in range(4)]


def test_files_without_index_or_summary_are_read_too(tmp_path):
    topics = {"/x": _json([{"x": i} for i in range(50)])}
    kinds = writer.IndexType
    bare = {"index_types": kinds.NONE, "repeat_channels": False, "repeat_schemas": False, "use_statistics": False}
    found = open_streams(_write(tmp_path / "a.mcap", topics, **bare))
    assert found["x"].read()[:, 0].tolist() == list(range(50))
    half = {**bare, "index_types": kinds.MESSAGE}
    assert len(open_streams(_write(tmp_path / "b.mcap", topics, **half))["x"]) == 50


def test_chunks_are_not_unpacked_on_opening(tmp_path, monkeypatch):
    import plait.readers._mcap_file as module

    path = _write(tmp_path / "a.mcap", {"/x": _json([{"x": i} for i in range(200)])})
    unpacked = []
    whole = module.unpack
    monkeypatch.setattr(module, "unpack", lambda *args: unpacked.append(1) or whole(*args))
    stream = open_streams(path)["x"]
    assert len(unpacked) == 1  # the first message shows what there is
    stream[190:].read()
    assert len(unpacked) <= 5


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("packing", ["ZSTD", "LZ4", "NONE"])
def test_messages_and_times_are_those_of_mcap(tmp_path, packing, chunked):
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 10**12, 120)).tolist()
    topics = {
        name: ("json", "", "", b"", [(t, json.dumps({"x": t, "pad": "p" * (t % 50)}).encode()) for t in times[k::3]])
        for k, name in enumerate(("/a", "/b", "/c"))
    }
    path = _write(tmp_path / "a.mcap", topics, packing=packing, chunked=chunked)
    with open(path, "rb") as file:
        theirs = [
            (c.topic, m.log_time, m.data)
            for _, c, m in pytest.importorskip("mcap.reader").make_reader(file).iter_messages()
        ]
    found = index(path, USUAL)
    ours = {c.topic: found.messages(k) for k, c in found.channels.items()}
    for topic, messages in ours.items():
        own = [(t, data) for name, t, data in theirs if name == topic]
        assert messages.times.tolist() == [t for t, _ in own]
        order = rng.permutation(len(messages)).tolist()
        assert [data for _, data in messages.read(order)] == [own[i][1] for i in order]


def test_ros2_messages_are_those_of_mcap_ros2(tmp_path):
    ros2 = pytest.importorskip("mcap_ros2.writer")
    path = tmp_path / "ros2.mcap"
    with open(path, "wb") as file:
        out = ros2.Writer(file)
        schema = out.register_msgdef("test_msgs/msg/Imu", IMU)
        for i in range(9):
            message = {
                "header": {"stamp": {"sec": 100 + i, "nanosec": 250_000_000}, "frame_id": "map" * i},
                "turn": {"x": i / 7, "y": -i, "z": 1e9}, "ranges": [0.5 * i, 2.0, -1.5], "on": i % 3 == 0, "n": -i,
            }  # fmt: skip
            out.write_message("/imu", schema, message, log_time=i * 10**9, publish_time=i * 10**9 + 1)
        out.finish()
    stream = open_streams(path)["imu"]
    assert stream.channels == ("turn.x", "turn.y", "turn.z", "ranges.0", "ranges.1", "ranges.2", "on", "n")
    want = [[i / 7, -i, 1e9, 0.5 * i, 2, -1.5, float(i % 3 == 0), -i] for i in range(9)]
    assert stream.read().tolist() == want
    assert Mcap(time="stamp").open(path)["imu"].clock == Ticks(100.25 + np.arange(9))
    assert Mcap(time="publish").open(path)["imu"].clock == Ticks(np.arange(9) + 1e-9)
    assert Mcap(fields=["turn", "n"]).open(path)["imu"].channels == ("turn.x", "turn.y", "turn.z", "n")
    stamps = Mcap(fields=["header.stamp"]).open(path)["imu"]
    assert stamps.read()[:2, 0].tolist() == [100.25, 101.25]


EMPTY = (
    "a/Nothing none\nfloat64 x\na/Nothing[2] pair\nint8 n\na/Nothing[] many\nuint16 m\na/Holds holds\nfloat32 z\n"
    + "".join(f"{'=' * 80}\nMSG: {head}\n{body}\n" for head, body in (("a/Nothing", "uint8 K=3"),
                                                                       ("a/Holds", "a/Nothing none")))
)  # fmt: skip


def test_an_empty_message_of_ros2_takes_a_byte_and_moves_nothing_behind_it():
    """Bytes as the serialiser of rosbags writes them; in ROS 1 an empty message takes none."""
    cdr = bytes.fromhex(
        "00010000" "00" "00000000000000" "000000000000f83f" "0000" "fd" "00" "03000000" "000000" "00" "4d00" "00" "00"
        "00002040".replace(" ", "")
    )  # fmt: skip
    found = RosDecoder("a/msg/Main", EMPTY, ros1=False)(cdr)
    assert {k: found[k] for k in "xnmz"} == {"x": 1.5, "n": -3, "m": 77, "z": 2.5}
    assert [len(found[k]) for k in ("none", "pair", "many", "holds")] == [0, 2, 3, 1]
    ros1 = struct.pack("<dbIHf", 1.5, -3, 3, 77, 2.5)
    assert RosDecoder("a/Main", EMPTY, ros1=True)(ros1) == found
    signed = RosDecoder("a/B", "byte b\nchar c\n", ros1=True)(b"\xff\xff")
    assert signed == {"b": -1, "c": 255}  # as genpy reads them
    assert RosDecoder("a/msg/B", "byte b\nchar c\n", ros1=False)(b"\0\1\0\0\xff\xff") == {"b": 255, "c": 255}
    with pytest.raises(ValueError, match="shorter than its definition"):
        RosDecoder("a/msg/Holds", "a/Nothing none\n" + "=" * 80 + "\nMSG: a/Nothing\n", ros1=False)(bytes(4))


def test_ros1_messages_are_those_of_mcap_ros1(tmp_path):
    pytest.importorskip("mcap_ros1.writer")
    text = "Header header\nduration left\nfloat32[2] xy\nstring[] names\nbyte b\n" + "=" * 80
    text += "\nMSG: std_msgs/Header\nuint32 seq\ntime stamp\nstring frame_id\n"
    decode = RosDecoder("pkg/State", text, ros1=True)
    data = struct.pack("<IIII3s", 7, 12, 500, 3, b"map") + struct.pack("<ii2f", -2, -5, 0.5, 1.5)
    data += struct.pack("<II2sI1sB", 2, 2, b"ab", 1, b"c", 9)
    from mcap_ros1._vendor.genpy.dynamic import generate_dynamic

    other = generate_dynamic("pkg/State", text)["pkg/State"]()
    other.deserialize(data)
    got = decode(data)
    assert (got["header"]["seq"], got["header"]["frame_id"]) == (other.header.seq, other.header.frame_id) == (7, "map")
    assert got["header"]["stamp"] == {"sec": other.header.stamp.secs, "nanosec": other.header.stamp.nsecs}
    assert got["left"]["sec"] + got["left"]["nanosec"] / 1e9 == other.left.to_sec() == -2 - 5e-9
    assert (got["xy"].tolist(), got["names"], got["b"]) == (list(other.xy), list(other.names), other.b)
    topics = {"/state": ("ros1", "pkg/State", "ros1msg", text.encode(), [(i, data) for i in range(3)])}
    stream = open_streams(_write(tmp_path / "a.mcap", topics))["state"]
    assert stream.channels == ("left", "xy.0", "xy.1", "b")
    assert stream.read()[0].tolist() == [-2 - 5e-9, 0.5, 1.5, 9]


def test_protobuf_messages(tmp_path):
    pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    support = pytest.importorskip("mcap_protobuf.writer")
    from google.protobuf import descriptor_pool, message_factory, timestamp_pb2

    file = pb2.FileDescriptorProto(name="pose.proto", package="lab", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    kind = file.message_type.add(name="Pose")
    field = pb2.FieldDescriptorProto
    for number, (name, type_, repeated) in enumerate(
        [("x", field.TYPE_DOUBLE, False), ("axes", field.TYPE_FLOAT, True), ("note", field.TYPE_STRING, False)], 1
    ):
        label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
        kind.field.add(name=name, number=number, type=type_, label=label)
    kind.field.add(name="stamp", number=9, type=field.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp", label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName("lab.Pose"))
    path = tmp_path / "a.mcap"
    with open(path, "wb") as target, support.Writer(target) as out:
        for i in range(5):
            message = cls(x=i / 3, axes=[i, 0.5], note="n")
            message.stamp.seconds, message.stamp.nanos = 50 + i, 500_000_000
            out.write_message("/pose", message, log_time=i * 10**9, publish_time=i * 10**9)
    stream = Mcap(time="stamp").open(path)["pose"]
    assert (stream.channels, stream.clock) == (("x", "axes.0", "axes.1", "stamp"), Ticks(50.5 + np.arange(5)))
    assert stream.read()[2].tolist() == [2 / 3, 2, 0.5, 52.5]


def test_pictures_become_frames(tmp_path):
    import cv2

    rgb = np.random.default_rng(0).integers(0, 255, (3, 6, 8, 3)).astype(np.uint8)
    png = [cv2.imencode(".png", p[..., ::-1])[1].tobytes() for p in rgb]
    raw = "uint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\nuint8[] data\n"
    grey = [
        b"\0\1\0\0" + struct.pack("<III6sBxII", 6, 8, 6, b"mono8\0", 0, 10, 60)
        + np.pad(p[..., 0], ((0, 0), (0, 2))).tobytes() for p in rgb
    ]  # fmt: skip
    topics = {
        "/eye": _json([{"format": "png", "data": base64.b64encode(p).decode()} for p in png]),
        "/raw": ("cdr", "sensor_msgs/msg/Image", "ros2msg", raw.encode(), [(i, data) for i, data in enumerate(grey)]),
    }
    found = open_streams(_write(tmp_path / "a.mcap", topics))
    assert (found["eye"].kind, found["eye"].shape) == ("frames", (3, 6, 8, 3))
    assert np.array_equal(found["eye"].read(), rgb)
    assert np.array_equal(found["raw"].read(), np.repeat(rgb[..., :1], 3, 3))


def test_what_a_later_message_lacks_is_nan_and_what_it_has_more_is_told(tmp_path, caplog):
    path = _write(tmp_path / "a.mcap", {"/x": _json([{"a": [1, 2]}, {"a": [3]}, {"a": [4, 5, 6], "b": 1}])})
    with caplog.at_level(logging.WARNING, "plait"):
        values = open_streams(path)["x"].read()
    assert np.array_equal(values, [[1, 2], [3, np.nan], [4, 5]], equal_nan=True)
    assert "message 2 holds 2 numbers that the first one lacks (a.2 ...)" in caplog.text


def test_topics_that_are_not_read_are_told(tmp_path, caplog):
    unknown = ("cdr", "a/B", "ros2idl", b"module a {}", [(0, b"\0\1\0\0")])
    path = _write(tmp_path / "a.mcap", {"/x": _json([{"a": 1}]), "/y": unknown})
    with caplog.at_level(logging.WARNING, "plait"):
        assert list(open_streams(path)) == ["x"]
    assert "topics left out: /y (its messages are 'cdr' by a schema in 'ros2idl', which is not read)" in caplog.text
    with pytest.raises(DataError, match=r"topic /y .* cannot be read"):
        Mcap(topics=["/y"]).open(path)
    with pytest.raises(DataError, match="has no topic '/z' with messages"):
        Mcap(topics=["/z"]).open(path)
    with pytest.raises(ConfigError, match=r"mcap\.time"):
        Mcap(time="sent")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[:-30], "does not end as an MCAP file does: it is cut short"),
        (lambda d: b"x" + d, "is no MCAP file"),
        (lambda d: d.replace(b'{"x": 7}', b'{"x": oo'), "message 7 does not decode"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path, change, message):
    path = _write(tmp_path / "a.mcap", {"/x": _json([{"x": i} for i in range(9)])}, chunked=False)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        open_streams(path)["x"].read()


def test_a_damaged_chunk_is_noticed(tmp_path):
    path = _write(tmp_path / "a.mcap", {"/x": _json([{"x": i} for i in range(40)])}, packing="NONE", enable_crcs=True)
    path.write_bytes(path.read_bytes().replace(b'{"x": 33}', b'{"x": 99}'))
    with pytest.raises(DataError, match="its length or checksum is another than it says"):
        open_streams(path)["x"].read()


def test_what_unpacks_is_an_extra(tmp_path, monkeypatch):
    path = _write(tmp_path / "a.mcap", {"/x": _json([{"x": 1}])})
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtra, match=r"plait\[formats\]"):
        open_streams(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("float64", "a line of its definition is 'float64'"),
        ("other/Thing x", "the definition of other/Thing is missing"),
        ("a/B b\n" + "=" * 80 + "\nMSG: a/B\na/B inner", "holds itself"),
    ],
)
def test_definitions_that_make_no_sense(text, message):
    with pytest.raises(ValueError, match=message):
        RosDecoder("a/msg/Top", text, ros1=False)


def test_messages_of_nothing_cannot_be_endless():
    text = "a/E[] all\n" + "=" * 80 + "\nMSG: a/E\n"
    with pytest.raises(ValueError, match="more parts than bytes"):
        RosDecoder("a/msg/Top", text, ros1=True)(struct.pack("<I", 2**32 - 1))
    with pytest.raises(ValueError, match="shorter than its definition"):
        RosDecoder("a/msg/Top", "float64[1000000000] x", ros1=True)(io.BytesIO(bytes(100)).getvalue())
    text = "a/E[] all\n" + "=" * 80 + "\nMSG: a/E\nuint8[4] x\n"
    with pytest.raises(ValueError, match="more parts than bytes"):
        RosDecoder("a/msg/Top", text, ros1=False)(b"\0\1\0\0" + struct.pack("<I", 2**32 - 1))
