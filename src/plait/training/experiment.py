"""A recipe with its corpus: items, folds, features. Fit, evaluate and predict all start here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.align.resample import resample
from plait.augmentations import Vary
from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import Options, Spec, find, options_of, split_spec, suggest
from plait.core.progress import Progress
from plait.core.safe_yaml import brief
from plait.corpus.corpus import Corpus
from plait.corpus.summary import rare_streams
from plait.examples.data import Numbered, kind_of
from plait.examples.items import Fold, ItemSet, find_items, split_items
from plait.examples.units import make_unit, unit_of, unit_options
from plait.examples.units.around import base_of
from plait.recipe import CorpusPlan, RawNoise, Recipe, StreamPlan
from plait.store.prepare import Prepared, prepare_all, resolve_features
from plait.store.scale import normalized
from plait.store.stepped import build_feature
from plait.store.store import Store
from plait.streams.clock import Clock, Grid, Spans, Ticks
from plait.tasks import Task
from plait.training.imported import import_once
from plait.training.plans import plan_of, with_contexts
from plait.transforms.noise import noise_of

Found = tuple[NDArray[np.float32], Clock]
"""Features [n, dim] of a recording and their clock."""

__all__ = ["Experiment", "Features", "open_corpus", "task_and_unit"]


def open_corpus(recipe: Recipe, folder: Path, name: str = "manifest.jsonl") -> Corpus:
    """The corpus of a recipe; a raw folder is imported once, into the manifest ``name`` in the run's folder.

    Raises:
        ConfigError: there is a manifest of that name that an import of this folder with these options did not make.
        DataError: there is no such corpus, or nothing in the folder could be understood.
    """
    if isinstance(recipe.corpus, CorpusPlan):
        manifest = folder / name
        import_once(recipe.corpus, manifest)
        # The manifest is in the run's folder, so all its files lie outside; the recipe names their folder.
        return Corpus(manifest, allow_outside=True)
    return Corpus(recipe.corpus, allow_outside=recipe.allow_outside)


def task_and_unit(recipe: Recipe) -> tuple[Options, Options]:
    """The recipe's task section as (task spec, unit spec); the unit reports options of other units."""
    name, options = split_spec(recipe.task, "task")
    cls, _ = find(Task, name, "task")
    own, units = options_of(cls), unit_options(options)
    if recipe.causal and "causal" in own:
        options = {"causal": True, **options}
    _refuse_unknown(name, options, own, units)
    if cls.asks in ("annotations", "relations", "future"):  # the tier or stream is the task's to name, not the unit's
        units = {k: v for k, v in units.items() if k != "target"}
    task = {"name": name, **{k: v for k, v in options.items() if k in own and k not in units}}
    unit = {k: v for k, v in options.items() if k not in own or k in units}
    if recipe.causal or task.get("causal") is True:
        unit |= _live(recipe, unit, units, asked=cls.asks)
    elif recipe.look_ahead:
        raise ConfigError(f"look_ahead: {recipe.look_ahead:g} s, but causal is false, so all of a recording is seen.")
    if cls.asks == "label":
        return task, _numbered(unit, recipe)
    unit["asks"] = cls.asks
    if cls.asks == "several":
        tasks = task.get("tasks")
        if not isinstance(tasks, Mapping):
            raise ConfigError(f"task.tasks: got {brief(tasks)}; expected a task for each target, by name.")
        unit["names"] = list(tasks)
    if cls.asks == "future":
        unit["future"], unit["ahead"] = cls.looks_ahead(task)
    if cls.asks == "relations":
        unit["object_stream"] = cls.looks_at(task)
    if cls.asks in ("annotations", "relations"):
        unit["annotations"] = _annotated_tier(task)
        if "tier" in units:  # a stream of words that is the target must not be an input
            unit.setdefault("tier", unit["annotations"])
    return task, _numbered(unit, recipe)


def _live(recipe: Recipe, unit: Options, units: Mapping[str, object], *, asked: str) -> Options:
    """Keys of a causal unit: an item has its context before it, and ``look_ahead`` seconds after it."""
    ahead = recipe.look_ahead
    if not ahead:
        return {"causal": True}
    if asked != "label" or "pad" not in units:
        raise ConfigError(
            f"look_ahead: {ahead:g} s after an item, but only answers for a segment or a window as a whole have an end "
            "to look beyond. Leave it out; tasks that answer over time have a delay of their own."
        )
    pad = unit.get("pad") or 0.0
    return {"causal": True, "sees": (pad, ahead), "pad": max(pad, ahead) if isinstance(pad, int | float) else pad}


def _numbered(unit: Options, recipe: Recipe) -> Options:
    """The unit; its items know their numbers if the texts of its annotations are inputs."""
    cut_by = unit.get("tier") if unit.get("unit") == "segment" else None
    tiers = [plan.tier for plan in recipe.streams.values() if plan is not None and plan.tier]
    return {**unit, "numbered": True} if cut_by in tiers else unit


def _with_streams(corpus: Corpus, recipe: Recipe, unit: Mapping[str, object]) -> Corpus:
    """The corpus, with the tiers that the recipe's streams name, and with pictures within boxes, as streams."""
    plans = {modality: plan for modality, plan in recipe.streams.items() if plan is not None}
    tiers = [plan.tier for plan in plans.values() if plan.tier]
    found = corpus.with_tiers({tier: bool(unit.get("numbered")) and tier == unit.get("tier") for tier in tiers})
    return found.with_boxes({p.named(m): (p.stream or m, p.boxes) for m, p in plans.items() if p.boxes})


def _refuse_unknown(
    name: str, options: Mapping[str, object], own: Mapping[str, object], units: Mapping[str, object]
) -> None:
    """A key that no unit has might be an option of the task misspelt, so the names of both are suggested."""
    if not units:  # there is no such unit, which is told first
        return
    known = {"name", *own, *unit_of(options)}
    told = [
        f"task.{key}: neither task {name} nor unit {options.get('unit', 'recording')} has such an option. "
        f"{suggest(key, {*own, *units})}"
        for key in options
        if key not in known
    ]
    raise_all(ConfigError, told)


def _annotated_tier(task: Mapping[str, object]) -> str:
    tier = task.get("target")
    if not isinstance(tier, str) or not tier:
        raise ConfigError(
            f"task.target: got {brief(tier)}. {task['name']} needs the name of a tier of annotations, or of a stream "
            "of words."
        )
    return tier


@dataclass
class Features:
    """Prepared features by modality; a modality can read a stream of another name."""

    prepared: dict[str, Prepared]
    streams: dict[str, str]
    shape: Callable[[str, Found], Found]
    _kept: dict[tuple[str, str], Found | None] = field(default_factory=dict)

    def get(self, recording: str, modality: str) -> Found | None:
        """(features [n, dim], clock) of one recording; None if the stream is missing."""
        key = (recording, modality)
        if key not in self._kept:
            found = self.prepared[modality].get(recording, self.streams[modality])
            self._kept[key] = found and self.shape(modality, found)
        return self._kept[key]


@dataclass
class Experiment:
    """A recipe resolved on its corpus, before any training.

    Attributes:
        modalities: in the model's order.
        streams: the stream that each modality reads.
        features: the feature spec of each modality, with all defaults.
        notes: what was left out and why, as sentences.
    """

    recipe: Recipe
    corpus: Corpus
    items: ItemSet
    folds: list[Fold]
    task: Options
    unit: Options
    streams: dict[str, str] = field(default_factory=dict)
    features: dict[str, Options] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, recipe: Recipe, corpus: Corpus, *, split: bool = True) -> Experiment:
        """Find items, folds, modalities and features.

        Raises:
            ConfigError, DataError: the corpus lacks something that the recipe asks for.
        """
        task, unit = task_and_unit(recipe)
        corpus = _with_streams(corpus, recipe, unit)
        items = find_items(corpus, unit)
        spec = dict(recipe.split) or default_split(corpus)
        folds = split_items(items.items, corpus, spec) if split else []
        self = cls(recipe, corpus, items, folds, task, unit)
        self._plan_streams()
        return self

    @classmethod
    def begun(
        cls, recipe: Recipe, corpus: Corpus, streams: Mapping[str, str], features: Mapping[str, dict[str, object]]
    ) -> Experiment:
        """The experiment of a run that has begun: the run keeps its modalities, features and sides.

        Streams that were added to the corpus since then become no modality, and nothing is split again.
        """
        task, unit = task_and_unit(recipe)
        corpus = _with_streams(corpus, recipe, unit)
        return cls(recipe, corpus, find_items(corpus, unit), [], task, unit, dict(streams), dict(features))

    @property
    def modalities(self) -> list[str]:
        return list(self.streams)

    def _plan_streams(self) -> None:
        kinds = {name: entry for entry in self.corpus.entries for name in entry.streams}
        plans: dict[str, StreamPlan | None] = dict(self.recipe.streams) or dict.fromkeys(self._covering(kinds))
        problems = []
        specs: Options = {}
        around = make_unit(self.unit).around
        kinds_of_context = around.kinds if around else ()
        for modality, given in plans.items():
            if kind_of(modality, kinds_of_context) and base_of(modality) in plans:
                continue  # the plan of a context
            plan = given or StreamPlan()
            name = plan.named(modality)
            if name not in kinds:
                what = "a tier" if plan.tier else "a stream"
                known = {a.tier for entry in self.corpus.entries for a in entry.annotations} if plan.tier else kinds
                problems.append(f"streams.{modality}: no recording has {what} {name!r}. {suggest(name, known)}")
                continue
            if plan.tier and (plan.stream or plan.boxes):
                what = "a stream" if plan.stream else "boxes"
                problems.append(f"streams.{modality}: names {what} and a tier. Leave one of them out.")
            self.streams[modality] = name
            specs[modality] = _spec_of(plan)
        raise_all(ConfigError, problems)
        self.streams = with_contexts(self.streams, around, self.recipe.streams)
        # Only now: resolving opens recordings, and the problems above need none.
        for modality, spec in specs.items():
            name = self.streams[modality]
            self.features[modality] = resolve_features(self.corpus, {name: spec})[name]
        self.features = {m: self.features[base_of(m) if m not in specs else m] for m in self.streams}
        self._check_names()
        self._check_causal()

    @property
    def causal(self) -> bool:
        """Whether an answer may depend only on what was recorded until its instant."""
        return self.recipe.causal or self.task.get("causal") is True

    def _check_causal(self) -> None:
        """Refuse features that look at the whole recording, for a causal task."""
        problems = []
        for m, spec in self.features.items() if self.causal else ():
            plan = plan_of(self.recipe, m)
            if not build_feature(spec, f"streams.{m}.feature").causal:
                problems.append(
                    f"streams.{m}.feature: {spec['name']}, with these options, looks at the whole recording, but "
                    "causal is true. Choose another feature, or other options."
                )
            if plan.normalization not in ("none", "running"):
                problems.append(
                    f"streams.{m}.normalization: {plan.normalization} looks at the whole recording, but causal is "
                    "true. Use running, or none."
                )
            if plan.rate is not None:
                problems.append(f"streams.{m}.rate: resampling looks ahead, but causal is true. Leave it out.")
        raise_all(ConfigError, problems)

    def _covering(self, streams: Iterable[str]) -> list[str]:
        """The streams that enough recordings have; the others go into the notes."""
        rare = rare_streams({entry.id: entry.streams for entry in self.corpus.entries}, self.recipe.min_coverage)
        self.notes += rare.values()
        return [name for name in streams if name not in rare]

    def _check_names(self) -> None:
        plan = self.recipe.augment
        kinds = {f"augment.{name}": chosen for name, chosen in Vary(plan.kinds).modalities.items()}
        problems = [
            f"{where}.{m}: there is no such modality. {suggest(m, self.streams)}"
            for where, keys in {
                **kinds,
                "augment.modality_dropout": plan.modality_dropout if isinstance(plan.modality_dropout, dict) else (),
                "augment.noise": plan.noise,
                "evaluate.noise": self.recipe.evaluate.noise,
            }.items()
            for m in keys
            if m not in self.streams
        ]
        raise_all(ConfigError, problems)
        self._check_noise()

    def _check_noise(self) -> None:
        """Refuse a noise, or a level of it, that cannot be made, before anything is trained."""
        augment, evaluate = self.recipe.augment.noise, self.recipe.evaluate.noise
        problems = [
            f"augment.noise.{m}: probabilities add up to {sum(n.probability for n in own):g}; expected at most 1."
            for m, own in augment.items()
            if sum(n.probability for n in own) > 1 + 1e-9  # a sum of floats that is 1 may come out larger
        ]
        for section, plans in (("augment", augment), ("evaluate", evaluate)):
            for m, own in plans.items():
                kind = self._kind(self.streams[m])
                problems += [p for plan in own for p in _noise_problems(f"{section}.noise.{m}", plan, kind)]
        raise_all(ConfigError, problems)

    def _kind(self, stream: str) -> str | None:
        """The kind of the stream in the first recording where it opens."""
        for recording in self.corpus:
            if stream in recording.streams:
                try:
                    return str(recording.streams[stream].kind)
                except DataError:
                    continue
        return None

    @classmethod
    def bare(
        cls, recipe: Recipe, corpus: Corpus, streams: dict[str, str], features: dict[str, dict[str, object]]
    ) -> Experiment:
        """An experiment without targets: the resolved streams and features of a run, on new recordings."""
        task, unit = task_and_unit(recipe)
        corpus = _with_streams(corpus, recipe, unit)
        return cls(recipe, corpus, ItemSet([], {}), [], task, unit, streams, {m: features[m] for m in streams})

    def prepare(
        self,
        store: Store,
        recordings: Iterable[str] | None = None,
        *,
        pack: bool = False,
        jobs: int = 1,
        cluster: str | None = None,
        progress: Progress | None = None,
    ) -> Features:
        """Compute all features that the store lacks, and pack them if asked. See `plait.store.prepare.prepare`."""
        wanted = set(recordings) if recordings is not None else {i.recording for i in self.items.items}
        plans = [{name: self.features[m]} for m, name in self.streams.items()]
        found = prepare_all(self.corpus, plans, store, recordings=wanted, jobs=jobs, cluster=cluster, progress=progress)
        prepared = dict(zip(self.streams, found))
        problems = [problem for p in prepared.values() for problem in p.problems]
        if problems:
            kept = "All other features are kept. Repair these files, or take their streams out of the manifest."
            raise DataError([*dict.fromkeys(problems), kept])
        if pack:
            prepared = {m: p.pack() for m, p in prepared.items()}
        return Features(prepared, self.streams, self.shape)

    def shape(self, modality: str, found: Found) -> Found:
        """Features normalised within the recording and resampled as the recipe says; by default unchanged."""
        plan = plan_of(self.recipe, modality)
        values, clock = normalized(found[0], plan.normalization), found[1]
        if plan.tier and plan.tier == self.unit.get("tier") and self.unit.get("numbered"):
            spans = clock if isinstance(clock, Spans) else Spans(clock.times, clock.times)
            return values, Numbered(spans.starts, spans.stops)
        if self.causal:
            return _when_known(values, clock, build_feature(self.features[modality], modality).receptive_field)
        if plan.rate is None or len(clock) < 2:
            return values, clock
        grid = Grid(clock.start, plan.rate, round((clock.stop - clock.start) * plan.rate))
        laid, known = resample(values, clock, grid, "linear")
        return np.where(known, laid, np.nan).astype(np.float32), grid


def _when_known(values: NDArray[np.float32], clock: Clock, receptive_field: float) -> Found:
    """The same rows, each at the instant at which everything that it depends on has been recorded."""
    if isinstance(clock, Spans):
        # Spans are in order of their starts; a long one can end after the next.
        order = np.argsort(clock.stops, kind="stable")
        values, clock = values[order], Ticks(clock.stops[order])
    return values, clock.corrected(receptive_field)


def _noise_problems(where: str, plan: RawNoise, kind: str | None) -> list[str]:
    """The problems of a noise for streams of a kind (None: unknown)."""
    try:
        noise = noise_of(plan.kind, f"{where}.kind")
        for value in plan.levels:
            noise.check(value, where)
    except ConfigError as error:
        return list(error.problems)
    if kind is None or kind in noise.kinds:
        return []
    return [f"{where}.kind: is for {', '.join(noise.kinds)}, but the stream is {kind}."]


def default_split(corpus: Corpus) -> Options:
    """The corpus's own split if it has one; else by hash of the group: a fifth for test, and with ten or more groups
    a tenth for validation."""
    if any(entry.split for entry in corpus.entries):
        return {"by": "manifest"}
    groups = {entry.group or entry.id for entry in corpus.entries}
    return {"hash": "group", "test": 0.2, "valid": 0.1 if len(groups) >= 10 else 0.0}


def _spec_of(plan: StreamPlan) -> Spec | None:
    """The feature's spec with the plan's preprocessing in it; None: the default feature without preprocessing."""
    if not plan.preprocess:
        return plan.feature
    own = {"name": plan.feature} if isinstance(plan.feature, str) else dict(plan.feature or {})
    return {**own, "preprocess": plan.preprocess}
