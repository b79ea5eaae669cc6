"""Which pictures of a video are lost: those that do not decode, and those that are predicted from them."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Damage", "tell_once"]


class Damage:
    """What is known of the pictures of a track, in presentation order.

    Args:
        packet: the number of each picture's packet; packets are in decoding order.
        key: whether each picture is a key frame, from which decoding may start.

    >>> film = Damage(np.array([0, 2, 1, 3, 4]), np.array([True, False, False, True, False]))
    >>> film.reach(2)  # picture 1 is decoded after picture 2, which it may build on
    2
    >>> film.add(2)
    >>> film.lost.tolist(), film.count, film.bad
    ([False, True, True, False, False], 2, 1)
    """

    def __init__(self, packet: NDArray[np.int64], key: NDArray[np.bool_]) -> None:
        n = len(packet)
        self.lost, self.known = np.zeros(n, bool), np.zeros(n, bool)
        self.count = self.bad = 0
        self._order = np.argsort(packet)  # pictures in order of decoding
        self._rank = np.empty(n, np.int64)
        self._rank[self._order] = np.arange(n)
        self._keys = np.flatnonzero(key[self._order])
        # Of the pictures decoded so far, the one that is shown last.
        latest = np.maximum.accumulate(self._order)
        self._reach = latest[np.maximum.accumulate(self._rank)]
        self._told: set[int] = set()

    def reach(self, hi: int) -> int:
        """The last picture decoded by the time that all pictures before ``hi`` are: damage to it may affect them."""
        return int(self._reach[hi - 1])

    def add(self, i: int) -> None:
        """Picture i does not decode: it is lost, and so are all decoded after it up to the next key frame.

        Pictures shown before that key frame but decoded after it (open GOP) are predicted from both, and are lost too.
        """
        if i in self._told:
            return
        self._told.add(i)
        self.bad += 1
        at = int(self._rank[i])
        after = self._keys[np.searchsorted(self._keys, at, "right") :]
        end = int(after[0]) if len(after) else len(self._order)
        stop = int(after[1]) if len(after) > 1 else len(self._order)
        leading = self._order[end:stop]
        if end < len(self._order):
            self._mark(leading[leading < self._order[end]])
        self._mark(self._order[at:end])

    def _mark(self, which: NDArray[np.int64]) -> None:
        self.count += int((~self.lost[which]).sum())
        self.lost[which] = True


@lru_cache(maxsize=4096)
def tell_once(path: Path, what: str) -> None:
    """Warn of a file once per process, however often it is opened and read."""
    logging.getLogger("plait").warning("%s: %s (`plait check --deep` counts them)", path, what)
