"""Splits: items into training, validation and test, by group and never by window."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import suggest

if TYPE_CHECKING:
    from plait.corpus.corpus import Corpus
    from plait.examples.items import Item

__all__ = ["SIDES", "Fold", "as_text", "full_split", "homes", "split_items"]

SIDES = ("train", "valid", "test")

_FORMS: dict[str, dict[str, Any]] = {
    "manifest": {"by": "manifest"},
    "lists": {"by": None, "train": None, "valid": (), "test": ()},
    "hash": {"hash": "group", "test": 0.2, "valid": 0.0, "salt": ""},
    "folds": {"folds": 5, "by": "group", "valid": 0.0, "salt": ""},
}


_ANY: dict[str, Any] = {"tune": 0, "subject_dependent": False}
"""What may stand beside each form."""


@dataclass(frozen=True)
class Fold:
    """One division of the items; each item's ``split`` is the side that it stands on.

    Attributes:
        train, valid, test: the items of each side.
        name: '' for a single division, 'fold1' and so on for several.
        notes: what was left out and why, for people.
        left_out: how many items stand on no side.
    """

    train: list[Item]
    valid: list[Item]
    test: list[Item]
    name: str = ""
    notes: list[str] = field(default_factory=list)
    left_out: int = 0

    @property
    def sides(self) -> dict[str, list[Item]]:
        return {"train": self.train, "valid": self.valid, "test": self.test}


def full_split(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The split with every default written out.

    Raises:
        ConfigError: it is none of the known forms, or has a wrong option or value; all at once.

    >>> full_split({"folds": 3})
    {'folds': 3, 'by': 'group', 'valid': 0.0, 'salt': ''}
    """
    form = _form(spec)
    known = {**_FORMS[form], **{key: value for key, value in _ANY.items() if key in spec}}
    problems = [f"split.{k}: a split by {form} has no such option. {suggest(k, known)}" for k in spec if k not in known]
    full = {**known, **{k: v for k, v in spec.items() if k in known}}
    problems += _list_problems(full) if form == "lists" else _share_problems(full)
    if form == "folds" and not (type(full["folds"]) is int and full["folds"] >= 2):
        problems.append(f"split.folds: got {full['folds']!r}; expected a whole number from 2 up.")
    problems += _tune_problems(form, full.get("tune", 0))
    if not isinstance(full.get("subject_dependent", False), bool):
        problems.append(f"split.subject_dependent: got {full['subject_dependent']!r}; expected true or false.")
    for key in ("hash", "by", "salt"):
        if key in full and not isinstance(full[key], str):
            problems.append(f"split.{key}: got {full[key]!r}; expected a text. Put a number in quotes.")
    raise_all(ConfigError, problems)
    return full


def _form(spec: Mapping[str, Any]) -> str:
    for form in ("hash", "folds"):
        if form in spec:
            return form
    if spec.get("by") == "manifest":
        return "manifest"
    if "by" in spec:
        return "lists"
    known = ("by", "hash", "folds")
    hints = [f" split.{k}: {suggest(k, known)}" for k in spec if k not in ("train", "valid", "test", "salt")]
    raise ConfigError(
        f"split: got {dict(spec)!r}; expected {{by: manifest}}, {{by: KEY, train: [...], test: [...]}}, "
        f"{{hash: group, test: 0.2}} or {{folds: 5, by: group}}.{''.join(hints)}"
    )


def _tune_problems(form: str, parts: Any) -> list[str]:
    if parts == 0 and type(parts) is int:
        return []
    if form == "folds":
        return ["split.tune: folds hold nothing back for a test, so there is nothing to spare. Leave it out."]
    if type(parts) is not int or parts < 2:
        return [f"split.tune: got {parts!r}; expected a whole number from 2 up."]
    return []


def _list_problems(full: Mapping[str, Any]) -> list[str]:
    problems = []
    seen: dict[str, str] = {}
    for side in SIDES:
        values = full[side]
        if not isinstance(values, list | tuple) or (side == "train" and not values):
            problems.append(f"split.{side}: got {values!r}; expected a list of values of {full['by']!r}.")
            continue
        for value in map(as_text, values):
            if seen.setdefault(value, side) != side:
                problems.append(f"split.{side}: {value!r} stands under {seen[value]} too. Keep one.")
    return problems


def _share_problems(full: Mapping[str, Any]) -> list[str]:
    shares = {key: full[key] for key in ("test", "valid") if key in full}
    problems = [
        f"split.{key}: got {value!r}; expected a share from 0 up to, but not including, 1."
        for key, value in shares.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1
    ]
    if not problems and sum(shares.values()) >= 1:
        problems.append(f"split: test and valid take {sum(shares.values()):g} of all; leave some to train on.")
    return problems


def split_items(items: list[Item], corpus: Corpus, spec: Mapping[str, Any]) -> list[Fold]:
    """Divide items into training, validation and test so that no group stands on two sides.

    The spec is one of

    - ``{by: manifest}``: the recordings' own ``split``.
    - ``{by: KEY, train: [...], valid: [...], test: [...]}``: explicit values of the key.
    - ``{hash: KEY, test: 0.2, valid: 0.0, salt: ""}``: by a stable hash (SHA-256 of salt and value), so that
      a recording lands on the same side however the corpus grows.
    - ``{folds: K, by: KEY, valid: 0.0, salt: ""}``: K folds of whole groups, balanced in number of items;
      each item is tested exactly once. ``valid``: the share of a fold's training groups taken to validate.

    KEY is ``group``, ``id``, or the name of a label or meta field of the recordings.

    ``subject_dependent: true`` beside any of them: a group may stand on two sides, as in protocols that test on people
    whom the model was trained on. Groups still make the intervals; the evaluation says that they are known.

    ``tune: K`` beside any but the last: to choose by, without a look at the test part. It becomes K folds of the
    training part alone, each of which is tested on groups that it was not trained on.

    Raises:
        ConfigError: the spec is not one, or names a key or value that the corpus does not have; all at once.
        DataError: a group would stand on two sides, or the training (or a wanted test) side is empty.
    """
    full = full_split(spec)
    form = _form(spec)
    if form == "manifest":
        folds = [_of_manifest(items)]
    else:
        values = _values(items, corpus, full["hash" if form == "hash" else "by"], form)
        folds = {"lists": _of_lists, "hash": _of_hash, "folds": _of_folds}[form](items, values, full, corpus)
    if not full.get("subject_dependent"):
        raise_all(DataError, [p for fold in folds for p in _crossing(fold)])
    raise_all(DataError, [p for fold in folds for p in _empty(fold, full)])
    if full.get("tune"):
        return _tuning(folds[0], full["tune"])
    return folds


def as_text(value: Any) -> str:
    """A value as a text, so that 1, 1.0 and '1' are the same person."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _values(items: list[Item], corpus: Corpus, key: str, form: str) -> dict[str, str]:
    """The key's value of every recording that has it."""
    entries = corpus.entries
    if key == "id":
        return {e.id: e.id for e in entries}
    if key == "group":
        return {e.id: e.group or e.id for e in entries}
    found = {e.id: as_text(e.labels.get(key, e.meta.get(key))) for e in entries if key in e.labels or key in e.meta}
    if not found:
        known = {"group", "id"}.union(*({*e.labels, *e.meta} for e in entries))
        place = "split.hash" if form == "hash" else "split.by"
        raise ConfigError(f"{place}: no recording of {corpus.path.name} has {key!r}. {suggest(key, known)}")
    return found


def _fold(items: list[Item], side_of: Mapping[str, str], name: str = "", notes: list[str] | None = None) -> Fold:
    """A fold, given the side of each recording; recordings without one are left out and counted."""
    sides: dict[str, list[Item]] = {side: [] for side in SIDES}
    without: Counter[str] = Counter()
    for item in items:
        side = side_of.get(item.recording)
        if side is None:
            without[item.recording] += 1
        else:
            sides[side].append(replace(item, split=side))
    notes = list(notes or [])
    if without:
        notes.append(f"{without.total()} items of {len(without)} recordings are on no side, such as {min(without)!r}.")
    return Fold(sides["train"], sides["valid"], sides["test"], name, notes, without.total())


def _of_manifest(items: list[Item]) -> Fold:
    wrong = sorted({i.split for i in items if i.split and i.split not in SIDES})
    raise_all(DataError, [f"split: {w!r} in the manifest is not a side. {suggest(w, SIDES)}" for w in wrong])
    return _fold(items, {i.recording: i.split for i in items if i.split})


def _of_lists(items: list[Item], values: dict[str, str], full: Mapping[str, Any], corpus: Corpus) -> list[Fold]:
    listed = {as_text(v): side for side in SIDES for v in full[side]}
    known = set(values.values())
    raise_all(
        ConfigError,
        [
            f"split.{side}: no recording of {corpus.path.name} has {full['by']} {v!r}. {suggest(v, known)}"
            for v, side in listed.items()
            if v not in known
        ],
    )
    notes = []
    if unlisted := sorted(known - set(listed)):
        notes.append(f"{full['by']} {', '.join(map(repr, unlisted[:10]))}{' ...' * (len(unlisted) > 10)}: in no list.")
    have = {values[i.recording] for i in items if i.recording in values}
    if idle := sorted(set(listed) - have):
        notes.append(f"{full['by']} {', '.join(map(repr, idle))}: listed, but without items.")
    return [_fold(items, {r: listed[v] for r, v in values.items() if v in listed}, "", notes)]


def _number(salt: str, value: str) -> float:
    """A number in 0..1 that depends on salt and value only."""
    return int.from_bytes(hashlib.sha256((salt + value).encode()).digest()[:7], "big") / 2**56


def _of_hash(items: list[Item], values: dict[str, str], full: Mapping[str, Any], corpus: Corpus) -> list[Fold]:
    used = {values[i.recording] for i in items if i.recording in values}
    place = {v: _number(full["salt"], v) for v in values.values()}
    side = {v: "test" if p < full["test"] else "valid" if p < full["test"] + full["valid"] else "train"
            for v, p in place.items()}  # fmt: skip
    notes = _fill(side, sorted(used, key=place.__getitem__), full)
    fold = _fold(items, {r: side[v] for r, v in values.items()}, "", notes)
    if full["valid"] and not fold.valid:
        fold.notes.append("too few groups for validation; it is empty.")
    return [fold]


def _fill(side: dict[str, str], ranked: list[str], full: Mapping[str, Any]) -> list[str]:
    """Few groups may all miss a side: give it the one nearest to it, as long as another is left to train on."""
    notes = []
    for name, wanted in (("test", full["test"]), ("valid", full["valid"]), ("train", 1.0)):
        there = {side[v] for v in ranked}
        spare = [v for v in ranked if side[v] != name and sum(side[w] == side[v] for w in ranked) > 1]
        if wanted and name not in there and spare:
            taken = spare[-1] if name == "train" else spare[0]
            side[taken] = name
            notes.append(f"no group's hash fell into {name}: {taken!r}, the nearest, was put there.")
    return notes


def _of_folds(items: list[Item], values: dict[str, str], full: Mapping[str, Any], corpus: Corpus) -> list[Fold]:
    count = Counter(values[i.recording] for i in items if i.recording in values)
    if len(count) < full["folds"]:
        raise ConfigError(
            f"split.folds: {full['folds']} folds, but the items have only {len(count)} values of "
            f"{full['by']!r}. Ask for at most {len(count)} folds, or divide by another key."
        )
    home = homes(count, full["folds"], full["salt"])
    return [_one_fold(items, values, home, k, full) for k in range(full["folds"])]


def _one_fold(
    items: list[Item], values: dict[str, str], home: Mapping[str, int], k: int, full: Mapping[str, Any]
) -> Fold:
    training = sorted((v for v, at in home.items() if at != k), key=lambda v: (_number(f"{full['salt']}valid", v), v))
    wanted = max(1, round(full["valid"] * len(training))) if full["valid"] else 0
    valid = set(training[: min(wanted, len(training) - 1)])
    notes = ["one training group only; validation is empty."] if wanted and not valid else []
    side = {v: "test" if at == k else "valid" if v in valid else "train" for v, at in home.items()}
    return _fold(items, {r: side[v] for r, v in values.items() if v in side}, f"fold{k + 1}", notes)


def _tuning(fold: Fold, parts: int) -> list[Fold]:
    """The training part of a fold in so many parts of whole groups; each is tested on once."""
    count = Counter(item.group for item in fold.train)
    if len(count) < parts:
        raise ConfigError(
            f"split.tune: {parts} parts, but only {len(count)} groups to train on. Ask for {len(count)} at most."
        )
    home = homes(count, parts, "tune")
    notes = [f"{len(fold.test)} items of the test part are not looked at.", *fold.notes]
    return [_without(fold, {g for g, at in home.items() if at == k}, f"tune{k + 1}", notes) for k in range(parts)]


def _without(fold: Fold, groups: set[str], name: str, notes: list[str]) -> Fold:
    """A fold tested on some groups of its training part."""
    train = [item for item in fold.train if item.group not in groups]
    test = [replace(item, split="test") for item in fold.train if item.group in groups]
    return Fold(train, fold.valid, test, name, notes, fold.left_out + len(fold.test))


def homes(count: Mapping[str, int], parts: int, salt: str) -> dict[str, int]:
    """Groups to parts of about the same number of items."""
    load = [0] * parts
    home: dict[str, int] = {}
    for value in sorted(count, key=lambda v: (-count[v], _number(salt, v), v)):
        home[value] = load.index(min(load))
        load[home[value]] += count[value]
    return home


def _crossing(fold: Fold) -> list[str]:
    first: dict[str, Item] = {}
    problems: dict[str, str] = {}
    for side in fold.sides.values():
        for item in side:
            other = first.setdefault(item.group, item)
            if other.split != item.split and item.group not in problems:
                problems[item.group] = (
                    f"split: group {item.group!r} stands on two sides ({other.recording!r} in {other.split}, "
                    f"{item.recording!r} in {item.split}). Split by group, or "
                    "say split.subject_dependent: true if the protocol tests on groups that it trains on."
                )
    return list(problems.values())


def _empty(fold: Fold, full: Mapping[str, Any]) -> list[str]:
    where = f"split{f' {fold.name}' if fold.name else ''}"
    problems = []
    if not fold.train:
        problems.append(f"{where}: no item to train on. Give other lists, shares or another salt.")
    if not fold.test and full.get("test"):
        problems.append(f"{where}: no item landed in test. Give a larger share, another salt, or use folds.")
    return problems
