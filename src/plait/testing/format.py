"""The laws of export formats."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from plait.core.errors import DataError
from plait.core.parts import Options
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.interchange import Format, Moved, export_corpus, import_corpus
from plait.streams.recording import Annotation, Recording
from plait.streams.stream import Stream
from plait.testing.laws import LawBroken, require

__all__ = ["check_format"]


def check_format(cls: type[Format], corpus: Corpus | None = None, **options: object) -> Moved:
    """Check the laws of a format, on a corpus with labels, groups, splits, annotations, words and numbers.

    Writing (it creates its output, writes every recording, and does not change the corpus); counts (notes are numbers
    above 0, per kind of loss; what ``lacks`` names is counted). If the format can be read too: reading (the same
    recordings come back, except for what ``lacks`` names or a note counts); damage (a file of another format is a
    `DataError`).

    Args:
        cls: the class, constructed as ``cls(**options)``.
        corpus: your own corpus, with streams that the format can hold.
        options: its options.

    Returns:
        What was written, and what was not.

    Raises:
        LawBroken: which law, and how.

    >>> from plait.interchange.textgrid import Textgrid
    >>> check_format(Textgrid).recordings
    3
    """
    # By its dotted path: a class of the user's has no short name.
    spec = {"name": f"{cls.__module__}.{cls.__qualname__}", **options}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = corpus or _made_up(folder / "corpus")
        before = [entry.model_dump_json() for entry in corpus.entries]
        moved = export_corpus(corpus, folder / "out", spec, cache=folder / "cache")
        require((folder / "out").exists(), cls, "writing", "it creates no output")
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
    # A loss may be told when writing or when reading: either is enough.
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


def _facts(one: Recording, other: Recording) -> dict[str, tuple[object, object]]:
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


def _told(stream: Stream) -> tuple[object, object]:
    values = stream.read()
    plain = values.tolist() if values.dtype.kind in "UO" else np.asarray(values, np.float32).tolist()
    return plain, np.round(stream.clock.times, 5).tolist()
