"""Draws docs/images/interchange.png: files of five makers as one recording, on one time axis.

python docs/pictures/interchange.py
"""

from __future__ import annotations

import datetime
import json
import tempfile
from pathlib import Path

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pyedflib
from mcap.writer import Writer

from plait.corpus.corpus import Corpus
from plait.importing.folder import import_folder
from plait.transforms import apply_steps

SECONDS = 40
BEGUN = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
ACTS = [(2, 13, "walking"), (15, 24, "sitting"), (26, 38, "running")]
SAID = [(1.0, 5.2, "off we go"), (13.2, 18, "short break"), (24.2, 30.6, "and back again!")]


def effort(t: np.ndarray) -> np.ndarray:
    """How hard the body works: 0 at rest, 1 walking, 2 running; it follows what is done within a second or two."""
    raw = sum(level * ((t > a) & (t < b)) for (a, b, _), level in zip(ACTS, (1, 0, 2)))
    kernel = np.exp(-np.arange(0, 6, t[1] - t[0]) / 1.2)
    return np.convolve(raw, kernel / kernel.sum())[: len(t)]


def write_edf(path: Path) -> None:
    t = np.arange(SECONDS * 128) / 128
    beats = np.cumsum((1.1 + 0.45 * effort(t)) / 128)
    phase = beats % 1
    ecg = 1.2 * np.exp(-((phase - 0.3) ** 2) / 4e-4) + 0.25 * np.exp(-((phase - 0.55) ** 2) / 4e-3)
    head = {"label": "ECG", "dimension": "mV", "sample_frequency": 128, "physical_min": -2, "physical_max": 2,
            "digital_min": -32768, "digital_max": 32767, "transducer": "", "prefilter": ""}  # fmt: skip
    with pyedflib.EdfWriter(str(path), 1, file_type=pyedflib.FILETYPE_EDFPLUS) as out:
        out.setSignalHeaders([head])
        out.writeSamples([ecg + np.random.default_rng(0).normal(0, 0.02, len(t))])


def write_gpx(path: Path) -> None:
    t = np.arange(SECONDS, dtype=float)
    steps, turn = 1.4 * effort(t), np.clip((t - 18) / 8, 0, 1) * np.pi * 0.8
    east, north = np.cumsum(steps * np.cos(turn)), np.cumsum(steps * np.sin(turn))
    rows = [
        f'<trkpt lat="{48 + n / 111_200:.7f}" lon="{11.5 + e / 74_600:.7f}">'
        f"<time>{(BEGUN + datetime.timedelta(seconds=float(s))).isoformat()}</time></trkpt>"
        for s, e, n in zip(t, east, north)
    ]
    path.write_text(f"<gpx><trk><trkseg>{''.join(rows)}</trkseg></trk></gpx>")


def write_mcap(path: Path) -> None:
    t = np.arange(SECONDS * 25) / 25 + np.random.default_rng(1).uniform(0, 0.02, SECONDS * 25)
    steps = np.sin(2 * np.pi * np.cumsum(1.6 + 0.5 * effort(t)) / 25) * effort(t) * 3
    with open(path, "wb") as file:
        out = Writer(file)
        out.start()
        channel = out.register_channel("/imu/acc", "json", 0)
        for at, z in zip(t, steps):
            nanos = int((BEGUN.timestamp() + at) * 1e9)
            out.add_message(channel, nanos, json.dumps({"z": 9.81 + float(z)}).encode(), nanos)
        out.finish()


def write_eaf(path: Path) -> None:
    slots, tiers, k = "", "", 0
    for name, rows in (("activity", ACTS), ("said", SAID)):
        notes = ""
        for start, stop, text in rows:
            slots += f'<TIME_SLOT TIME_SLOT_ID="s{k}" TIME_VALUE="{start * 1000:.0f}"/>'
            slots += f'<TIME_SLOT TIME_SLOT_ID="e{k}" TIME_VALUE="{stop * 1000:.0f}"/>'
            notes += f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{k}" TIME_SLOT_REF1="s{k}" '
            notes += f'TIME_SLOT_REF2="e{k}">'
            notes += f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
            k += 1
        tiers += f'<TIER TIER_ID="{name}">{notes}</TIER>'
    path.write_text(f"<ANNOTATION_DOCUMENT><TIME_ORDER>{slots}</TIME_ORDER>{tiers}</ANNOTATION_DOCUMENT>")


def write_csd(path: Path) -> None:
    edges = np.arange(0, SECONDS + 0.5, 0.5)
    smile = np.clip(np.sin(edges[:-1] / 5) + np.random.default_rng(2).normal(0, 0.15, len(edges) - 1), 0, None)
    with h5py.File(path, "w") as file:
        file["smile/data/walk01/features"] = smile[:, None]
        file["smile/data/walk01/intervals"] = np.stack([edges[:-1], edges[1:]], 1)


def draw(folder: Path, target: Path) -> None:
    streams = Corpus(folder / "manifest.jsonl")["walk01"].streams
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(6, 1, figsize=(9.5, 6.6), sharex=True, height_ratios=[1.2, 1, 1, 1, 0.5, 0.5])
    colours = ["#b5323a", "#3a6ea5", "#4f8a3c", "#c77b1e", "#6b5b95", "#6b5b95"]

    def label(i: int, file: str, what: str) -> None:
        axes[i].text(-0.135, 0.62, file, transform=axes[i].transAxes, ha="right", weight="bold", color=colours[i])
        axes[i].text(-0.135, 0.62, f"\n{what}", transform=axes[i].transAxes, ha="right", va="top", color="0.35", size=8)

    ecg = streams["signals"].cut(0, SECONDS)
    axes[0].plot(ecg.clock.times, ecg.read()[:, 0], lw=0.5, color=colours[0])
    axes[0].set_ylabel("mV")
    label(0, "walk01.edf", "ECG, a grid\nof 128 Hz")
    path = apply_steps(streams["position"], [{"name": "metres", "speed": True}])
    axes[1].plot(path.clock.times, path.read()[:, -1], ".-", lw=1, ms=4, color=colours[1])
    axes[1].set_ylabel("m/s")
    label(1, "walk01.gpx", "position,\nhere as speed")
    acc = streams["imu_acc"]
    axes[2].plot(acc.clock.times, acc.read()[:, 0], lw=0.6, color=colours[2])
    axes[2].set_ylabel("m/s²")
    label(2, "walk01.mcap", "acceleration,\nirregular ticks")
    smile = streams["smile"]
    edges = np.append(smile.clock.starts, smile.clock.stops[-1])
    axes[3].stairs(smile.read()[:, 0], edges, color=colours[3], fill=True, alpha=0.7)
    axes[3].set_ylabel("smile")
    label(3, "smile.csd", "intervals\nof 0.5 s")
    for i, name in ((4, "said"), (5, "activity")):
        words = streams[name]
        for a, b, text in zip(words.clock.starts, words.clock.stops, words.read()):
            axes[i].axvspan(a, b, 0.08, 0.92, color=colours[i], alpha=0.35 if i == 4 else 0.6)
            axes[i].text((a + b) / 2, 0.5, text, ha="center", va="center", transform=axes[i].get_xaxis_transform())
        axes[i].set_yticks([])
        axes[i].spines["left"].set_visible(False)
        label(i, "walk01.eaf", f"tier {name!r}")
    axes[5].set_xlim(0, SECONDS)
    axes[5].set_xlabel("seconds of the recording")
    figure.align_ylabels()
    figure.subplots_adjust(left=0.24, right=0.985, top=0.985, bottom=0.075, hspace=0.28)
    figure.savefig(target, dpi=130)


def main() -> None:
    target = Path(__file__).parents[1] / "images/interchange.png"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_edf(folder / "walk01.edf")
        write_gpx(folder / "walk01.gpx")
        write_mcap(folder / "walk01.mcap")
        write_eaf(folder / "walk01.eaf")
        write_csd(folder / "smile.csd")
        import_folder(folder)
        draw(folder, target)


if __name__ == "__main__":
    main()
