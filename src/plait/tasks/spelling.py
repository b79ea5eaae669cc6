"""How texts are cut into tokens, and how tokens become words again."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["KINDS", "Characters", "Spelling", "Subwords", "Words", "spelling_of"]

KINDS = ("word", "character", "subword")

START = "\N{LOWER ONE EIGHTH BLOCK}"
"""In front of the first subword of a word, as in SentencePiece."""


class Spelling(ABC):
    """Words -> tokens, and back."""

    @abstractmethod
    def split(self, words: Sequence[str]) -> list[str]:
        """The tokens of a text."""

    @abstractmethod
    def join(self, tokens: Sequence[str]) -> str:
        """The text of tokens."""

    @abstractmethod
    def grouped(self, tokens: Sequence[str]) -> list[list[int]]:
        """The places of the tokens of each word."""


class Words(Spelling):
    """Each word is a token."""

    def split(self, words: Sequence[str]) -> list[str]:
        return list(words)

    def join(self, tokens: Sequence[str]) -> str:
        return " ".join(tokens)

    def grouped(self, tokens: Sequence[str]) -> list[list[int]]:
        return [[i] for i in range(len(tokens))]


class Characters(Spelling):
    """Each character is a token, and so is the space between two words.

    >>> Characters().grouped(list("to me"))
    [[0, 1], [3, 4]]
    """

    def split(self, words: Sequence[str]) -> list[str]:
        return list(" ".join(words))

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens)

    def grouped(self, tokens: Sequence[str]) -> list[list[int]]:
        parts = itertools.groupby(range(len(tokens)), lambda i: tokens[i] == " ")
        return [list(own) for space, own in parts if not space]


class Subwords(Spelling):
    """Byte-pair encoding of characters: frequent pairs of neighbours become one token (Sennrich, Haddow & Birch 2016,
    "Neural machine translation of rare words with subword units", algorithm 1; departure: `START` marks the beginning
    of a word instead of its end).

    Args:
        merges: the pairs, in the order in which they were found.

    >>> spelling = Subwords.of(["low", "low", "lower", "new", "newer"], 11)
    >>> spelling.split(["lower", "we"])
    ['▁low', 'er', '▁w', 'e']
    """

    def __init__(self, merges: Iterable[Sequence[str]]) -> None:
        self.merges = [(a, b) for a, b in merges]
        self._rank = {pair: i for i, pair in enumerate(self.merges)}
        self._known: dict[str, list[str]] = {}

    @classmethod
    def of(cls, words: Iterable[str], size: int) -> Subwords:
        """The inventory of at most ``size`` subwords (or as many as there are characters) of a text's words."""
        texts = {tuple(_letters(word)): count for word, count in Counter(words).items()}
        inventory = {piece for pieces in texts for piece in pieces}
        merges: list[tuple[str, str]] = []
        while len(inventory) < size:
            pairs: Counter[tuple[str, str]] = Counter()
            for pieces, count in texts.items():
                for pair in itertools.pairwise(pieces):
                    pairs[pair] += count
            if not pairs:
                break
            # Ties by the pieces themselves, so that the order of the words does not matter.
            best = max(pairs, key=lambda pair: (pairs[pair], pair))
            merges.append(best)
            inventory.add("".join(best))
            texts = {tuple(_merged(list(pieces), best)): count for pieces, count in texts.items()}
        return cls(merges)

    def split(self, words: Sequence[str]) -> list[str]:
        return [piece for word in words for piece in self._pieces(word)]

    def _pieces(self, word: str) -> list[str]:
        if word not in self._known:
            pieces = _letters(word)
            while found := [self._rank[p] for p in itertools.pairwise(pieces) if p in self._rank]:
                pieces = _merged(pieces, self.merges[min(found)])
            self._known[word] = pieces
        return self._known[word]

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens).replace(START, " ").strip()

    def grouped(self, tokens: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = []
        for i, token in enumerate(tokens):
            if token.startswith(START) or not found:
                found.append([])
            found[-1].append(i)
        return found


def spelling_of(kind: str, words: Iterable[str], size: int) -> Spelling:
    """The spelling of a kind; subwords are learnt from the words, ``size`` of them."""
    if kind == "subword":
        return Subwords.of(words, size)
    return Words() if kind == "word" else Characters()


def _letters(word: str) -> list[str]:
    return [START + word[:1], *word[1:]]


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    found: list[str] = []
    for piece in pieces:
        if found and (found[-1], piece) == pair:
            found[-1] += piece
        else:
            found.append(piece)
    return found
