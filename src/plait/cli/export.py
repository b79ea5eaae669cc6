"""`plait export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from plait.cli.shared import cache_argument, code_argument, outside_argument, progress_bar, say, yaml_option

HELP = "write a corpus in another tool's format, or a trained model as a file that answers alone"
ORDER = 85
EXAMPLES = (
    "plait export study/manifest.jsonl --to webdataset --out shards",
    "plait export study/manifest.jsonl --to elan --out annotations",
    "plait export runs/study --onnx --out edge",
    "plait export runs/study-live --onnx --stream --out edge",
    "plait export runs/study-live --pte --stream --out phone",
)

MODELS = {
    "onnx": "ONNX, for onnxruntime",
    "pt2": "a program of torch.export",
    "pte": "with --stream: programs of ExecuTorch",
}


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("source", metavar="SOURCE", help="a manifest; or the folder of a run, or of one of its replicates")
    p.add_argument("--to", metavar="FORMAT",
                   help="of a corpus: a format (plait list formats), or your own by its dotted path; options as YAML: "
                   "'{name: webdataset, per_shard: 100}'; of a model: onnx, pt2 or your own")  # fmt: skip
    p.add_argument("--out", required=True, help="the file or folder to make")
    for name, what in MODELS.items():
        p.add_argument(f"--{name}", dest="models", action="append_const", const=name, help=f"of a model: {what}")
    p.add_argument("--stream", action="store_true",
                   help="of a causal model: steps fed a little at a time, in ONNX and what else is named")  # fmt: skip
    p.add_argument(
        "--replicate", metavar="NAME", help="of a run: which of its models, such as seed0 (default: the first)"
    )
    p.add_argument(
        "--feature",
        action="append",
        default=[],
        metavar="STREAM=FEATURE",
        help="of a corpus: a stream and its feature; may be repeated (default: all, each with the default of its kind)",
    )
    code_argument(p, gated=True)
    outside_argument(p)
    cache_argument(p)


def run(args: argparse.Namespace) -> int:
    """Write recordings, prepared features, labels and annotations in another tool's format.

    Or write a trained model as a file that answers without plait (docs/export.md); each file is first compared with
    the model.
    """
    if any((Path(args.source) / name).is_file() for name in ("run.json", "model.json")):
        return _model(args)
    from plait.core.errors import ConfigError
    from plait.corpus.corpus import Corpus
    from plait.interchange import export_corpus

    if not args.to or args.models or args.replicate or args.stream:
        raise ConfigError(f"{args.source}: is no folder of a run; a corpus is exported with --to FORMAT.")
    to = yaml_option(args.to, "--to")
    features = [(name, yaml_option(spec, "--feature")) for name, _, spec in map(_pair, args.feature)]
    corpus = Corpus(args.source, allow_outside=args.allow_outside)
    with progress_bar(args, "export") as progress:
        moved = export_corpus(
            corpus,
            args.out,
            to,
            features=dict(features) or None,
            cache=args.cache,
            jobs=args.jobs,
            progress=progress,
        )
    say(args, moved.to_json(), moved.lines())
    return 0


def _model(args: argparse.Namespace) -> int:
    from plait.export.export import export_model

    to = [*(args.models or []), *([args.to] if args.to else [])] or ["onnx"]
    if args.stream:
        from plait.export.stepped import export_stream

        live = export_stream(args.source, args.out, to, replicate=args.replicate, allow_code=args.allow_code)
        say(args, live.to_json(), live.lines())
        return 0
    made = export_model(args.source, args.out, to, replicate=args.replicate, allow_code=args.allow_code)
    say(args, made.to_json(), made.lines())
    return 0


def _pair(text: str) -> tuple[str, str, str]:
    return text.partition("=")
