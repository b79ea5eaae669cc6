"""YAML from people: plain data only, bounded before it is built, numbers that a computation can use."""

from __future__ import annotations

import math
from collections.abc import Iterator

import yaml

from plait.core.errors import ConfigError, raise_all

__all__ = ["NumberProblem", "brief", "parse_yaml", "wild_numbers"]

LONGEST = 1_000_000
"""Characters of a text; a usual recipe has a thousandth of that."""

DEEPEST, MOST = 40, 100_000
"""Levels, and values with every alias expanded: a few lines of aliases can expand to billions."""

GREATEST = 1e15
"""No option is larger; soon above it (2**53) a float no longer holds every whole number."""

NumberProblem = tuple[tuple[object, ...], str]
"""Path of keys, and what is wrong there."""


class _Loader(yaml.SafeLoader):
    """Dates stay texts: no option is one, and ids and labels often look like one."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for letter, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str, where: str) -> tuple[object, yaml.Node | None]:
    """What a YAML text says, and its nodes (which know their lines).

    Args:
        text: any text.
        where: file or option, for messages.

    >>> parse_yaml("{a: [1, 2.5], day: 2024-01-05}", "recipe")[0]
    {'a': [1, 2.5], 'day': '2024-01-05'}

    Raises:
        ConfigError: it is not YAML, is nested too deeply, or is longer or, with its aliases written out, larger than
            anything that a person writes.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"{where}: has {len(text):,} characters; expected {LONGEST:,} at most.")
    loader = None
    try:
        # Nodes are measured before values are built from them.
        loader = _Loader(text)  # refuses characters that no text has
        node = loader.get_single_node()
        if node is not None:
            _measure(node, where)
        return (None if node is None else loader.construct_document(node)), node
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: is not YAML: {brief(error, 500)}") from error
    # PyYAML's composer recurses itself, before the levels can be counted.
    except RecursionError as error:
        raise ConfigError(f"{where}: is nested too deeply; expected {DEEPEST} levels at most.") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: holds a value that YAML cannot read ({brief(error, 120)}).") from error
    finally:
        if loader is not None:
            loader.dispose()


def _measure(root: yaml.Node, where: str) -> None:
    """Refuse what is too deep, too large once its aliases are written out, or contains itself."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, path: tuple[int, ...]) -> int:
        if id(node) in path:
            raise ConfigError(f"{where}:{node.start_mark.line + 1}: contains itself. Take the alias out.")
        if len(path) > DEEPEST:
            raise ConfigError(
                f"{where}:{node.start_mark.line + 1}: is nested too deeply; expected {DEEPEST} levels at most."
            )
        # An alias is the same node object: sizes kept by id measure a bomb of aliases in linear time.
        if id(node) not in sizes:
            sizes[id(node)] = 1 + sum(size(child, (*path, id(node))) for child in _children(node))
        return sizes[id(node)]

    if size(root, ()) > MOST:
        raise ConfigError(f"{where}: stands for more than {MOST:,} values once its aliases are written out.")


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (key, value)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def wild_numbers(data: object, path: tuple[object, ...] = ()) -> list[NumberProblem]:
    """Numbers that nothing can be computed with: NaN, infinite, or beyond ±1e15.

    >>> wild_numbers({"train": {"lr": float("inf"), "steps": 5}})
    [(('train', 'lr'), 'got inf; expected a finite number')]
    """
    if isinstance(data, dict):
        return [p for key, value in data.items() for p in wild_numbers(value, (*path, key))]
    if isinstance(data, list | tuple):
        return [p for i, value in enumerate(data) for p in wild_numbers(value, (*path, i))]
    if isinstance(data, bool) or not isinstance(data, int | float):
        return []
    if isinstance(data, float) and not math.isfinite(data):
        return [(path, f"got {data}; expected a finite number")]
    return [(path, f"got {brief(data)}; expected a number within ±{GREATEST:g}")] if abs(data) > GREATEST else []


def brief(value: object, length: int = 80) -> str:
    """A value in a message, never long.

    >>> brief("x" * 1000, 20)
    "'xxxxxxxxxxxxxxxx..."
    """
    # str() of an int of more than 4,300 digits raises ValueError.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**30:
        return "a whole number of more than 30 digits"
    text = str(value) if isinstance(value, Exception) else _shallow(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _shallow(value: object) -> str:
    """The repr of a value, of a long one only the beginning: the rest is never written out."""
    if isinstance(value, str):
        return repr(value[:1000])
    if isinstance(value, dict):
        inner = ", ".join(f"{_shallow(k)}: {_leaf(v)}" for k, v in list(value.items())[:10])
        return f"{{{inner}{', ...' * (len(value) > 10)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_leaf, value[:10]))}{', ...' * (len(value) > 10)}]"
    return repr(value)


def _leaf(value: object) -> str:
    return "{...}" if isinstance(value, dict) else "[...]" if isinstance(value, list | tuple) else brief(value)


def refuse_wild(data: object, where: str) -> None:
    """Raise for every number of ``data`` that `wild_numbers` finds.

    Raises:
        ConfigError: naming the place of each.
    """
    raise_all(ConfigError, [f"{where} {'.'.join(map(str, path))}: {what}." for path, what in wild_numbers(data)])
