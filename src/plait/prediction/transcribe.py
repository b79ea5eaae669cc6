"""Raw films to words: the face is found, the mouth cut out, and a trained model says what is said, and when."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from plait.core.errors import ConfigError, DataError, MissingExtra, raise_all
from plait.core.parts import Options, Spec, find, part_name, split_spec
from plait.corpus.annotated import write_annotated
from plait.corpus.corpus import Corpus
from plait.corpus.manifest import RecordingEntry
from plait.importing.folder import import_files
from plait.interchange import Moved, export_corpus
from plait.prediction.predict import Prediction, Predictor
from plait.store.stepped import build_feature
from plait.store.store import CACHE
from plait.streams.recording import Annotation
from plait.tasks.answers import Text, Timed
from plait.tasks.transcribe import Transcribe
from plait.training.run import Run
from plait.transforms import Step
from plait.transforms.face import NO_FACE, Face, Mouth
from plait.transforms.landmarks.face import FaceMesh

__all__ = ["Transcript", "transcribe"]

TIER = "words"


@dataclass(frozen=True)
class Transcript:
    """What is said in a clip.

    Attributes:
        recording: its id, by default the file's name without ending.
        words: start and stop in seconds of the recording, word and confidence of each, in order of time.
        used, missing: modalities of the model that were there, and that were not.
        note: a remark; or "".

    >>> print(Transcript("a", ((0.5, 0.75, "now", 0.9),), ("video",), ("audio",)))
    a: now (from video; without audio)
         0.50     0.75   90%  now
    """

    recording: str
    words: tuple[Timed, ...]
    used: tuple[str, ...]
    missing: tuple[str, ...]
    note: str = ""

    @property
    def text(self) -> str:
        """The words in one line."""
        return " ".join(str(word) for _, _, word, _ in self.words)

    def __str__(self) -> str:
        without = f"; without {', '.join(self.missing)}" if self.missing else ""
        source = f"from {', '.join(self.used)}{without}" if self.used else self.note
        head = f"{self.recording}: {self.text or '(nothing)'} ({source})"
        rows = [f"{start:9.2f}{stop:9.2f}{sure:6.0%}  {word}" for start, stop, word, sure in self.words]
        return "\n".join([head, *rows])

    def to_json(self) -> dict[str, object]:
        """One object: recording, text, words with start, stop and confidence, modalities and note."""
        keys = ("start", "stop", "word", "confidence")
        return {
            "recording": self.recording,
            "text": self.text,
            "words": [dict(zip(keys, word)) for word in self.words],
            "used": list(self.used),
            "missing": list(self.missing),
            "note": self.note,
        }

    def annotations(self, tier: str = TIER) -> list[Annotation]:
        """An annotation per word."""
        return [Annotation(start, stop, word, tier, "plait") for start, stop, word, _ in self.words]


def transcribe(
    source: Run | str | Path,
    clips: str | Path | Sequence[str | Path],
    *,
    crop: Spec | None = "mouth",
    to: Spec | None = None,
    out: str | Path | None = None,
    cache: str | Path = CACHE,
    replicate: str | None = None,
    allow_code: bool = False,
) -> tuple[list[Transcript], Moved | None]:
    """What is said in raw films, or in sound alone, in the order of the recordings.

    A model that was trained on films of the mouth is given such films: where the recipe does not crop its pictures
    itself, ``crop`` comes before its preprocessing. The face is found by the face mesh if the extra ``keypoints`` and
    its models are installed, else by OpenCV's cascade (see `plait.transforms.face`); both boxes have the same
    proportions.

    Args:
        source: a run of task transcribe, its folder, or that of one of its replicates.
        clips: films, sound files, or folders of them; names are understood as those of the training corpus.
        crop: a step that takes films to what the model was trained on: ``mouth``, ``face``, with options
            (``{name: mouth, detector: cascade}``); None for clips that are cropped already.
        to: also write the words in this format (`plait.interchange`), ``textgrid`` for example, to ``out``.
        out: the file or folder to make; it must not exist.
        cache: folder of prepared features.
        replicate: which of the run's models; the first by default.
        allow_code: whether a folder's files may name classes from outside plait.

    Returns:
        The transcripts, and what was written (None without ``to``).

    Raises:
        ConfigError: the run is of another task, there is no such step or format, or ``out`` is there already.
        DataError: a clip cannot be read, holds nothing that the model knows, or shows no face.
        MissingExtra: a package that an option asks for is not installed.
    """
    if (to is None) != (out is None):
        raise ConfigError("to and out: give both, or neither.")
    predictor = Predictor(source, cache=cache, replicate=replicate, allow_code=allow_code)
    task = predictor.model.task
    if not isinstance(task, Transcribe):
        raise ConfigError(
            f"{source}: its task is {part_name(type(task))}; expected a run of task transcribe. Its own answers give: "
            "plait predict"
        )
    if crop is not None:
        features = {m: _cropped(spec, crop, m) for m, spec in predictor.prepared.features.items()}
        predictor.prepared = predictor.prepared.model_copy(update={"features": features})
    predictor.allow_outside = True  # the manifest is in a temporary folder; the user named the clips
    with tempfile.TemporaryDirectory(prefix="plait-") as folder:
        corpus = _corpus(predictor, [clips] if isinstance(clips, str | Path) else clips, Path(folder))
        found = _joined(_predicted(predictor, corpus, crop))
        moved = None
        if to is not None and out is not None:
            said = {one.recording: one.annotations() for one in found}
            manifest = write_annotated(corpus, said, Path(folder) / "said.jsonl")
            moved = export_corpus(Corpus(manifest, allow_outside=True), out, to, cache=cache)
    return found, moved


def _cropped(spec: Options, crop: Spec, where: str) -> Options:
    """A feature's spec with the crop first, if it takes pictures and does not crop a face already."""
    steps = list(spec.get("preprocess") or [])
    faces = [step for step in steps if issubclass(find(Step, step, where)[0], Face | Mouth)]
    if faces or "frames" not in build_feature(spec, where).kinds:
        return spec
    name, options = split_spec(crop, "crop")
    if issubclass(find(Step, crop, "crop")[0], Face | Mouth):
        options = {"detector": "mesh" if _has_mesh() else "cascade", **options}
    return {**spec, "preprocess": [{"name": name, **options}, *steps]}


def _has_mesh() -> bool:
    """Whether the face mesh can run here."""
    try:
        FaceMesh().check()
    except MissingExtra:
        return False
    return True


def _corpus(predictor: Predictor, clips: Sequence[str | Path], folder: Path) -> Corpus:
    """The clips as a corpus, all of which have something that the model knows."""
    prepared = predictor.prepared
    streams = prepared.modalities.values()
    rates = {**dict.fromkeys(streams), **prepared.rates}
    manifest = folder / "manifest.jsonl"
    import_files(clips, out=manifest, options=prepared.naming, known=streams, rates=rates)
    corpus = Corpus(manifest, allow_outside=True)
    strange = [entry for entry in corpus.entries if not set(entry.streams) & set(streams)]
    raise_all(DataError, [_unknown(entry, folder, " or ".join(streams)) for entry in strange])
    return corpus


def _unknown(entry: RecordingEntry, folder: Path, known: str) -> str:
    files = sorted({str((folder / stream.path).resolve()) for stream in entry.streams.values() if stream.path})
    return (
        f"{', '.join(files) or entry.id}: is no video or sound that the model knows. It holds "
        f"{', '.join(sorted(entry.streams))}; expected {known}. Give a film such as clip.mp4."
    )


def _predicted(predictor: Predictor, corpus: Corpus, crop: Spec | None) -> list[Prediction]:
    try:
        return predictor([corpus.path])
    except DataError as error:
        if crop is None or not any(NO_FACE in problem for problem in error.problems):
            raise
        what = (
            "Clips that are cropped already need no face: --crop none (crop=None). Of others, give the part in which "
            "the speaker's face is seen, or the sound alone."
        )
        raise DataError([*(p for p in error.problems if NO_FACE in p), what]) from error


def _joined(rows: Iterable[Prediction]) -> list[Transcript]:
    """One transcript per recording, of all its examples."""
    found: dict[str, Transcript] = {}
    for row in rows:
        said = row.answer.words if isinstance(row.answer, Text) else ()
        words = tuple((row.start + a, row.start + b, word, sure) for a, b, word, sure in said)
        before = found.get(row.recording)
        if before is not None:
            words = (*before.words, *words)
        found[row.recording] = Transcript(row.recording, words, row.used, row.missing, row.note)
    return list(found.values())
