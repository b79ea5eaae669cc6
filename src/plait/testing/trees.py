"""Broken versions of YAML and JSON trees: values in the wrong place, of the wrong type, or far too large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["HOSTILE", "broken_tree"]

Rng = np.random.Generator
Tree = Any
"""Mappings, lists and plain values, nested to any depth."""

Path = tuple[Any, ...]

HOSTILE: tuple[object, ...] = (
    *(-1, 0, 1, 2, 3, 10**9, 10**12, 10**21, 2**63, -(2**63), 10**400, 0.5, -0.5, 1.5, 1e-9, 1e-300, 1e15, 1e300),
    *(float("nan"), float("inf"), float("-inf"), True, False, None, "", " ", ".", "..", "/", "../../x", "a/b", "a\0b"),
    *(
        "x",
        "x" * 300,
        "x" * 5000,
        "9" * 5000,
        "1e30000000",
        "1/0",
        "30000/1001",
        "nan",
        "null",
        "2024-01-05",
        "ü",
        "\ud7ff",
    ),
    *("os.system", "antigravity.fly", "plait.fusion.Fusion", "__class__", "%s%n", "${HOME}", "${NO_SUCH_PLACE}/x", "~"),
    *(
        [],
        [1],
        [-1],
        [[]],
        ["x"],
        [None],
        [0.5, 0.5],
        [1, 2, 3],
        list(range(300)),
        {},
        {"a": 1},
        {"name": "x"},
        {"": {}},
    ),
)
"""Values that a user might write by mistake, and values that nobody would."""


def places(tree: Tree, path: Path = ()) -> list[Path]:
    """Every place of a tree of mappings and lists, its root first.

    >>> places({"a": [1, 2]})
    [(), ('a',), ('a', 0), ('a', 1)]
    """
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(p for key, value in inner for p in places(value, (*path, key)))]


def broken_tree(rng: Rng, tree: Tree, words: Sequence[str] = ()) -> Tree:
    """A tree with one to three of its values changed, moved, taken out or put in.

    Args:
        rng: the only source of chance.
        tree: mappings, lists and plain values; it is not changed.
        words: names with a meaning to the reader of the tree, such as names of parts.

    >>> broken_tree(np.random.default_rng(1), {"a": {"b": 1}, "c": [1, 2]}) != {"a": {"b": 1}, "c": [1, 2]}
    True
    """
    for _ in range(1 + int(rng.integers(3))):
        tree = _one(rng, tree, words)
    return tree


def _one(rng: Rng, tree: Tree, words: Sequence[str]) -> Tree:
    every = places(tree)
    path, other = (every[int(i)] for i in rng.integers(len(every), size=2))
    how = int(rng.integers(12))
    if how < 5 or not path:
        return _put(tree, path, _value(rng, words))
    if how == 5:
        return _put(tree, path, _at(tree, other))
    if how == 6:
        return _without(tree, path)
    if how == 7:
        return _put(tree, path, [_at(tree, path)])
    if how == 8:  # the long form of a part, which takes options beside the name
        return _put(tree, path, {"name": _at(tree, path)})
    if how == 9 and words:
        return _put(tree, path, {"name": _word(rng, words), _word(rng, words): _value(rng, words)})
    # a key with a typing error in its last letter
    if how == 10 and isinstance(path[-1], str):
        return _put(_without(tree, path), (*path[:-1], path[-1][:-1] + "q"), _at(tree, path))
    own = _at(tree, path)
    if isinstance(own, dict):
        return _put(tree, path, {**own, _word(rng, words) if words else "more": _value(rng, words)})
    return _put(tree, path, [own] * int(rng.integers(2, 400)))


def _value(rng: Rng, words: Sequence[str]) -> Tree:
    if words and rng.random() < 0.25:
        return _word(rng, words)
    return HOSTILE[int(rng.integers(len(HOSTILE)))]


def _word(rng: Rng, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _at(tree: Tree, path: Path) -> Tree:
    for step in path:
        tree = tree[step]
    return tree


def _put(tree: Tree, path: Path, value: Tree) -> Tree:
    if not path:
        return value
    first, *rest = path
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[first] = _put(copy.get(first, {}) if isinstance(copy, dict) else copy[first], tuple(rest), value)
    return copy


def _without(tree: Tree, path: Path) -> Tree:
    *before, last = path
    holder = _at(tree, tuple(before))
    copy: Tree = dict(holder) if isinstance(holder, dict) else list(holder)
    del copy[last]
    return _put(tree, tuple(before), copy)
