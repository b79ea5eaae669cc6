"""Draws docs/images/captions.png: a caption of a generated video, with its key frames and where its words looked.

python benchmarks/captions.py films --out runs/captions   # trains the model
python docs/pictures/captions.py runs/captions/films-run
"""

from __future__ import annotations

import sys
from pathlib import Path

from plait.corpus.corpus import Corpus
from plait.prediction.predict import Predictor
from plait.report.key_frames import draw_caption
from plait.tasks.evidence import Caption
from plait.training.run import Run

DOCS = Path(__file__).parents[1]
CACHE = "cache"


def main(folder: str, cache: str = CACHE) -> None:
    run = Run(folder)
    corpus = Corpus(run.info.corpus)
    rows = Predictor(run, cache=cache)(corpus.path)
    row = next(r for r in rows if r.recording.startswith("test") and "tone" in str(r.answer))
    assert isinstance(row.answer, Caption)
    draw_caption(corpus[row.recording].streams["video"], row.answer, DOCS / "images/captions.png", source="video")


if __name__ == "__main__":
    main(*sys.argv[1:])
