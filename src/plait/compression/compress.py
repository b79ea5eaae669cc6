"""Make a run smaller, and show from every subset of its modalities that its answers are still as good."""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from plait.compression import Lesson, Way
from plait.compression.changes import Answered, Change, deciding_part, lowest, worst_of
from plait.core.atomic import write_text
from plait.core.errors import ConfigError, DataError
from plait.core.parts import Spec, build, find, options_of, parts, split_spec, suggest
from plait.core.progress import Progress
from plait.core.safe_yaml import brief
from plait.evaluation.examined import Examination, Examined
from plait.evaluation.schema import IntervalRow
from plait.evaluation.summary import plain
from plait.examples.data import ItemData
from plait.models.model import Model
from plait.packing import Packing
from plait.packing.file import write_packed
from plait.recipe import Recipe, dump_recipe
from plait.store.store import CACHE
from plait.training.noisy import noisy_sources
from plait.training.run import Run, digest_of

__all__ = ["FILE", "Compressed", "Plan", "compress", "made"]

FILE = "compression.json"

REST = "fp16"
"""Packing of biases and of the gains of norms, which are few."""

PARTS = {"valid": "validation", "train": "training", "test": "test"}


class Sizes(TypedDict):
    """Bytes of the weights' files of all replicates."""

    before: int
    after: int


@dataclass(frozen=True)
class Compressed:
    """What was made, and what it costs.

    Attributes:
        folder: the run.
        to: the forms.
        sizes: of the weights' files.
        part: of the items by which it was decided: ``valid``, or ``train`` in a run without.
        decided, test: what changes on these items and on the test part, per subset of modalities.
        metric: what is compared.
        max_loss: points.
        passed: whether every subset passed; if not, it was forced.
    """

    folder: Path
    to: list[str]
    sizes: Sizes
    part: str
    metric: str
    max_loss: float
    passed: bool
    decided: list[Change]
    test: list[Change] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return self.sizes["after"] / self.sizes["before"]

    def to_json(self) -> dict[str, object]:
        told = plain({**asdict(self), "folder": str(self.folder), "ratio": self.ratio})
        return dict(told) if isinstance(told, dict) else {}

    def lines(self) -> list[str]:
        """A summary for the terminal."""
        before, after = (self.sizes[k] / 1e6 for k in ("before", "after"))
        told = [f"{'+'.join(self.to)}: weights of {before:.2f} MB -> {after:.2f} MB ({100 * self.ratio:.1f} %)"]
        told += table_of(f"{self.metric} on {PARTS[self.part]} items", self.decided)
        told += table_of(f"{self.metric} on test items", self.test)
        if self.part == "train":
            told += [
                "note: the run has no validation part. It was decided by items that the model was trained on, which"
            ]
            told += ["change less than new ones: look at the test items too."]
        if not self.passed:
            told += [f"note: forced; a loss of more than {self.max_loss:g} points is not ruled out."]
        return [*told, f"wrote {self.folder}"]


def table_of(title: str, rows: Sequence[Change]) -> list[str]:
    """A line per subset of modalities, below a title and names of columns."""
    sure = ["true class's probability"] * ("truth" in rows[0])
    cells = [[title, "before", "after", "change in points, 95 %", *sure]]
    for row in rows:
        points = [(row["change"], row["interval"])]
        points += [(row["truth"]["change"], row["truth"]["interval"])] if sure else []
        values = (f"{row[side]:.4f}" for side in ("before", "after"))
        cells.append(["  " + " + ".join(row["modalities"]), *values, *(ends(*pair) for pair in points)])
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def ends(change: float, found: IntervalRow) -> str:
    """A change and its interval, or why there is none."""
    told = f"[{found['low']:+.2f}, {found['high']:+.2f}]" if not found["reason"] else f"({found['reason']})"
    return f"{change:+.2f} {told}"


@dataclass(frozen=True)
class Plan:
    """What to do, in order: ways that train, then a packing of the weights (None: as they are)."""

    told: list[str]
    ways: list[Way]
    packing: Spec | None

    @property
    def name(self) -> str:
        """Of a folder."""
        return re.sub(r"[^\w.=]+", "-", "-".join(self.told)).strip("-")

    @classmethod
    def of(cls, to: Sequence[Spec]) -> Plan:
        """Forms as ``NAME``, ``NAME=VALUE`` (of the first option), or mappings of a name and options.

        Raises:
            ConfigError: an unknown form or option; two packings; the same way twice; nothing to do.

        >>> Plan.of(["int8", "dim=64"]).told
        ['dim=64', 'int8']
        """
        specs = [_spec_of(one) for one in to]
        packings = [(spec, text) for base, spec, text in specs if base is Packing]
        ways = [(build(Way, spec, where="compress.to"), text) for base, spec, text in specs if base is Way]
        ways.sort(key=lambda pair: pair[0].order)
        if not specs or len(packings) > 1 or len({type(way) for way, _ in ways}) < len(ways):
            raise ConfigError(f"compress.to: got {brief([*to])}; expected one packing, or ways that differ, or both.")
        for spec, _ in packings:
            build(Packing, spec, where="compress.to")
        chosen = packings[0][0] if packings else None
        return cls([text for _, text in [*ways, *packings]], [way for way, _ in ways], chosen)


def _spec_of(given: Spec) -> tuple[type, Spec, str]:
    """The base class of a form, its spec, and how it is called."""
    name, options = split_spec(given, "compress.to")
    name, equals, value = name.partition("=")
    known: dict[str, type] = {n: base for base in (Way, Packing) for n in parts(base)}
    base = known.get(name) or next((b for b in (Way, Packing) if "." in name and issubclass(_dotted(name), b)), None)
    if base is None:
        raise ConfigError(f"compress.to: there is no form {brief(name)}. {suggest(name, known)}")
    if equals:
        own = [*options_of(find(base, name, "compress.to")[0])]
        options[own[0] if own else "value"] = _number(name, value)
    text = name + (f"={value}" if equals else "") + (f" {brief(options)}" if options and not equals else "")
    return base, {"name": name, **options} if options else name, text


def _dotted(name: str) -> type[object]:
    return find(object, name, "compress.to")[0]


def _number(name: str, text: str) -> float | int:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ConfigError(f"compress.to: {name}={brief(text)}; expected a number.")
    return int(found) if found == int(found) and "." not in text else found


def compress(
    run: Run | str | Path,
    to: Sequence[Spec],
    out: str | Path | None = None,
    *,
    max_loss: float = 0.5,
    force: bool = False,
    cache: str | Path = CACHE,
    progress: Progress | None = None,
) -> Compressed:
    """Write a smaller run that answers as before, or refuse.

    Nothing is chosen by the test part: on validation items (training items in a run without), every subset of
    modalities must keep the main metric within ``max_loss``, at the lower end of a paired interval over groups. The
    test part is answered after that decision.

    Args:
        run: see `plait.fit`; or its folder. Its finished replicates are compressed.
        to: forms: a `Packing` (``fp16``, ``int8``, ``int4``), ways that train (``dim=64``, ``width=0.5``,
            ``sparse=0.5``), or both.
        out: the new run's folder; by default beside the old one.
        max_loss: points of the main metric (`plait.compression.changes.Change`).
        force: whether to write it in spite of a loss.
        cache: where prepared features are kept.
        progress: told of features being prepared, and of replicates.

    Raises:
        ConfigError: an unknown form, or a folder that is there already.
        DataError: too much may be lost from a subset: the message names the worst. Nothing is written.
    """
    run, plan = run if isinstance(run, Run) else Run(run), Plan.of(to)
    if not 0 <= max_loss < math.inf:
        raise ConfigError(f"compress.max_loss: got {max_loss}; expected points, 0 or more.")
    folder = Path(out) if out else run.folder.resolve().with_name(f"{run.folder.resolve().name}-{plan.name}")
    if folder.exists():
        raise ConfigError(f"{folder}: is there already. Choose another --out, or delete it.")
    answered = Answered(run, cache, deciding_part(run), progress)
    with made(run, plan, answered, cache, beside=folder) as (smaller, sizes):
        models = [smaller.model(one) for one in answered.replicates]
        decided = answered.changes(models)
        passed = lowest(worst_of(decided)) >= -max_loss
        if not passed and not force:
            raise DataError(_refusal(plan, answered, decided, max_loss))
        test = Answered(run, cache, "test", progress).changes(models)
        facts = answered.part, answered.task.main_metric, max_loss, passed, decided, test
        found = Compressed(folder, plan.told, sizes, *facts)
        write_text(smaller.folder / FILE, json.dumps(found.to_json(), ensure_ascii=False, indent=1))
        smaller.folder.rename(folder)
    return found


def _refusal(plan: Plan, answered: Answered, rows: Sequence[Change], max_loss: float) -> str:
    worst, failed = worst_of(rows), sum(not lowest(row) >= -max_loss for row in rows)
    told = f"by {ends(worst['change'], worst['interval'])} points over {worst['interval']['groups']} groups"
    if "truth" in worst:
        told += f", the true class's probability by {ends(worst['truth']['change'], worst['truth']['interval'])}"
    return (
        f"{'+'.join(plan.told)}: from {' + '.join(worst['modalities'])} the {answered.task.main_metric} of "
        f"{answered.items} {PARTS[answered.part]} items changes {told}. So a loss of more than {max_loss:g} points is "
        f"not ruled out from {failed} of {len(rows)} subsets of the modalities. Nothing is written. Take a milder "
        "form, a split with more validation items, a larger --max-loss, or --force."
    )


@contextmanager
def made(run: Run, plan: Plan, answered: Answered, cache: str | Path, *, beside: Path) -> Iterator[tuple[Run, Sizes]]:
    """The smaller run in a folder that is deleted afterwards unless it is moved; and its sizes."""
    beside.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{beside.name}.", dir=beside.parent))
    try:
        place.chmod(0o755)
        recipe = run.recipe
        for way in plan.ways:
            recipe = way.recipe(recipe)
        _copy(run, recipe, place, f"compressed: {'+'.join(plan.told)}")
        lessons = _lessons(run, cache, answered) if plan.ways else [None] * len(answered.replicates)
        sizes: Sizes = {"before": 0, "after": 0}
        for one, lesson in zip(answered.replicates, lessons):
            model = run.model(one)
            for way in plan.ways if lesson else ():
                model = way.smaller(model, lesson)  # type: ignore[arg-type]
            _save(model, run, one.name, place, recipe, plan.packing)
            for key, folder in (("before", run.folder), ("after", place)):
                sizes[key] += (folder / one.name / "model.safetensors").stat().st_size  # type: ignore[literal-required]
        yield Run(place, allow_code=run.allow_code, allow_outside=run.allow_outside), sizes
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _lessons(run: Run, cache: str | Path, answered: Answered) -> list[Lesson]:
    train = Examination(run, cache, None, part="train")
    held = [one.data if answered.part == "valid" else None for one in answered.examined]
    return [Lesson(one.model, run.recipe, _noised(one), own, one.replicate.seed) for one, own in zip(train, held)]


def _noised(one: Examined) -> ItemData:
    noisy = noisy_sources(one.experiment, one.store, sorted({i.recording for i in one.items}))
    return ItemData(one.items, one.features, one.asked, one.modalities, noisy=noisy)


def _copy(run: Run, recipe: Recipe, place: Path, note: str) -> None:
    """The files of a run beside its replicates, for another recipe."""
    info = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    names = {one.name for one in run.finished}
    info["recipe"], info["notes"] = digest_of(recipe), [*info["notes"], note]
    info["replicates"] = [{"seed": one.seed, "fold": one.fold} for one in run.replicates if one.name in names]
    write_text(place / "run.json", json.dumps(info, indent=1, ensure_ascii=False))
    write_text(place / "recipe.yaml", dump_recipe(recipe))
    shutil.copyfile(run.folder / "examples.parquet", place / "examples.parquet")


def _save(model: Model, run: Run, name: str, place: Path, recipe: Recipe, packing: Spec | None) -> None:
    """A replicate's files."""
    folder = place / name
    model.save(folder)
    if packing is not None:
        write_packed(folder / "model.safetensors", model.state_dict(), packings_of(model, packing))
    shutil.copyfile(run.folder / name / "preparation.json", folder / "preparation.json")
    done = json.loads((run.folder / name / "done.json").read_text(encoding="utf-8"))
    done |= {"recipe": digest_of(recipe), "parameters": sum(p.numel() for p in model.parameters())}
    write_text(folder / "done.json", json.dumps(done))


def packings_of(model: Model, packing: Spec) -> dict[str, Spec]:
    """The packing of each tensor: matrices by the one chosen, biases and norms by `REST`; the rest stays exact, such as
    the features' mean and deviation, whose rounding could move every input."""
    rank = {name: p.ndim for name, p in model.named_parameters(remove_duplicate=False)}
    chosen, rest = build(Packing, packing, where="compress.to"), build(Packing, REST, where="compress.to")
    found: dict[str, Spec] = {}
    for name, value in model.state_dict().items():
        spec, by = (packing, chosen) if rank.get(name, 0) > 1 else (REST, rest)
        found[name] = spec if name in rank and by.takes(value) else "exact"
    return found
