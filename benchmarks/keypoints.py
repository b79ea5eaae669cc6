"""Keypoints of raw pictures, and mouths of raw films: PLAIT_DATA=... python benchmarks/keypoints.py

Needs: coco_mini, sample_videos in PLAIT_DATA; ai-edge-litert, and the models (docs/keypoints.md). Optional: grid_s1 and
--run, a run of recipes/grid_transcribe.yaml.
Takes: a minute; with --run two minutes more.

- ``body``: people of COCO at least 100 pixels high in the pictures as they are (shorter side 256). A person's box with
  a tenth more on each side is given; the detector looks in it, and where it finds nobody the whole of it is looked at.
  PCK: share of the annotated keypoints (hidden ones too) whose error is below 0.1 or 0.2 of the box's longer side
  (Yang & Ramanan 2013, "Articulated human detection with flexible mixtures of parts", TPAMI, section 7.2). Beside it
  the box's centre for every keypoint, and each keypoint's mean place in the boxes of all other people.
- ``speed``: pictures per second of one thread, decoding included.
- ``mouth``: a film of a half covered face, and, with --run, silent lips of GRID set into a photograph: word error rate.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import matplotlib
import matplotlib.image
import needs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import Run, load_recipe
from plait.core.errors import DataError, MissingExtra
from plait.metrics.error_rates import Wer
from plait.prediction.transcribe import transcribe
from plait.readers import open_streams
from plait.streams.stream import Stream
from plait.training.experiment import Experiment, open_corpus
from plait.transforms import apply_steps
from plait.transforms.face import face_path
from plait.transforms.landmarks import Found
from plait.transforms.landmarks.body import BodyPose
from plait.transforms.landmarks.follow import follow
from plait.transforms.landmarks.region import Region
from plait.transforms.layouts import LAYOUTS

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]
COCO = [LAYOUTS["mediapipe33"].joints.index(name) for name in LAYOUTS["coco17"].joints]
LEAST, MARGIN = 100, 0.1


@dataclass(frozen=True)
class Person:
    """A picture, its name, a box (left, top, width, height), keypoints [17, 2], and which of them are annotated [17];
    pixels."""

    name: str
    picture: Picture
    box: Floats
    points: Floats
    there: NDArray[np.bool_]


def people(folder: Path) -> Iterator[Person]:
    for part in ("train", "val"):
        told = json.loads((folder / f"annotations/person_keypoints_{part}2017.json").read_text())
        images = {image["id"]: image for image in told["images"]}
        for one in told["annotations"]:
            image = images[one["image_id"]]
            scale = 256 / min(image["height"], image["width"])
            box = np.array(one["bbox"]) * scale
            if one["iscrowd"] or not one["num_keypoints"] or box[3] < LEAST:
                continue
            (path, *_) = folder.glob(f"images/*/{image['file_name']}")
            picture = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
            points = np.array(one["keypoints"], float).reshape(17, 3)
            yield Person(path.name, picture, box, points[:, :2] * scale, points[:, 2] > 0)


def looked(nets: BodyPose, person: Person) -> tuple[Found, Floats]:
    """What is found of a person, and its points in pixels of the picture [17, 2]."""
    x, y, wide, high = person.box
    more = MARGIN * max(wide, high)
    top, left = max(int(y - more), 0), max(int(x - more), 0)
    part = np.ascontiguousarray(person.picture[top : int(y + high + more), left : int(x + wide + more)])
    found, _ = follow(nets, part, [])
    if not found:
        once = nets.look(part, Region.whole(part))
        found = [max(nets.look(part, once.region), once, key=lambda seen: seen.score)]
    return found[0], found[0].points[COCO, :2] + [left, top]


def of_body(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    nets, seen = BodyPose(), list(people(args.data / "coco_mini"))
    place = np.array([(one.points - one.box[:2]) / one.box[2:] for one in seen])
    there = np.array([one.there for one in seen])
    place[~there] = np.nan
    guesses: dict[str, list[Floats]] = {"box's centre": [], "mean of the others": [], "keypoints": []}
    sure = []
    for i, one in enumerate(seen):
        others = np.nanmean(np.delete(place, i, 0), 0)
        guesses["box's centre"].append(np.broadcast_to(one.box[:2] + one.box[2:] / 2, (17, 2)))
        guesses["mean of the others"].append(one.box[:2] + others * one.box[2:])
        found, points = looked(nets, one)
        guesses["keypoints"].append(points)
        sure.append(found.sure[COCO])
    truth, size = np.array([one.points for one in seen]), np.array([max(one.box[2:]) for one in seen])
    errors = {k: np.linalg.norm(np.array(v) - truth, axis=2) / size[:, None] for k, v in guesses.items()}
    shown = Table("", "PCK@0.1", "PCK@0.2", title=f"{len(seen)} people of COCO, {there.sum()} keypoints")
    rows = {name: (there, error) for name, error in errors.items()}
    certain = np.array(sure) >= 0.5
    rows["of these, sure"] = (there & certain, errors["keypoints"])
    rows["of these, unsure (a mask, in plait)"] = (there & ~certain, errors["keypoints"])
    pck = {name: [float((error[which] < t).mean()) for t in (0.1, 0.2)] for name, (which, error) in rows.items()}
    for name, values in pck.items():
        shown.add_row(name, *(f"{value:.1%}" for value in values))
    console.print(shown)
    console.print(f"{certain[there].mean():.0%} of the annotated keypoints are sure")
    out = [
        target("body: PCK@0.2 less that of the box's centre", pck["keypoints"][1] - pck["box's centre"][1], ">=", 0.3)
    ]
    for radius in (0.1, 0.2):
        right = {name: there & (error < radius) for name, error in errors.items()}
        gain = right["keypoints"].sum(1) - right["mean of the others"].sum(1, dtype=int)
        low = interval(gain, there.sum(1), [one.name for one in seen])[0]
        out.append(target(f"body: PCK@{radius} less that of the mean place: 95 % interval, lower end", low, ">=", 0.0))
    gap = pck["of these, sure"][0] - pck["of these, unsure (a mask, in plait)"][0]
    return [*out, target("body: PCK@0.1 of sure keypoints less that of unsure ones", gap, ">=", 0.2)]


def interval(gain: NDArray[np.int64], count: NDArray[np.int64], names: Sequence[str]) -> Floats:
    """95 % interval of a difference of shares; pictures are drawn with replacement, all people of one together."""
    _, owner = np.unique(names, return_inverse=True)
    drawn = np.random.default_rng(0).multinomial(owner.max() + 1, np.full(owner.max() + 1, 1 / (owner.max() + 1)), 2000)
    weight = drawn[:, owner]
    return np.quantile((weight @ gain) / (weight @ count), [0.025, 0.975])


def of_speed(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    shown, slowest = Table("film", "keypoints", "pictures per second", "with points", title="one thread"), []
    for name in ("test.avi", "demo_skeleton.mp4"):
        film = pictures_of(args.data / "sample_videos" / name)
        for kind in ("body", "face", "hands"):
            stream = apply_steps(film, [{"name": "keypoints", "of": kind}])
            stream[:1].read()  # opens the models
            began = time.process_time()
            values = stream.read()
            rate = len(values) / (time.process_time() - began)
            slowest += [rate] if kind == "body" else []
            seen = np.isfinite(values).any((1, 2)).mean()
            size = "x".join(map(str, film.shape[2:0:-1]))
            shown.add_row(f"{name} ({size})", kind, f"{rate:.0f}", f"{seen:.0%}")
    console.print(shown)
    return [target("body: pictures per second of one thread, the slower film", min(slowest), ">=", 15)]


def pictures_of(path: Path) -> Stream:
    return next(s for s in open_streams(path).values() if s.kind == "frames")


def of_mouth(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    film = pictures_of(args.data / "sample_videos/test.avi")
    found = {}
    for detector in ("cascade", "mesh"):
        try:
            path = face_path(film, detector=detector)
            found[detector] = path.found / path.looked
        except DataError:
            found[detector] = 0.0
    console.print("a half covered face is found in", ", ".join(f"{v:.0%} by the {k}" for k, v in found.items()))
    out = [target("mouth: pictures of a half covered face in which the mesh finds it", found["mesh"], ">=", 0.95)]
    return out + (of_lips(args, console) if args.run else [])


def of_lips(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Word error rate of silent films: the mouths as they are, and found again in a photograph."""
    run = Run(args.run)
    fold = Experiment.of(run.recipe, open_corpus(load_recipe(args.recipe), args.out)).folds[0]
    names = sorted(item.recording for item in fold.test)[: args.clips]
    folders = {name: args.out / name for name in ("mouths", "photographs")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    truth = [true_words(args.data / f"grid_s1/align/s1/{name}.align") for name in names]
    into = Photograph()
    for name in names:
        mouths = pictures_of(args.data / f"grid_s1/s1/{name}.mp4").read()
        write_film(folders["mouths"] / f"{name}.mp4", mouths)
        write_film(folders["photographs"] / f"{name}.mp4", [into(mouth) for mouth in mouths])
    crops: dict[str, tuple[str, Any]] = {
        "the mouths themselves": ("mouths", None),
        "cut out where they were set in": ("photographs", into.crop),
        "mouth, detector: cascade": ("photographs", {"name": "mouth", "detector": "cascade"}),
        "mouth, detector: mesh": ("photographs", {"name": "mouth", "detector": "mesh"}),
        "mesh, its place not fitted": ("photographs", {"name": "mouth", "detector": "mesh", "down": 0.8}),
    }
    shown, wer = Table("GRID, lips alone", "WER", title=f"{len(names)} test sentences, set into a photograph"), {}
    for what, (folder, crop) in crops.items():
        clips = [folders[folder] / f"{name}.mp4" for name in names]
        said, _ = transcribe(run, clips, crop=crop, cache=args.cache)
        by_name = {one.recording: one.text for one in said}
        wer[what] = Wer()(truth, [by_name[name] for name in names])
        shown.add_row(what, f"{wer[what]:.1%}")
    console.print(shown)
    gap = wer["mouth, detector: mesh"] - wer["cut out where they were set in"]
    return [target("mouth: WER of lips found by the mesh less that of lips at the known place", gap, "<=", 0.05)]


class Photograph:
    """Sets films of a mouth into a photograph of a face, where the face's own is; its edges are blended."""

    def __init__(self) -> None:
        path = Path(matplotlib.__file__).parent / "mpl-data/sample_data/grace_hopper.jpg"
        self.picture = np.array(matplotlib.image.imread(path))[:560]
        centre, size, _ = face_path(Stream.of(self.picture[None], rate=25)).path.at(np.zeros(1))
        self.wide, self.high = round(0.6 * size[0]), round(0.4 * size[0])
        left, top = centre[0] + [-self.wide / 2, 0.3 * size[0] - self.high / 2]
        self.part = slice(round(top), round(top) + self.high), slice(round(left), round(left) + self.wide)
        high, wide = self.picture.shape[:2]
        box = [round(left) / wide, round(top) / high, self.wide / wide, self.high / high]
        self.crop = {"name": "crop", "box": box, "height": 64, "width": 96}
        y, x = np.mgrid[: self.high, : self.wide] + 1.0
        edge = np.minimum.reduce([x, y, self.wide + 1 - x, self.high + 1 - y])
        self.share = np.clip(edge / (0.12 * self.high), 0, 1)[..., None]

    def __call__(self, mouth: Picture) -> Picture:
        out = self.picture.copy()
        fitted = cv2.resize(mouth, (self.wide, self.high), interpolation=cv2.INTER_LINEAR)
        out[self.part] = self.share * fitted + (1 - self.share) * out[self.part]
        return out


def write_film(path: Path, pictures: Sequence[Picture]) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "14"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        out.mux(stream.encode())


def true_words(path: Path) -> str:
    words = [line.split()[2] for line in path.read_text().splitlines() if line.strip()]
    return " ".join(word for word in words if word not in ("sil", "sp"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run of recipes/grid_transcribe.yaml")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("runs/keypoints"))
    parser.add_argument("--cache", default=".plait-cache")
    args = parser.parse_args()
    args.recipe = Path(__file__).parents[1] / "recipes/grid_transcribe.yaml"
    args.data = needs.check(["coco_mini", "sample_videos", *(["grid_s1"] if args.run else [])], ["ai_edge_litert"])
    try:
        BodyPose().check()
    except MissingExtra as error:
        raise SystemExit(str(error)) from error
    console, found = Console(), []
    for work in (of_body, of_speed, of_mouth):
        found += work(args, console)
    finish(found)


if __name__ == "__main__":
    main()
