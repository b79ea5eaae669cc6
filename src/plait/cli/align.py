"""`plait align`."""

from __future__ import annotations

import argparse

from plait.cli.shared import cache_argument, code_argument, outside_argument, progress_bar, say, yaml_option

HELP = "join streams on words, ticks or a grid, and write tables"
ORDER = 45
EXAMPLES = (
    "plait align study/manifest.jsonl --on words --out aligned",
    "plait align study/manifest.jsonl --grid 25 --how imu=linear --out aligned --to npz",
)


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("manifest", help="the manifest")
    p.add_argument("--on", metavar="STREAM", help="the stream (words, a sensor ...) or the tier to join on")
    p.add_argument("--grid", metavar="RATE", help="instead of --on: a grid with this many instants per second")
    p.add_argument(
        "--streams", nargs="+", default=[], metavar="STREAM", help="the streams to join (default: all others)"
    )
    p.add_argument("--feature", action="append", default=[], metavar="STREAM=FEATURE",
                   help="the feature of a stream; may be repeated (default: numbers and poses as they are, else the "
                   "default of its kind)")  # fmt: skip
    p.add_argument("--how", action="append", default=[], metavar="[STREAM=]METHOD",
                   help="mean (default), sum, max, min, first, last, count, nearest, linear, cubic or hold; for one "
                   "stream: imu=linear; may be repeated")  # fmt: skip
    p.add_argument("--max-gap", type=float, metavar="SECONDS",
                   help="longest gap that is filled (default: 4 steps of the stream)")  # fmt: skip
    p.add_argument("--causal", action="store_true", help="refuse methods and features that use the future")
    p.add_argument(
        "--at",
        choices=["start", "middle", "stop"],
        help="instant of a word at which its value is placed (default: middle; with --causal: stop)",
    )
    p.add_argument("--out", required=True, help="the folder for the tables, one per recording")
    p.add_argument("--to", default="parquet", metavar="parquet|npz", help="the tables' format (default: parquet)")
    code_argument(p, gated=True)
    outside_argument(p)
    cache_argument(p)


def run(args: argparse.Namespace) -> int:
    """Join streams, or their features, on the words or ticks of one of them or on a grid. Write one table per
    recording, and report what was matched. After an interruption the same command continues where it stopped."""
    from plait.core.errors import ConfigError
    from plait.corpus.corpus import Corpus
    from plait.store.align import align_corpus
    from plait.store.align_plan import AlignPlan
    from plait.store.store import Store

    pairs = (text.partition("=") for text in args.feature)
    features = {name: yaml_option(spec, "--feature") for name, _, spec in pairs}
    if any(not spec for spec in features.values()):
        raise ConfigError("--feature: expected STREAM=FEATURE, such as audio=log_mel.")
    # Without a stream the method is for all: its key is empty.
    how = dict(text.split("=", 1) if "=" in text else ("", text) for text in args.how)
    plan = AlignPlan(
        on=args.on,
        rate=args.grid,
        streams=tuple(args.streams),
        features=features,
        how=how,
        max_gap=args.max_gap,
        causal=args.causal,
        at=args.at,
        to=args.to,
    )
    corpus = Corpus(args.manifest, allow_outside=args.allow_outside)
    with progress_bar(args, "align") as progress:
        report = align_corpus(corpus, plan, args.out, Store(args.cache), jobs=args.jobs, progress=progress)
    say(args, report.to_json(), report.lines())
    return 0
