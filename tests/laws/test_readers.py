"""The laws over every reader, found as a recipe finds it. A reader without an example here fails."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import wave
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from plait.core.parts import parts
from plait.readers import Reader
from plait.readers.align import Align
from plait.streams.clock import Grid, Ticks
from plait.streams.stream import ArraySource, Stream
from plait.testing import LawBroken, check_reader

EXAMPLES = {}


def example(name):
    def keep(build):
        EXAMPLES[name] = build
        return build

    return keep


@example("align")
def _align(folder):
    path = folder / "a.align"
    path.write_text("0 23750 sil\n23750 29500 bin\n29500 34000 blue\n34000 35500 at\n35500 74500 sil\n")
    return path, {}


@example("array")
def _array(folder):
    path = folder / "a.npz"
    np.savez(path, x=np.random.default_rng(0).standard_normal((40, 3)), t=np.arange(40) / 7)
    return path, {"times": "t"}


@example("e4")
def _e4(folder):
    path = folder / "S01"
    path.mkdir()
    (path / "ACC.csv").write_text(
        "1644227574.0, 1644227574.0, 1644227574.0\n32.0, 32.0, 32.0\n" + "2,10,63\n4,12,66\n" * 20
    )
    (path / "EDA.csv").write_text("1644227574.0\n4.0\n" + "0.5\n0.6\n" * 10)
    (path / "IBI.csv").write_text("1644227574.0, IBI\n1.5,0.7\n2.25,0.75\n")
    (path / "tags_S01.csv").write_text("1644227575.00\n1644227577.50\n")
    return path, {}


@example("image")
def _image(folder):
    import cv2

    path = folder / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8))
    return path, {}


@example("keypoints")
def _keypoints(folder):
    import json

    path = folder / "a.keypoints.json"
    points = np.random.default_rng(0).uniform(0.4, 1, (12, 17, 3)).round(2)
    entries = [{"image_id": f"{i}.jpg", "keypoints": p.ravel().tolist()} for i, p in enumerate(points) if i != 5]
    path.write_text(json.dumps(entries))
    return path, {"rate": 25}


@example("media")
def _media(folder):
    import av

    path = folder / "a.mp4"
    with av.open(str(path), "w") as out:
        v, a = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=16000)
        v.width, v.height, v.pix_fmt, v.codec_context.gop_size, a.layout = 64, 48, "yuv420p", 5, "mono"
        for i in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * i, np.uint8))
            frame.pts = i
            out.mux(v.encode(frame))
        out.mux(v.encode())
        sound = np.random.default_rng(0).standard_normal((1, 19200)).astype(np.float32) * 0.1
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        out.mux([*a.encode(frame), *a.encode()])
    return path, {}


@example("detections")
def _detections(folder):
    path = folder / "a.objects.jsonl"
    rows = [{"time": i // 3 / 5, "class": "cat", "box": [i, 2, 5.5, 7], "id": i % 3} for i in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path, {"rate": 5}


@example("plain")
def _plain(folder):
    path = folder / "a.txt"
    path.write_text("It was, all in all, rather good — très bon.\n", encoding="utf-8")
    return path, {}


@example("subtitles")
def _subtitles(folder):
    path = folder / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,500\nHello <i>there</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nBye\n")
    return path, {}


@example("table")
def _table(folder):
    path = folder / "a.csv"
    path.write_text("time,x,y\n" + "".join(f"{i / 10},{i * i},{-i}\n" for i in range(40)))
    return path, {}


@example("text_grid")
def _textgrid(folder):
    path = folder / "a.TextGrid"
    path.write_text(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2\n<exists>\n2\n"IntervalTier"\n"word"\n0\n2\n2\n'
        '0\n1\n"one"\n1\n2\n"two"\n"TextTier"\n"bell"\n0\n2\n1\n0.5\n"ding"\n'
    )
    return path, {}


@example("frame_folder")
def _frame_folder(folder):
    import cv2

    path = folder / "a.frames"
    path.mkdir()
    for i in range(9, 12):
        cv2.imwrite(str(path / f"f{i}.png"), np.full((6, 8, 3), 20 * i, np.uint8))
    (path / "times.txt").write_text("0.5\n0.75\n1.5\n")
    return path, {}


def _fuzzed(reader):
    """The first of the files that are broken in tests/fuzz."""

    def build(folder):
        place = Path(__file__).parents[1] / "fuzz/seeds.py"
        spec = importlib.util.spec_from_file_location("fuzz_seeds", place)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        seed = module.make_seeds(reader, folder)[0]
        return seed.path, seed.options

    return build


EXAMPLES |= {name: _fuzzed(name) for name in ("csd", "edf", "elan", "gpx", "keypoints", "mcap")}


@pytest.mark.parametrize("name", parts(Reader))
def test_every_reader_keeps_the_laws(name, tmp_path):
    assert name in EXAMPLES, f"add an example file for the reader {name!r} to this test"
    path, options = EXAMPLES[name](tmp_path)
    check_reader(parts(Reader)[name], path, **options)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["wav", "mkv", "mpg", "avi", "flac", "mp3", "opus"])
def test_media_keeps_them_in_other_containers(suffix, tmp_path):
    import av

    path, _ = EXAMPLES["media"](tmp_path)
    other = tmp_path / f"b.{suffix}"
    sound = {"wav": "pcm_s16le", "mkv": "aac", "mpg": "mp2", "avi": "mp2", "flac": "flac", "opus": "libopus"}.get(
        suffix, "libmp3lame"
    )
    picture = {"mkv": "libx264", "mpg": "mpeg1video", "avi": "mpeg4"}.get(suffix)
    with av.open(str(path)) as source, av.open(str(other), "w") as out:
        a = out.add_stream(sound, rate=48000)
        resampler = av.AudioResampler(format=a.format, layout=a.layout, rate=48000)
        v = out.add_stream(picture, rate=25) if picture else None
        if v:
            v.width, v.height, v.pix_fmt = 64, 48, "yuv420p"
            for i, frame in enumerate(source.decode(video=0)):
                frame = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"))
                frame.pts = i
                out.mux(v.encode(frame))
            out.mux(v.encode())
        source.seek(0)
        for frame in source.decode(audio=0):
            out.mux([p for f in resampler.resample(frame) for p in a.encode(f)])
        out.mux([p for f in resampler.resample(None) for p in a.encode(f)])
        out.mux(a.encode())
    check_reader(parts(Reader)["media"], other)


class _Short(Align):
    def open(self, path):
        return {k: Stream(Grid(0, 1, len(s) + 1), s.source, s.kind) for k, s in super().open(path).items()}


class _Fragile(Align):
    def open(self, path):
        return {
            "x": Stream(
                Ticks([float(v.split()[0]) for v in path.read_text().splitlines()]),
                ArraySource(np.zeros((5, 1))),
                "series",
            )
        }


class _Careless(Align):
    handles: ClassVar = []

    def open(self, path):
        found = super().open(path)
        self.handles.append(open(path))  # noqa: SIM115
        return found


class _Forgetful(Align):
    def open(self, path):
        class Once(ArraySource):
            def read(self, lo, hi):
                return super().read(lo, hi) if lo == 0 else super().read(0, hi - lo)

        return {k: Stream(s.clock, Once(s.source.array), s.kind) for k, s in super().open(path).items()}


@pytest.mark.parametrize(
    ("cls", "law"), [(_Short, "values"), (_Fragile, "missing"), (_Careless, "opening"), (_Forgetful, "pieces")]
)
def test_a_reader_that_breaks_a_law_is_caught(cls, law, tmp_path):
    path, _ = EXAMPLES["align"](tmp_path)
    with pytest.raises(LawBroken) as caught:
        check_reader(cls, path)
    assert caught.value.law == law
    while _Careless.handles:
        _Careless.handles.pop().close()


def test_readers_and_their_laws_import_no_torch_and_nothing_heavy():
    code = (
        "import sys; from plait.readers import reader_for; from pathlib import Path; "
        "import plait.testing.reader;"
        "assert reader_for(Path('a.mp4')) == 'media';"
        "print([m for m in ('torch', 'av', 'cv2', 'pyarrow', 'scipy', 'pysubs2') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_wave_is_read_as_the_standard_library_reads_it(tmp_path):
    samples = np.random.default_rng(1).integers(-32768, 32767, (1000, 2)).astype("<i2")
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2), out.setsampwidth(2), out.setframerate(8000)
        out.writeframes(samples.tobytes())
    stream = parts(Reader)["media"]().open(path)["audio"]
    assert np.array_equal(stream.read(), samples.astype(np.float32) / 32768)
    assert stream.clock == Grid(0, 8000, 1000)
