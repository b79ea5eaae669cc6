"""A session beside one pass: python benchmarks/stream.py [PART ...]

Needs: nothing beyond plait; for ``price`` utd_mhad, grid_s1 and stress_predict in PLAIT_DATA.
Takes: ``laws`` some forty minutes of one core, ``cost`` some three, ``endless`` some ten, ``price`` some ninety.

- ``laws``: random cuttings of every encoder whose state is bounded and of every feature that can stream, and random
  cuttings and interleavings of sessions of four streams, causal and not: how far answers are from those of one pass.
- ``cost``: what a push of a tenth of a second costs, beside encoding a window of sixty seconds anew; the bytes of a
  session's state, and whether they grow; and what it costs eight sessions together, and alone.
- ``endless``: the state over a million pushes.
- ``price``: accuracy of the causal recipe beside the default on real data, and against seconds waited.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import needs
import numpy as np
import torch
from default import SETS
from rich.console import Console
from rich.table import Table
from stream_price import WAITED, price
from targets import check_parts, finish, target

from plait import Annotation, CorpusWriter, Predictor, Session, Stream, fit, parse_recipe
from plait.core.errors import PlaitError
from plait.core.parts import build, parts
from plait.encoders import Encoder
from plait.export.stepped import write_stream
from plait.features import Feature
from plait.prediction.feature_ring import FeatureRing, RingState
from plait.prediction.inbox import Rows
from plait.prediction.session import TOGETHER
from plait.prediction.together import alone, together
from plait.streams.clock import Grid
from plait.testing.inputs import sample
from plait.testing.streams import made_stream
from plait.tokens import Tokens
from plait.tokens.tokens import cat
from plait_lite import LiteStream

RATES = {"wrist": 50, "chest": 20, "foot": 100, "voice": 8000}
SPECS = {
    "wrist": "{feature: series}",
    "chest": "{feature: {name: statistics, window: 0.5, hop: 0.25}}",
    "foot": "{feature: series}",
    "voice": "{feature: {name: log_mel, mels: 20}}",
}
RECIPE = """
corpus: {folder}/manifest.jsonl
task: {{name: classify, unit: window, tier: state, length: {length}}}
train: {{steps: 4{more}}}
causal: {causal}
streams:
{streams}
"""
PUSH = 0.1
PATIENCE = 45.0
"""Seconds for the cuttings of one part."""


class Off(NamedTuple):
    """How far pieces are from one pass at most, and how often that was tried."""

    most: float
    tries: int


CAUSAL: dict[str, dict[str, Any]] = {
    "tcn": {"causal": True},
    "conv": {"causal": True},
    "conv2d": {"causal": True},
    "st_gcn": {"causal": True},
    "st_gcn_pp": {"causal": True},
    "transformer": {"causal": True, "window": 3},
    "gru": {"bidirectional": False},
    "lstm": {"bidirectional": False, "layers": 2},
}
"""Options with which an encoder does not look ahead."""


def streams_of(seconds: float, seed: int) -> dict[str, Stream]:
    """Four streams at four rates, one of them sound."""
    rng = np.random.default_rng(seed)
    count = {name: int(rate * seconds) for name, rate in RATES.items()}
    made = {name: Stream.of(rng.normal(seed % 2, 1, (n, 3)), rate=RATES[name]) for name, n in count.items()}
    sound = rng.normal(0, 0.1, (count["voice"], 1)).astype(np.float32)
    return {**made, "voice": Stream.of(sound, rate=RATES["voice"], kind="waveform")}


def predictor_of(folder: Path, *, length: float, causal: bool) -> Predictor:
    """A model of four streams, hardly trained: what it says does not matter here."""
    with CorpusWriter(folder) as out:
        for i in range(6):
            notes = [Annotation(0, length * 1.2, "ab"[i % 2], "state")]
            out.add(f"r{i}", streams_of(length * 1.2, i), annotations=notes, group=f"g{i}")
    lines = "\n".join(f"  {name}: {spec}" for name, spec in SPECS.items())
    more = "" if causal else ", wide: true"
    text = RECIPE.format(folder=folder, length=length, causal=str(causal).lower(), more=more, streams=lines)
    return Predictor(fit(parse_recipe(text), folder / "run", cache=folder / "cache", quiet=True), cache=folder / "c")


def cuttings(rng: np.random.Generator, count: int) -> Iterator[tuple[int, int]]:
    """The ends of random pieces of so many rows."""
    edges = np.unique(np.r_[0, rng.integers(0, count + 1, rng.integers(0, max(min(count, 40), 1))), count])
    yield from pairwise(edges.tolist())


def within(tries: int) -> Iterator[int]:
    """So many numbers, or as many as `PATIENCE` allows: some features are large networks."""
    began = time.monotonic()
    for i in range(tries):
        if time.monotonic() - began > PATIENCE:
            return
        yield i


def encoder_off(name: str, tries: int) -> Off | None:
    """How far an encoder in steps is from one pass, most of many cuttings; None: its state is not bounded."""
    cls, rng = parts(Encoder)[name], np.random.default_rng(0)
    torch.manual_seed(0)
    encoder = cls(cls.trial[0], 16, **{**cls.trial[1], **CAUSAL.get(name, {})}).eval()
    if not encoder.bounded:
        return None
    worst, done, tokens = 0.0, 0, sample(cls.trial[0], time=24)
    once = encoder(tokens).clean()
    for _ in within(tries):
        done += 1
        state, found = encoder.begin(len(tokens.mask)), []
        for lo, hi in cuttings(rng, tokens.mask.shape[1]):
            state, given = encoder.step(state, Tokens(*(x[:, lo:hi] for x in tokens)))
            found.append(given)
        whole = cat([*found, encoder.end(state)]).clean()
        worst = max(worst, float((whole.values - once.values).abs().max()))
    return Off(worst, done)


def feature_off(name: str, tries: int) -> Off | None:
    """How far a feature of pieces is from that of the whole; None: it cannot stream, or not with its defaults."""
    try:
        feature = build(Feature, name, where=name)
        kind = next(k for k in feature.kinds if k != "words")
        stream = made_stream(kind)
        once, clock = feature(stream)
    except (PlaitError, StopIteration):
        return None
    if not feature.causal or not isinstance(stream.clock, Grid):
        return None
    worst, done, rng, rate = 0.0, 0, np.random.default_rng(0), stream.clock.rate
    values, ring = stream.read(), FeatureRing(feature, rate, name)
    for _ in within(tries):
        done += 1
        state, found = None, []
        for lo, hi in cuttings(rng, len(stream)):
            rows = Rows(np.arange(lo, hi), values[lo:hi])
            state, piece = ring.advance(state, rows, Fraction(0), last=hi == len(stream))
            found.append(piece)
        got = np.concatenate([piece.values for piece in found])
        times = np.concatenate([piece.times for piece in found])
        if got.shape != once.shape or not np.allclose(times, clock.times, atol=1e-6):
            return Off(np.inf, done)
        same = np.array_equal(got, once, equal_nan=True)
        worst = max(worst, 0.0 if same else float(np.nanmax(np.abs(got - once))) or np.inf)
    return Off(worst, done)


def session_off(predictor: Predictor, folder: Path, tries: int) -> float:
    """How far the probabilities of sessions are from those of one pass."""
    worst, rng, seconds = 0.0, np.random.default_rng(0), 5.0
    for seed in range(10):
        streams = streams_of(seconds, 100 + seed)
        with CorpusWriter(folder / f"live{seed}") as out:
            out.add("live", streams)
        spans = [(t, t + 2.0) for t in np.arange(0, seconds - 2 + 1e-6, 0.5)]
        once = predictor(folder / f"live{seed}" / "manifest.jsonl", segments=spans)
        for _ in range(tries // 10):
            session = Session(predictor, every=0.5, start=0.0, rates=RATES)
            sent = []
            for name, stream in streams.items():
                values, times = stream.read(), stream.clock.times
                sent += [(times[hi - 1], name, values[lo:hi], times[lo]) for lo, hi in cuttings(rng, len(values))]
            told = [a for _, name, rows, at in sorted(sent, key=lambda p: p[0]) for a in session.push(name, rows, at)]
            told += session.close()
            if len(told) != len(once):
                return np.inf
            for a, p in zip(told, once):
                left, right = (dict(x.answer.probabilities) for x in (a.prediction, p))  # type: ignore[union-attr]
                worst = max(worst, *(abs(left[k] - right[k]) for k in right))
    return worst


def laws(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Steps and one pass."""
    with torch.inference_mode():
        encoders = {name: encoder_off(name, args.tries) for name in parts(Encoder)}
    features = {name: feature_off(name, args.tries) for name in parts(Feature)}
    table = Table("part", "most off", "random cuttings")
    for name, own in {**encoders, **features}.items():
        table.add_row(name, *(("-", "") if own is None else (f"{own.most:.2g}", str(own.tries))))
    steps, made = ([x for x in found.values() if x is not None] for found in (encoders, features))
    rows = [
        target("encoders with a bounded state: off one pass, most", max(x.most for x in steps), "<=", 1e-5),
        target("the same: random cuttings, fewest", min(x.tries for x in steps), ">=", args.tries),
        target("features that stream: off one pass, most", max(x.most for x in made), "<=", 0.0),
        target("the same: random cuttings, fewest", min(x.tries for x in made), ">=", args.tries),
    ]
    for causal in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            predictor = predictor_of(Path(folder), length=2.0, causal=causal)
            off = session_off(predictor, Path(folder), args.tries)
        kind = "causal" if causal else "default, encoded anew"
        table.add_row(f"session of four streams, {kind}", f"{off:.2g}", str(args.tries))
        rows.append(target(f"sessions of four streams, {kind}: probabilities off one pass, most", off, "<=", 1e-5))
    console.print(table)
    return rows


def cost(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """A push, and a window encoded anew."""
    with tempfile.TemporaryDirectory() as folder:
        predictor = predictor_of(Path(folder), length=60.0, causal=True)
    streams, spent, sizes = streams_of(120.0, 1), list[float](), list[int]()
    session = Session(predictor, every=60.0, start=0.0, rates=RATES)
    for k in range(1100):
        sent = {name: stream.cut(k * PUSH, (k + 1) * PUSH).read() for name, stream in streams.items()}
        began = time.process_time()
        for name, rows in sent.items():
            session.push(name, rows, k * PUSH)
        spent.append(time.process_time() - began)
        sizes.append(session.bytes)
    whole, ratio = again(predictor, streams), of_eight(predictor, streams)
    lite, step, off = exported(predictor, streams)
    push, mean = float(np.median(spent[100:550])), float(np.mean(spent[100:550]))
    table = Table("what", "value", title="four streams, pushes of 0.1 s of each, window of 60 s")
    table.add_row("push of all four, median and mean, ms of processor", f"{1e3 * push:.2f}, {1e3 * mean:.2f}")
    table.add_row("encoding 60 s anew, ms of processor", f"{1e3 * whole:.1f}")
    table.add_row("the same by exported steps", f"{1e3 * lite[0]:.2f}, {1e3 * lite[1]:.2f}")
    table.add_row("exported steps of all four alone, the most at once, ms", f"{1e3 * step:.2f}")
    table.add_row("eight sessions, alone over together", f"{ratio:.1f}")
    table.add_row("state, kB: after 10 s, 50 s", f"{sizes[100] / 1e3:.0f}, {sizes[500] / 1e3:.0f}")
    console.print(table)
    return [
        target("a push is cheaper than a window anew, times, by the mean", whole / mean, ">=", 30),
        target("push of four streams, median ms", 1e3 * push, "<=", 1.0),
        target("exported steps: a push is cheaper than anew, times, by the mean", whole / lite[1], ">=", 30),
        target("exported steps: push of four streams, median ms", 1e3 * lite[0], "<=", 1.0),
        target("exported steps: off one pass in 1e-5, most", off * 1e5, "<=", 1.0),
        target("state of a session, most of a window, kB", max(sizes[100:]) / 1e3, "<=", 64),
        target("state in the second window over that in the first", max(sizes[600:]) / max(sizes[:600]), "<=", 1.01),
    ]


def exported(predictor: Predictor, streams: dict[str, Stream]) -> tuple[tuple[float, float], float, float]:
    """Median and mean seconds of a push through features and exported steps; of the steps alone; how far off they are.

    Features are made of half a second of rows at once, as a session makes them where no answer is due.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = write_stream(predictor.model, Path(folder))
        live = LiteStream(folder)
    spent, steps, wait = [], [], round(TOGETHER / PUSH)
    rings = Session(predictor, every=60.0, start=0.0, rates=RATES).channels
    states: dict[str, RingState | None] = dict.fromkeys(streams)
    waiting: dict[str, list[Rows]] = {name: [] for name in streams}
    for k in range(550):
        sent = {name: stream.cut(k * PUSH, (k + 1) * PUSH).read() for name, stream in streams.items()}
        began, own = time.process_time(), 0.0
        for name, values in sent.items():
            waiting[name].append(Rows(round(k * PUSH * RATES[name]) + np.arange(len(values)), values))
            if k % wait == wait - 1:
                rows = Rows(*map(np.concatenate, zip(*waiting[name])))
                waiting[name] = []
                states[name], piece = rings[name].rings[name].advance(states[name], rows)
                before = time.process_time()
                live.push(name, piece.values, piece.times)
                own += time.process_time() - before
        spent.append(time.process_time() - began)
        steps.append(own)
    return (float(np.median(spent[100:])), float(np.mean(spent[100:]))), max(steps[100:]), made.gaps["onnx"]


def of_eight(predictor: Predictor, streams: dict[str, Stream]) -> float:
    """How much more eight sessions cost one after another than together."""
    spent = []
    for joint in (False, True):
        sessions = [Session(predictor, every=60.0, start=0.0, rates=RATES) for _ in range(8)]
        began = time.process_time()
        for k in range(200):
            for name, stream in streams.items():
                rows = stream.cut(k * PUSH, (k + 1) * PUSH).read()
                steps = [session.pushing(name, rows, k * PUSH) for session in sessions]
                together(steps) if joint else [alone(one) for one in steps]
        spent.append(time.process_time() - began)
    return spent[0] / spent[1]


def endless(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Pushes of single rows, and of ten milliseconds of sound."""
    with tempfile.TemporaryDirectory() as folder:
        predictor = predictor_of(Path(folder), length=2.0, causal=True)
    rng, sizes, place = np.random.default_rng(0), list[int](), dict.fromkeys(RATES, 0)
    session, rows = Session(predictor, every=1.0, start=0.0, rates=RATES), dict.fromkeys(RATES, 1) | {"voice": 80}
    values = {name: rng.normal(0, 1, (rows[name], 1 if name == "voice" else 3)).astype(np.float32) for name in RATES}
    for count in range(1, args.pushes + 1):
        name = min(RATES, key=lambda n: place[n] / RATES[n])  # the stream that is furthest behind
        session.push(name, values[name], place[name] / RATES[name])
        place[name] += rows[name]
        sizes += [session.bytes] if count % 97 == 0 else []
    half = len(sizes) // 2
    growth = max(sizes[half:]) / max(sizes[:half])
    console.print(f"{args.pushes} pushes, {session.now:.0f} s of streams: at most {max(sizes) / 1e3:.0f} kB")
    return [target("state in the second half of a million pushes over that in the first", growth, "<=", 1.01)]


def again(predictor: Predictor, streams: dict[str, Stream]) -> float:
    """Processor seconds of features and answer of the last 60 s, as if nothing were kept."""
    session, spent = Session(predictor, every=60.0, start=0.0, rates=RATES), []
    for _ in range(5):
        began = time.process_time()
        for name, own in session.channels.items():
            rings, part = own.rings, streams[name].cut(0.0, 60.0)
            for m, ring in rings.items():
                values, clock = ring.feature(part)
                tokens = Tokens(
                    torch.from_numpy(values)[None], torch.from_numpy(clock.times.astype(np.float32))[None],
                    torch.ones(1, len(values)) > 0,
                )  # fmt: skip
                with torch.inference_mode():
                    predictor.model.backbone.encode({m: tokens})
        spent.append(time.process_time() - began)
    return float(np.median(spent))


def of_sets(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """What causality costs."""
    return price(args.sets, Path(args.out).resolve(), args.cache, console)


KINDS = {"laws": laws, "cost": cost, "endless": endless, "price": of_sets}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[*KINDS], help=f"of {', '.join(KINDS)}")
    parser.add_argument("--tries", type=int, default=1000, help="random cuttings for laws")
    parser.add_argument("--pushes", type=int, default=1_000_000, help="for endless")
    parser.add_argument("--sets", nargs="+", default=[*WAITED], choices=[*WAITED], help="for price")
    parser.add_argument("--out", default="runs/stream", help="for price: trained runs are kept here")
    parser.add_argument("--cache", default=".plait-cache")
    args = parser.parse_args()
    check_parts(parser, args.parts, KINDS)
    if "price" in args.parts:
        needs.check([SETS[name] for name in args.sets])
    torch.set_num_threads(1)
    console, rows = Console(), []
    for part in args.parts:
        rows += KINDS[part](args, console)
    finish(rows)


if __name__ == "__main__":
    main()
