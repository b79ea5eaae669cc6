"""Features of sound against librosa, and grey pictures of video against plain PyAV decoding; one thread on both sides.

Needs: librosa (extra `bench`). Optional: grid_s1, sample_videos in PLAIT_DATA.
Takes: minutes.

python benchmarks/features.py [--data FOLDER] [--repeats 7]

Processor time, medians of interleaved runs. Real sound and video are found through PLAIT_DATA (or --data): GRID and
the container samples; without it there is made-up sound and the made-up 640 x 480 film only.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import needs

needs.check(packages=["librosa"])

import av
import librosa
import numpy as np
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait.features import Feature
from plait.features.chroma import Chroma
from plait.features.image import Dct, Frames
from plait.features.motion import Motion
from plait.features.pitch import Pitch
from plait.features.shape import SpectralShape
from plait.features.spectral import LogMel, Mfcc
from plait.readers import open_streams
from plait.streams.pictures import read_grey
from plait.streams.stream import Stream

LENGTHS = (10, 60, 600)
TOOK = "import json, resource, sys, time; print(json.dumps([time.perf_counter() - begin, time.process_time()]))"
OURS = """
import time; begin = time.perf_counter()
import sys
from pathlib import Path
from plait.readers import open_streams
from plait.features.spectral import {feature}
feature = {feature}()
(stream,) = [s for s in open_streams(Path(sys.argv[1])).values() if s.kind == "waveform"]
assert len(feature(stream)[0]) > 10
"""
THEIRS = """
import time; begin = time.perf_counter()
import sys
import librosa
wave, rate = librosa.load(sys.argv[1], sr=16000)
librosa.feature.{feature}(y=wave, sr=rate, n_fft=512, win_length=400, hop_length=160, n_mels=40, center=False)
"""


def medians(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median processor seconds of each call, run in turns after a warm-up."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(repeats + 1):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            if i:
                took[name].append(time.process_time() - begin)
    return {name: float(np.median(t)) for name, t in took.items()}


def table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    shown = Table(title=title)
    for name in columns:
        shown.add_column(name)
    for row in rows:
        shown.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=150).print(shown)


def sound_of(data: Path | None, rate: int, seconds: int) -> np.ndarray:
    """Real speech, repeated as often as needed; a voice of our own in noise where there is none."""
    path = data and data / "sample_videos" / ("test.wav" if rate == 16000 else "test.avi")
    if path and path.is_file():
        (stream,) = [s for s in open_streams(path).values() if s.kind == "waveform"]
        own = stream.read().mean(1)
    else:
        t = np.arange(6 * rate) / rate
        own = 0.1 * np.sin(2 * np.pi * (150 * t + 10 * np.sin(t))) + 0.01 * np.random.default_rng(0).normal(size=len(t))
    return np.resize(own, rate * seconds).astype(np.float32)


def mel_power(wave: np.ndarray, rate: int) -> np.ndarray:
    window, hop = round(0.025 * rate), round(0.01 * rate)
    fft = 1 << (window - 1).bit_length()
    own = {"n_fft": fft, "win_length": window, "hop_length": hop, "n_mels": 40, "center": False}
    return librosa.feature.melspectrogram(y=wave, sr=rate, **own)


def their_log_mel(wave: np.ndarray, rate: int) -> np.ndarray:
    return np.log(np.maximum(mel_power(wave, rate), 1e-10)).T


def their_mfcc(wave: np.ndarray, rate: int) -> np.ndarray:
    return librosa.feature.mfcc(S=librosa.power_to_db(mel_power(wave, rate), top_db=None), n_mfcc=13).T


def parity(data: Path | None) -> list[dict[str, Any]]:
    """Largest difference from librosa on a minute of sound."""
    worst: dict[str, float] = {"log-mel": 0.0, "MFCC": 0.0, "MFCC deltas": 0.0}
    for rate in (16000, 44100):
        wave = sound_of(data, rate, 60)
        stream = Stream.of(wave, rate=rate, kind="waveform")
        window = round(0.025 * rate)
        shifted = np.pad(wave, ((1 << (window - 1).bit_length()) - window) // 2)  # librosa centres its window
        n = len(LogMel(rate=rate)(stream)[0])
        ours = {"log-mel": LogMel(rate=rate, floor=1e-10)(stream)[0], "MFCC": Mfcc(rate=rate, deltas=2)(stream)[0]}
        mfcc = their_mfcc(shifted, rate)[:n]
        changes = [librosa.feature.delta(mfcc.T, order=k, mode="nearest").T for k in (1, 2)]
        pairs = {
            "log-mel": (ours["log-mel"], their_log_mel(shifted, rate)[:n]),
            "MFCC": (ours["MFCC"][:, :13], mfcc),
            "MFCC deltas": (ours["MFCC"][:, 13:], np.concatenate(changes, 1)),
        }
        for name, (mine, their) in pairs.items():
            worst[name] = max(worst[name], float(np.abs(mine - their).max()))
    return [target(f"{name}: largest difference from librosa's", value, "<=", 1e-4) for name, value in worst.items()]


def speed(data: Path | None, repeats: int) -> list[dict[str, Any]]:
    """How many times as long librosa's warm calls take, by feature, rate and length."""
    rows, least = [], {"log-mel": np.inf, "MFCC": np.inf}
    for rate in (16000, 44100):
        for seconds in LENGTHS:
            wave = sound_of(data, rate, seconds)
            stream = Stream.of(wave, rate=rate, kind="waveform")
            log_mel, mfcc = LogMel(rate=rate), Mfcc(rate=rate)
            for name, ours, theirs in (
                ("log-mel", partial(log_mel, stream), partial(their_log_mel, wave, rate)),
                ("MFCC", partial(mfcc, stream), partial(their_mfcc, wave, rate)),
            ):
                took = medians({"ours": ours, "theirs": theirs}, repeats if seconds < 600 else max(repeats // 2, 3))
                times = took["theirs"] / took["ours"]
                least[name] = min(least[name], times)
                rows.append((name, rate, seconds, 1e3 * took["ours"], 1e3 * took["theirs"], times))
    table("Warm calls", ("feature", "Hz", "seconds", "ours, ms", "librosa, ms", "librosa / ours"), rows)
    what = "librosa's warm time over ours, least of all lengths and rates"
    return [target(f"{name}: {what}", value, ">=", 1.0) for name, value in least.items()]


def others(data: Path | None, repeats: int) -> None:
    """The other features of sound beside librosa's, a minute at 16 kHz (pYIN: 10 s)."""
    wave, short = sound_of(data, 16000, 60), sound_of(data, 16000, 10)
    stream, brief = (Stream.of(w, rate=16000, kind="waveform") for w in (wave, short))
    own = {"n_fft": 512, "hop_length": 160, "center": False}
    voice = {"fmin": 60, "fmax": 500, "sr": 16000, "frame_length": 1024, "hop_length": 160, "center": False}

    def shapes() -> None:
        size = np.abs(librosa.stft(wave, **own))
        for of in ("spectral_centroid", "spectral_bandwidth", "spectral_rolloff"):
            getattr(librosa.feature, of)(S=size, sr=16000)
        librosa.feature.spectral_flatness(S=size)
        librosa.feature.spectral_contrast(S=size, sr=16000, n_bands=5)
        librosa.feature.zero_crossing_rate(wave, frame_length=512, hop_length=160, center=False)

    cases: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        (
            "chroma",
            lambda: Chroma(hop=0.02)(stream),
            lambda: librosa.feature.chroma_stft(y=wave, sr=16000, n_fft=2048, hop_length=320, center=False, tuning=0),
        ),
        ("spectral shape", lambda: SpectralShape(window=0.032)(stream), shapes),
        ("YIN", lambda: Pitch(track=False, window=0.047)(stream), lambda: librosa.yin(wave, **voice)),
        ("pYIN, 10 s", lambda: Pitch(window=0.047)(brief), lambda: librosa.pyin(short, **voice)),
    ]
    rows = []
    for name, ours, theirs in cases:
        took = medians({"ours": ours, "theirs": theirs}, 1 if name.startswith("pYIN") else max(repeats // 2, 1))
        rows.append((name, 1e3 * took["ours"], 1e3 * took["theirs"], took["theirs"] / took["ours"]))
    table("Other features of sound, warm", ("feature", "ours, ms", "librosa, ms", "librosa / ours"), rows)


def first_call(data: Path | None) -> list[dict[str, Any]]:
    """Import, open a wav and compute, in processes of their own; librosa's also with nothing compiled before."""
    rows, walls, processors = [], [], []
    for feature, name in (("LogMel", "melspectrogram"), ("Mfcc", "mfcc")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sound.wav"
            _write_wav(path, sound_of(data, 16000, 6))
            runs = np.array([_process(OURS.format(feature=feature), path, {}) for _ in range(7)])
            cold, warm = (_process(THEIRS.format(feature=name), path, {"NUMBA_CACHE_DIR": folder}) for _ in range(2))
        wall, processor = float(runs[:, 0].min()), float(np.median(runs[:, 1]))
        walls.append(wall)
        processors.append(processor)
        rows.append((feature, wall, processor, *cold, *warm))
    columns = (
        "ours: wall s",
        "processor s",
        "librosa: wall s",
        "processor s",
        "compiled before: wall s",
        "processor s",
    )
    table("First call in a fresh process, with imports, from a wav file", ("feature", *columns), rows)
    return [
        target("first call in a fresh process, processor s, median of 7", max(processors), "<=", 1.0),
        target("first call in a fresh process, wall s, least of 7 (the machine may be shared)", max(walls), "<=", 1.0),
    ]


def _process(code: str, path: Path, environment: dict[str, str]) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + TOOK, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    wall, processor = json.loads(done.stdout)
    return wall, processor


def _write_wav(path: Path, wave: np.ndarray) -> None:
    with av.open(str(path), "w") as out:
        track = out.add_stream("pcm_s16le", rate=16000, layout="mono")
        samples = (wave * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16000
        out.mux(track.encode(frame))
        out.mux(track.encode(None))


def films(data: Path | None, folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """Clips by name: a lot of short ones counts as one."""
    clips = sorted((data / "grid_s1" / "s1").glob("*.mp4"))[:30] if data else []
    if clips:
        yield "GRID, 96 x 64, 3 s each", clips
    for name in ("test.mp4", "demo.mp4"):
        if data and (data / "sample_videos" / name).is_file():
            yield f"sample {name}, 340 x 256, 10 s", [data / "sample_videos" / name]
    path = folder / "large.mp4"
    _write_film(path)
    yield "made-up, 640 x 480, 10 s", [path]


def _write_film(path: Path, frames: int = 250) -> None:
    """A textured picture that pans, as a hand-held camera does, with a little noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (40, 60, 3), np.uint8).repeat(24, 0).repeat(24, 1)
    with av.open(str(path), "w") as out:
        track = out.add_stream("libx264", rate=25)
        track.width, track.height, track.pix_fmt = 640, 480, "yuv420p"
        for i in range(frames):
            y, x = round(200 + 150 * np.sin(i / 20)), round(300 + 250 * np.cos(i / 31))
            grain = rng.integers(-6, 7, (480, 640, 1))
            picture = np.clip(coarse[y : y + 480, x : x + 640] + grain, 0, 255).astype(np.uint8)
            out.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(track.encode(None))


def plain(paths: list[Path], how: str | None = None) -> None:
    """PyAV alone: decode to the file's own frames, or further to an array of ``how``."""
    for path in paths:
        with av.open(str(path)) as container:
            track = container.streams.video[0]
            track.thread_type = "NONE"
            for frame in container.decode(track):
                if how:
                    frame.to_ndarray(format=how)


def pictures_of(path: Path) -> Stream:
    (stream,) = [s for s in open_streams(path).values() if s.kind == "frames"]
    stream.source.cursor.threads = False  # type: ignore[attr-defined]
    return stream


def grey(streams: list[Stream], cropped: bool) -> None:
    """All pictures in grey, a block of 32 MB of colours at a time as features read them; the middle half or all."""
    for stream in streams:
        height, width = stream.shape[1:3]
        box = (height // 4, width // 4, height // 2, width // 2) if cropped else None
        for block in stream.blocks(max((1 << 25) // (12 * height * width), 1)):
            read_grey(block, box)


def anew(paths: list[Path], feature: Feature | None = None) -> None:
    """Open each file anew and take a feature of it, or its middle in grey."""
    for path in paths:
        stream = pictures_of(path)
        if feature:
            feature(stream)
        else:
            grey([stream], True)


def video(data: Path | None, repeats: int) -> list[dict[str, Any]]:
    rows, found = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, paths in films(data, Path(folder)):
            streams = [pictures_of(p) for p in paths]
            calls = {
                "plain": partial(plain, paths),
                "crop": partial(grey, streams, True),
                "grey": partial(grey, streams, False),
                "open + crop": partial(anew, paths),
                "to_ndarray": partial(plain, paths, "gray"),
                **{type(f).__name__: partial(anew, paths, f) for f in (Frames(), Dct(), Motion())},
            }
            took = medians(calls, repeats)
            times = {k: v / took["plain"] for k, v in took.items()}
            rows.append((name, 1e3 * took["plain"], *list(times.values())[1:]))
            found.append(target(f"decode and crop to grey over plain decoding: {name}", times["crop"], "<=", 1.3))
    columns = ("film", "plain PyAV, ms", "crop to grey", "all grey", "open too + crop", "PyAV's 'gray'")
    table("Video: times of plain decoding", (*columns, "frames", "dct", "motion"), rows)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PLAIT_DATA"))
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    needs.check(["grid_s1", "sample_videos"], fewest=0, folder=args.data)
    warnings.simplefilter("ignore")
    data = Path(args.data) if args.data else None
    found = parity(data)
    found += speed(data, args.repeats)
    others(data, args.repeats)
    found += first_call(data)
    found += video(data, args.repeats)
    finish(found, real=data is not None, librosa=librosa.__version__, av=av.__version__)


if __name__ == "__main__":
    main()
