"""Answers drawn: a picture file for each answer that has something to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.names import Names
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus
from plait.prediction.predict import Prediction
from plait.report.key_frames import draw_caption
from plait.report.scene_graph import draw_relations
from plait.streams.recording import Recording
from plait.streams.stream import Stream
from plait.tasks.answers import Relations
from plait.tasks.evidence import Caption

__all__ = ["draw_answers"]


def draw_answers(
    predictions: Sequence[Prediction],
    corpus: Corpus,
    streams: Mapping[str, str],
    folder: str | Path,
    *,
    progress: Progress | None = None,
) -> list[Path]:
    """Draw captions over their key frames, and relations over the picture and as a graph; other answers are left out.

    Args:
        predictions: of the corpus's recordings.
        corpus: where the pictures are. A caption of a recording without pictures is left out; relations are drawn over
            an empty one.
        streams: the stream of each of the model's modalities.
        folder: where the files are written, ``RECORDING-START.png``, with a number where several answers have the same
            start; it is made.
        progress: called after each answer.

    Returns:
        The files.
    """
    place, names, drawn = Path(folder), Names(joint="-"), list[Path]()
    place.mkdir(parents=True, exist_ok=True)
    times = Counter[tuple[str, str]]()
    for done, one in enumerate(predictions, 1):
        key = one.recording, f"{one.start:.2f}"
        times[key] += 1
        number = [str(times[key])] if times[key] > 1 else []
        path = place / f"{names.of(*key, *number)}.png"
        if _draw(one, corpus[one.recording], streams, path):
            drawn.append(path)
        if progress is not None:
            progress(done, len(predictions), one.recording)
    return drawn


def _draw(one: Prediction, recording: Recording, streams: Mapping[str, str], path: Path) -> bool:
    """Draw one answer, if it can be drawn."""
    seen = {m: s for m in streams if (s := recording.streams.get(streams[m])) is not None and s.kind == "frames"}
    if isinstance(one.answer, Caption) and one.answer.words and seen:
        # The stream that most words looked at; times are those of the recording.
        source = max(seen, key=one.answer.sources.count)
        draw_caption(seen[source], one.answer, path, source=source)
        return True
    if isinstance(one.answer, Relations):
        films = [s for s in recording.streams.values() if s.kind == "frames"]
        draw_relations(path, one.answer, _picture(films[0], one.start) if films else None)
        return True
    return False


def _picture(film: Stream, second: float) -> NDArray[np.generic]:
    at = int(film.clock.nearest(np.array([second]))[0])
    picture: NDArray[np.generic] = np.asarray(film[at : at + 1].read())[0]
    return picture
