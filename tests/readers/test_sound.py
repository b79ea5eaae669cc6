"""Sound of every codec against decoding the whole with PyAV: the same samples, the same length, however it is read.

Here at one rate, and some at others; all of them at all rates: benchmarks/sound.py.
"""

from __future__ import annotations

import importlib.util
import struct
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import DataError
from plait.importing.folder import import_folder
from plait.readers import open_streams
from plait.readers._cursor import Cursor
from plait.readers.media import Media
from plait.streams.clock import Grid

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FEW = [
    *[("vorbis", rate, "stereo", ending) for rate in (8000, 24000, 96000) for ending in (".ogg", ".mkv", ".mp4")],
    *[("libmp3lame", rate, "mono", ending) for rate in (8000, 44100) for ending in (".mp3", ".mkv", ".avi")],
    *[("aac", rate, "5.1", ending) for rate in (22050, 88200, 96000) for ending in (".aac", ".m4a", ".mkv", ".ts")],
    *[("libopus", 48000, "stereo", ending) for ending in (".opus", ".webm", ".mp4")],
    *[("flac", 11025, "mono", ending) for ending in (".flac", ".mkv", ".wma")],
    *[(codec, 44100, "stereo", ".wma") for codec in ("wmav1", "wmav2", "adpcm_ms")],
    *[("alac", 16000, "stereo", ending) for ending in (".m4a", ".caf", ".mkv")],
    *[("ac3", 32000, "5.1", ending) for ending in (".ac3", ".mpg", ".mkv")],
    *[("wavpack", 8000, "mono", ending) for ending in (".wv", ".mkv")],
    *[("pcm_s24le", 88200, "5.1", ending) for ending in (".wav", ".mkv", ".avi")],
    ("pcm_s16be", 48000, "stereo", ".aiff"), ("pcm_mulaw", 8000, "mono", ".au"), ("tta", 44100, "stereo", ".tta"),
    ("adpcm_ima_wav", 22050, "stereo", ".avi"), ("eac3", 48000, "mono", ".avi"), ("g722", 16000, "mono", ".avi"),
    ("mp2", 16000, "stereo", ".mpg"), ("libopencore_amrnb", 8000, "mono", ".3gp"), 
    ("nellymoser", 44100, "mono", ".flv"), ("aac", 8000, "mono", ".wav"), ("pcm_dvd", 96000, "mono", ".mpg"),
]  # fmt: skip


@pytest.fixture(scope="module")
def matrix():
    """The benchmark that reads all of them."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("sound_matrix", BENCHMARKS / "sound.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "rate", "layout", "ending"), FEW)
def test_sound_is_that_of_pyav_alone(codec, rate, layout, ending, matrix, tmp_path):
    path = tmp_path / f"a{ending}"
    assert matrix.write(path, codec, rate, layout)
    assert matrix.fault(path) == ""


@pytest.mark.slow
def test_every_codec_in_every_container(matrix, tmp_path):
    codecs = [c for c in matrix.encoders() if not c.startswith("pcm_")]
    faults = {path.name: matrix.fault(path) for path in matrix.matrix(tmp_path, codecs, [22050])}
    assert len(faults) > 200
    assert {name: why for name, why in faults.items() if why and not why.startswith("PyAV")} == {}


@pytest.mark.slow
def test_real_vorbis_files(matrix, real_data):
    for path in sorted((real_data / "esc10").rglob("*.ogg"))[::40]:
        assert matrix.fault(path) == ""


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000])
def test_vorbis_begins_at_0_and_has_no_gap(rate, matrix, tmp_path):
    """Its first packet primes the decoder; the first of each Ogg page is told too late by half a block."""
    assert matrix.write(tmp_path / "a.ogg", "vorbis", rate, "stereo", 3.0)
    stream = Media().open(tmp_path / "a.ogg")["audio"]
    assert stream.clock.start == 0
    assert 3 * rate <= len(stream) <= 3 * rate + 2048
    assert not np.isnan(stream.read()).any()


@pytest.mark.parametrize(("codec", "ending"), [("wmav1", ".wma"), ("wmav2", ".wma"), ("vorbis", ".ogg"),
                                               ("libopus", ".webm"), ("ac3", ".mkv"), ("flac", ".avi")])  # fmt: skip
def test_samples_stand_at_their_times(codec, ending, matrix, tmp_path):
    """By the largest correlation with what was written; WMA's decoder lags a frame behind the times that it gives."""
    assert matrix.write(tmp_path / f"a{ending}", codec, 48000, "stereo")
    stream = Media().open(tmp_path / f"a{ending}")["audio"]
    given, got = matrix.tone(48000, 2, 1.3)[0], stream.read()[:, 0]
    size = 1 << 17
    likeness = np.fft.irfft(np.fft.rfft(got, size) * np.conj(np.fft.rfft(given, size)))
    lag = int(np.argmax(likeness))
    lag -= size if lag > size // 2 else 0
    assert abs(stream.clock.start + lag / 48000) < 0.0006


def test_a_real_gap_stays_one_where_sizes_must_be_counted(tmp_path, encode):
    encode(tmp_path / "g.mkv", video=None, audio="flac", rate=16000, gap=(0.5, 0.25))
    stream = Media().open(tmp_path / "g.mkv")["audio"]
    lost = np.flatnonzero(np.isnan(stream.read()[:, 0]))
    assert abs(len(lost) / 16000 - 0.25) < 0.002
    assert np.all(np.diff(lost) == 1)


@pytest.mark.parametrize(("codec", "ending", "counts"), [("aac", ".mp4", 0), ("pcm_s16le", ".wav", 0),
                                                         ("ac3", ".mkv", 0), ("libmp3lame", ".mp3", 0),
                                                         ("flac", ".flac", 0), ("wmav2", ".wma", 1)])  # fmt: skip
def test_only_what_packets_do_not_tell_is_counted_by_decoding(codec, ending, counts, matrix, tmp_path, monkeypatch):
    assert matrix.write(tmp_path / f"a{ending}", codec, 44100, "stereo")
    starts = []
    monkeypatch.setattr(
        Cursor, "start", lambda self, pts=None, start=Cursor.start: (starts.append(pts), start(self, pts))
    )
    Media().open(tmp_path / f"a{ending}")
    assert len(starts) == counts


def test_numbers_of_64_bits(tmp_path):
    from scipy.io import wavfile

    values = np.random.default_rng(0).integers(-(2**63), 2**63, (500, 2), np.int64)
    wavfile.write(tmp_path / "a.wav", 8000, values)
    assert np.abs(open_streams(tmp_path / "a.wav")["audio"].read() - values / 2.0**63).max() < 1e-6


def _rifx(path, values, rate):
    """Values [n, channels] as a big-endian wave file."""
    code = 3 if values.dtype.kind == "f" else 1
    data = values.astype(values.dtype.newbyteorder(">")).tobytes()
    size, channels = values.dtype.itemsize, values.shape[1]
    form = struct.pack(">HHIIHH", code, channels, rate, rate * channels * size, channels * size, 8 * size)
    body = b"WAVEfmt " + struct.pack(">I", len(form)) + form + b"data" + struct.pack(">I", len(data)) + data
    path.write_bytes(b"RIFX" + struct.pack(">I", len(body)) + body)


def _with_cover(path, codec, cover):
    """Half a second of sound with a picture attached, as shops and taggers leave it."""
    import av

    with av.open(str(path), "w", format="mp4" if path.suffix == ".m4a" else None) as out:
        sound = out.add_stream(codec, rate=44100, layout="mono")
        picture = out.add_stream("mjpeg" if cover == "jpg" else "png", rate=1)
        picture.width, picture.height = 32, 32
        picture.pix_fmt = "yuvj420p" if cover == "jpg" else "rgb24"
        picture.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8))
        packets = [*picture.encode(frame), *picture.encode(None)]
        tone = (0.1 * np.sin(np.arange(22050) / 9)).astype(np.float32)[None]
        for part in av.AudioResampler(sound.format, "mono", 44100).resample(_frame(tone)):
            packets += sound.encode(part)
        out.mux([*packets, *sound.encode(None)])


def _frame(values):
    import av

    frame = av.AudioFrame.from_ndarray(values, "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
    return frame


def _wav_with_id3_cover(path, matrix):
    """A wave file whose chunk ``id3`` holds a picture, as taggers write it."""
    matrix.write(path, "pcm_s16le", 44100, "mono", 0.5)
    import cv2

    picture = cv2.imencode(".png", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()
    frame = b"\0image/png\0\3\0" + picture
    apic = b"APIC" + struct.pack(">IH", len(frame), 0) + frame
    size = bytes((len(apic) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    tag = b"ID3\3\0\0" + size + apic
    data = path.read_bytes() + b"id3 " + struct.pack("<I", len(tag)) + tag + b"\0" * (len(tag) % 2)
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


@pytest.mark.parametrize("name", ["a.m4a", "a.flac", "a.mp3", "a.wav"])
@pytest.mark.parametrize("cover", ["jpg", "png"])
def test_a_cover_is_no_stream(name, cover, matrix, tmp_path):
    path = tmp_path / name
    if name == "a.wav":
        _wav_with_id3_cover(path, matrix)
    else:
        _with_cover(path, {"a.m4a": "aac", "a.flac": "flac", "a.mp3": "libmp3lame"}[name], cover)
    import av

    with av.open(str(path)) as container:
        assert [s.type for s in container.streams].count("video") == 1
    streams = open_streams(path)
    assert set(streams) == {"audio"}
    assert 22050 <= len(streams["audio"]) <= 22050 + 1024
    assert matrix.fault(path) == ""
    assert set(import_folder(tmp_path).streams) == {"audio"}


@pytest.mark.parametrize("kind", ["int16", "int32", "float32"])
def test_big_endian_wave_files(kind, tmp_path):
    from scipy.io import wavfile

    values = np.random.default_rng(0).uniform(-0.9, 0.9, (800, 2))
    values = values if kind == "float32" else values * np.iinfo(kind).max
    wavfile.write(tmp_path / "little.wav", 16000, values.astype(kind))
    _rifx(tmp_path / "big.wav", values.astype(kind), 16000)
    little, big = (open_streams(tmp_path / name)["audio"] for name in ("little.wav", "big.wav"))
    assert big.clock == little.clock == Grid(0, 16000, 800)
    assert np.array_equal(big.read(), little.read())
    assert np.array_equal(big[100:200].read(), little[100:200].read())


def test_a_cut_big_endian_wave_file_is_refused(tmp_path):
    _rifx(tmp_path / "a.wav", np.arange(800, dtype=np.int16)[:, None], 8000)
    whole = (tmp_path / "a.wav").read_bytes()
    for share in (0.02, 0.5, 0.9):
        (tmp_path / "a.wav").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DataError, match=r"a\.wav: cannot be read as a big-endian wave file"):
            open_streams(tmp_path / "a.wav")


def test_a_file_ending_before_its_edit_list_says_so_too(matrix, tmp_path):
    """An mp4 states where its sound ends; the encoder's padding behind that is not part of it."""
    for rate in (8000, 44100):
        assert matrix.write(tmp_path / "a.m4a", "aac", rate, "mono")
        assert Media().open(tmp_path / "a.m4a")["audio"].clock == Grid(0, rate, int(1.3 * rate))
