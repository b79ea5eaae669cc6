"""`plait compress`."""

from __future__ import annotations

import argparse
from typing import Any

from plait.cli.shared import cache_argument, code_argument, outside_argument, progress_bar, say, yaml_option

HELP = "make a trained run smaller, where its answers stay as good"
ORDER = 86
EXAMPLES = (
    "plait compress runs/mood --to int8",
    "plait compress runs/mood --to width=0.5 --to int8 --max-loss 1",
    "plait compress runs/mood --streams --max-loss 1",
)


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("run_folder", metavar="RUN", help="a run's folder")
    p.add_argument("--to", action="append", nargs="+", default=[], metavar="FORM",
                   help="fp16, int8, int4, sparse=SHARE, width=SHARE, dim=N, or with options in YAML")  # fmt: skip
    p.add_argument("--streams", action="store_true", help="instead: which streams could be left out")
    p.add_argument("--max-loss", type=float, default=0.5, metavar="POINTS",
                   help="most points of the main metric that any subset may lose (default: 0.5)")  # fmt: skip
    p.add_argument("--out", help="the new run's folder (default: RUN-FORM)")
    p.add_argument("--force", action="store_true", help="write it in spite of a loss")
    code_argument(p)
    outside_argument(p)
    cache_argument(p)


def run(args: argparse.Namespace) -> int:
    """Write a smaller run that predicts, evaluates and streams as before; refuse where too much may be lost.

    Every subset of modalities is compared on validation items; the test part is told afterwards (docs/compress.md).
    """
    from plait.compression.compress import compress
    from plait.compression.streams import cheapest_streams
    from plait.core.errors import ConfigError
    from plait.training.run import Run

    forms = [_form(text) for group in args.to for text in group]
    if args.streams == bool(forms):
        raise ConfigError("give either --to FORM or --streams.")
    run = Run(args.run_folder, allow_code=args.allow_code, allow_outside=args.allow_outside)
    with progress_bar(args, "compress") as progress:
        if args.streams:
            streams = cheapest_streams(run, max_loss=args.max_loss, cache=args.cache, progress=progress)
            say(args, streams.to_json(), streams.lines())
            return 0
        more = {"max_loss": args.max_loss, "force": args.force, "cache": args.cache, "progress": progress}
        found = compress(run, forms, args.out, **more)
    say(args, found.to_json(), found.lines())
    return 0


def _form(text: str) -> Any:
    return yaml_option(text, "--to") if text.startswith("{") else text
