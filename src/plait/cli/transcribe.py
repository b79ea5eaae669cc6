"""`plait transcribe`."""

from __future__ import annotations

import argparse

from plait.cli.shared import CACHE, code_argument, say, yaml_option

HELP = "say what is said in raw films"
ORDER = 82
EXAMPLES = (
    "plait transcribe clip.mp4 --run runs/words",
    "plait transcribe clips/ --run runs/words --to srt --out said",
    "plait transcribe mouth.mp4 --run runs/words --crop none --json",
)


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("clips", nargs="+", metavar="CLIP", help="films that show the speaker, or sound alone; or folders")
    p.add_argument("--run", dest="run_folder", required=True, metavar="RUN",
                   help="a run of task transcribe, or the folder of one of its models")  # fmt: skip
    p.add_argument("--crop", default="mouth", metavar="STEP",
                   help="what cuts films to what the model was trained on: mouth (default), face, none; options as "
                   "YAML: '{name: mouth, detector: cascade}'")  # fmt: skip
    p.add_argument("--to", metavar="FORMAT", help="also write the words: srt, vtt, textgrid ... (plait list formats)")
    p.add_argument("--out", help="the file or folder to make, with --to")
    p.add_argument("--replicate", help="which of the run's models, such as seed0 (default: the first)")
    p.add_argument("--cache", default=CACHE, help=f"folder of prepared features (default: {CACHE})")
    code_argument(p)


def run(args: argparse.Namespace) -> int:
    """Find the face in raw films, cut out the mouth, and print the words, each with start, stop and confidence."""
    from plait.prediction.transcribe import transcribe

    crop = yaml_option(args.crop, "--crop")
    found, moved = transcribe(
        args.run_folder,
        args.clips,
        crop=None if crop == "none" else crop,
        to=yaml_option(args.to, "--to") if args.to else None,
        out=args.out,
        cache=args.cache,
        replicate=args.replicate,
        allow_code=args.allow_code,
    )
    written = moved.to_json() if moved else None
    say(
        args,
        {"transcripts": [one.to_json() for one in found], "written": written},
        [*map(str, found), *(moved.lines() if moved else [])],
    )
    return 0
