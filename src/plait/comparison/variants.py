"""What `plait compare` compares: each modality alone, fusions of all of them, all but one, and the quick model."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from plait.core.errors import ConfigError, PlaitError, raise_all
from plait.core.names import Names
from plait.core.parts import Spec, build, find, full_spec, options_of, part_name, split_spec, suggest
from plait.corpus.corpus import Corpus
from plait.evaluation.examined import restricted
from plait.examples.items import find_items, split_items
from plait.examples.splits import holds_back
from plait.fusion import Fusion
from plait.models.model import Model
from plait.recipe import Recipe, quick_recipe
from plait.tasks import Task
from plait.training.experiment import default_split, task_and_unit

__all__ = [
    "ALONE",
    "FUSION",
    "FUSIONS",
    "PARTS",
    "QUICK",
    "WITHOUT",
    "Variant",
    "chosen_by",
    "own_of",
    "variants_of",
]

ALONE, FUSION, WITHOUT, QUICK = "alone", "fusion", "without", "quick"

FUSIONS: tuple[Spec, ...] = ("late", "concat", "shared")
"""One of each family: late, early, intermediate."""

PARTS = 4
"""Folds of the training part, if the recipe holds a test part back."""


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to answer the recipe's question.

    Attributes:
        name: of its run's folder; letters, digits and ``._=+-~`` only.
        title: its name in tables and sentences.
        kind: ``alone`` (one modality: encoder and head), ``fusion`` (all of them), ``without`` (all but one), ``quick``
            (`plait.recipe.quick_recipe`, of all: the baseline to beat).
        family: of its fusion: ``late``, ``early``, ``intermediate``; empty for one modality.
        modalities: in the model's order.
        recipe: what is trained.
    """

    name: str
    title: str
    kind: str
    family: str
    modalities: tuple[str, ...]
    recipe: Recipe


def chosen_by(recipe: Recipe, corpus: Corpus, parts: int | None = None) -> dict[str, object]:
    """The split to choose by: folds of the training part alone, so that the test part is not looked at.

    A recipe whose split is folds holds nothing back; its folds are then used as they are. A recipe without a split has
    the corpus's default.

    Args:
        parts: the number of folds, by default the recipe's ``tune``, else 4; fewer if there are fewer training groups.

    Raises:
        ConfigError: there is only one training group, fewer than two folds are asked for, or a number of folds is given
            though the recipe's split is folds.
    """
    spec = dict(recipe.split) or default_split(corpus)
    if not holds_back(spec):
        if parts:
            raise ConfigError(
                "tune: the recipe's split is folds, which hold nothing back; they are used as they are. Leave tune out."
            )
        return spec
    wanted = parts or spec.pop("tune", 0) or PARTS
    spec.pop("tune", None)
    if wanted < 2:
        raise ConfigError(f"tune: got {wanted}; expected 2 folds of the training part or more.")
    _, unit = task_and_unit(recipe)
    groups = {item.group for item in split_items(find_items(corpus, unit).items, corpus, spec)[0].train}
    if len(groups) < 2:
        raise ConfigError(
            f"split: only the group {min(groups)!r} is there to train on, so no group can be held out to choose by. "
            "Give the training part more groups, or compare with split={folds: 5, by: id}."
        )
    return {**spec, "tune": min(wanted, len(groups))}


def variants_of(
    recipe: Recipe,
    modalities: Sequence[str],
    *,
    fusions: Sequence[Spec] = (),
    without: bool = False,
    only: Sequence[str] | None = None,
) -> list[Variant]:
    """Each modality alone, the fusions (late, early, intermediate, the recipe's own, those given), all but one.

    A modality alone has its encoder and its head and no fusion. With two modalities, all but one is one alone. The
    quick model comes last, if the task has linear heads.

    Args:
        only: names of the variants wanted; by default all. The quick model is there anyway.

    Raises:
        ConfigError: fewer than two modalities; unknown fusions, options or names, all at once.
    """
    if len(modalities) < 2:
        raise ConfigError(
            f"streams: there is one modality ({', '.join(modalities)}), so there is nothing to fuse. Use plait fit."
        )
    specs = _distinct([*FUSIONS, recipe.fusion, *fusions], modalities, recipe)
    own = full_spec(Fusion, recipe.fusion, "fusion")
    found = [_alone(recipe, m) for m in modalities]
    found += [_fused(recipe, modalities, spec) for spec in specs]
    if without and len(modalities) > 2:
        found += [_without(recipe, modalities, m, own) for m in modalities]
    return [*_only(_with_folders(found), only), *_quick(recipe, modalities)]


def own_of(variants: Sequence[Variant], recipe: Recipe) -> str | None:
    """The name of the variant whose fusion is the recipe's own, if it is there."""
    own = full_spec(Fusion, recipe.fusion, "fusion")
    same = (v.name for v in variants if v.kind == FUSION and full_spec(Fusion, v.recipe.fusion, "fusion") == own)
    return next(same, None)


def _distinct(specs: Sequence[Spec], modalities: Sequence[str], recipe: Recipe) -> list[Spec]:
    """The specs, without any that is the same as an earlier one.

    Raises:
        ConfigError: all specs that cannot be built, at once.
    """
    problems: list[str] = []
    found: dict[str, Spec] = {}
    dim = recipe.model.get("dim", options_of(Model)["dim"])
    for spec in specs:
        try:
            # Compared with all their options, so that {name: shared} and one that spells out a default are the same.
            full = full_spec(Fusion, spec, "fusion")
            build(Fusion, spec, list(modalities), dim, where="fusion")
            found.setdefault(repr(sorted(full.items())), spec)
        except PlaitError as error:
            problems += error.problems
    raise_all(ConfigError, list(dict.fromkeys(problems)))
    return list(found.values())


def _alone(recipe: Recipe, modality: str) -> Variant:
    own = restricted(recipe, [modality])
    own.fusion = {"name": "late"}  # its own head answers, and nothing else has weights
    own.model.pop("missing", None)  # no other modality is there to be imputed
    return Variant(f"{ALONE}-{modality}", f"{modality} alone", ALONE, "", (modality,), own)


def _fused(recipe: Recipe, modalities: Sequence[str], spec: Spec) -> Variant:
    cls, options = find(Fusion, spec, "fusion")
    own = restricted(recipe, modalities)
    own.fusion = dict(spec) if isinstance(spec, dict) else {"name": split_spec(spec, "fusion")[0]}
    defaults = options_of(cls)
    changed = [f"{k}={v}" for k, v in options.items() if defaults.get(k, inspect.Parameter.empty) != v]
    name = " ".join([part_name(cls), *changed])
    return Variant(name.replace(" ", "-"), name, FUSION, cls.family, tuple(modalities), own)


def _without(recipe: Recipe, modalities: Sequence[str], modality: str, fusion: dict[str, object]) -> Variant:
    rest = [m for m in modalities if m != modality]
    own = restricted(recipe, rest)
    own.fusion = fusion
    family = find(Fusion, fusion, "fusion")[0].family
    return Variant(f"{WITHOUT}-{modality}", f"without {modality}", WITHOUT, family, tuple(rest), own)


def _quick(recipe: Recipe, modalities: Sequence[str]) -> list[Variant]:
    """The baseline to beat; none for a task without linear heads, or one that learns without labels."""
    if not find(Task, task_and_unit(recipe)[0], "task")[0].linear:
        return []
    own = quick_recipe(restricted(recipe, modalities))
    return [Variant(QUICK, "quick model", QUICK, "late", tuple(modalities), own)]


def _file_name(name: str) -> str:
    """A name that every file system accepts.

    >>> _file_name("alone-my sound/left")
    'alone-my_sound_left'
    """
    # Cut well below the 255 bytes that file systems allow, as `Names` may add a digest.
    return re.sub(r"[^A-Za-z0-9._=+-]", "_", name)[:100]


def _with_folders(found: Sequence[Variant]) -> list[Variant]:
    """Each variant with a folder name of its own; variants of the same name are numbered."""
    names, seen = Names(_file_name), Counter[str]()  # distinct also on disks that ignore case
    out = []
    for v in found:
        seen[v.name] += 1
        again = [str(seen[v.name])] if seen[v.name] > 1 else []
        out.append(replace(v, name=names.of(v.name, *again)))
    return out


def _only(found: list[Variant], only: Sequence[str] | None) -> list[Variant]:
    if only is None:
        return found
    asked: Callable[[Variant], bool] = lambda v: v.name in only or v.title in only  # noqa: E731
    known = [*(v.name for v in found), QUICK]
    titles = {v.title for v in found}
    problems = [f"only: there is no variant {n!r}. {suggest(n, known)}" for n in only if n not in {*known, *titles}]
    kept = [v for v in found if asked(v)]
    if not problems and len(kept) < 2:
        problems = [f"only: {', '.join(only) or 'nothing'} leaves nothing to compare. Name two or more."]
    raise_all(ConfigError, problems)
    return kept
