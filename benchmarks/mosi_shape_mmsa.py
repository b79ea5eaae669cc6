"""One training step of a model of MMSA 2.2.1, run by `mosi_shape.py` with the Python of MMSA's own environment.

Needs: MMSA 2.2.1 and easydict, which pin old packages: an environment of its own.
Takes: seconds to a minute a model.

Writes weights, inputs and the output in evaluation mode to a safetensors file, and prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import needs

needs.check(packages=["MMSA", "easydict"])

import torch
from easydict import EasyDict
from MMSA.config import get_config_regression
from MMSA.models.singleTask.LMF import LMF
from MMSA.models.singleTask.MULT import MULT
from MMSA.models.singleTask.TFN import TFN
from safetensors.torch import save_file

MODELS = {"mult": MULT, "tfn": TFN, "lmf": LMF}


def build(name: str, plain_attention: bool) -> torch.nn.Module:
    args = EasyDict(get_config_regression(name, "mosi"))
    args.update(feature_dims=[768, 5, 20], train_mode="regression", use_bert=False)
    if plain_attention:
        args.update(attn_dropout=0.0, attn_dropout_a=0.0, attn_dropout_v=0.0)
    torch.manual_seed(0)
    return MODELS[name](args)


def inputs(name: str) -> list[torch.Tensor]:
    torch.manual_seed(1)
    text, audio, vision = torch.randn(16, 50, 768), torch.randn(16, 375, 5), torch.randn(16, 500, 20)
    if name == "mult":
        return [text, audio, vision]
    # its trainer hands these two the mean over time (need_normalized)
    return [text, audio.mean(1, keepdim=True), vision.mean(1, keepdim=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("--steps", type=int, default=2, help="the fastest counts")
    parser.add_argument("--out", help="a safetensors file for weights, inputs and output")
    parser.add_argument("--plain-attention", action="store_true", help="no dropout on attention weights")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, data = build(args.name, args.plain_attention), inputs(args.name)
    if args.out:
        with torch.no_grad():
            output = model.eval()(*data)["M"]
        parts = {f"weight.{k}": v.clone() for k, v in model.state_dict().items()}
        parts |= {f"input.{i}": x for i, x in enumerate(data)} | {"output": output}
        save_file({k: v.contiguous() for k, v in parts.items()}, args.out)
    optimizer, target, seconds = torch.optim.Adam(model.train().parameters(), lr=1e-3), torch.randn(16, 1), []
    for _ in range(args.steps):
        began = time.process_time()
        loss = torch.nn.functional.l1_loss(model(*data)["M"], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": min(seconds), "peak_gib": peak}))


if __name__ == "__main__":
    main()
