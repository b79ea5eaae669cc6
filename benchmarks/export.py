"""Exported models beside eager ones, and what an answer without torch costs: python benchmarks/export.py

Needs: onnx, onnxscript and onnxruntime; nothing beyond plait and its extra export.
Takes: some 10 seconds of one core for each pair of an encoder and a fusion, an hour and a half for all; --encoders
and --fusions name some of them, and --share 0.1 takes a tenth of the pairs, spread evenly. With --log FILE a line is
kept of each pair, and what stands there is not measured again: several processes may share one.

Each pair is a model of two modalities with random weights; its file is compared with the model on items that lack
rows, numbers and modalities, at four sizes of batch and lengths. Times are the least of several rounds, in turn, with
one thread: those of small models (width 16, 50 rows), and of the default model of four modalities (width 128).
Then the steps of a causal model of four streams, and those of every causal encoder.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import needs
import numpy as np
import torch
from export_cases import small_model
from rich.console import Console
from rich.table import Table
from stream import CAUSAL, PUSH, RATES, predictor_of, streams_of
from targets import finish, target

from plait import Session
from plait.core.errors import PlaitError
from plait.core.parts import parts
from plait.encoders import Encoder
from plait.export.export import write_model
from plait.export.graph import Graph
from plait.export.parity import drawn
from plait.export.stepped import write_stream
from plait.fusion import Fusion
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tokens import Tokens
from plait_lite import LiteStream

CLOSE, ROWS, ROUNDS, CALLS, WINDOW = 1e-5, 50, 8, 12, 60.0
SHORT = {"hf": 30}
"""Rows where the encoder's trial has not as many positions."""
DEFAULT = {"imu": 6, "pose": 40, "sound": 64, "words": 300}


def quickest(*ways: Callable[[], object]) -> list[float]:
    """Least seconds of processor of each way; in turn a few calls of each, so that each finds its own in the caches."""
    best = [float("inf")] * len(ways)
    for _ in range(ROUNDS):
        for i, way in enumerate(ways):
            for _ in range(CALLS):
                started = time.process_time()
                way()
                best[i] = min(best[i], time.process_time() - started)
    return best


def times(model: Model, path: Path, rows: int = ROWS) -> list[float]:
    """Seconds of one item: eager, and in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    graph = Graph(model)
    one = drawn(graph, 1, [rows] * len(model.modalities), 0)
    feed = dict(zip(graph.inputs, (x.numpy() for x in one)))
    with torch.inference_mode():
        return quickest(lambda: graph.answered(model, one), lambda: session.run(None, feed))


def cold(folder: Path) -> tuple[float, float]:
    """Seconds of processor and megabytes of a process that gives one answer, the median of five."""
    code = (
        "import json, resource, sys; from plait_lite.__main__ import main; main(sys.argv[1:])\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        # not ru_maxrss: it begins with what the parent held
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(json.dumps([used.ru_utime + used.ru_stime, int(peak.split()[1]) / 1024, 'torch' in sys.modules]))"
    )
    rng, rows = np.random.default_rng(0), {}
    for name, dim in DEFAULT.items():
        rows |= {f"{name}.values": rng.normal(size=(ROWS, dim)), f"{name}.times": np.arange(ROWS) / ROWS}
    np.savez(folder / "rows.npz", **rows)
    found = []
    for _ in range(5):
        command = [sys.executable, "-c", code, str(folder), str(folder / "rows.npz")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    if any(torch_too for *_, torch_too in found):
        raise SystemExit("torch was loaded: plait_lite must not need it.")
    return median(one[0] for one in found), median(one[1] for one in found)


def pairs_of(encoders: Sequence[str], fusions: Sequence[str], share: float) -> list[tuple[str, str]]:
    """The pairs, or a share of them in which every encoder and fusion comes up about as often."""
    every = [
        (e, f) for i, e in enumerate(encoders) for f in [*fusions[i % len(fusions) :], *fusions[: i % len(fusions)]]
    ]
    return every[:: max(1, round(1 / share))]


def crossed(pairs: Sequence[tuple[str, str]], log: Path | None, console: Console) -> list[dict[str, Any]]:
    """A line of each pair, those of the log not measured again."""
    found = dict[tuple[str, str], dict[str, Any]]()
    # in an order of its own, so that processes with the same log meet seldom
    for pair in random.sample(pairs, len(pairs)) if log else pairs:
        found |= logged(log)
        if pair not in found:
            found[pair] = line = measured(*pair)
            told = line.get("failed") or f"{line['gap']:.1e}, {line['ratio']:.1f} times"
            console.print(f"{' x '.join(pair)}: {told}")
            if log:
                with log.open("a") as file:
                    file.write(json.dumps(line) + "\n")
    return [found[pair] for pair in pairs]


def logged(log: Path | None) -> dict[tuple[str, str], dict[str, Any]]:
    """Lines of an earlier or another process."""
    text = log.read_text() if log and log.is_file() else ""
    return {(line["encoder"], line["fusion"]): line for line in map(json.loads, text.splitlines())}


def measured(encoder: str, fusion: str) -> dict[str, Any]:
    """How far the file of a pair is from the model, and how many times faster; or why there is none."""
    line: dict[str, Any] = {"encoder": encoder, "fusion": fusion}
    with tempfile.TemporaryDirectory() as out:
        try:
            model = small_model(encoder, fusion)
            line["gap"] = write_model(model, out).gaps["onnx"]
            line["eager"], line["exported"] = times(model, Path(out) / "model.onnx", SHORT.get(encoder, ROWS))
        except PlaitError as error:
            return line | {"failed": str(error)}
    return line | {"ratio": line["eager"] / line["exported"]}


def steps_of(console: Console) -> list[dict[str, Any]]:
    """A push of a tenth of a second of features of four streams, beside encoding a window of sixty seconds anew."""
    with tempfile.TemporaryDirectory() as folder:
        predictor = predictor_of(Path(folder) / "corpus", length=WINDOW, causal=True)
        made = write_stream(predictor.model, Path(folder) / "live")
        live = LiteStream(Path(folder) / "live")
    channels, streams = Session(predictor, every=WINDOW, start=0.0, rates=RATES).channels, streams_of(WINDOW, 1)
    rows = {m: ring.feature(streams[name]) for name, own in channels.items() for m, ring in own.rings.items()}
    spent, answers, whole = list[float](), list[float](), list[float]()
    for k in range(round(WINDOW / PUSH)):
        sent = {m: clock.times // PUSH == k for m, (_, clock) in rows.items()}
        began = time.process_time()
        for m, now in sent.items():
            live.push(m, rows[m][0][now], rows[m][1].times[now])
        spent.append(time.process_time() - began)
        if k % 100 == 99:
            answers.append(quickest(live.output)[0])
    tokens = {m: Tokens(*(torch.from_numpy(x)[None] for x in (v, c.times.astype(np.float32), c.times >= 0)))
              for m, (v, c) in rows.items()}  # fmt: skip
    with torch.inference_mode():
        for _ in range(5):
            began = time.process_time()
            predictor.model.backbone.encode(tokens)
            whole.append(time.process_time() - began)
    push, anew = median(spent[50:]), median(whole)
    table = Table("what", "ms of processor", title="features of four streams, pushes of 0.1 s of each, window of 60 s")
    table.add_row("a push, median and mean", f"{1e3 * push:.3f}, {1e3 * float(np.mean(spent[50:])):.3f}")
    table.add_row("encoding 60 s anew, in torch", f"{1e3 * anew:.1f}")
    table.add_row("an answer, after 10 s and 60 s", f"{1e3 * answers[0]:.2f}, {1e3 * answers[-1]:.2f}")
    console.print(table)
    return [
        target("steps: a push of four streams, median ms", 1e3 * push, "<=", 1.0),
        target("steps: cheaper than 60 s anew, times, by the mean", anew / float(np.mean(spent[50:])), ">=", 30),
        target("steps: off one pass in 1e-5, most", max(made.gaps.values()) * 1e5, "<=", 1.0),
    ]


def encoders_of(console: Console) -> list[dict[str, Any]]:
    """Steps of every causal encoder, in ONNX and where it is installed in ExecuTorch."""
    to = ["pte"] if importlib.util.find_spec("executorch") else []
    table = Table("encoder", "onnx", *to, title="steps, how far off the model's own")
    most = dict[str, float]()
    for name in parts(Encoder):
        encoder, options = parts(Encoder)[name], CAUSAL.get(name, {})
        one = {"name": name, **encoder.trial[1], **options}
        model = Model({"x": encoder.trial[0]}, Classify(["a", "b"]), encoders={"x": one}, fusion="late", dim=16)
        if model.backbone.encoders[0].bounded:
            with tempfile.TemporaryDirectory() as out:
                gaps = write_stream(model, Path(out), to).gaps
            table.add_row(name, *(f"{gaps[form]:.1e}" for form in ("onnx", *to)))
            most = {form: max(gap, most.get(form, 0.0)) for form, gap in gaps.items()}
    console.print(table)
    if not to:
        console.print("executorch is not installed (extra edge): no .pte was written")
    return [
        target(f"steps of every causal encoder, {form}: off in 1e-5", 1e5 * gap, "<=", 1) for form, gap in most.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--encoders", nargs="*", default=[*parts(Encoder)])
    parser.add_argument("--fusions", nargs="*", default=[*parts(Fusion)])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--log", type=Path, help="lines of the pairs measured so far")
    args = parser.parse_args()
    needs.check(packages=["onnx", "onnxscript", "onnxruntime"])
    torch.set_num_threads(1)
    console = Console()
    pairs = pairs_of(args.encoders, args.fusions, args.share)
    lines = crossed(pairs, args.log, console)
    gaps, ratios = ([line[key] for line in lines if key in line] for key in ("gap", "ratio"))
    failed = {f"{line['encoder']} x {line['fusion']}": line["failed"] for line in lines if "failed" in line}
    torch.manual_seed(0)
    model = Model(DEFAULT, Classify([str(i) for i in range(27)])).eval()
    with tempfile.TemporaryDirectory() as out:
        made = write_model(model, out)
        eager, exported = times(model, Path(out) / "model.onnx")
        seconds, megabytes = cold(Path(out))
    table = Table("model", "eager, ms", "onnxruntime, ms", "MB", title="one item")
    table.add_row(
        "default, four modalities", f"{1e3 * eager:.1f}", f"{1e3 * exported:.1f}", f"{made.sizes['onnx'] / 1e6:.1f}"
    )
    console.print(table)
    close = sum(gap <= CLOSE for gap in gaps)
    finish(
        [
            target("pairs within 1e-5", close, ">=", len(pairs)),
            target("pairs: times faster than eager, median", median(ratios or [0]), ">=", 4),
            target("pairs: times faster than eager, least", min(ratios, default=0), ">=", 4),
            target("default model: times faster than eager", eager / exported, ">=", 4),
            target("cold answer, seconds of processor", seconds, "<=", 0.5),
            target("cold answer, MB", megabytes, "<=", 120),
            *steps_of(console),
            *encoders_of(console),
        ],
        pairs=len(pairs),
        worst=max(gaps, default=None),
        failed=failed,
    )


if __name__ == "__main__":
    main()
