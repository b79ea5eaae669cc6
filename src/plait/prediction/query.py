"""A query as a corpus: its files, with its text in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plait.corpus.corpus import AnnotationEntry, Corpus, RecordingEntry, StreamEntry, write_manifest

__all__ = ["QUERY", "with_text"]

QUERY = "query"
"""The recording of a query without files."""


def with_text(
    corpus: Corpus, folder: Path, *, text: str, stream: str, tier: str, segments: Sequence[tuple[float, float]]
) -> Corpus:
    """The recordings of a query with a text in each; without recordings, one of the text alone.

    Args:
        corpus: the files; empty for a text alone.
        folder: where the new manifest is written.
        text: the text.
        stream: the stream of words that it becomes, unless it is on a tier.
        tier: the annotation tier that it is on; "": none.
        segments: seconds that the text is about, on a tier; none: the whole recording.
    """
    entries = [*corpus.entries] or [RecordingEntry(id=QUERY)]
    said = AnnotationEntry(start=0, stop=0, label=text, tier=tier)
    told = [_told(entry, corpus, said, stream, segments if tier else ()) for entry in entries]
    write_manifest(folder / "asked.jsonl", told)
    return Corpus(folder / "asked.jsonl", allow_outside=True)


def _told(
    entry: RecordingEntry,
    corpus: Corpus,
    said: AnnotationEntry,
    stream: str,
    segments: Sequence[tuple[float, float]],
) -> RecordingEntry:
    """A recording of the query, with the text of the query in it: on the tier of ``said``, else as a stream."""
    start, stop = corpus[entry.id].span if entry.streams else (0.0, 0.0)
    spans = list(segments) or [(start, stop if stop > start else start + 1.0)]
    # Absolute, as the new manifest is in another folder.
    streams = {
        name: own if own.path is None else own.model_copy(update={"path": str((corpus.folder / own.path).resolve())})
        for name, own in entry.streams.items()
    }
    if not said.tier:
        streams[stream] = StreamEntry(texts=[str(said.label)], spans=spans[:1])
        return entry.model_copy(update={"streams": streams})
    notes = [a for a in entry.annotations if a.tier != said.tier]
    notes += [said.model_copy(update={"start": a, "stop": b}) for a, b in spans]
    return entry.model_copy(update={"streams": streams, "annotations": notes})
