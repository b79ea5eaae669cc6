"""Sound of every codec that PyAV encodes, in every container that takes it, against decoding the whole with PyAV.

Needs: nothing beyond plait.
Takes: some minutes.

python benchmarks/sound.py [--codec NAME] [--more FOLDER]

For each of some 2,000 files (8 to 96 kHz, mono, stereo and 5.1): the same samples, the same length, and windows that
are read on their own the same as the whole. With --more also all media files of a folder.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from targets import finish, target

from plait.core.errors import DataError
from plait.readers.media import Media
from plait.streams.stream import Stream

RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000)
LAYOUTS = ("mono", "stereo", "5.1")
ENDINGS = (".wav", ".aiff", ".au", ".flac", ".ogg", ".opus", ".mp3", ".aac", ".m4a", ".mp4", ".mov", ".mkv", ".webm",
           ".avi", ".wma", ".mpg", ".ts", ".flv", ".3gp", ".caf", ".ac3", ".eac3", ".mp2", ".wv", ".tta", ".w64",
           ".mka", ".amr")  # fmt: skip
FORMATS = {".m4a": "ipod", ".wma": "asf", ".mka": "matroska", ".aac": "adts", ".mpg": "mpeg", ".ts": "mpegts"}


def encoders() -> list[str]:
    """Names of all sound encoders, two of the same codec (ac3 and ac3_fixed) both."""
    found = []
    for name in sorted(av.codecs_available):
        try:
            codec = av.Codec(name, "w")
        except (ValueError, av.error.FFmpegError):
            continue
        if codec.type == "audio" and name not in ("anull", "comfortnoise"):
            found.append(name)
    return found


def tone(rate: int, channels: int, seconds: float) -> np.ndarray:
    """[channels, n] float32: sweeps in noise, other ones in each channel."""
    t = np.arange(int(rate * seconds)) / rate
    noise = np.random.default_rng(0).normal(size=(channels, len(t)))
    sweeps = [np.sin(2 * np.pi * (200 + 40 * c + 300 * t) * t) for c in range(channels)]
    return (0.3 * np.stack(sweeps) + 0.01 * noise).astype(np.float32)


def write(path: Path, codec: str, rate: int, layout: str, seconds: float = 1.3) -> bool:
    """Write a file; False where the codec or the container does not take it."""
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    try:
        with av.open(str(path), "w", format=FORMATS.get(path.suffix)) as out:
            track = out.add_stream(codec, rate=rate, layout=layout)
            track.codec_context.options = {"strict": "experimental"}
            if codec.startswith("wma"):  # it has no rate of its own
                track.codec_context.bit_rate = 64000 * channels
            resampler = av.AudioResampler(track.format, layout, rate, frame_size=track.frame_size or None)
            frame = av.AudioFrame.from_ndarray(tone(rate, channels, seconds), "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                out.mux(track.encode(part))
            out.mux(track.encode(None))
    except (av.error.FFmpegError, ValueError, OSError, RuntimeError, OverflowError, NotImplementedError):
        return False
    return bool(path.is_file() and path.stat().st_size)


def decoded(path: Path, index: int = 0) -> np.ndarray:
    """The whole sound by PyAV alone, [n, channels] float32; the oracle."""
    parts = []
    with av.open(str(path), metadata_errors="ignore") as container:
        track = container.streams.audio[index]
        track.thread_type = "NONE"
        for frame in container.decode(track):
            parts.append(floats(frame))
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


def stated(path: Path, index: int) -> int:
    """Samples up to the end of the last packet, by a container that counts in samples; PyAV decodes its padding too."""
    with av.open(str(path), metadata_errors="ignore") as container:
        track = container.streams.audio[index]
        start = next(f.pts for f in container.decode(track))
        container.seek(0)
        ends = [p.pts + p.duration for p in container.demux(track) if p.pts is not None and p.duration]
        return ends[-1] - start if start is not None and track.time_base * track.sample_rate == 1 else -1


def floats(frame: av.AudioFrame) -> np.ndarray:
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if values.dtype == np.uint8:
        return ((values.astype(np.float32) - 128) / 128).astype(np.float32)
    if values.dtype.kind == "i":
        return (values * (-1 / float(np.iinfo(values.dtype).min))).astype(np.float32)
    return values.astype(np.float32)


def same(a: np.ndarray, b: np.ndarray, close: float = 0.0) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=close, equal_nan=True))


def fault(path: Path, index: int = 0) -> str:
    """What plait reads otherwise than PyAV; empty where nothing."""
    try:
        want = decoded(path, index)
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        return f"PyAV: {type(error).__name__}"
    try:
        streams = [s for s in Media().open(path).values() if s.kind == "waveform"]
        if not streams:
            return "no sound"
        stream = streams[index]
        got = stream.read()
    except DataError as error:
        return f"refused: {str(error).split(': ', 1)[-1]}" if len(want) else ""
    if len(got) != len(want) and len(got) == stated(path, index):
        want = want[: len(got)]
    if got.shape != want.shape:
        return f"shape {got.shape}, not {want.shape}"
    if not same(got, want):
        return f"{int((got != want).any(1).sum())} samples differ ({int(np.isnan(got).any(1).sum())} NaN)"
    return windows(path, index, got)


def windows(path: Path, index: int, whole: np.ndarray) -> str:
    """Windows of any length in any order, one stream for all and a new one for each."""
    rng = np.random.default_rng(len(whole))
    once = sounds(path)[index]
    for i in range(6):
        lo, hi = sorted(rng.integers(0, len(whole) + 1, 2).tolist())
        for stream in (once, sounds(path)[index]) if i < 2 else (once,):
            if not same(stream[lo:hi].read(), whole[lo:hi]):
                return f"window {lo}..{hi} differs from the whole"
    pieces = [b.read() for b in once.blocks(997)] if len(whole) < 1_000_000 else [whole]
    return "" if same(np.concatenate(pieces or [whole]), whole) else "blocks differ from the whole"


def sounds(path: Path) -> list[Stream]:
    return [s for s in Media().open(path).values() if s.kind == "waveform"]


def matrix(folder: Path, codecs: list[str], rates: Sequence[int]) -> Iterator[Path]:
    """Files of all codecs in all containers, each deleted once the next is asked for."""
    for codec in codecs:
        for rate, layout, ending in itertools.product(rates, LAYOUTS, ENDINGS):
            if ending == ".flv" and not codec.startswith(("aac", "mp3", "libmp3lame", "adpcm_swf", "nellymoser")):
                continue  # its writer ends the process
            if codec == "libopencore_amrnb" and rate != 8000:
                continue  # written, but as 8000
            path = folder / f"{codec}-{rate}-{layout}{ending}"
            if write(path, codec, rate, layout):
                yield path
            path.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", nargs="*", help="only these encoders")
    parser.add_argument("--rate", nargs="*", type=int, default=RATES, help="only these rates, Hz")
    parser.add_argument("--more", type=Path, help="a folder of files to read as well")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    av.logging.set_level(av.logging.PANIC)
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        own = matrix(Path(folder), args.codec or encoders(), args.rate)
        more = [p for p in sorted(args.more.rglob("*")) if p.is_file()] if args.more else []
        for path in itertools.chain(own, more):
            wrong = fault(path)
            tally["files"] += 1
            tally["wrong"] += bool(wrong) and not wrong.startswith("PyAV")
            if wrong:
                print(f"{path.name}: {wrong}", file=sys.stderr, flush=True)
    print(f"{tally['files']} files, {tally['wrong']} read otherwise than by PyAV alone")
    finish([target("files read otherwise than by PyAV alone", tally["wrong"], "<=", 0)], av=av.__version__)


if __name__ == "__main__":
    main()
