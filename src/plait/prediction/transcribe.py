"""Raw films to words: the face is found, the mouth cut out, and a trained model says what is said, and when."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from plait.core.errors import ConfigError, DataError, MissingExtra, raise_all
from plait.core.parts import Options, Spec, find, foreign_code, part_name, split_spec
from plait.corpus.annotated import write_annotated
from plait.corpus.corpus import Corpus
from plait.corpus.manifest import RecordingEntry, write_manifest
from plait.importing.folder import import_files
from plait.interchange import Format, Moved, export_corpus
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

FRAMINGS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Places of the mouth's crop below the top of the face that are tried, in face heights."""

FINE = 0.025
"""Then so much above and below the best of them."""

TRIED = 4
"""Clips on which they are tried."""


@dataclass(frozen=True)
class Transcript:
    """What is said in a clip.

    Attributes:
        recording: its id, by default the file's name without ending.
        words: start and stop in seconds of the recording, word and confidence of each, in order of time.
        used, missing: modalities of the model that were there, and that were not.
        note: a remark; or "".
        crop: the step that cut its films to what the model was trained on, with options; None if none was needed.

    >>> print(Transcript("a", ((0.5, 0.75, "now", 0.9),), ("video",), ("audio",)))
    a: now (from video; without audio)
         0.50     0.75   90%  now
    """

    recording: str
    words: tuple[Timed, ...]
    used: tuple[str, ...]
    missing: tuple[str, ...]
    note: str = ""
    crop: Options | None = None

    @property
    def text(self) -> str:
        """The words in one line."""
        return " ".join(str(word) for _, _, word, _ in self.words)

    def __str__(self) -> str:
        without = f"; without {', '.join(self.missing)}" if self.missing else ""
        cut = f"; crop: {', '.join(f'{k} {v}' for k, v in self.crop.items())}" if self.crop else ""
        source = f"from {', '.join(self.used)}{without}{cut}" if self.used else self.note
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
            "crop": self.crop,
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
    its models are installed, else by OpenCV's cascade (see `plait.transforms.face`).

    Where in its films the mouth was, the model does not tell; lip readers are sensitive to it. So, unless ``crop`` says
    how far down the mouth is, several places are tried on up to 4 clips without their sound, and the one whose words
    the model is surest of is taken: the most words expected right less those expected wrong. Nothing is trained, and no
    truth is needed.

    Args:
        source: a run of task transcribe, its folder, or that of one of its replicates.
        clips: films, sound files, or folders of them; names are understood as those of the training corpus.
        crop: a step that takes films to what the model was trained on: ``mouth``, ``face``, with options
            (``{name: mouth, detector: cascade, down: 0.75}``); None for clips that are cropped already.
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
    if out is not None and Path(out).exists():
        raise ConfigError(f"{out}: is there already. Remove it, or write to another place.")
    if to is not None:
        find(Format, to, "to")
    predictor = Predictor(source, cache=cache, replicate=replicate, allow_code=allow_code)
    task = predictor.model.task
    if not isinstance(task, Transcribe):
        raise ConfigError(
            f"{source}: its task is {part_name(type(task))}; expected a run of task transcribe. Its own answers give: "
            "plait predict"
        )
    predictor.allow_outside = True  # the manifest is in a temporary folder; the user named the clips
    with tempfile.TemporaryDirectory(prefix="plait-") as folder:
        corpus = _corpus(predictor, [clips] if isinstance(clips, str | Path) else clips, Path(folder))
        used = _fitted(predictor, corpus, crop, Path(folder)) if crop is not None else None
        found = _joined(_predicted(predictor, corpus, crop), used)
        moved = None
        if to is not None and out is not None:
            said = {one.recording: one.annotations() for one in found}
            manifest = write_annotated(corpus, said, Path(folder) / "said.jsonl")
            moved = export_corpus(Corpus(manifest, allow_outside=True), out, to, cache=cache)
    return found, moved


def _fitted(predictor: Predictor, corpus: Corpus, crop: Spec, folder: Path) -> Options | None:
    """Put the crop that suits the model best before its preprocessing; None if its films are cropped by the recipe."""
    prepared = predictor.prepared
    with foreign_code(predictor.allow_code):
        wanted = {m for m, spec in prepared.features.items() if _uncropped(spec, m)}
    streams = {prepared.modalities[m] for m in wanted}
    if not any(streams & set(entry.streams) for entry in corpus.entries):
        return None
    plans = _framings(crop)

    def prepare(plan: Options) -> None:
        features = {m: _after(plan, spec) if m in wanted else spec for m, spec in prepared.features.items()}
        predictor.prepared = prepared.model_copy(update={"features": features})

    if len(plans) > 1:
        silent = _silent(corpus, streams, folder)

        def sure(plan: Options) -> float:
            prepare(plan)
            return _sure(_predicted(predictor, silent, crop))

        best = _best(plans, sure)
    else:
        best = plans[0]
    prepare(best)
    return best


def _best(plans: Sequence[Options], sure: Callable[[Options], float]) -> Options:
    """The plan whose score is highest, or one a little beside it."""
    scores = [(sure(plan), plan) for plan in plans]
    score, best = max(scores, key=lambda pair: pair[0])
    near = [{**best, "down": round(best["down"] + step, 3)} for step in (-FINE, FINE)]
    return max([(score, best), *((sure(plan), plan) for plan in near)], key=lambda pair: pair[0])[1]


def _uncropped(spec: Options, where: str) -> bool:
    """Whether a feature takes pictures in which nothing has looked for a face yet."""
    steps = spec.get("preprocess") or []
    faces = [step for step in steps if issubclass(find(Step, step, where)[0], Face | Mouth)]
    return not faces and "frames" in build_feature(spec, where).kinds


def _after(step: Options, spec: Options) -> Options:
    """A feature's spec with a step before its others."""
    return {**spec, "preprocess": [step, *(spec.get("preprocess") or [])]}


def _framings(crop: Spec) -> list[Options]:
    """The crop with its detector, at each place that is tried unless it names one."""
    name, options = split_spec(crop, "crop")
    cls, _ = find(Step, crop, "crop")
    if issubclass(cls, Face | Mouth):
        options = {"detector": "mesh" if _has_mesh() else "cascade", **options}
    whole = {"name": name, **options}
    return [{**whole, "down": down} for down in FRAMINGS] if cls is Mouth and "down" not in options else [whole]


def _silent(corpus: Corpus, streams: Set[str], folder: Path) -> Corpus:
    """The first clips that have pictures, without their other streams."""
    kept = [entry for entry in corpus.entries if streams & set(entry.streams)][:TRIED]
    rows = [e.model_copy(update={"streams": {n: s for n, s in e.streams.items() if n in streams}}) for e in kept]
    write_manifest(folder / "silent.jsonl", rows)
    return Corpus(folder / "silent.jsonl", allow_outside=True)


def _sure(rows: Iterable[Prediction]) -> float:
    """Words expected right less words expected wrong, by the model's own confidence."""
    return sum(2 * word[3] - 1 for row in rows if isinstance(row.answer, Text) for word in row.answer.words)


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
    lost = [path for path in clips if not Path(path).exists()]
    raise_all(DataError, [f"{path}: no such file or folder. Correct the path." for path in lost])
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
        # Each begins with its place in a manifest that the user does not know, and goes on with the file.
        raise DataError([*(p.partition(": ")[2] for p in error.problems if NO_FACE in p), what]) from error


def _joined(rows: Iterable[Prediction], crop: Options | None) -> list[Transcript]:
    """One transcript per recording, of all its examples."""
    found: dict[str, Transcript] = {}
    for row in rows:
        words = row.answer.words if isinstance(row.answer, Text) else ()
        before = found.get(row.recording)
        if before is not None:
            words = (*before.words, *words)
        found[row.recording] = Transcript(row.recording, words, row.used, row.missing, row.note, crop)
    return list(found.values())
