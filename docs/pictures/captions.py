"""Draws docs/images/captions.png: a caption of a generated video, with its key frames and where its words looked.

python benchmarks/captions.py films --out runs/captions   # trains the model
python docs/pictures/captions.py runs/captions/films-run
"""

from __future__ import annotations

import sys
from pathlib import Path

from plait.report.key_frames import draw_caption
from plait.training.run import Run

DOCS = Path(__file__).parents[1]
sys.path.insert(0, str(DOCS.parent / "benchmarks"))


def main(folder: str, cache: str = "cache") -> None:
    from captions import Tested

    tested = Tested(Run(folder), cache)
    pairs = zip(tested.fold.test, tested.answers())
    item, answer = next((item, answer) for item, answer in pairs if "tone" in answer.text)
    stream = tested.experiment.corpus[item.recording].streams["video"]
    draw_caption(stream, answer, DOCS / "images/captions.png", source="video")


if __name__ == "__main__":
    main(*sys.argv[1:])
