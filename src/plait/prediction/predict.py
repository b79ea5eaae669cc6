"""Predict from raw files, prepared as in the run; any stream may be absent."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import foreign_code, suggest
from plait.corpus.corpus import Corpus, write_manifest
from plait.examples.data import FeatureSource, ItemData, loader
from plait.examples.items import Item, asked_items
from plait.importing.folder import import_files
from plait.importing.report import ImportReport
from plait.importing.untold import Rates
from plait.models.conformal import Within, checked_level
from plait.models.file import fingerprint
from plait.models.model import Model
from plait.prediction.ask import Asking
from plait.readers import Opened, opened_once, reader_for
from plait.store.store import CACHE, Store
from plait.streams.recording import Annotation
from plait.tasks.answers import Answer, Text
from plait.training.experiment import Experiment
from plait.training.plans import held_by
from plait.training.preparation import Preparation
from plait.training.run import Run

__all__ = ["Examples", "Prediction", "Predictor", "predict", "prediction_of"]


@dataclass(frozen=True)
class Prediction:
    """The model's answer for one example.

    Attributes:
        recording: its id.
        start, stop: the time that the answer is about, with its context, in seconds of the recording.
        answer: the decoded output of the model, its times in seconds of the recording; None if none of the model's
            modalities is present.
        used, missing: modalities that were present, and that were missing.
        note: a remark; or "".
        trust: of a text, by modality: the mean probability of the words that it alone would answer.
        within: of one class or one value: the set of classes, or the interval, that holds the truth as often as the
            predictor's level says; None for other answers, and where the run kept no thresholds.
    """

    recording: str
    start: float
    stop: float
    answer: Answer | None
    used: tuple[str, ...]
    missing: tuple[str, ...]
    note: str = ""
    trust: Mapping[str, float] = field(default_factory=dict)
    within: Within | None = None

    def __str__(self) -> str:
        place = f"{self.recording} {self.start:.2f}-{self.stop:.2f} s"
        if self.answer is None:
            return f"{place}: {self.note}"
        missing = f"; without {', '.join(self.missing)}" if self.missing else ""
        note = f" ({self.note})" if self.note else ""
        used = [f"{m} ({self.trust[m]:.0%})" if m in self.trust else m for m in self.used]
        within = f" [{self.within}]" if self.within else ""
        return f"{place}: {self.answer}{within} from {', '.join(used)}{missing}{note}"

    def to_json(self) -> dict[str, object]:
        """One object: recording and time, the answer's entries, modalities and note."""
        return {
            "recording": self.recording,
            "start": self.start,
            "stop": self.stop,
            **(self.answer.to_json() if self.answer else {}),
            "used": list(self.used),
            "missing": list(self.missing),
            "note": self.note,
            **({"trust": dict(self.trust)} if self.trust else {}),
            **({"within": self.within.to_json()} if self.within else {}),
        }

    def annotations(self, *, tier: str, annotator: str = "plait") -> list[Annotation]:
        """The answer as annotations of the recording; empty if there is no answer, or it cannot be one."""
        return self.answer.annotations(self.start, self.stop, tier=tier, annotator=annotator) if self.answer else []


class Examples(NamedTuple):
    """Examples of raw files: their features, the remark on each recording that has one, and the corpus."""

    items: list[Item]
    data: ItemData
    notes: dict[str, str]
    corpus: Corpus


class Predictor:
    """A model that is loaded once and answers many times for raw files; any stream may be absent.

    Args:
        source: a finished run, or its folder; or the folder of one of its replicates, which needs no other files.
        cache: folder of prepared features.
        replicate: which of the run's models (``seed0``); the first by default.
        allow_code: for a folder: whether its files may name classes from outside plait (see
            `plait.models.model.Model.load`). A `Run` has a setting of its own.
        allow_outside: for a folder: whether a manifest to predict from may name files outside its folder.
        level: how often `Prediction.within` is to hold the truth: a whole percentage from 0.5 to 0.99.

    Raises:
        DataError: no replicate is fully trained, or its files do not fit together.
        ConfigError: there is no such replicate, or no such level.
    """

    def __init__(
        self,
        source: Run | str | Path,
        *,
        cache: str | Path = CACHE,
        replicate: str | None = None,
        allow_code: bool = False,
        allow_outside: bool = False,
        level: float = 0.9,
    ) -> None:
        self.store, self.level = Store(cache), checked_level(level)
        self._opened: Opened = {}
        if not isinstance(source, Run) and Run.is_run(Path(source)):
            source = Run(source, allow_code=allow_code, allow_outside=allow_outside)
        if isinstance(source, Run):
            self.prepared = Preparation.of(source)
            allow_code, allow_outside = source.allow_code, source.allow_outside
        else:
            source = Path(source)
            self.prepared = Preparation.read(source)
        self.model = Run.model_in(source, replicate, allow_code=allow_code)
        self.allow_code, self.allow_outside = allow_code, allow_outside
        # Folders are copied by hand: a model beside another run's preparation would answer nonsense.
        if list(self.prepared.modalities) != self.model.modalities:
            raise DataError(
                f"{source}: its preparation has the modalities {list(self.prepared.modalities)}, but its model has "
                f"{self.model.modalities}. Copy the folder again from its run."
            )

    @cached_property
    def digest(self) -> str:
        """Of the model's weights, computed once: saved sessions tell by it whose they are."""
        return fingerprint(self.model)

    def __call__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        segments: Sequence[tuple[float, float]] = (),
        rates: Rates | None = None,
        ask: str | None = None,
        told: Callable[[ImportReport], None] | None = None,
        seen: Callable[[list[Prediction], Corpus], None] | None = None,
    ) -> list[Prediction]:
        """The model's answers for raw files (or for a manifest's recordings).

        Files are grouped to recordings by the naming convention with which the run's corpus was imported. The examples
        are those that training would have made of the same recordings (`plait.examples.items.asked_items`): whole
        recordings, windows on the same grid, or the segments of the task's tier that the recipe's ``labels``, ``match``
        and ``index`` choose; if there are none, the whole recording, with a note.

        Args:
            paths: media files, folders, or one manifest.
            segments: (start, stop) in seconds, for every recording.
            rates: per stream, the observations per second of arrays without a rate; by default those in the manifest of
                the run's corpus.
            ask: a question, in place of the model's one stream of texts, about every example.
            told: called with a report of the files that were understood and left out.
            seen: called with the answers, and with the corpus of the files while it can be read.

        Raises:
            DataError: a file cannot be read, no file has a stream of the model, or a segment lies outside.
            ConfigError: a rate is given for a stream that the model does not have; a question is asked of a model that
                does not have one stream of texts, or is longer than its feature reads.
        """
        model = self.model
        with self.examples(paths, segments=segments, rates=rates, ask=ask, told=told) as (items, data, notes, corpus):
            answers, trust = _answers(model, data)
            there = {m: data.present(m) for m in model.modalities if m in data.modalities}
            used = [tuple(m for m in there if there[m][i]) for i in range(len(items))]
            found = [
                prediction_of(item, answer, ms, model.modalities, notes.get(item.recording, ""), own)
                for item, answer, ms, own in zip(items, answers, used, trust)
            ]
            found = [self.within(one) for one in found]
            if seen is not None:
                seen(found, corpus)
        return found

    def within(self, one: Prediction) -> Prediction:
        """A prediction with the set of classes, or the interval, that holds the truth as often as the level says."""
        kept = self.model.calibration_of(one.used)
        return one if kept is None else replace(one, within=kept.around(one.answer, self.level))

    @contextmanager
    def examples(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        segments: Sequence[tuple[float, float]] = (),
        rates: Rates | None = None,
        ask: str | None = None,
        told: Callable[[ImportReport], None] | None = None,
        change: Callable[[Corpus, Path], Corpus] | None = None,
    ) -> Iterator[Examples]:
        """The examples of raw files with their features, as the model takes them.

        Args:
            paths, segments, rates, ask, told: as for a call.
            change: makes another corpus of that of the files; it may write into the folder that it is given.

        Raises:
            DataError, ConfigError: as a call.
        """
        given = [paths] if isinstance(paths, str | Path) else paths
        here = tempfile.TemporaryDirectory(prefix="plait-")
        with foreign_code(self.allow_code), opened_once(self._opened), here as folder:
            corpus = self._corpus([Path(p) for p in given], Path(folder), dict(rates or {}), told) if given else None
            if change is not None or corpus is None:
                corpus = (change or _refuse)(corpus or _no_recordings(Path(folder)), Path(folder))
            experiment = _experiment(self.prepared, corpus)
            # The manifest of imported files is in the temporary folder, so all is read before it is gone.
            asked, notes = asked_items(experiment.corpus, experiment.unit, segments)
            features: FeatureSource = experiment.prepare(self.store, {i.recording for i in asked.items})
            modalities = experiment.modalities
            if ask is not None:
                features = Asking(features, self.prepared, ask, asked.items)
                modalities = [m for m in self.model.modalities if m in modalities or m == features.modality]
            known = self.model.task.asked(asked.items, known=False)
            yield Examples(asked.items, ItemData(asked.items, features, known, modalities), notes, corpus)

    def _corpus(
        self, paths: list[Path], folder: Path, rates: Rates, told: Callable[[ImportReport], None] | None
    ) -> Corpus:
        streams = self.prepared.modalities.values()
        strange = [name for name in rates if name not in streams]
        raise_all(ConfigError, [f"rate of {n!r}: the model has no such stream. {suggest(n, streams)}" for n in strange])
        # Some formats of a stream are lines of JSON too.
        if len(paths) == 1 and paths[0].suffix == ".jsonl" and reader_for(paths[0]) is None:
            return Corpus(paths[0], allow_outside=self.allow_outside)
        manifest = folder / "manifest.jsonl"
        # What the user says wins over what the run's manifest said.
        rates = {**dict.fromkeys(streams), **self.prepared.rates, **rates}
        report = import_files(paths, out=manifest, options=self.prepared.naming, known=streams, rates=rates)
        report.notes += [
            f"stream {name!r}, of {facts['recordings']} recordings, is not a stream of the model: not used."
            for name, facts in report.streams.items()
            if name not in streams
        ]
        if told:
            told(report)
        # The manifest is in a temporary folder, so all files lie outside it; the user named them.
        return Corpus(manifest, allow_outside=True)


def predict(
    source: Run | str | Path,
    paths: str | Path | Sequence[str | Path],
    *,
    cache: str | Path = CACHE,
    replicate: str | None = None,
    segments: Sequence[tuple[float, float]] = (),
    rates: Rates | None = None,
    ask: str | None = None,
    told: Callable[[ImportReport], None] | None = None,
) -> list[Prediction]:
    """A model's answers for raw files, once. For arguments and errors see `Predictor`."""
    predictor = Predictor(source, cache=cache, replicate=replicate)
    return predictor(paths, segments=segments, rates=rates, ask=ask, told=told)


def _no_recordings(folder: Path) -> Corpus:
    write_manifest(folder / "none.jsonl", [])
    return Corpus(folder / "none.jsonl")


def _refuse(corpus: Corpus, folder: Path) -> Corpus:
    raise DataError("there are no files to answer for. Name one or more.")


def _experiment(prepared: Preparation, corpus: Corpus) -> Experiment:
    used = held_by(corpus, prepared.recipe, prepared.modalities)
    if not used:
        there = {name for entry in corpus.entries for name in entry.streams}
        wanted = ", ".join(prepared.modalities.values())
        raise DataError(f"the files hold the streams {', '.join(sorted(there)) or 'none'}; the model knows {wanted}.")
    return Experiment.bare(prepared.recipe, corpus, used, prepared.features)


def _answers(model: Model, data: ItemData) -> tuple[list[Answer], list[dict[str, float]]]:
    """The answers, and for texts of several modalities the trust in each."""
    model.eval()
    found, trust = list[Answer](), list[dict[str, float]]()
    with torch.inference_mode():
        for batch in loader(data, {m: model.dims[m] for m in data.modalities}, batch=64):
            encoded = model.encode(batch.inputs)
            answers = model.task.decode(model.forward_subset(encoded, at=batch.at)[""], batch.at)
            found += answers
            asked = data.modalities if len(data.modalities) > 1 and isinstance(answers[0], Text) else []
            own = {m: model.task.decode(model.forward_subset(encoded, [m], batch.at)[""], batch.at) for m in asked}
            trust += [
                {m: a.confidence for m, rows in own.items() if isinstance(a := rows[i], Text)}
                for i in range(len(answers))
            ]
    return found, trust


def prediction_of(
    item: Item,
    answer: Answer,
    used: tuple[str, ...],
    modalities: Sequence[str],
    note: str = "",
    trust: Mapping[str, float] = MappingProxyType({}),
) -> Prediction:
    """What is told of an item that had the modalities ``used``; without any, that there is no answer."""
    missing = tuple(m for m in modalities if m not in used)
    # Without any modality the model gives its prior; that is no answer for this example.
    told = answer.shifted(item.start) if used else None
    note = note if used else "no answer: none of the model's modalities is there"
    own = {m: trust[m] for m in used if m in trust} if len(used) > 1 else {}
    return Prediction(item.recording, item.start, item.stop, told, used, missing, note, own)
