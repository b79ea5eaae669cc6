"""The laws of export formats."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from plait.core.errors import DataError
from plait.core.parts import Options
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.interchange import Format, Moved, export_corpus, import_corpus
from plait.streams.recording import Annotation, Recording
from plait.streams.stream import Stream
from plait.testing.laws import LawBroken, require

__all__ = ["check_format"]


def check_format(cls: type[Format], corpus: Corpus | None = None, **options: Any) -> Moved:
    """Check the laws of a format, on a corpus that holds labels, groups, sides, annotations, words and numbers.

    Writing (something stands at its place, every recording was asked for, the corpus is not changed); counts (notes are
    numbers above 0, by what was lost; what ``lacks`` names is counted); and, if it reads too, reading (what comes back
    is the same recordings, with all that ``lacks`` does not name and no note tells of); damage (a file that is none of
    the format is a `DataError`).

    Args:
        cls: the class, constructed as ``cls(**options)``.
        corpus: one of your own, of streams that the format can hold.
        options: its options.

    Returns:
        What was written, and what was not.

    Raises:
        LawBroken: which law, and how.

    >>> from plait.interchange.textgrid import Textgrid
    >>> check_format(Textgrid).recordings
    3
    """
    spec = {"name": f"{cls.__module__}.{cls.__qualname__}", **options}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = corpus or _made_up(folder / "corpus")
        before = [entry.model_dump_json() for entry in corpus.entries]
        moved = export_corpus(corpus, folder / "out", spec, cache=folder / "cache")
        require((folder / "out").exists(), cls, "writing", "nothing stands at its place")
        whole = moved.recordings == len(corpus)
        require(whole, cls, "writing", f"it asked for {moved.recordings} of {len(corpus)} recordings")
        kept = [entry.model_dump_json() for entry in corpus.entries] == before
        require(kept, cls, "writing", "it changes the corpus")
        _check_counts(cls, moved)
        if cls.read is not Format.read:
            _check_reading(cls, corpus, folder, spec, moved)
    return moved


def _made_up(folder: Path) -> Corpus:
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(3):
            streams = {"imu": Stream.of(rng.normal(size=(20 + i, 2)).astype(np.float32), rate=10)}
            streams["said"] = Stream.of(np.array(["good", "day"], object), spans=([0.1, 0.9], [0.5, 1.4]), kind="words")
            notes = [Annotation(0.25 * i, 1.0, "walk", "move", "anna"), Annotation(1.0, 1.5, "run", "move", "anna")]
            out.add(
                f"r{i}",
                streams,
                labels={"mood": "calm" if i else "cheerful"},
                annotations=notes,
                meta={"year": 2020 + i},
                group=f"g{i}",
                split="test" if i else "train",
            )
    return Corpus(folder / "manifest.jsonl")


def _check_counts(cls: type[Format], moved: Moved) -> None:
    odd = {what: n for what, n in moved.notes.items() if not (isinstance(n, int) and n > 0)}
    require(not odd, cls, "counts", f"{odd}; expected whole numbers above 0")
    quiet = bool(cls.lacks) and not moved.notes
    require(not quiet, cls, "counts", f"{cls.lacks} are lost, and nothing is counted")
    json.dumps(moved.to_json())


def _check_reading(cls: type[Format], corpus: Corpus, folder: Path, spec: Options, moved: Moved) -> None:
    back = import_corpus(folder / "out", folder / "again", spec)
    again = Corpus(folder / "again/manifest.jsonl", allow_outside=True)
    require(again.ids == corpus.ids, cls, "reading", f"recordings {again.ids}; expected {corpus.ids}")
    lost = {*moved.notes, *back.notes}
    for one in corpus:
        for what, (a, b) in _facts(one, again[one.id]).items():
            told = what in cls.lacks or any(what in note for note in lost)
            require(a == b or told, cls, "reading", f"{one.id}: {what} {b}, it was {a}, and nothing tells so")
    wrong = folder / "wrong"
    wrong.write_bytes(b"none of the format\n\0\xff")
    try:
        import_corpus(wrong, folder / "never", spec)
    except DataError:
        return
    except Exception as error:
        raise LawBroken(cls, "damage", f"a file that is none of the format ends in {error!r}") from error
    require(False, cls, "damage", "a file that is none of the format is read")


def _facts(one: Recording, other: Recording) -> dict[str, tuple[Any, Any]]:
    def of(recording: Recording) -> Options:
        return {
            "labels": dict(recording.labels),
            "meta": dict(recording.meta),
            "group": recording.group,
            "split": recording.split,
            "annotations": sorted((a.start, a.stop, a.label, a.tier) for a in recording.annotations),
            "streams": {name: _told(stream) for name, stream in sorted(recording.streams.items())},
        }

    a, b = of(one), of(other)
    return {key: (a[key], b[key]) for key in a}


def _told(stream: Stream) -> Any:
    values = stream.read()
    plain = values.tolist() if values.dtype.kind in "UO" else np.asarray(values, np.float32).tolist()
    return plain, np.round(stream.clock.times, 5).tolist()
