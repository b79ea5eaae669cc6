"""Draws docs/images/space-and-segments.png: a face held still, shots, speech, and three skeletons as one.

python docs/pictures/space_and_segments.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from plait.demo.face import face_film
from plait.segment.shots import find_boundaries
from plait.segment.speech import find_speech, speech_probability
from plait.streams.stream import Stream
from plait.transforms.face import Mouth, face_path
from plait.transforms.layouts import BONES, COMMON, LAYOUTS
from plait.transforms.skeleton import Skeleton

TARGET = Path(__file__).parents[1] / "images/space-and-segments.png"
BLUE, RED, GREY, GREEN = "#2563a8", "#c23b22", "#9aa0a6", "#2e8b57"
AT = {name: i for i, name in enumerate(COMMON)}


def draw_face_row(strip: Any, mouths: Any, lines: Any) -> None:
    """A speaker who sways: pictures with the mouth's box, the crops, and where boxes are with and without holding."""
    t = np.arange(150) / 25
    path = np.stack([160 + 45 * np.sin(1.3 * t), 120 + 14 * np.sin(2.1 * t)], 1)
    film = Stream.of(face_film(path, 84, mouth=np.abs(np.sin(8 * t)), noise=6), rate=25)
    step = Mouth()
    crops = step(film).read()
    found = face_path(film)
    centre, size, _ = found.path.at(t)
    shown = np.arange(5, 150, 18)[:8]
    for k, i in enumerate(shown):
        strip.imshow(film.read()[i], extent=(330 * k, 330 * k + 320, 240, 0))
        x, y, w = *centre[i], size[i]
        box = Rectangle((330 * k + x - 0.3 * w, y + 0.1 * w), 0.6 * w, 0.4 * w, fill=False, color=RED, lw=1.8)
        strip.add_patch(box)
        mouths.imshow(crops[i], extent=(330 * k, 330 * k + 320, 213, 0))
    for ax, bottom, title in (
        (strip, 240, "a speaker who sways, and the box of the mouth"),
        (mouths, 213, "the step mouth: it holds still"),
    ):
        ax.set(xlim=(0, 330 * len(shown) - 10), ylim=(bottom, 0))
        ax.set_title(title, loc="left", fontsize=10)
        ax.axis("off")
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
    each = []
    for one in film.read():
        boxes = cascade.detectMultiScale(cv2.equalizeHist(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY)), 1.1, 5)
        x, y, w, _ = max(boxes, key=lambda b: b[2])
        each.append([x + w / 2, y + w / 2])
    for values, colour, label in ((np.array(each), GREY, "found in each picture"), (centre, BLUE, "held still")):
        off = values[:, 0] - path[:, 0]
        lines.plot(t, off - np.median(off), color=colour, lw=1.6, label=label)
    lines.set(xlim=(0, 6), ylim=(-4, 4))
    lines.set_title("how far the box is from the face, across: pixels", loc="left", fontsize=10)
    lines.legend(fontsize=8, loc="lower right", ncol=2, frameon=False)


def take(seed: int, n: int) -> np.ndarray:
    """A wall of coloured blocks that the camera slowly passes, [n, 48, 64, 3]."""
    rng = np.random.default_rng(seed)
    base = rng.integers(60, 195, 3)
    wall = np.full((110, 150, 3), base, np.uint8)
    for _ in range(22):
        h, w = rng.integers(10, 60, 2)
        y, x = rng.integers(0, 110 - h), rng.integers(0, 150 - w)
        wall[y : y + h, x : x + w] = base + rng.integers(-60, 60, 3)
    views = [cv2.getRectSubPix(wall, (64, 48), (45 + 0.25 * i, 40 + 0.12 * i)) for i in range(n)]
    return np.clip(np.stack(views) + rng.normal(0, 3, (n, 48, 64, 3)), 0, 255)


def draw_shots(ax: Any) -> None:
    """Takes joined by a cut, a dissolve, a fade and a cut, with a flash that is none of them."""
    takes = [take(s, n) for s, n in ((1, 60), (2, 75), (3, 80), (14, 70), (5, 50))]
    share = (np.arange(1, 21) / 21)[:, None, None, None]
    mixed = (1 - share) * takes[1][-20:] + share * takes[2][:20]
    out, back = (
        takes[2][-16:] * np.linspace(1, 0, 16)[:, None, None, None],
        takes[3][:16] * np.linspace(0, 1, 16)[:, None, None, None],
    )
    film = np.concatenate([takes[0], takes[1][:-20], mixed, takes[2][20:-16], out, back, takes[3][16:], takes[4]])
    film[25] += 120
    film = np.clip(film, 0, 255).astype(np.uint8)
    found = find_boundaries(Stream.of(film, rate=25))
    end = len(film) / 25
    for k in range(42):
        ax.imshow(film[int((k + 0.5) / 42 * len(film))], extent=(k / 42 * end, (k + 1) / 42 * end, 0, 1), aspect="auto")
    for b in found:
        if b.stop > b.start:
            ax.axvspan(b.start, b.stop, color="white", alpha=0.45, lw=0)
        ax.axvline(b.middle, color=RED, lw=2.4)
        ax.text(b.middle, 1.05, "cut" if b.start == b.stop else "gradual", color=RED, fontsize=8, ha="center")
    ax.text(25.5 / 25, 1.05, "(a flash)", color="grey", fontsize=8, ha="center")
    ax.set(xlim=(0, end), ylim=(0, 1), yticks=[])
    ax.set_title("shots", loc="left", fontsize=10, pad=14)


def draw_speech(ax: Any) -> None:
    """Made-up vowels in as much noise."""
    rate, spoken = 16000, [(0.6, 1.5), (2.1, 3.3), (3.9, 4.3), (5.0, 6.2)]
    t = np.arange(7 * rate) / rate
    phase = 2 * np.pi * np.cumsum(130 + 35 * np.sin(2 * np.pi * 1.3 * t)) / rate
    tone = sum(np.sin(k * phase) / (1 + ((k * 130 - 500) / 300) ** 2) for k in range(1, 20))
    shape = sum(np.clip((t - a) / 0.04, 0, 1) * np.clip((b - t) / 0.04, 0, 1) for a, b in spoken)
    voice = 0.09 * tone * shape * (0.7 + 0.3 * np.cos(2 * np.pi * 4 * t))
    noise = np.random.default_rng(0).standard_normal(len(t)) * np.sqrt(np.mean(voice[shape > 0.5] ** 2) / 2)
    stream = Stream.of((voice + noise).astype(np.float32), rate=rate, kind="waveform")
    values, clock = speech_probability(stream)
    ax.plot(t[::8], (voice + noise)[::8], color=GREY, lw=0.3)
    ax.plot(t[::8], voice[::8], color=BLUE, lw=0.4)
    for a, b in find_speech(stream):
        ax.axvspan(a, b, color=GREEN, alpha=0.25, lw=0)
    ax.plot(clock.times, values - 0.5, color=GREEN, lw=1.4)
    ax.set(xlim=(0, 7), ylim=(-0.65, 0.65), yticks=[])
    ax.set_title(
        "speech in noise at 3 dB: its probability, and the intervals (blue: the voice alone)", loc="left", fontsize=10
    )


def waving(turn: float) -> np.ndarray:
    """A body that waves with its left hand, common joints [1, 19, 3], turned about the vertical."""
    way = {"neck": (0, 1, 0), "head": (0, 1, 0.1), "shoulder": (1, -0.05, 0), "elbow": (0.5, -0.9, 0.1)}
    way |= {"wrist": (0.2, -1, 0.3), "hand": (0.1, -1, 0.2), "hip": (1, -0.1, 0), "knee": (0.15, -1, 0.1)}
    way |= {"ankle": (0, -1, -0.1), "foot": (0.1, -0.3, 1)}
    wave = {"left_elbow": (0.9, 0.2, 0.1), "left_wrist": (0.25, 1, 0.2), "left_hand": (0.1, 1, 0.1)}
    out = np.zeros((1, 19, 3))
    for a, b, length in BONES:
        side = -1 if b.startswith("right") else 1
        step = np.array(wave.get(b, np.array(way[b.rpartition("_")[2]]) * [side, 1, 1]), float)
        out[:, AT[b]] = out[:, AT[a]] + length * step / np.linalg.norm(step)
    c, s = np.cos(turn), np.sin(turn)
    return out @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def as_layout(body: np.ndarray, name: str) -> np.ndarray:
    """A body's joints as a layout names them; what the common joints do not have lies at the head or a hand or foot."""
    ears = {"left_ear": 0.12, "right_ear": -0.12}
    near = {
        "ear": "head",
        "nose": "head",
        "eye": "head",
        "mouth": "head",
        "index": "hand",
        "pinky": "hand",
        "thumb": "hand",
    }
    out = np.zeros((1, len(LAYOUTS[name].joints), 3))
    for i, joint in enumerate(LAYOUTS[name].joints):
        side = joint.partition("_")[0] if joint.startswith(("left", "right")) else ""
        part = next((common for word, common in near.items() if word in joint), None)
        part = "foot" if "foot" in joint or "toe" in joint else "ankle" if "heel" in joint else part
        known = joint if joint in AT else f"{side}_{part}" if part in ("hand", "foot", "ankle") else part
        known = {"hip_centre": "pelvis", "spine": "pelvis", "shoulder_centre": "neck"}.get(joint, known)
        out[:, i] = body[:, AT[known or "pelvis"]] + [ears.get(joint, 0.0), 0, 0]
    return out


def draw_skeletons(axes: Any) -> None:
    """The same wave as a Kinect, a COCO detector and MediaPipe give it, and all three on one skeleton."""
    raw = {
        "Kinect v1, 20 joints": ("kinect20", as_layout(waving(2.6), "kinect20") * 0.5 + [0.4, 0.2, 2.8]),
        "COCO, 17, pixels": ("coco17", (as_layout(waving(0.0), "coco17") * [60, -60, 0] + [320, 200, 0])[..., :2]),
        "MediaPipe, 33": ("mediapipe33", as_layout(waving(-0.6), "mediapipe33") * [0.3, -0.3, -0.3]),
    }
    for ax, (title, (layout, points)), colour in zip(axes, raw.items(), (RED, GREEN, BLUE)):
        ax.scatter(*points[0, :, :2].T, s=9, color=colour)
        got = Skeleton(layout=layout)(Stream.of(points, rate=30)).read()[0]
        for a, b, _ in BONES:
            ends = got[[AT[a], AT[b]], :2]
            axes[3].plot(
                *ends.T, color=colour, lw=3.2 if colour == RED else 1.6, alpha=0.7, ls="-" if colour != BLUE else ":"
            )
        if LAYOUTS[layout].up == "-y":
            ax.invert_yaxis()
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=7)
    axes[3].set_title("the step skeleton", fontsize=9)
    for ax in axes:
        ax.set_aspect("equal", "datalim")


def main() -> None:
    figure = plt.figure(figsize=(11, 10), dpi=110)
    rows = figure.add_gridspec(6, 4, height_ratios=[0.95, 0.85, 0.8, 0.9, 1.1, 2.2], hspace=0.5, wspace=0.28,
                               left=0.06, right=0.98, top=0.97, bottom=0.04)  # fmt: skip
    wide = [figure.add_subplot(rows[i, :]) for i in range(5)]
    draw_face_row(*wide[:3])
    draw_shots(wide[3])
    draw_speech(wide[4])
    draw_skeletons([figure.add_subplot(rows[5, i]) for i in range(4)])
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET)


if __name__ == "__main__":
    main()
