"""`plait predict`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plait.cli.shared import cache_argument, code_argument, outside_argument, progress_bar, say

if TYPE_CHECKING:
    from plait.corpus.corpus import Corpus
    from plait.prediction.predict import Prediction

HELP = "answer for raw files"
ORDER = 80
EXAMPLES = (
    "plait predict runs/mood new/talk99.mp4",
    "plait predict runs/mood new/ --segment 3 8 --json",
    "plait predict runs/clips clip.mp4 --ask describe",
    "plait predict runs/scenes picture.jpg objects.jsonl --draw pictures/",
    "plait predict runs/words study/manifest.jsonl --annotate study/said.jsonl",
)


UNTOLD = (
    "--level: no answer has a set or an interval, since this run keeps no thresholds. Only tasks of one class or value "
    "per item have them (bands of forecasts are their own); a run that an older plait fitted is to be fitted again."
)


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("run_folder", metavar="RUN", help="a run's folder, or the folder of one of its models")
    p.add_argument(
        "files", nargs="+", help="raw files or folders of recordings, any stream may be absent; or a manifest"
    )
    p.add_argument("--segment", nargs=2, type=float, action="append", default=[], metavar=("START", "STOP"),
                   help="seconds to answer for; may be repeated")  # fmt: skip
    p.add_argument("--rate", action="append", default=[], metavar="STREAM=HZ",
                   help="observations per second of arrays without a rate (default: as in training)")  # fmt: skip
    p.add_argument("--ask", metavar="TEXT", help="a question about every example, for a model that reads texts")
    p.add_argument("--draw", metavar="FOLDER", help="write a picture of each answer: a caption over its key frames, "
                   "relations over the picture and as a graph")  # fmt: skip
    p.add_argument("--annotate", metavar="OUT", help="write the manifest again, with the answers as annotations, "
                   "for plait view and export")  # fmt: skip
    p.add_argument("--tier", default="predicted", help="tier of these annotations (default: predicted)")
    p.add_argument("--level", type=float, metavar="SHARE", help="how often the set of classes, or the "
                   "interval of values, is to hold the truth: 0.5 to 0.99 (default: 0.9)")  # fmt: skip
    p.add_argument("--replicate", help="which of the run's models, such as seed0 (default: the first)")
    code_argument(p)
    outside_argument(p)
    cache_argument(p)


def run(args: argparse.Namespace) -> int:
    """Answer for raw files, prepared as in training."""
    from plait.importing.report import ImportReport
    from plait.prediction.predict import Predictor
    from plait.training.preparation import FILE
    from plait.training.run import Run

    segments, imported = [(a, b) for a, b in args.segment], list[ImportReport]()
    allowed = {"allow_code": args.allow_code, "allow_outside": args.allow_outside}
    alone = (Path(args.run_folder) / FILE).is_file()
    source = args.run_folder if alone else Run(args.run_folder, **allowed)
    options = {
        "replicate": args.replicate,
        "level": 0.9 if args.level is None else args.level,
        **(allowed if alone else {}),
    }
    predictor = Predictor(source, cache=args.cache, **options)
    rates = dict(map(_rate, args.rate))
    drawn = list[Path]()

    def draw(rows: list[Prediction], corpus: Corpus) -> None:
        if args.draw:
            from plait.report.drawings import draw_answers

            with progress_bar(args, "draw") as progress:
                drawn.extend(draw_answers(rows, corpus, predictor.prepared.modalities, args.draw, progress=progress))

    rows = predictor(args.files, segments=segments, rates=rates, ask=args.ask, told=imported.append, seen=draw)
    written = [_annotated(args, rows)] if args.annotate else []
    facts: dict[str, object] = {"left_out": {k: v for r in imported for k, v in r.left_out.items()}}
    untold = [UNTOLD] if args.level is not None and not any(row.within for row in rows) else []
    facts |= {"notes": [*untold, *(note for r in imported for note in r.notes)]}
    facts |= {"manifest": str(written[0])} if written else {}
    facts |= {"drawn": [str(path) for path in drawn]} if args.draw else {}
    lines = [*dict.fromkeys(f"note: {row.within.promise()}" for row in rows if row.within)]
    lines += [f"note: {note}" for note in untold]
    lines += [f"wrote {path}" for path in written]
    lines += [f"drew {len(drawn)} of {len(rows)} answers to {args.draw}"] if args.draw else []
    lines += [line for r in imported for line in (*r.lines_of_left_out(), *(f"note: {note}" for note in r.notes))]
    say(args, {"predictions": [row.to_json() for row in rows], **facts}, [*map(str, rows), *lines])
    return 0


def _annotated(args: argparse.Namespace, rows: list[Prediction]) -> Path:
    """Write the manifest again, with the answers as annotations."""
    from plait.core.errors import ConfigError
    from plait.corpus.annotated import write_annotated
    from plait.corpus.corpus import Corpus
    from plait.streams.recording import Annotation

    if len(args.files) != 1 or not args.files[0].endswith(".jsonl"):
        raise ConfigError("--annotate: needs one manifest to write again. Import the files first: plait import")
    found: dict[str, list[Annotation]] = {}
    for row in rows:
        found.setdefault(row.recording, []).extend(row.annotations(tier=args.tier))
    return write_annotated(Corpus(args.files[0], allow_outside=args.allow_outside), found, args.annotate)


def _rate(text: str) -> tuple[str, str]:
    from plait.core.errors import ConfigError, DataError
    from plait.streams.clock import rational

    name, _, rate = text.rpartition("=")
    try:
        rational(rate)
    except DataError as error:
        raise ConfigError(f"--rate {text}: {error} Expected STREAM=HZ, such as imu=50.") from error
    return name, rate
