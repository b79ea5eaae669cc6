"""Other tools' formats, one file each: write a corpus for another tool, and read what it wrote.

Single files of annotations and sensors (``.eaf``, TextGrid, ``.csd``, EDF ...) are read by `plait.readers`, like any
other recording. The formats here hold a whole corpus.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from plait.core.atomic import replacing
from plait.core.errors import ConfigError, DataError
from plait.core.parts import Spec, build, part_name
from plait.corpus.corpus import Corpus
from plait.interchange.sample import Sample, samples
from plait.store.prepare import prepare
from plait.store.store import Store

__all__ = ["Format", "Moved", "export_corpus", "import_corpus"]

LOST: dict[str, tuple[str, Callable[[Sample], int]]] = {
    "labels": ("labels of whole recordings", lambda s: len(s.labels)),
    "group": ("groups of recordings", lambda s: s.group not in ("", s.id)),
    "split": ("sides of recordings (train, valid, test)", lambda s: bool(s.split)),
    "meta": ("facts about recordings (meta)", lambda s: len(s.meta)),
    "annotators": ("annotators", lambda s: sum(bool(a.annotator) for a in s.annotations)),
}
"""What a format may be unable to hold: its description, and how many of it a recording has."""

Progress = Callable[[int, int, str], None]
"""Called with the number of recordings done, the number of all, and the id of the last."""


@dataclass
class Moved:
    """What was written or read.

    Attributes:
        path: the file or folder that was made.
        recordings, streams: their numbers.
        notes: what the format cannot hold, or what was not understood: its description, and how many.
    """

    path: Path
    recordings: int = 0
    streams: int = 0
    notes: dict[str, int] = field(default_factory=dict)

    def note(self, what: str, count: int = 1) -> None:
        """Count something that was lost on the way."""
        if count:
            self.notes[what] = self.notes.get(what, 0) + count

    def to_json(self) -> dict[str, object]:
        return {
            "path": str(self.path),
            "recordings": self.recordings,
            "streams": self.streams,
            "notes": self.notes,
        }

    def lines(self) -> list[str]:
        """A summary for the terminal."""
        return [
            f"wrote {self.path}: {self.recordings} recordings, {self.streams} streams",
            *(f"  not taken over: {count} {what}" for what, count in self.notes.items()),
        ]


class Format(ABC):
    """One foreign format. Options are keyword-only arguments of ``__init__``."""

    features: ClassVar[bool] = True
    """Whether streams of numbers are written as prepared features; if not, the format refers to the raw files."""

    lacks: ClassVar[tuple[str, ...]] = ()
    """The keys of `LOST` that it cannot hold; they are counted."""

    @abstractmethod
    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        """Write a corpus to ``out``, which is moved to its place when it is complete. What the format cannot hold is
        counted in ``moved``.

        Raises:
            DataError: the corpus cannot be written in this format at all.
            MissingExtra: the format's own package is needed and not installed.
        """

    def read(self, path: Path, out: Path, moved: Moved) -> None:
        """Read ``path`` and write it as a corpus, with a manifest, into the folder ``out``.

        Raises:
            DataError: it is not of this format, or it is cut short. ConfigError: this format is read by a reader.
        """
        raise ConfigError(
            f"{part_name(type(self))}: such files are read by a reader. Import their folder: plait import FOLDER."
        )


def export_corpus(
    corpus: Corpus,
    out: str | Path,
    to: Spec,
    *,
    features: Mapping[str, Spec | None] | None = None,
    cache: str | Path = ".plait-cache",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Moved:
    """Write a corpus in another tool's format.

    Args:
        corpus: the recordings, with the clock corrections of the manifest.
        out: the file or folder to make; it must not exist yet.
        to: the format's name, or name and options.
        features: the feature of each stream (None: the default of its kind); by default all streams with theirs. Words
            stay words. Formats that refer to raw files use no features.
        cache: folder of prepared features.
        jobs: processes that prepare features.
        progress: called after each recording.

    Raises:
        ConfigError: there is no such format, or ``out`` exists already.
        DataError: something cannot be prepared or written; all problems at once.
    """
    target, form = Path(out), build(Format, to, where="format")
    if target.exists():
        raise ConfigError(f"{target}: is there already. Remove it, or write to another place.")
    target.parent.mkdir(parents=True, exist_ok=True)
    names = list(features) if features is not None else sorted({n for e in corpus.entries for n in e.streams})
    worded = {n for n in names if _is_words(corpus, n)}
    prepared = None
    if form.features:
        wanted = {n: (features or {}).get(n) for n in names if n not in worded}
        prepared = prepare(corpus, wanted, Store(cache), jobs=jobs)
    moved = Moved(target)
    found = _counted(samples(corpus, names, worded, prepared), len(corpus), moved, form.lacks, progress)
    with replacing(target) as part:
        form.write(corpus, found, part, moved)
    return moved


def _is_words(corpus: Corpus, name: str) -> bool:
    """Whether the stream holds words, judged by the first recording that has it."""
    for recording in corpus:
        if name in recording.streams:
            return recording.streams[name].kind == "words"
    raise DataError(f"no recording has the stream {name!r}. Name one that the manifest has.")


def _counted(
    found: Iterator[Sample], total: int, moved: Moved, lacks: Sequence[str], progress: Progress | None
) -> Iterator[Sample]:
    for done, sample in enumerate(found, 1):
        # Counted after the format has taken it: one that fails to be written is not reported as written.
        yield sample
        for words, count in (LOST[what] for what in lacks):
            moved.note(words, count(sample))
        moved.recordings += 1
        moved.streams += len(sample.streams)
        if progress:
            progress(done, total, sample.id)


def import_corpus(path: str | Path, out: str | Path, source: Spec) -> Moved:
    """Read a corpus that another tool wrote, into a new folder with a manifest.

    Args:
        path: the file or folder.
        out: the folder to make; it must not hold a manifest yet.
        source: the format's name, or name and options.

    Raises:
        ConfigError: there is no such format, or ``out`` holds a manifest already.
        DataError: ``path`` does not exist, or is not of the format.
    """
    target, form = Path(out), build(Format, source, where="format")
    if not Path(path).exists():
        raise DataError(f"{path}: no such file or folder.")
    if (target / "manifest.jsonl").exists():
        raise ConfigError(f"{target / 'manifest.jsonl'}: is there already. Read into another folder.")
    moved = Moved(target / "manifest.jsonl")
    form.read(Path(path), target, moved)
    return moved
