"""`plait export`."""

from __future__ import annotations

import argparse

from plait.cli.shared import cache_argument, code_argument, outside_argument, progress_bar, say, yaml_option

HELP = "write a corpus in another tool's format"
ORDER = 85
EXAMPLES = (
    "plait export study/manifest.jsonl --to webdataset --out shards",
    "plait export study/manifest.jsonl --to elan --out annotations",
)


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("manifest", help="the manifest")
    p.add_argument("--to", required=True, metavar="FORMAT",
                   help="a format (plait list formats), or your own by its dotted path; options as YAML: "
                   "'{name: webdataset, per_shard: 100}'")  # fmt: skip
    p.add_argument("--out", required=True, help="the file or folder to make")
    p.add_argument(
        "--feature",
        action="append",
        default=[],
        metavar="STREAM=FEATURE",
        help="a stream and its feature; may be repeated (default: all, each with the default of its kind)",
    )
    code_argument(p, gated=True)
    outside_argument(p)
    cache_argument(p)


def run(args: argparse.Namespace) -> int:
    """Write recordings, prepared features, labels and annotations in another tool's format."""
    from plait.corpus.corpus import Corpus
    from plait.interchange import export_corpus

    to = yaml_option(args.to, "--to")
    features = [(name, yaml_option(spec, "--feature")) for name, _, spec in map(_pair, args.feature)]
    corpus = Corpus(args.manifest, allow_outside=args.allow_outside)
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


def _pair(text: str) -> tuple[str, str, str]:
    return text.partition("=")
