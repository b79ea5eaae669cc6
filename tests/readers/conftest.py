"""Small files of every format, made by code that is not ours."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest


def _encode(path, *, video="libx264", audio="aac", rate=48000, fps=Fraction(25), seconds=2.0, at=1.0,
            pts=None, late=0.0, gap=None, level=None, gop=12, size=(96, 64)):  # fmt: skip
    """A film: dark pictures with a flash and noise with a click, both ``at`` seconds; sound may start ``late``."""
    import av

    width, height = size
    with av.open(str(path), "w") as out:
        tracks = {}
        if video:
            v = tracks["v"] = out.add_stream(video, rate=fps)
            v.width, v.height, v.pix_fmt, v.codec_context.gop_size = width, height, "yuv420p", gop
        if audio:
            a = tracks["a"] = out.add_stream(audio, rate=rate)
            a.layout = "mono"
        times = pts if pts is not None else [i / fps for i in range(int(seconds * fps))]
        for i, t in enumerate(times if video else ()):
            dark = (5 * i) % 90 if level is None else level(i)
            image = np.full((height, width, 3), 230 if abs(float(t) - at) < 0.6 / float(fps) else dark, np.uint8)
            frame = av.VideoFrame.from_ndarray(image)
            frame.time_base = Fraction(1, 90000) if pts is not None else 1 / fps
            frame.pts = round(Fraction(t) / frame.time_base)
            if pts is not None:
                v.codec_context.time_base = frame.time_base
            out.mux(v.encode(frame))
        if video:
            out.mux(v.encode())
        if audio:
            _sound(out, a, av, rate, seconds, at, late, gap)


def _sound(out, track, av, rate, seconds, at, late, gap):
    n = int(seconds * rate)
    x = (np.random.default_rng(0).standard_normal(n) * 1e-3).astype(np.float32)
    place = round((at - late) * rate)
    x[place : place + rate // 100] += 0.8 * np.sin(2 * np.pi * 1500 * np.arange(rate // 100) / rate)
    resampler = av.AudioResampler(format=track.format, layout="mono", rate=rate)
    frame = av.AudioFrame.from_ndarray(x[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    packets = [p for f in resampler.resample(frame) + resampler.resample(None) for p in track.encode(f)]
    for p in packets + list(track.encode()):
        shift = round(late / float(p.time_base))
        if gap and p.pts * float(p.time_base) >= gap[0]:
            shift += round(gap[1] / float(p.time_base))
        p.pts, p.dts = p.pts + shift, p.dts + shift
        out.mux(p)


@pytest.fixture(scope="session")
def encode():
    return _encode


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """An ordinary mp4: 50 frames of 96 x 64 at 25 fps, H.264 with B-frames, AAC at 48 kHz; event at 1 s."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    _encode(path)
    return path


@pytest.fixture(scope="session")
def event():
    """When the flash or the click of a stream begins, seconds."""

    def when(stream):
        values = stream.read()
        level = values.mean((1, 2, 3)) > 150 if stream.kind == "frames" else np.abs(np.nan_to_num(values[:, 0])) > 0.25
        return float(stream.clock.times[np.argmax(level)])

    return when
