"""Splits divide items into training, validation and test: by group, never by window. One file per form."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from plait.core.errors import ConfigError, DataError, gathering, raise_all
from plait.core.options import option_problems
from plait.core.parts import Options, build, find, options_of, parts, split_spec, suggest
from plait.core.safe_yaml import brief
from plait.examples.splits.sides import SIDES, Fold, as_text, fold_of, homes

if TYPE_CHECKING:
    from plait.corpus.corpus import Corpus
    from plait.examples.items import Item

__all__ = [
    "SIDES",
    "Fold",
    "Split",
    "as_text",
    "find_split",
    "fold_of",
    "full_split",
    "holds_back",
    "homes",
    "split_items",
]

_ANY: dict[str, object] = {"tune": 0, "subject_dependent": False}
"""Options that every form of split accepts."""


class Split(ABC):
    """Divides items into training, validation and test.

    In a recipe the keys tell the form (see `split_items`), or a name does: ``split: {name: mylab.splits.Mine}``.
    Options are keyword-only arguments. `split_items` checks the result: no group is on two sides of a fold, unless the
    recipe says ``subject_dependent: true``, and the training side is not empty.
    """

    holds_back: ClassVar[bool] = True
    """Whether one test set is held back, so that ``tune`` can divide the training part. False for several folds."""

    @abstractmethod
    def divide(self, items: list[Item], corpus: Corpus) -> list[Fold]:
        """The folds; a single one, named '', where a test set is held back.

        Args:
            items: all items, in the corpus's order, each with its group.
            corpus: for labels and meta fields of the recordings.

        Returns:
            Folds with different names. Each given item is on one side of a fold at most. The result must not depend on
            the order of the recordings. See `fold_of`.
        """


def full_split(spec: Mapping[str, object]) -> dict[str, object]:
    """The split with every default written out.

    Raises:
        ConfigError: the split has no known form, or a wrong option or value; all problems at once.

    >>> full_split({"folds": 3})
    {'folds': 3, 'by': 'group', 'valid': 0.0, 'salt': ''}
    """
    return _made(spec)[1]


def holds_back(spec: Mapping[str, object]) -> bool:
    """Whether a split holds back a test set, instead of testing every item in some fold. The empty default spec does.

    Raises:
        ConfigError: the split has no known form.

    >>> holds_back({"by": "manifest"}), holds_back({"folds": 3})
    (True, False)
    """
    return not spec or find_split(spec).holds_back


def find_split(spec: Mapping[str, object]) -> type[Split]:
    """The class of a split: the named one, or the form that its keys tell.

    Raises:
        ConfigError: the split has no known form.

    >>> find_split({"folds": 3}).holds_back
    False
    """
    return find(Split, _form(spec), "split")[0]


def split_items(items: list[Item], corpus: Corpus, spec: Mapping[str, object]) -> list[Fold]:
    """Divide items into training, validation and test so that no group is on two sides.

    The spec is one of

    - ``{by: manifest}``: the recordings' own ``split``.
    - ``{by: KEY, train: [...], valid: [...], test: [...]}``: explicit values of the key.
    - ``{hash: KEY, test: 0.2, valid: 0.0, salt: ""}``: by a stable hash (SHA-256 of salt and value), so that
      a recording stays on the same side as the corpus grows.
    - ``{folds: K, by: KEY, valid: 0.0, salt: ""}``: K folds of whole groups, balanced in number of items;
      each item is tested exactly once. ``valid``: the share of a fold's training groups used for validation.
    - ``{name: mylab.splits.Mine}``, with its options: your own `Split`.

    KEY is ``group``, ``id``, or the name of a label or meta field of the recordings.

    ``subject_dependent: true``, with any form: a group may be on two sides, as in protocols that test on subjects
    seen in training. Intervals still cluster on groups; the evaluation states that the groups are known.

    ``tune: K``, with any form that holds back a test set (all but ``folds``): for model selection without the test set.
    The result is K folds of the training part alone; each is tested on groups that it was not trained on.

    Raises:
        ConfigError: the spec is wrong, or names a key or value that the corpus does not have; all problems at once.
        DataError: a group would be on two sides, or the training side (or a requested test side) is empty.
    """
    made, full = _made(spec)
    # A copy: a class of the user's may sort or empty the list.
    folds = _sound(made.divide(list(items), corpus), items, made)
    if not full.get("subject_dependent"):
        raise_all(DataError, [p for fold in folds for p in _crossing(fold)])
    raise_all(DataError, [p for fold in folds for p in _empty(fold, full)])
    if full.get("tune"):
        return _tuning(folds[0], full["tune"])
    return folds


def _form(spec: Mapping[str, object]) -> str:
    """The name of the split: the given one, or that of the form that its keys tell."""
    if "name" in spec:
        return split_spec(spec, "split")[0]
    for form in ("hash", "folds"):  # before "by", which is an option of folds too
        if form in spec:
            return form
    if spec.get("by") == "manifest":
        return "manifest"
    if "by" in spec:
        return "lists"
    known = ("by", "hash", "folds", "name")
    hints = [f" split.{k}: {suggest(k, known)}" for k in spec if k not in ("train", "valid", "test", "salt")]
    raise ConfigError(
        f"split: got {dict(spec)!r}; expected {{by: manifest}}, {{by: KEY, train: [...], test: [...]}}, "
        f"{{hash: group, test: 0.2}}, {{folds: 5, by: group}} or {{name: mylab.splits.Mine}}.{''.join(hints)}"
    )


def _made(spec: Mapping[str, object]) -> tuple[Split, Options]:
    """The split, and its spec with every default; the spec holds a name only for the user's own classes."""
    name, cls = _form(spec), find_split(spec)
    named = {"name": name} if name not in parts(Split) else {}
    own = options_of(cls)
    own |= {key: value for key, value in spec.items() if key in own}
    known = {**own, **_ANY}
    common = {key: spec[key] for key in _ANY if key in spec}
    problems = [
        f"split.{k}: a split by {name} has no such option. {suggest(k, known)}"
        for k in spec
        if k not in known and k != "name"
    ]
    problems += option_problems(cls, own, "split") + _common_problems(cls, common)
    made: list[Split] = []
    with gathering(problems):
        made.append(build(Split, {"name": name, **own}, where="split"))
    raise_all(ConfigError, list(dict.fromkeys(problems)))
    return made[0], {**named, **own, **common}


def _common_problems(cls: type[Split], common: Mapping[str, object]) -> list[str]:
    problems = []
    tune, dependent = common.get("tune", 0), common.get("subject_dependent", False)
    # type, not isinstance: True is an int to Python, and "tune: true" is a mistake.
    if not (tune == 0 and type(tune) is int):
        if not cls.holds_back:
            problems.append("split.tune: folds hold back no test set, so there is nothing to protect. Leave it out.")
        elif type(tune) is not int or tune < 2:
            problems.append(f"split.tune: got {tune!r}; expected a whole number from 2 up.")
    if not isinstance(dependent, bool):
        problems.append(f"split.subject_dependent: got {dependent!r}; expected true or false.")
    return problems


def _sound(folds: object, items: Sequence[Item], made: Split) -> list[Fold]:
    """The folds that a split gave, with each item's side marked on it; items on no side are counted.

    Raises:
        ConfigError: the result is no list of folds with different names, or an item is on two sides or was not given.
    """
    name = type(made).__name__
    if not isinstance(folds, list | tuple) or not folds or not all(isinstance(fold, Fold) for fold in folds):
        raise ConfigError(f"split: {name}.divide gave {brief(folds)}; expected a list of plait.examples.splits.Fold.")
    if made.holds_back and len(folds) > 1:
        raise ConfigError(f"split: {name} gave {len(folds)} folds. Say in the class: holds_back = False.")
    names = [fold.name for fold in folds]
    if len(set(names)) < len(names) or not all(re.fullmatch(r"[A-Za-z0-9_.-]*", n) for n in names):
        raise ConfigError(
            f"split: {name} named its folds {brief(names)}; expected names that differ, of letters, digits and _.-"
        )
    # Compared by content without ``split``: a class may mark the side itself, or leave that to `_marked`.
    given = Counter(map(_known_by, items))
    raise_all(ConfigError, [problem for fold in folds for problem in _strange(fold, given, name)])
    return [_marked(fold, len(items)) for fold in folds]


def _known_by(item: Item) -> tuple[object, ...]:
    return item.recording, item.start, item.stop, item.target, item.group, item.whole


def _strange(fold: Fold, given: Mapping[tuple[object, ...], int], name: str) -> list[str]:
    found: Counter[tuple[object, ...]] = Counter()
    problems = []
    for item in (item for side in fold.sides.values() for item in side):
        key = _known_by(item)
        found[key] += 1
        if key not in given:
            problems.append(f"split: {name} gave {item.id!r} another group, target or interval. Leave items unchanged.")
        elif found[key] > given[key]:
            problems.append(f"split: {name} put {item.id!r} on two sides, or twice on one. Put it on one side at most.")
    return problems


def _marked(fold: Fold, n: int) -> Fold:
    sides = {
        name: [item if item.split == name else replace(item, split=name) for item in side]
        for name, side in fold.sides.items()
    }
    return Fold(**sides, name=fold.name, notes=list(fold.notes), left_out=n - sum(map(len, sides.values())))


def _tuning(fold: Fold, parts: int) -> list[Fold]:
    """Folds of the training part in ``parts`` parts of whole groups; each part is the test side once."""
    count = Counter(item.group for item in fold.train)
    if len(count) < parts:
        raise ConfigError(
            f"split.tune: {parts} parts, but only {len(count)} groups to train on. Ask for {len(count)} at most."
        )
    home = homes(count, parts, "tune")
    notes = [f"{len(fold.test)} items of the test part are not used.", *fold.notes]
    return [_without(fold, {g for g, at in home.items() if at == k}, f"tune{k + 1}", notes) for k in range(parts)]


def _without(fold: Fold, groups: set[str], name: str, notes: list[str]) -> Fold:
    """The fold that is tested on some groups of its training part."""
    train = [item for item in fold.train if item.group not in groups]
    test = [replace(item, split="test") for item in fold.train if item.group in groups]
    return Fold(train, fold.valid, test, name, notes, fold.left_out + len(fold.test))


def _crossing(fold: Fold) -> list[str]:
    first: dict[str, Item] = {}
    problems: dict[str, str] = {}
    for side in fold.sides.values():
        for item in side:
            other = first.setdefault(item.group, item)
            if other.split != item.split and item.group not in problems:
                problems[item.group] = (
                    f"split: group {item.group!r} is on two sides ({other.recording!r} in {other.split}, "
                    f"{item.recording!r} in {item.split}). Split by group, or "
                    "say split.subject_dependent: true if the protocol tests on groups that it trains on."
                )
    return list(problems.values())


def _empty(fold: Fold, full: Mapping[str, object]) -> list[str]:
    where = f"split{f' {fold.name}' if fold.name else ''}"
    problems = []
    if not fold.train:
        problems.append(f"{where}: no item to train on. Give other lists, shares or another salt.")
    if not fold.test and full.get("test"):
        problems.append(f"{where}: no item landed in test. Give a larger share, another salt, or use folds.")
    return problems
