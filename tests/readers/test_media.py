"""Media against independent decoders, planted events, and broken files."""

from __future__ import annotations

import os
import pickle
from fractions import Fraction

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.readers import _cursor, open_streams
from plait.readers._cursor import Cursor
from plait.readers.media import Media
from plait.streams.clock import Grid, Ticks


def test_opening_decodes_nothing_and_leaves_nothing_open(clip, monkeypatch):
    monkeypatch.setattr(Cursor, "start", lambda *_: pytest.fail("decoded"))
    streams = Media().open(clip)
    assert streams["video"].shape == (50, 64, 96, 3)
    assert streams["video"].clock == Grid(0, 25, 50)
    assert streams["audio"].clock == Grid(0, 48000, 96000)
    assert not _cursor._open


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.mp4", {}, 0.0003),
        ("a.mp4", {"late": 0.3}, 0.001),  # its muxer writes the delay in ms
        ("a.mkv", {"late": 0.3}, 0.001),
        ("a.mov", {"audio": "pcm_s16le", "rate": 44100}, 0.0003),
        ("a.mkv", {"rate": 44100}, 0.001),
        ("a.webm", {"video": "libvpx", "audio": "libopus"}, 0.001),
        ("a.avi", {"audio": "pcm_s16le", "rate": 16000}, 0.0003),
    ],
)
def test_flash_and_click_come_out_together(name, options, tolerance, tmp_path, encode, event):
    encode(tmp_path / name, **options)
    streams = Media().open(tmp_path / name)
    assert abs(event(streams["audio"]) - 1.0) < tolerance
    assert abs(event(streams["video"]) - 1.0) < 0.5 / 25
    assert 0 <= options.get("late", 0) - streams["audio"].clock.start < 1024 / 48000 + 0.001  # or its priming


@pytest.mark.parametrize("name", ["a.mpg", "a.ts"])
def test_formats_without_a_zero_start_at_it(name, tmp_path, encode, event):
    encode(tmp_path / name, **({"video": "mpeg1video", "audio": "mp2"} if name == "a.mpg" else {}), rate=44100)
    streams = Media().open(tmp_path / name)
    assert min(s.clock.start for s in streams.values()) == 0
    assert abs(event(streams["audio"]) - event(streams["video"])) < 1 / 25 + 0.001


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [("a.mp3", "libmp3lame", 44100), ("a.opus", "libopus", 48000), ("a.m4a", "aac", 44100), ("a.flac", "flac", 8000)],
)
def test_priming_of_the_encoder_is_not_part_of_the_sound(name, codec, rate, tmp_path, encode, event):
    encode(tmp_path / name, video=None, audio=codec, rate=rate)
    stream = Media().open(tmp_path / name)["audio"]
    assert stream.clock == Grid(0, rate, 2 * rate)
    assert abs(event(stream) - 1.0) < 0.0003


def test_broadcast_rate_is_exact_even_in_milliseconds(tmp_path, encode):
    fps = Fraction(30000, 1001)
    for name in ("a.mp4", "a.mkv"):
        encode(tmp_path / name, fps=fps, audio=None, seconds=5)
        assert Media().open(tmp_path / name)["video"].clock == Grid(0, fps, 149)


def test_variable_rate_keeps_its_times(tmp_path, encode):
    times = [Fraction(i, 25) + Fraction(i * i, 3000) for i in range(30)]
    encode(tmp_path / "v.mp4", pts=times, audio=None, level=lambda i: 6 * i, at=99)
    stream = Media().open(tmp_path / "v.mp4")["video"]
    assert isinstance(stream.clock, Ticks)
    assert np.abs(stream.clock.times - [float(t) for t in times]).max() < 1e-4
    assert np.abs(stream.read().mean((1, 2, 3)) - 6 * np.arange(30)).max() < 4
    part = stream.cut(0.9, 1.2)
    assert np.abs(part.read().mean((1, 2, 3)) / 6 - (part.first + np.arange(len(part)))).max() < 0.7


def test_a_gap_in_the_sound_is_nan_and_what_follows_is_in_its_place(tmp_path, encode):
    encode(tmp_path / "g.mkv", video=None, audio="aac", rate=16000, gap=(0.5, 0.25))
    stream = Media().open(tmp_path / "g.mkv")["audio"]
    x = stream.read()[:, 0]
    lost = np.flatnonzero(np.isnan(x))
    assert abs(len(lost) / 16000 - 0.25) < 0.002
    assert np.all(np.diff(lost) == 1)
    assert abs(stream.clock.times[np.argmax(np.abs(np.nan_to_num(x)) > 0.25)] - 1.25) < 0.001


def test_reading_on_does_not_seek_and_the_end_closes_the_file(clip, monkeypatch):
    stream = Media().open(clip)["video"]
    starts = []
    start = Cursor.start
    monkeypatch.setattr(Cursor, "start", lambda self, pts=None: (starts.append(pts), start(self, pts)))
    for block in stream.blocks(7):
        block.read()
    assert starts == [None]
    assert not _cursor._open
    stream[40:42].read()
    assert len(starts) == 2
    assert starts[1] is not None  # a key frame, not the beginning


def test_few_files_stay_open_however_many_are_half_read(clip, event):
    streams = [Media().open(clip)["video"] for _ in range(40)]
    firsts = [s[:3].read() for s in streams]
    assert len(_cursor._open) <= 16
    assert all(np.array_equal(a, firsts[0]) for a in firsts)
    rest = [s[3:6].read() for s in streams]  # those closed meanwhile take up again
    assert all(np.array_equal(a, rest[0]) for a in rest)
    del streams
    assert not _cursor._open


def test_a_forked_process_reads_on_by_itself(clip):
    stream = Media().open(clip)["video"]
    whole = stream.read()
    stream[:10].read()
    child = pickle.loads(pickle.dumps(stream))
    assert np.array_equal(child[10:20].read(), whole[10:20])
    stream.source.cursor._pid = os.getpid() + 1  # as a fork leaves it
    assert np.array_equal(stream[10:20].read(), whole[10:20])


def test_size_and_grey_are_made_while_decoding(clip):
    import cv2

    plain = Media().open(clip)["video"].read()
    small = Media(width=48).open(clip)["video"]
    assert small.shape == (50, 32, 48, 3)
    want = np.stack([cv2.resize(f, (48, 32), interpolation=cv2.INTER_AREA) for f in plain]).astype(int)
    assert np.abs(small.read() - want).mean() < 2
    grey = Media(grey=True).open(clip)["video"]
    assert grey.shape == (50, 64, 96, 1)
    want = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in plain]).astype(int)
    assert np.abs(grey.read()[..., 0] - want).mean() < 3
    with pytest.raises(ConfigError, match="width: got 0"):
        Media(width=0)


def test_a_phone_held_upright_is_shown_upright(tmp_path):
    import av
    import cv2

    for degrees in (90, 180, 270):
        path = tmp_path / f"{degrees}.mp4"
        with av.open(str(path), "w") as out:
            v = out.add_stream("libx264", rate=25)
            v.width, v.height, v.pix_fmt = 96, 64, "yuv420p"
            v.set_display_rotation(degrees)
            image = np.zeros((64, 96, 3), np.uint8)
            image[:16], image[:, :16] = 250, 120
            for i in range(3):
                frame = av.VideoFrame.from_ndarray(image)
                frame.pts = i
                out.mux(v.encode(frame))
            out.mux(v.encode())
        stream = Media().open(path)["video"]
        other = cv2.VideoCapture(str(path)).read()[1][..., ::-1]
        assert stream.shape[1:] == other.shape
        assert np.array_equal(stream.read()[0], other)


def _remuxed(source, target):
    import av

    with av.open(str(source)) as c, av.open(str(target), "w", options={"movflags": "faststart"}) as out:
        tracks = {s.index: out.add_stream_from_template(s) for s in c.streams}
        for packet in c.demux():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream.index]
                out.mux(packet)


@pytest.mark.parametrize("share", [0.97, 0.8, 0.5, 0.2])
def test_a_truncated_mp4_is_refused_with_a_remedy(share, clip, tmp_path):
    whole = clip.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: int(len(whole) * share)])  # the index is lost
    with pytest.raises(DataError, match=r"cut\.mp4: cannot be read .*Expected a whole media file.*ffmpeg"):
        open_streams(cut)
    _remuxed(clip, tmp_path / "fast.mp4")
    whole = (tmp_path / "fast.mp4").read_bytes()
    cut.write_bytes(whole[: int(len(whole) * share)])  # the index is in front
    with pytest.raises(DataError, match=r"cut\.mp4: .*(cut short|is cut).*ffmpeg"):
        open_streams(cut)


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.wav", "a.flac"])
def test_other_truncated_files_are_refused(name, tmp_path, encode):
    sound = {"a.mkv": "aac", "a.flac": "flac"}.get(name, "pcm_s16le")
    encode(tmp_path / name, video="libx264" if name in ("a.mkv", "a.avi") else None, audio=sound)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2 + 1])
    with pytest.raises(DataError, match=r"cut"):
        Media().open(tmp_path / name)


def test_much_damage_is_an_error_on_reading_not_silence(clip, tmp_path):
    data = bytearray(clip.read_bytes())
    begin = data.find(b"mdat") + 1200
    data[begin : begin + 3000] = bytes(3000)
    path = tmp_path / "bad.mp4"
    path.write_bytes(data)
    streams = Media().open(path)
    with pytest.raises(DataError, match=r"bad\.mp4: .*do not decode.*ffmpeg"):
        streams["video"].read()
    with pytest.raises(DataError, match=r"bad\.mp4: .*do not decode.*ffmpeg"):
        streams["audio"].read()


def test_no_media_and_no_file(tmp_path):
    (tmp_path / "a.mp4").write_text("not a film")
    with pytest.raises(DataError, match=r"a\.mp4: cannot be read as video or sound"):
        open_streams(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=r"b\.mp4: no such file"):
        open_streams(tmp_path / "b.mp4")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sound"),
    [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.flac", "flac"), ("a.mp3", "libmp3lame"), ("a.wav", "pcm_s16le")],
)
def test_a_place_far_into_the_sound_is_found_by_seeking(name, sound, tmp_path, encode, monkeypatch):
    encode(tmp_path / name, video=None, audio=sound, rate=16000, seconds=60, at=50.5)
    whole = Media().open(tmp_path / name)["audio"].read()
    places = []
    start = Cursor.start
    monkeypatch.setattr(Cursor, "start", lambda self, pts=None: (places.append(pts), start(self, pts)))
    stream = Media().open(tmp_path / name)["audio"]
    for a, b in ((50, 51), (51, 51.5), (30, 31), (1, 2)):
        part = stream.cut(a, b)
        want = whole[part.first : part.first + len(part)]
        assert np.abs(part.read() - want).max() < 5e-3  # the AAC decoder fills in noise of its own
    assert places[-1] is None
    if name != "a.mp3":  # times after a seek in mp3 are guesses
        assert len([p for p in places if p]) == 2
        assert len(places) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test.avi", "test.mp4", "demo.mp4", "demo_skeleton.mp4"])
def test_frames_of_real_files_are_those_of_opencv(name, real_data):
    import cv2

    stream = Media().open(real_data / "sample_videos" / name)["video"]
    capture, count = cv2.VideoCapture(str(real_data / "sample_videos" / name)), 0
    for block in stream.blocks(16):
        for frame in block.read():
            assert np.array_equal(frame, capture.read()[1][..., ::-1])
            count += 1
    assert count == len(stream)
    assert not capture.read()[0]


def test_sound_of_real_files_is_that_of_scipy(real_data):
    from scipy.io import wavfile

    path = real_data / "sample_videos" / "test.wav"
    rate, want = wavfile.read(path)
    stream = Media().open(path)["audio"]
    assert stream.clock == Grid(0, rate, len(want))
    assert np.array_equal(stream.read(), (want / 32768).astype(np.float32).reshape(len(want), -1))


def test_grid_clips(real_data):
    for path in sorted((real_data / "grid_s1/s1").glob("*.mp4"))[:5]:
        streams = Media().open(path)
        video, audio = streams["video"], streams["audio"]
        assert video.clock.rate == 25
        assert video.clock.start == audio.clock.start == 0
        assert video.read().shape == (len(video), 64, 96, 3)
        assert not np.isnan(audio.read()).any()
        assert abs(audio.clock.stop - video.clock.stop) < 0.05
