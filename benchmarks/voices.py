"""Pitch, voicing and syllables: on planted tones in noise, and on read sentences of GRID beside librosa's pYIN.

Needs: librosa (extra `bench`). Optional: grid_s1 in PLAIT_DATA.
Takes: seconds; with grid_s1 minutes.

python benchmarks/voices.py [--data FOLDER] [--sentences 20]
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path
from typing import Any

import needs
import numpy as np
from targets import finish

from plait.features.pitch import Pitch
from plait.features.prosody import COLUMNS, Prosody
from plait.readers import open_streams
from plait.streams.stream import Stream

MORE = {"seven": 2, "zero": 2, "again": 2, "w": 3}
"""Syllables of the words of GRID that have more than one."""


def planted() -> list[dict[str, Any]]:
    """How often pitch is found, and how often half a semitone off, in white noise; with and without a path."""
    t = np.arange(6 * 16000) / 16000
    true = 150 + 80 * np.sin(2 * np.pi * 0.7 * t)
    voice = 0.1 * sum(np.sin(2 * np.pi * k * np.cumsum(true) / 16000) / k for k in range(1, 8))
    noise = np.random.default_rng(0).normal(size=len(t))
    rows = []
    for snr in (40, 20, 10, 5, 0):
        noisy = voice + noise * np.sqrt((voice**2).mean() / 10 ** (snr / 10))
        for track in (True, False):
            stream = Stream.of(noisy.astype(np.float32), rate=16000, kind="waveform")
            values, clock = Pitch(unit="hz", track=track)(stream)
            off = np.abs(1200 * np.log2(values[:, 0] / np.interp(clock.times, t, true)))
            found = ~np.isnan(off)
            cents = float(np.median(off[found])) if found.any() else None
            rows.append({"snr": snr, "path": track, "found": found.mean(), "cents": cents, "wrong": (off > 50).mean()})
    return rows


def sentence(clip: Path, words: Path) -> tuple[Stream, list[tuple[float, float, str]]]:
    (stream,) = [s for s in open_streams(clip).values() if s.kind == "waveform"]
    rows = [line.split() for line in words.read_text().splitlines()]
    return stream, [(int(a) / 25000, int(b) / 25000, word) for a, b, word in rows]


def within(times: np.ndarray, spans: list[tuple[float, float, str]], silent: bool) -> np.ndarray:
    """Instants within words, or within silence and 80 ms away from any."""
    inside = np.zeros(len(times), bool)
    for start, stop, word in spans:
        if (word in ("sil", "sp")) == silent:
            inside |= (times >= start + 0.08 * silent) & (times < stop - 0.08 * silent)
    return inside


def read_aloud(clips: list[Path], words: Path) -> dict[str, float]:
    """Shares of silence and of words that count as voice, and how far both pitches agree."""
    import librosa

    shares: dict[str, list[float]] = {}
    cents: list[float] = []
    for clip in clips:
        stream, spans = sentence(clip, words / f"{clip.stem}.align")
        values, clock = Pitch(unit="hz")(stream)
        wave = librosa.resample(stream.read().mean(1), orig_sr=float(stream.clock.rate), target_sr=16000)
        front = Pitch()._front
        own = {"fmin": 60, "fmax": 500, "sr": 16000, "frame_length": 1024, "hop_length": 160, "center": False}
        padded = np.pad(wave, (1024 - front.size) // 2)
        theirs = librosa.pyin(padded, **own)[0]
        n = min(len(theirs), len(values))
        ours, theirs, times = values[:n, 0], theirs[:n], clock.times[:n]
        for name, pitch in (("plait", ours), ("librosa", theirs)):
            for what, silent in (("silence", True), ("words", False)):
                voiced = ~np.isnan(pitch)[within(times, spans, silent)]
                shares.setdefault(f"{name}: voice in {what}", []).append(voiced.mean())
        cents += np.abs(1200 * np.log2(ours / theirs))[~np.isnan(ours) & ~np.isnan(theirs)].tolist()
    agree = {"median difference, cents": np.median(cents), "share within 50 cents": np.mean(np.array(cents) < 50)}
    return {name: round(float(np.mean(v)), 3) for name, v in {**shares, **agree}.items()}


def syllables(clips: list[Path], words: Path) -> dict[str, float]:
    counted, true = [], []
    for clip in clips:
        stream, spans = sentence(clip, words / f"{clip.stem}.align")
        row = Prosody(span=60)(stream)[0][0]
        seconds = len(stream) / float(stream.clock.rate) - 0.0768 + 0.01
        counted.append(row[COLUMNS.index("speaking rate")] * seconds)
        true.append(sum(MORE.get(word, 1) for *_, word in spans if word not in ("sil", "sp")))
    off = np.array(counted) - np.array(true)
    means = {"sentences": len(clips), "true": np.mean(true), "counted": np.mean(counted), "off by": np.abs(off).mean()}
    return {name: round(float(v), 2) for name, v in means.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PLAIT_DATA"))
    parser.add_argument("--sentences", type=int, default=20)
    args = parser.parse_args()
    folder = needs.check(["grid_s1"], ["librosa"], fewest=0, folder=args.data)
    warnings.simplefilter("ignore")
    rows = planted()
    print("  SNR  path   found  median cents  wrong by > 50 cents")
    for row in rows:
        cents = "-" if row["cents"] is None else f"{row['cents']:.1f}"
        print(f"{row['snr']:5}  {row['path']!s:5}  {row['found']:5.3f}  {cents:>12}  {row['wrong']:19.3f}")
    more: dict[str, Any] = {}
    if not needs.lacking("grid_s1", folder):
        clips, words = sorted((folder / "grid_s1" / "s1").glob("*.mp4")), folder / "grid_s1/align/s1"
        more["grid"] = read_aloud(clips[:: max(len(clips) // args.sentences, 1)][: args.sentences], words)
        more["syllables"] = syllables(clips[::8], words)
        for name, value in {**more["grid"], **more["syllables"]}.items():
            print(f"{name}: {value}")
    finish([], planted=[{k: v if v is None else round(float(v), 3) for k, v in row.items()} for row in rows], **more)


if __name__ == "__main__":
    main()
