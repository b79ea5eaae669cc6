"""What lhotse's manifests cannot hold, kept in a file beside them: recordings of several sounds, clocks, labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from plait.core.atomic import write_text
from plait.core.errors import DataError
from plait.corpus.corpus import AnnotationEntry, RecordingEntry, StreamEntry
from plait.interchange.sample import Sample
from plait.streams.clock import Ticks

__all__ = ["Kept", "Said", "joined", "keep", "read_kept", "write_kept"]

FILE = "plait.json"


class Kept(BaseModel):
    """What is kept of one sound, which is a recording of lhotse's.

    Attributes:
        of: plait's recording, without streams and annotations.
        stream: the sound's name in it.
        entry: the sound's entry in the manifest, without its path.
        words: names of the recording's streams of words; their texts are among the supervisions.
    """

    model_config = ConfigDict(extra="forbid")

    of: RecordingEntry
    stream: str
    entry: StreamEntry
    words: list[str]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["plait-lhotse-2"] = "plait-lhotse-2"
    recordings: dict[str, Kept]


def keep(sample: Sample, name: str, entry: StreamEntry) -> Kept:
    """What lhotse cannot hold of a sound."""
    about = {k: v for k, v in sample.about().items() if k != "annotations"}
    return Kept(
        of=RecordingEntry.model_validate(about),
        stream=name,
        entry=entry.model_copy(update={"path": None}),
        words=list(sample.streams),
    )


def write_kept(folder: Path, kept: Mapping[str, Kept]) -> None:
    """Write what is kept, by lhotse's ids, beside the manifests."""
    write_text(folder / FILE, _File(recordings=dict(kept)).model_dump_json(exclude_defaults=False))


def read_kept(path: Path) -> dict[str, Kept]:
    """What `write_kept` wrote beside these manifests; empty if another tool wrote them.

    Raises:
        DataError: the file is damaged, or of another version.
    """
    file = (path if path.is_dir() else path.parent) / FILE
    if not file.is_file():
        return {}
    try:
        return _File.model_validate_json(file.read_bytes()).recordings
    except (OSError, ValidationError) as error:
        raise DataError(f"{file}: cannot be read ({str(error)[:200]}). Export again, or delete it.") from error


Said = dict[str, list[AnnotationEntry]]
"""The words of streams of words, by the streams' names."""


def joined(
    entries: Mapping[str, RecordingEntry], said: Mapping[str, Said], kept: Mapping[str, Kept]
) -> list[RecordingEntry]:
    """Recordings as they were before the export: the sounds of a recording together, on its time line.

    Annotations and words are on every sound of a recording; they are taken from its first. A sound of which nothing is
    kept is a recording of its own, and its words are annotations.
    """
    # Keyed by whether it is kept too: a foreign recording may have the id of one of plait's.
    found: dict[tuple[bool, str], RecordingEntry] = {}
    for id, entry in entries.items():
        one, words = kept.get(id), said.get(id, {})
        if one is None:
            entry.annotations += [a for own in words.values() for a in own]
            found[False, id] = entry
            continue
        sound = one.entry.model_copy(update={"path": next(iter(entry.streams.values())).path})
        if (True, one.of.id) not in found:
            found[True, one.of.id] = one.of
            one.of.annotations = [_on_the_time_line(a, sound) for a in entry.annotations]
            one.of.streams = {n: _words([_on_the_time_line(a, sound) for a in words.get(n, [])]) for n in one.words}
        found[True, one.of.id].streams[one.stream] = sound
    return list(found.values())


def _words(said: list[AnnotationEntry]) -> StreamEntry:
    return StreamEntry(texts=[str(a.label) for a in said], spans=[(a.start, a.stop) for a in said])


def _on_the_time_line(a: AnnotationEntry, sound: StreamEntry) -> AnnotationEntry:
    clock = sound.correct(Ticks(np.array([a.start, a.stop])))
    start, stop = (float(t) for t in clock.times)
    # Microseconds, as lhotse's times were rounded on the way out.
    return a.model_copy(update={"start": round(start, 6), "stop": round(stop, 6)})
