"""Draws docs/images/features.png, what the features of sound see in a made-up voice, and writes the table of all
features in docs/features.md.

python docs/pictures/features.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from plait.catalogue import catalogue
from plait.features.chroma import Chroma
from plait.features.energy import Energy
from plait.features.pitch import Pitch
from plait.features.prosody import COLUMNS, Prosody
from plait.features.sound import Spectrum
from plait.features.spectral import LogMel
from plait.streams.stream import Stream

DOCS = Path(__file__).parents[1]
RATE = 16000
NOTES = [(0.25, 0.62, 262, 262), (0.72, 1.09, 330, 330), (1.19, 1.68, 392, 392)]
"""Start and stop in seconds, and Hz at both: three sung notes, C, E and G ..."""
WORDS = [(2.15, 2.33, 180, 165), (2.40, 2.58, 165, 150), (2.65, 3.25, 190, 110)]
"""... and three spoken syllables that fall."""
VOWELS = [
    (730, 1090, 2440),
    (530, 1840, 2480),
    (300, 870, 2240),
    (270, 2290, 3010),
    (640, 1190, 2390),
    (490, 1350, 1690),
]
TONES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def voice() -> np.ndarray:
    """Harmonics as loud as the resonances of vowels make them, a hiss before what is spoken, and a little noise."""
    rng = np.random.default_rng(4)
    wave = 0.0015 * rng.standard_normal(int(3.5 * RATE))
    for (start, stop, low, high), formants in zip(NOTES + WORDS, VOWELS):
        t = np.arange(int((stop - start) * RATE)) / RATE
        sung = low == high
        pitch = np.linspace(low, high, len(t)) * (1 + (0.012 * np.sin(2 * np.pi * 5.5 * t) if sung else 0))
        tone = np.zeros(len(t))
        for k in range(1, int(5000 / pitch.max())):
            near = [1 / (1 + ((k * pitch - hz) / 150) ** 2) for hz in formants]
            tone += (0.15 + sum(near)) / k * np.sin(2 * np.pi * k * np.cumsum(pitch) / RATE)
        shape = np.minimum(1, np.minimum(t / 0.04, (t[-1] - t) / 0.08))
        lo = int(start * RATE)
        wave[lo : lo + len(t)] += 0.25 * shape * tone / np.abs(tone).max()
        if not sung:
            hiss = np.diff(rng.standard_normal(1001)) * np.hanning(1000)
            wave[lo - 900 : lo + 100] += 0.012 * hiss
    return wave.astype(np.float32)


def draw(target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    stream = Stream.of(voice(), rate=RATE, kind="waveform")
    figure, axes = plt.subplots(5, 1, figsize=(10, 11), sharex=True, height_ratios=[2.2, 1.6, 1.5, 1.8, 1.5])
    _spectrogram(axes[0], stream)
    mel, clock = LogMel()(stream)
    _image(axes[1], clock.times, mel.T, (0, 40), "log_mel: 40 bands, 100 rows a second", "band")
    _pitch(axes[2], stream)
    chroma, clock = Chroma()(stream)
    quiet = np.interp(clock.times, *_level(stream)) < -45
    shown = np.where(quiet[:, None], np.nan, chroma)
    _image(
        axes[3],
        clock.times,
        shown.T,
        (-0.5, 11.5),
        "chroma: 12 tones, 50 rows a second (shown where there is sound)",
        "",
    )
    axes[3].set_yticks(range(12), TONES, fontsize=7)
    _prosody(axes[4], stream)
    axes[4].set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    print(f"wrote {target}")


def _image(axis: Any, times: np.ndarray, rows: np.ndarray, span: tuple[float, float], title: str, label: str) -> None:
    axis.imshow(rows, aspect="auto", origin="lower", extent=(times[0], times[-1], *span), cmap="magma")
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_ylabel(label)


def _spectrogram(axis: Any, stream: Stream) -> None:
    front = Spectrum(RATE, 0.032, 0.005)
    power, clock, _ = front.over(stream, front.bins, front.power)
    level = 10 * np.log10(np.maximum(power, 1e-9))
    _image(
        axis, clock.times, np.clip(level, level.max() - 70, None).T, (0, RATE / 2000), "the sound: a spectrogram", "kHz"
    )


def _pitch(axis: Any, stream: Stream) -> None:
    values, clock = Pitch(unit="hz")(stream)
    axis.plot(clock.times, values[:, 0], ".", color="#b5367a", markersize=4)
    axis.set_ylim(90, 430)
    axis.set_ylabel("Hz")
    axis.set_title("pitch: Hz, and how probable a voice is (grey), 100 rows a second", loc="left", fontsize=10)
    beside = axis.twinx()
    beside.fill_between(clock.times, values[:, 1], color="grey", alpha=0.25, linewidth=0)
    beside.set_ylim(0, 1.05)


def _level(stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    values, clock = Energy(window=0.04)(stream)
    return clock.times, values[:, 0]


def _prosody(axis: Any, stream: Stream) -> None:
    axis.plot(*_level(stream), color="grey", linewidth=1)
    axis.set_ylabel("dB")
    axis.set_title(
        "energy: dB (grey); prosody: syllables a second over the second about (blue)", loc="left", fontsize=10
    )
    values, clock = Prosody()(stream)
    beside = axis.twinx()
    beside.step(clock.times, values[:, COLUMNS.index("speaking rate")], where="mid", color="#1f77b4")
    beside.set_ylim(0, 6)


def table() -> str:
    """All features and what they declare with their default options, as Markdown."""
    rows = ["| feature | takes | rows a second | receptive field, s | causal | what |", "|---|---|---|---|---|---|"]
    for name, one in catalogue("features")["features"].items():
        rate = {"own": "the stream's", None: "by its model or file"}.get(one["rate"], one["rate"])
        field = "" if one["receptive_field"] is None else f"± {one['receptive_field']:.3g}"
        causal = {True: "yes", False: "no", None: ""}[one["causal"]]
        what = one["what"].replace("|", "\\|").replace("``", "`")
        rows.append(f"| `{name}` | {', '.join(one['takes'])} | {rate} | {field} | {causal} | {what} |")
    return "\n".join(rows)


def with_table(page: str) -> str:
    """The page with the table between its marks written anew."""
    return re.sub(r"(<!-- table -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}\n{table()}\n\n{m[2]}", page, flags=re.S)


def main() -> None:
    draw(DOCS / "images" / "features.png")
    page = DOCS / "features.md"
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote the table of {page}")


if __name__ == "__main__":
    main()
