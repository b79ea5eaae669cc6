"""Which streams, instants and quantiles a forecast asks for, and for which subsets of modalities it is calibrated."""

from __future__ import annotations

import itertools
import math

from plait.core.errors import ConfigError

__all__ = ["MOST_HORIZONS", "horizons_of", "levels_of", "subsets_of", "targets_of"]

MOST_HORIZONS = 10_000
MOST_SUBSETS = 64
"""Most subsets of the modalities that have bands of their own."""


def horizons_of(horizon: object, every: object = None) -> list[float]:
    """The horizons that a recipe asks for, in order, seconds.

    Raises:
        ConfigError: they are not numbers above 0, in order.

    >>> horizons_of(3.0, 1.0), horizons_of([5, 30])
    ([1.0, 2.0, 3.0], [5.0, 30.0])
    """
    listed = horizon if isinstance(horizon, list) else [horizon]
    wrong = any(isinstance(h, bool) or not isinstance(h, int | float) or not 0 < h < math.inf for h in listed)
    if wrong or not listed or sorted(set(listed)) != listed:
        raise ConfigError(f"task.horizon: got {horizon!r}; expected seconds above 0, or a list of them in order.")
    found = [float(h) for h in listed]
    if every is None:
        return found
    if isinstance(horizon, list) or not isinstance(every, int | float) or not 0 < every <= found[0]:
        raise ConfigError(f"task.every: got {every!r}; expected seconds above 0, up to the one horizon.")
    count = math.floor(found[0] / every + 1e-9)
    return [every * (i + 1) for i in range(min(count, MOST_HORIZONS + 1))]


def levels_of(levels: list[float]) -> list[float]:
    """The levels of quantiles, checked.

    Raises:
        ConfigError: they are not in order, above 0 and below 1, 0.5 among them.
    """
    if 0.5 not in levels or sorted(set(levels)) != levels or not all(0 < q < 1 for q in levels):
        raise ConfigError(
            f"forecast.quantiles: got {levels}; expected levels above 0 and below 1, in order, 0.5 among them."
        )
    return levels


def subsets_of(count: int) -> list[list[bool]]:
    """Which modalities are there: all, all but one, one alone; all subsets if there are few modalities."""
    if 2**count - 1 <= MOST_SUBSETS:
        every = [list(s) for s in itertools.product([True, False], repeat=count)]
        return [s for s in every if any(s)]
    all_but = [[i != j for i in range(count)] for j in range(count)]
    return [[True] * count, *all_but, *([not x for x in row] for row in all_but)]


def targets_of(target: object) -> list[str]:
    """The streams that a recipe asks to forecast.

    Raises:
        ConfigError: they are not names, each given once.

    >>> targets_of("load"), targets_of(["a", "b"])
    (['load'], ['a', 'b'])
    """
    names = [target] if isinstance(target, str) else target
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        raise ConfigError(f"task.target: got {target!r}; forecast needs the name of a stream, or a list of names.")
    if len(set(names)) < len(names):
        raise ConfigError(f"task.target: {names} names a stream twice.")
    return names
