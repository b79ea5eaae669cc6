"""`plait import`."""

from __future__ import annotations

import argparse

from plait.cli.shared import progress_bar, read_yaml, say, yaml_option

HELP = "make a manifest from a folder of raw recordings"
ORDER = 20
EXAMPLES = ("plait import study", "plait import study --options import.yaml --out study/pilot.jsonl")


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("folder", help="a folder of raw recordings")
    p.add_argument("--out", help="the manifest to write (default: FOLDER/manifest.jsonl)")
    p.add_argument("--options", help="a YAML file with import options: match, group, streams, labels, rows, skip")
    p.add_argument(
        "--from",
        dest="source",
        metavar="FORMAT",
        help="read a corpus of another tool: lhotse ..., or your own format by its dotted path; needs --out",
    )
    p.add_argument("--overwrite", action="store_true", help="replace a manifest that is there")


def run(args: argparse.Namespace) -> int:
    """Make a manifest from files by naming convention, and report what was understood and what was left out."""
    from plait.importing.folder import import_folder

    if args.source:
        return _from_another_tool(args)
    options = read_yaml(args.options) if args.options else None
    with progress_bar(args, "import") as progress:
        report = import_folder(args.folder, out=args.out, options=options, overwrite=args.overwrite, progress=progress)
    say(args, report.to_json(), report.lines())
    return 0


def _from_another_tool(args: argparse.Namespace) -> int:
    from plait.core.errors import ConfigError
    from plait.interchange import import_corpus

    if not args.out:
        raise ConfigError("--from needs --out, the folder to write the corpus into.")
    source = yaml_option(args.source, "--from")
    moved = import_corpus(args.folder, args.out, source)
    say(args, moved.to_json(), moved.lines())
    return 0
