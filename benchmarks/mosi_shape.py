"""A training step at the shape of CMU-MOSI, beside the models of MMSA 2.2.1 in their own package.

Needs: nothing beyond plait; not Windows. Optional: MMSA 2.2.1 in an environment of its own.
Takes: minutes.

Text 50 x 768, audio 375 x 5, vision 500 x 20, batch 16: forward, backward, step of Adam, on one thread. Times are
processor time (of ours the median step, of MMSA's the fastest), memory is the peak of a fresh process each. The
same-sized models get MMSA's weights and must give its outputs.

    python benchmarks/mosi_shape.py --mmsa /path/to/an/environment/bin/python

That environment holds MMSA==2.2.1, torch, safetensors and MMSA's requirements (or name it by PLAIT_MMSA). Without it
the comparison is left out. MMSA's MulT needs some 20 s a step and 6.5 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from targets import finish, target
from torch import Tensor, nn

from plait.core.parts import parts
from plait.fusion import Fusion
from plait.fusion.crossmodal import Crossmodal
from plait.fusion.low_rank import LowRank
from plait.fusion.tensor_fusion import TensorFusion
from plait.models.backbone import default_encoder
from plait.models.model import Model
from plait.tasks.regress import Regress
from plait.tokens import Tokens

HERE = Path(__file__).parent
BATCH = 16
STEPS = {"text": 50, "audio": 375, "vision": 500}
DIMS = {"text": 768, "audio": 5, "vision": 20}
DEFAULT_FUSION = "concat"
DEFAULT = f"plait default ({DEFAULT_FUSION})"
MODELS = {"mult": "MulT", "tfn": "TFN", "lmf": "LMF"}
WARM, MEASURED = 2, 13
"""Steps of ours that are not counted, and that are; the median counts. Of the slow MulT: fewer."""


class MulT(nn.Module):
    """MMSA's MulT, with `Crossmodal` for its nine transformers.

    Dropout as in its settings for MOSI (on the way in, of the text and before the output; none within the layers),
    but for that of the attention weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(n, 50, 5, bias=False) for n in DIMS.values())
        self.fusion = Crossmodal(
            list(DIMS),
            50,
            layers=4,
            memory=4,
            heads=10,
            dropout=0.0,
            causal=True,
            positions="none",
            unimodal_heads="none",
        )
        self.fusion.dropout.p = 0.2
        self.dropout = nn.Dropout(0.5)
        self.proj1, self.proj2, self.out_layer = nn.Linear(300, 300), nn.Linear(300, 300), nn.Linear(300, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        inputs = self.dropout(inputs[0]), *inputs[1:]
        values = [conv(x.transpose(1, 2)).transpose(1, 2) for conv, x in zip(self.convs, inputs)]
        tokens = {m: with_times(x) for m, x in zip(DIMS, values)}
        last = torch.cat(self.fusion.ends(tokens), 1)
        return self.out_layer(last + self.proj2(self.dropout(self.proj1(last).relu())))

    def take(self, weights: dict[str, Tensor]) -> None:
        for module, name in ((self.proj1, "proj1"), (self.proj2, "proj2"), (self.out_layer, "out_layer")):
            copy(module, weights, name)
        for i, one in enumerate("lav"):
            self.convs[i].weight.data = weights[f"proj_{one}.weight"]
            for j, other in enumerate(x for x in "lav" if x != one):
                name = f"trans_{one}_with_{other}"
                copy(self.fusion.norms[i][j], weights, f"{name}.layer_norm")
                for k, layer in enumerate(self.fusion.pairs[i][j]):
                    take_layer(layer, weights, f"{name}.layers.{k}")
            copy(self.fusion.leave[i], weights, f"trans_{one}_mem.layer_norm")
            for k, layer in enumerate(self.fusion.memory[i]):
                take_layer(layer, weights, f"trans_{one}_mem.layers.{k}")


def take_layer(layer: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    dim = layer.out.in_features
    weight, bias = weights[f"{name}.self_attn.in_proj_weight"], weights[f"{name}.self_attn.in_proj_bias"]
    if hasattr(layer, "qkv"):
        layer.qkv.weight.data, layer.qkv.bias.data = weight, bias
    else:
        layer.query.weight.data, layer.query.bias.data = weight[:dim], bias[:dim]
        layer.key_value.weight.data, layer.key_value.bias.data = weight[dim:], bias[dim:]
        copy(layer.norm_source, weights, f"{name}.layer_norms.0")
    copy(layer.norm, weights, f"{name}.layer_norms.0")
    copy(layer.out, weights, f"{name}.self_attn.out_proj")
    for place, part in ((0, "layer_norms.1"), (1, "fc1"), (4, "fc2")):
        copy(layer.feed[place], weights, f"{name}.{part}")


def copy(module: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    module.load_state_dict({k: weights[f"{name}.{k}"] for k in module.state_dict()})


class Pooled(nn.Module):
    """What MMSA's TFN and LMF share: a network of the mean of audio and of vision, and an LSTM of text."""

    def __init__(self, hidden: int, vision: int) -> None:
        super().__init__()
        self.audio_subnet, self.video_subnet = self._subnet(5, vision), self._subnet(20, hidden)
        self.rnn = nn.LSTM(768, 128, batch_first=True)

    @staticmethod
    def _subnet(dim: int, hidden: int) -> nn.Sequential:
        return nn.Sequential(
            *(nn.BatchNorm1d(dim), nn.Dropout(0.3), nn.Linear(dim, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
        )

    def reduced(self, text: Tensor, audio: Tensor, vision: Tensor) -> list[Tensor]:
        _, (last, _) = self.rnn(text)
        return [self.audio_subnet(audio[:, 0]), self.video_subnet(vision[:, 0]), self.text(last[0])]

    def take(self, weights: dict[str, Tensor]) -> None:
        copy(self.rnn, weights, "text_subnet.rnn")
        copy(self.text, weights, "text_subnet.linear_1")
        for net, name in ((self.audio_subnet, "audio_subnet"), (self.video_subnet, "video_subnet")):
            for place, part in ((0, "norm"), (2, "linear_1"), (4, "linear_2"), (6, "linear_3")):
                copy(net[place], weights, f"{name}.{part}")


class Tfn(Pooled):
    """MMSA's TFN, with the products of `TensorFusion`."""

    def __init__(self) -> None:
        super().__init__(128, 32)
        self.text = nn.Linear(128, 32)
        self.after = nn.Sequential(
            *(nn.Dropout(0.5), nn.Linear(33 * 129 * 33, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()),
            nn.Linear(64, 1),
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.after(TensorFusion.products(self.reduced(*inputs))).sigmoid() * 6 - 3

    def take(self, weights: dict[str, Tensor]) -> None:
        super().take(weights)
        for place, layer in ((1, 1), (3, 2), (5, 3)):
            copy(self.after[place], weights, f"post_fusion_layer_{layer}")


class Lmf(Pooled):
    """MMSA's LMF, with the product of `LowRank`."""

    def __init__(self) -> None:
        super().__init__(128, 16)
        self.text = nn.Linear(128, 64)
        self.fusion = LowRank(["audio", "vision", "text"], 1, rank=3, unimodal_heads="none")
        self.fusion.factors = nn.ParameterList(torch.randn(3, n + 1, 1) for n in (16, 128, 64))

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.fusion.product(self.reduced(*inputs))

    def take(self, weights: dict[str, Tensor]) -> None:
        super().take(weights)
        for i, name in enumerate(("audio", "video", "text")):
            self.fusion.factors[i].data = weights[f"{name}_factor"]
        self.fusion.terms.data, self.fusion.bias.data = weights["fusion_weights"][0], weights["fusion_bias"][0]


def with_times(values: Tensor) -> Tokens:
    rows, steps = values.shape[:2]
    return Tokens(values, torch.linspace(0, 5, steps).expand(rows, -1), torch.ones(rows, steps, dtype=torch.bool))


def same_sized(name: str, file: str | None) -> tuple[nn.Module, list[Tensor], float]:
    """The model of that size, its inputs, and how far its output is from MMSA's."""
    model: MulT | Tfn | Lmf = {"mult": MulT, "tfn": Tfn, "lmf": Lmf}[name]()
    inputs = [torch.randn(BATCH, STEPS[m] if name == "mult" or m == "text" else 1, DIMS[m]) for m in DIMS]
    if not file:
        return model, inputs, float("nan")
    saved = load_file(file)
    model.take({k.removeprefix("weight."): v for k, v in saved.items() if k.startswith("weight.")})
    inputs = [saved[f"input.{i}"] for i in range(3)]
    with torch.no_grad():
        apart = (model.eval()(*inputs) - saved["output"]).abs().max()
    return model, inputs, float(apart)


def run_one(name: str, file: str | None) -> dict[str, Any]:
    """Time and peak memory of one model's step, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    goal, apart = torch.randn(BATCH), float("nan")
    if name in MODELS:
        model, inputs, apart = same_sized(name, file)
        step = lambda: nn.functional.l1_loss(model(*inputs)[:, 0], goal)  # noqa: E731
    else:
        encoders = {m: default_encoder(STEPS[m]) for m in DIMS}
        model = Model(DIMS, Regress([-1.0, 1.0]), encoders=encoders, fusion=name)
        batch = {m: with_times(torch.randn(BATCH, STEPS[m], DIMS[m])) for m in DIMS}
        step = lambda: whole_loss(model, batch, goal)  # noqa: E731
    seconds = timed(model.train(), step, 5 if name == "mult" else MEASURED)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    count = sum(p.numel() for p in model.parameters())
    return {"seconds": seconds, "peak_gib": peak, "apart": apart, "parameters": count}


def whole_loss(model: nn.Module, batch: dict[str, Tokens], goal: Tensor) -> Tensor:
    return sum(model.task.step([model.view(model.encode(batch))], goal).values())


def timed(model: nn.Module, loss: Callable[[], Tensor], measured: int) -> float:
    optimizer, seconds = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True), []
    for _ in range(WARM + measured):
        began = time.process_time()
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        seconds.append(time.process_time() - began)
    return sorted(seconds[WARM:])[measured // 2]


def in_process(*command: str) -> dict[str, Any]:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def ours(name: str, file: Path | None = None) -> dict[str, Any]:
    return in_process(sys.executable, __file__, "--one", name, *(["--weights", str(file)] if file else []))


def compare(python: str, folder: Path) -> dict[str, dict[str, Any]]:
    """MMSA's models and ours with their weights, one process after the other."""
    rows, script = {}, str(HERE / "mosi_shape_mmsa.py")
    for name, title in MODELS.items():
        file = folder / f"{name}.safetensors"
        count = "2" if name == "mult" else str(WARM + MEASURED)
        rows[f"MMSA {title}"] = in_process(python, script, name, "--steps", count, "--out", str(file))
        rows[f"plait {title}, same sizes and weights"] = ours(name, file)
        if name == "mult":  # one after the other: what else the machine does changes with time
            rows[DEFAULT] = ours(DEFAULT_FUSION)
    plain = in_process(python, script, "mult", "--plain-attention")
    rows["MMSA MulT without dropout of attention"] = plain
    return rows


def show(rows: dict[str, dict[str, Any]]) -> None:
    table = Table(title="a training step at the shape of MOSI, batch 16, one thread")
    for name in ("model", "seconds", "peak GiB", "outputs apart", "parameters"):
        table.add_column(name)
    for name, row in rows.items():
        apart = row.get("apart", float("nan"))
        table.add_row(
            name,
            f"{row['seconds']:.3f}",
            f"{row['peak_gib']:.2f}",
            f"{apart:.1e}" if apart == apart else "",
            f"{row['parameters']:,}" if "parameters" in row else "",
        )
    Console(width=120).print(table)


def targets_of(rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    default, mult = rows[DEFAULT], rows["plait MulT, same sizes and weights"]
    found = [
        target("MulT of the same sizes: peak GiB", mult["peak_gib"], "<=", 1.5),
        target("default: peak GiB", default["peak_gib"], "<=", 1.0),
    ]
    if "MMSA MulT" in rows:
        theirs = rows["MMSA MulT"]["seconds"]
        found += [
            target("MulT of the same sizes: times faster than MMSA's", theirs / mult["seconds"], ">=", 5),
            target("MulT of the same sizes: outputs apart", mult["apart"], "<=", 1e-4),
            target("default: times faster than MMSA's MulT", theirs / default["seconds"], ">=", 100),
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mmsa", default=os.environ.get("PLAIT_MMSA"), help="the Python of MMSA's environment")
    parser.add_argument("--all", action="store_true", help="every fusion of plait too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run_one(args.one, args.weights)))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(args.mmsa, Path(folder)) if args.mmsa else {}
    if not args.mmsa:
        print("MMSA is left out: give the Python of its environment by --mmsa or PLAIT_MMSA.")
        rows["plait MulT, same sizes and weights"] = ours("mult")
    if DEFAULT not in rows:
        rows[DEFAULT] = ours(DEFAULT_FUSION)
    others = (
        [name for name in parts(Fusion) if name != DEFAULT_FUSION]
        if args.all
        else ["crossmodal", "tensor_fusion", "low_rank"]
    )
    rows |= {f"plait {name}, default encoders": ours(name) for name in others}
    show(rows)
    finish(targets_of(rows), rows=rows)


if __name__ == "__main__":
    main()
