"""Several true texts of an item, as words and as rows of numbers."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from plait.core.errors import DataError
from plait.tasks.spelling import Spelling

__all__ = ["SEPARATOR", "Vocabulary", "rows_of", "words_of"]

SEPARATOR = 0
"""Ends each text within a row of numbers."""

_WORD = re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}]\w+)*")


def words_of(text: str, *, lower: bool = True, punctuation: bool = False) -> list[str]:
    """The words of a text, in any script; without ``punctuation`` only letters, digits and apostrophes within words.

    >>> words_of("A dog's ball, isn't it ?"), words_of("Два пса !")
    (['a', "dog's", 'ball', "isn't", 'it'], ['два', 'пса'])
    """
    text = text.lower() if lower else text
    return text.split() if punctuation else _WORD.findall(text)


class Vocabulary:
    """Tokens of texts and their numbers, from 1 up.

    A token that it lacks gets a larger number made of its letters, so that it stays itself in every metric, and yet can
    be neither learnt nor said. Two of them in two billion share a number.

    Args:
        texts: tokens of the training texts.
        spelling: how words become tokens, and tokens a text.
        least: how often a token must occur.

    Raises:
        DataError: no token occurs often enough.
    """

    def __init__(self, texts: Iterable[Sequence[str]], spelling: Spelling, least: int) -> None:
        counts = Counter(token for text in texts for token in text)
        self.spelling = spelling
        self.tokens = sorted(token for token, count in counts.items() if count >= least)
        if not self.tokens:
            raise DataError(
                f"no word occurs {least} times or more in the training texts ({len(counts)} different words). Lower "
                "least, or check target and split."
            )
        self._index = {token: i for i, token in enumerate(self.tokens, 1)}
        self._others: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def numbers(self, tokens: Sequence[str]) -> list[int]:
        """The numbers of tokens."""
        return [self._index.get(token) or self._other(token) for token in tokens]

    def _other(self, token: str) -> int:
        number = len(self) + 1 + zlib.crc32(token.encode()) % (1 << 31)
        self._others[number] = token
        return number

    def names(self, numbers: Iterable[float]) -> list[str]:
        """The tokens of numbers; of one that it never saw a sign and its number."""
        return [
            self.tokens[n - 1] if n <= len(self) else self._others.get(n, f"\N{REPLACEMENT CHARACTER}{n}")
            for n in map(int, numbers)
        ]

    def text(self, numbers: Iterable[float]) -> str:
        """The text of a row of numbers; what is below 1 is left out."""
        return self.spelling.join(self.names(n for n in numbers if n > 0))

    def texts(self, row: NDArray[np.generic]) -> list[str]:
        """The texts of a row: each ends with `SEPARATOR`."""
        found, now = list[str](), list[int]()
        for number in row.tolist():
            if number == SEPARATOR:
                found.append(self.text(now))
                now = []
            elif number > 0:
                now.append(int(number))
        return [*found, self.text(now)] if now else found


def rows_of(
    target: Int[Tensor, "batch numbers"], most: int = 0
) -> tuple[Int[Tensor, "texts longest"], Int[Tensor, " texts"]]:
    """The texts of all rows, one below the other, and the row of each.

    Args:
        target: texts that end with `SEPARATOR` each; then -1.
        most: texts of a row, drawn at random by torch's generator; 0: all.

    Returns:
        Numbers of the tokens, without the ends, padded with -1; and the number of the row.

    >>> rows_of(torch.tensor([[3, 1, 0, 2, 0], [4, 0, -1, -1, -1]]))
    (tensor([[ 3,  1],
            [ 2, -1],
            [ 4, -1]]), tensor([0, 0, 1]))
    """
    texts, owners = list[list[int]](), list[int]()
    for i, row in enumerate(target.tolist()):
        ends = [k for k, number in enumerate(row) if number == SEPARATOR]
        starts = [0, *(end + 1 for end in ends[:-1])]
        chosen = torch.randperm(len(ends))[:most].tolist() if most and len(ends) > most else list(range(len(ends)))
        texts += [row[starts[k] : ends[k]] for k in chosen]
        owners += [i] * len(chosen)
    longest = max(map(len, texts), default=0)
    padded = [text + [-1] * (longest - len(text)) for text in texts]
    shape = (len(texts), longest)
    numbers = torch.tensor(padded, dtype=torch.long, device=target.device).reshape(shape)
    return numbers, torch.tensor(owners, dtype=torch.long, device=target.device)
