"""A corpus with more annotations: those that a program made, beside those of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from plait.core.errors import DataError
from plait.corpus.corpus import Corpus
from plait.corpus.manifest import AnnotationEntry, RecordingEntry, write_manifest
from plait.streams.recording import Annotation

__all__ = ["write_annotated"]


def write_annotated(corpus: Corpus, found: Mapping[str, Sequence[Annotation]], out: str | Path) -> Path:
    """Write the corpus's manifest with annotations added; earlier ones of the same annotators and tiers are replaced.

    Args:
        corpus: it stays as it is.
        found: by recording.
        out: the new manifest, in the corpus's folder (its paths are relative to it).

    Raises:
        DataError: ``out`` is in another folder, or a recording is none of the corpus's.
    """
    target = corpus.beside(out)
    if strangers := sorted(set(found) - set(corpus.ids)):
        raise DataError(f"{corpus.path}: has no recording {strangers[0]!r}; the annotations are of another corpus.")
    write_manifest(target, [_with(entry, found.get(entry.id, [])) for entry in corpus.entries])
    return target


def _with(entry: RecordingEntry, found: Sequence[Annotation]) -> RecordingEntry:
    said = {(a.tier, a.annotator) for a in found}
    kept = [a for a in entry.annotations if (a.tier, a.annotator) not in said]
    return entry.model_copy(update={"annotations": [*kept, *(AnnotationEntry(**asdict(a)) for a in found)]})
