"""Small valid files of every format that a reader reads, made by code; what fuzzing breaks."""

from __future__ import annotations

import base64
import json
import struct
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from plait.testing.fuzz import Seed

__all__ = ["SEEDS", "make_seeds"]

SEEDS: dict[str, Callable[[Path], list[Seed]]] = {}


def seeds(reader: str) -> Callable[[Callable[[Path], list[Seed]]], Callable[[Path], list[Seed]]]:
    def keep(make: Callable[[Path], list[Seed]]) -> Callable[[Path], list[Seed]]:
        SEEDS[reader] = make
        return make

    return keep


def make_seeds(reader: str, folder: Path) -> list[Seed]:
    """Files for one reader, written into ``folder / reader``."""
    (folder / reader).mkdir(parents=True, exist_ok=True)
    return SEEDS[reader](folder / reader)


def _write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@seeds("align")
def _align(folder: Path) -> list[Seed]:
    return [Seed(_write(folder / "a.align", "0 23750 sil\n23750 29500 bin\n29500 34000 blue\n34000 74500 sil\n"))]


@seeds("detections")
def _detections(folder: Path) -> list[Seed]:
    row = '{"time": %s, "class": "cat", "box": [1, 2, 5.5, 7], "id": 3, "confidence": 0.5, "picture": [640, 480]}\n'
    return [Seed(_write(folder / "a.objects.jsonl", "".join(row % (i / 5) for i in range(8))))]


@seeds("plain")
def _plain(folder: Path) -> list[Seed]:
    texts = {"a.txt": "It was rather good — très bon.\n".encode(), "b.txt": "naïve\n".encode("utf-16")}
    return [Seed(_write(folder / name, data)) for name, data in texts.items()]


@seeds("subtitles")
def _subtitles(folder: Path) -> list[Seed]:
    srt = "1\n00:00:01,000 --> 00:00:02,500\nHello <i>there</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nBye &amp; bye\n"
    vtt = (
        "WEBVTT\n\nNOTE by\nme\n\n1\n00:01.000 --> 00:02.500 align:start\n<v Anna>Hello <00:00:01.500><c.x>there</c>\n"
    )
    ass = (
        "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,Arial,20\n"
        "\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        "Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\i1}Hello{\\i0}\\Nthere\n"
    )
    return [Seed(_write(folder / f"a.{ending}", text)) for ending, text in (("srt", srt), ("vtt", vtt), ("ass", ass))]


@seeds("table")
def _table(folder: Path) -> list[Seed]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = "time,x,note,y\n" + "".join(f"{i / 10},{i * i},n{i},{-i}\n" for i in range(12))
    dates = "datetime;lat;lon\n" + "".join(f"2026-03-01T12:00:{i:02d}.5Z;48,1{i};11,5\n" for i in range(9))
    table = pa.table({"t": np.arange(9) / 4, "x": np.arange(9), "s": [f"w{i}" for i in range(9)]})
    pq.write_table(table, folder / "c.parquet")
    stamps = np.arange(5).astype("datetime64[ms]")
    pq.write_table(pa.table({"date": stamps, "x": [True, False, None, True, True]}), folder / "d.parquet")
    return [
        Seed(_write(folder / "a.csv", rows)),
        Seed(_write(folder / "a2.csv", rows), {"on_disorder": "sort", "columns": ["x", "note"]}),
        Seed(_write(folder / "b.csv", dates), {"on_disorder": "drop"}),
        Seed(_write(folder / "b.tsv", rows.replace(",", "\t")), {"rate": 10}),
        Seed(_write(folder / "f.csv", "t;x;y\n0;1;a\n1;2,5;b\n2;-3,25;c\n"), {"columns": ["x", "y"]}),
        Seed(_write(folder / "e.csv", "1,2,3\n4,5,6\n"), {"header": False, "time": "c0", "unit": "ms"}),
        Seed(folder / "c.parquet"),
        Seed(folder / "d.parquet"),
    ]


@seeds("text_grid")
def _textgrid(folder: Path) -> list[Seed]:
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
    short = (
        head + '0\n2\n<exists>\n2\n"IntervalTier"\n"word"\n0\n2\n2\n0\n1\n"one"\n1\n2\n"tw""o"\n'
        '"TextTier"\n"bell"\n0\n2\n1\n0.5\n"ding"\n'
    )
    long = (
        head
        + 'xmin = 0\nxmax = 2\ntiers? <exists>\nsize = 1\nitem []:\n    item [1]:\n        class = "IntervalTier"\n'
        '        name = "word"\n        xmin = 0\n        xmax = 2\n        intervals: size = 1\n'
        '        intervals [1]:\n            xmin = 0.5\n            xmax = 1.25\n            text = "say"\n'
    )
    chronological = (
        '"Praat chronological TextGrid text file"\n0 2   ! Time domain.\n2   ! Number of tiers.\n"IntervalTier" "word" '
        '0 2\n"TextTier" "bell" 0 2\n\n1 0 1\n"one"\n2 0.5\n"ding"\n1 1 2\n""\n'
    )
    binary = b"ooBinaryFile\x08TextGrid" + struct.pack(">2d?i", 0, 2, True, 2)
    binary += b"\x0cIntervalTier" + struct.pack(
        ">h4s2di2dh3s2dhH2s", 4, b"word", 0, 2, 2, 0, 1, 3, b"one", 1, 2, -1, 1, b"\1a"
    )
    binary += b"\x08TextTier" + struct.pack(">h4s2didh4s", 4, b"bell", 0, 2, 1, 0.5, 4, b"ding")
    return [
        Seed(_write(folder / "a.TextGrid", short)),
        Seed(_write(folder / "b.TextGrid", long)),
        Seed(_write(folder / "c.TextGrid", long.encode("utf-16"))),
        Seed(_write(folder / "d.TextGrid", binary)),
        Seed(_write(folder / "e.TextGrid", chronological)),
    ]


@seeds("array")
def _array(folder: Path) -> list[Seed]:
    import scipy.io

    rng = np.random.default_rng(0)
    np.save(folder / "a.npy", rng.standard_normal((20, 3)))
    np.save(folder / "b.npy", np.array(["one", "two"]))
    np.savez_compressed(folder / "c.npz", x=rng.standard_normal((10, 3)), t=np.arange(10) / 7, n=np.array(["a", "b"]))
    values = {"d_skel": rng.standard_normal((4, 3, 9)), "name": "walk", "c": np.array([[1, 2]], object)}
    scipy.io.savemat(folder / "d.mat", values, do_compression=True)
    scipy.io.savemat(folder / "e.mat", {"x": rng.standard_normal((5, 2)), "flags": np.array([[True, False]])})
    scipy.io.savemat(folder / "f.mat", {"x": rng.standard_normal((5, 2)).astype(np.float32)}, format="4")
    return [
        Seed(folder / "a.npy", {"rate": 10}),
        Seed(folder / "b.npy", {"variable": "values"}),
        Seed(folder / "c.npz", {"times": "t"}),
        Seed(folder / "c.npz", {"variable": "x", "row": 3}),
        Seed(folder / "d.mat", {"variable": "d_skel", "time_axis": 2}),
        Seed(folder / "e.mat"),
        Seed(folder / "f.mat"),
        Seed(_mat73(folder / "g.mat"), {"rate": 10}),
        Seed(folder / "g.mat", {"variable": "name"}),
    ]


def _mat73(path: Path) -> Path:
    import h5py

    rng = np.random.default_rng(0)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, kind, values in (
            ("x", "double", rng.standard_normal((2, 9))),
            ("name", "char", np.array([[119], [97]], "u2")),
            ("none", "single", np.array([0, 3], "u8")),
        ):
            how = {"chunks": (1, 4), "compression": "gzip", "shuffle": True} if name == "x" else {}
            made = file.create_dataset(name, data=values, **how)
            made.attrs["MATLAB_class"] = np.bytes_(kind)
            if name == "none":
                made.attrs["MATLAB_empty"] = np.uint8(1)
        file.create_group("s").attrs["MATLAB_class"] = np.bytes_("struct")
    return path


@seeds("image")
def _image(folder: Path) -> list[Seed]:
    import cv2

    picture = np.random.default_rng(0).integers(0, 255, (12, 16, 3)).astype(np.uint8)
    names = ("a.png", "a.jpg", "a.bmp", "a.webp", "a.tif")
    for name in names:
        cv2.imwrite(str(folder / name), picture)
    return [Seed(folder / name) for name in names] + [Seed(folder / "a.png", {"grey": True, "width": 7})]


@seeds("e4")
def _e4(folder: Path) -> list[Seed]:
    path = folder / "S01"
    path.mkdir(exist_ok=True)
    _write(path / "ACC.csv", "1644227574.0, 1644227574.0, 1644227574.0\n32.0, 32.0, 32.0\n" + "2,10,63\n4,12,66\n" * 9)
    _write(path / "EDA.csv", "1644227574.0\n4.0\n" + "0.5\n0.6\n" * 5)
    _write(path / "IBI.csv", "1644227574.0, IBI\n1.5,0.7\n2.25,0.75\n")
    _write(path / "tags_S01.csv", "1644227575.00\n1644227577.50\n")
    with zipfile.ZipFile(folder / "S02.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path.iterdir()):
            archive.write(file, file.name)
    return [Seed(path), Seed(folder / "S02.zip")]


@seeds("frame_folder")
def _frame_folder(folder: Path) -> list[Seed]:
    import cv2

    path = folder / "a.frames"
    path.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for i, ending in enumerate(("png", "jpg", "png")):
        cv2.imwrite(str(path / f"f{i}.{ending}"), rng.integers(0, 255, (6, 8, 3)).astype(np.uint8))
    _write(path / "times.txt", "0.5\n0.75\n1.5\n")
    return [Seed(path), Seed(path, {"rate": 25, "width": 4})]


@seeds("keypoints")
def _keypoints(folder: Path) -> list[Seed]:
    points = [[float(i), 2.0 * i, 0.9] for i in range(17)]
    flat = [x for p in points for x in p]
    coco = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
        "annotations": [
            {"image_id": 7 + i, "id": i, "keypoints": flat, "num_keypoints": 17, "area": 9} for i in (0, 1)
        ],
        "categories": [{"id": 1, "keypoints": [f"p{i}" for i in range(17)]}],
    }
    results = [{"image_id": i, "category_id": 1, "keypoints": flat, "score": 0.8} for i in range(3)]
    marks = [{"x": i / 33, "y": 0.5, "z": -0.1, "visibility": 0.9} for i in range(33)]
    lines = "".join(json.dumps({"timestamp_ms": 40 * i, "pose_landmarks": marks[:9]}) + "\n" for i in range(3))
    openpose = folder / "film"
    openpose.mkdir(exist_ok=True)
    for i in range(3):
        people = {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": flat}]}
        _write(openpose / f"film_{i:012d}_keypoints.json", json.dumps(people))
    return [
        Seed(_write(folder / "a.keypoints.json", json.dumps(coco, indent=0))),
        Seed(_write(folder / "b.keypoints.json", json.dumps(results, indent=0)), {"rate": 25, "person": "largest"}),
        Seed(_write(folder / "c.pose.jsonl", lines), {"width": 640, "height": 480}),
        Seed(openpose),
    ]


@seeds("media")
def _media(folder: Path) -> list[Seed]:
    tracks = {
        "a.mp4": ("libx264", "aac"), "b.mkv": ("libx264", "libopus"), "c.avi": ("mpeg4", "libmp3lame"),
        "d.mpg": ("mpeg1video", "mp2"), "e.webm": ("libvpx", "libopus"), "f.ts": ("mpeg2video", "aac"),
        "g.flv": ("flv", "libmp3lame"), "h.wav": (None, "pcm_s16le"), "i.flac": (None, "flac"),
        "j.mp3": (None, "libmp3lame"), "k.ogg": (None, "flac"), "l.opus": (None, "libopus"),
        "m.m4a": (None, "alac"), "n.aiff": (None, "pcm_s16be"), "o.au": (None, "pcm_s16be"), "p.wma": (None, "wmav2"),
        "q.wav": (None, "pcm_f32le"), "r.wav": (None, "pcm_f64le"),
    }  # fmt: skip
    for name, (picture, sound) in tracks.items():
        _encode(folder / name, picture, sound)
    return [Seed(folder / name) for name in tracks] + [Seed(folder / "a.mp4", {"grey": True, "height": 20})]


def _encode(path: Path, picture: str | None, sound: str) -> None:
    import av

    rate = 48000 if "opus" in sound else 22050
    with av.open(str(path), "w") as out:
        a = out.add_stream(sound, rate=rate)
        a.layout, a.bit_rate = "mono", 32000
        if picture:
            v = out.add_stream(picture, rate=Fraction(25))
            v.width, v.height, v.pix_fmt, v.codec_context.gop_size = 32, 32, "yuv420p", 3
            for i in range(6):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * i, np.uint8))
                frame.pts = i
                out.mux(v.encode(frame))
            out.mux(v.encode())
        resampler = av.AudioResampler(format=a.format, layout="mono", rate=rate)
        noise = (np.random.default_rng(0).standard_normal((1, rate // 8)) * 0.1).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(a.encode(part))
        out.mux(a.encode())


@seeds("csd")
def _csd(folder: Path) -> list[Seed]:
    import h5py

    rng = np.random.default_rng(0)
    with h5py.File(folder / "a.csd", "w") as file:
        for i, key in enumerate(("vid1", "vid2")):
            own = file.create_group(f"FACET/data/{key}")
            own["features"] = rng.standard_normal((6 + i, 3)).astype(np.float32)
            own["intervals"] = np.stack([np.arange(6 + i), np.arange(6 + i) + 1], 1) / 4
        file["FACET/metadata/root name"] = "FACET"
    with h5py.File(folder / "b.csd", "w") as file:
        own = file.create_group("words/data/vid1")
        own["features"] = np.array([[b"good"], [b"film"]], "S32")
        own["intervals"] = [[0.5, 0.75], [0.25, 0.5]]
    with h5py.File(folder / "c.csd", "w") as file:
        own = file.create_group("COVAREP/data/vid1")
        own.create_dataset("features", data=rng.standard_normal((20, 4)), compression="gzip", chunks=(8, 4))
        own["intervals"] = np.stack([np.arange(20), np.arange(20) + 1], 1) / 100
    return [
        *(Seed(folder / f"{name}.csd") for name in "abc"),
        Seed(folder / "a.csd", {"recording": "vid2", "infinite": "nan"}),
    ]


@seeds("elan")
def _elan(folder: Path) -> list[Seed]:
    slots = {"ts1": 0, "ts2": None, "ts3": 1200, "ts4": 2500}
    times = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{k}"' + (f' TIME_VALUE="{v}"' if v is not None else "") + "/>\n"
        for k, v in slots.items()
    )

    def aligned(key: str, a: str, b: str, text: str) -> str:
        return (
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{key}" TIME_SLOT_REF1="{a}" TIME_SLOT_REF2="{b}">'
            f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>\n"
        )

    def referring(key: str, parent: str, text: str, previous: str = "") -> str:
        before = f' PREVIOUS_ANNOTATION="{previous}"' if previous else ""
        return (
            f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{key}" ANNOTATION_REF="{parent}"{before}>'
            f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>\n"
        )

    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT FORMAT="3.0">\n'
        '<HEADER TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="a.mp4" TIME_ORIGIN="0"/></HEADER>\n'
        f"<TIME_ORDER>\n{times}</TIME_ORDER>\n"
        f'<TIER TIER_ID="said" LINGUISTIC_TYPE_REF="utt">\n{aligned("a1", "ts1", "ts3", "hello &amp; you")}'
        f'{aligned("a2", "ts3", "ts4", "bye")}</TIER>\n<TIER TIER_ID="words" PARENT_REF="said">\n'
        f"{aligned('a3', 'ts1', 'ts2', 'hello')}{aligned('a4', 'ts2', 'ts3', 'you')}</TIER>\n"
        f'<TIER TIER_ID="gloss" PARENT_REF="said">\n{referring("a5", "a2", "b")}{referring("a6", "a2", "ye", "a5")}'
        '</TIER>\n<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="utt" TIME_ALIGNABLE="true"/>\n</ANNOTATION_DOCUMENT>\n'
    )
    return [Seed(_write(folder / "a.eaf", text)), Seed(_write(folder / "b.eaf", text), {"tiers": ["words"]})]


@seeds("gpx")
def _gpx(folder: Path) -> list[Seed]:
    point = (
        '<trkpt lat="{:.5f}" lon="11.5{}"><ele>51{}.5</ele><time>2026-03-01T12:00:{:02d}Z</time><extensions>'
        "<gpxtpx:TrackPointExtension><gpxtpx:hr>12{}</gpxtpx:hr></gpxtpx:TrackPointExtension></extensions></trkpt>\n"
    )
    points = [point.format(48 + i / 1e4, i, i, i, i) for i in range(8)]
    text = (
        '<?xml version="1.0"?>\n<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1">\n'
        '<wpt lat="48" lon="11.5"><time>2026-03-01T12:00:02.5Z</time><name>gate</name></wpt>\n<trk><name>a</name>'
        f"<trkseg>\n{''.join(points[:5])}</trkseg>\n<trkseg>\n{''.join(points[5:])}</trkseg></trk>\n</gpx>\n"
    )
    return [
        Seed(_write(folder / "a.gpx", text)),
        Seed(_write(folder / "b.gpx", text), {"on_disorder": "drop", "track": 0}),
    ]


@seeds("edf")
def _edf(folder: Path) -> list[Seed]:
    rng = np.random.default_rng(0)
    kinds = {"a.edf": "", "b.edf": "EDF+C", "c.edf": "EDF+D", "d.bdf": "BDF+C", "e.rec": ""}
    for name, kind in kinds.items():
        width = 3 if name.endswith(".bdf") else 2
        signals = [("Fp1", 20), ("Fp2", 20), ("Resp", 4)]
        notes = [(f"{'BDF' if width == 3 else 'EDF'} Annotations", 30)] if kind else []
        (folder / name).write_bytes(_edf_bytes(rng, kind, width, signals + notes))
    return [Seed(folder / name) for name in kinds] + [
        Seed(folder / "b.edf", {"by": "channel", "dated": True, "channels": ["Fp2", "Resp"]})
    ]


def _edf_bytes(rng: np.random.Generator, kind: str, width: int, signals: list[tuple[str, int]]) -> bytes:
    """By the format's specification, field by field."""
    count, records = len(signals), 3
    head = [b"\xffBIOSEMI" if width == 3 else b"0".ljust(8)]
    texts = (("X X X X", 80), ("Startdate 02-MAR-2026 X X X", 80), ("02.03.26", 8), ("12.00.05", 8))
    texts += ((str(256 * (count + 1)), 8), (kind, 44), (str(records), 8), ("0.5", 8), (str(count), 4))
    head += [text.encode().ljust(size) for text, size in texts]
    top = 2 ** (8 * width - 1)
    fields = [("label", 16), ("", 80), ("uV", 8), ("-100", 8), ("100", 8), (str(-top), 8), (str(top - 1), 8), ("", 80)]
    for text, size in fields:
        head += [(label if text == "label" else text).encode().ljust(size) for label, _ in signals]
    head += [str(n).encode().ljust(8) for _, n in signals] + [b"".ljust(32) for _ in signals]
    for i in range(records):
        for label, n in signals:
            note = f"+{i * (0.75 if kind == 'EDF+D' else 0.5):g}\x14\x14\0" + (
                "+0.25\x150.5\x14blink\x14\0" if i == 1 else ""
            )
            head.append(note.encode().ljust(n * width, b"\0") if "Annotations" in label else rng.bytes(n * width))
    return b"".join(head)


IMU = (
    "std_msgs/Header header\nfloat64[9] covariance\ngeometry_msgs/Vector3 turn\nstring[<=3] notes\nint16[] steps\n"
    "================================================================================\n"
    "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    "================================================================================\n"
    "MSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n"
    "================================================================================\n"
    "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
)


def _cdr(i: int) -> bytes:
    """A message of `IMU`, little-endian."""
    head = struct.pack("<iII4s", 100 + i, 5000, 4, b"map\0")
    numbers = struct.pack("<12d", *range(9), i, -i, 0.5)
    return b"\0\1\0\0" + head + numbers + struct.pack("<II3sxI2h", 1, 3, b"up\0", 2, i, 7)


@seeds("mcap")
def _mcap(folder: Path) -> list[Seed]:
    import cv2
    from google.protobuf import descriptor_pb2, timestamp_pb2
    from mcap.writer import CompressionType, Writer

    picture = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8))[1].tobytes()
    image = json.dumps({"format": "png", "data": base64.b64encode(picture).decode()}).encode()
    files = descriptor_pb2.FileDescriptorSet()
    timestamp_pb2.DESCRIPTOR.CopyToProto(files.file.add())
    for name, packing, chunks in (("a", CompressionType.ZSTD, True), ("b", CompressionType.NONE, False),
                                  ("c", CompressionType.LZ4, True), ("d", CompressionType.NONE, True)):  # fmt: skip
        with open(folder / f"{name}.mcap", "wb") as file:
            out = Writer(file, compression=packing, use_chunking=chunks, chunk_size=600)
            out.start()
            kinds = {
                "/imu/data": (out.register_schema("sensor_msgs/msg/Imu", "ros2msg", IMU.encode()), "cdr", _cdr),
                "/pose": (
                    out.register_schema("P", "jsonschema", b"{}"),
                    "json",
                    lambda i: b'{"x": %d, "y": [1, 2.5]}' % i,
                ),
                "/said": (0, "json", lambda i: b'{"data": "word %d"}' % i),
                "/camera": (0, "json", lambda i: image),
                "/clock": (
                    out.register_schema("google.protobuf.Timestamp", "protobuf", files.SerializeToString()),
                    "protobuf",
                    lambda i: timestamp_pb2.Timestamp(seconds=i, nanos=5).SerializeToString(),
                ),
            }
            made = {topic: out.register_channel(topic, coding, schema) for topic, (schema, coding, _) in kinds.items()}
            for i in range(4):
                for k, (topic, (_, _, make)) in enumerate(kinds.items()):
                    out.add_message(made[topic], 10**9 * i + k, make(i), 10**9 * i + k + 1)
            out.finish()
    return [Seed(folder / f"{name}.mcap") for name in "abcd"] + [
        Seed(folder / "d.mcap", {"topics": ["/imu/data"], "time": "stamp"}),
        Seed(folder / "d.mcap", {"topics": ["/pose", "/camera"], "time": "publish", "fields": ["y"]}),
    ]
