"""`plait segment`."""

from __future__ import annotations

import argparse
import sys

from plait.cli.shared import code_argument, jobs_argument, outside_argument, progress_bar, say

HELP = "find shots, speech and words, as annotations"
ORDER = 45
EXAMPLES = (
    "plait segment study/manifest.jsonl --speech audio",
    "plait segment study/manifest.jsonl --shots video --scenes",
)


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("manifest", help="the manifest whose recordings are segmented")
    p.add_argument("--shots", metavar="STREAM", help="pictures in which to find shots")
    p.add_argument("--scenes", action="store_true", help="also group shots to scenes")
    p.add_argument(
        "--least", type=float, default=0.35, help="smallest difference between two shots, 0 to 3 (default: 0.35)"
    )
    p.add_argument("--speech", metavar="STREAM", help="sound in which to find speech")
    p.add_argument("--method", choices=["energy", "silero"], default="energy", help="for speech (default: energy)")
    p.add_argument("--words", nargs=2, metavar=("AUDIO", "TEXT"), help="sound, and the text to align with it")
    p.add_argument(
        "--model", metavar="NAME_OR_FOLDER", help="for words: a CTC model of Hugging Face, already downloaded"
    )
    p.add_argument("--out", help="the manifest to write (default: NAME.segments.jsonl beside it)")
    jobs_argument(p)
    code_argument(p, gated=True)
    outside_argument(p)


def run(args: argparse.Namespace) -> int:
    """Find shots, scenes, speech and words in every recording; write them as annotations to a new manifest."""
    from plait.corpus.corpus import Corpus
    from plait.segment.segment import write_segments
    from plait.segment.segments import segment

    corpus = Corpus(args.manifest, allow_outside=args.allow_outside)
    with progress_bar(args, "segment") as progress:
        report = segment(
            corpus,
            shots=args.shots,
            scenes=args.scenes,
            least=args.least,
            speech=args.speech,
            method=args.method,
            words=tuple(args.words) if args.words else None,
            model=args.model,
            workers=args.jobs,
            progress=progress,
        )
    out = write_segments(corpus, report, args.out or corpus.path.with_suffix(".segments.jsonl"))
    say(args, {"manifest": str(out), **report.to_json()}, [*report.lines(), f"wrote {out}"])
    # On stderr, so that what is piped on is the report alone.
    if not args.json:
        for problem in report.problems:
            print(f"problem: {problem}", file=sys.stderr)
    return 1 if report.problems else 0
