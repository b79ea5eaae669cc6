"""Names of recordings as names of files: readable, and two of them never one file."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from functools import cache

__all__ = ["Names", "encoded_name", "plain_name"]

LONGEST = 180
"""Bytes of a name: file systems take 255, and endings are added to it."""

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}
"""What Windows takes for devices."""


@cache
def plain_name(name: str) -> str:
    """A name without what could leave a folder or what some disk refuses; not always another for another name.

    >>> plain_name("talk/1"), plain_name("../x"), plain_name("")
    ('talk_1', '_x', '_')
    """
    plain = re.sub(r"[^\w.-]", "_", unicodedata.normalize("NFC", name)).lstrip(".").rstrip(".") or "_"
    if plain.split(".")[0].lower() in RESERVED:
        plain = f"_{plain}"
    if len(plain.encode()) > LONGEST:
        plain = f"{plain.encode()[: LONGEST - 9].decode(errors='ignore')}~{_digest(name)}"
    return plain


def encoded_name(name: str) -> str:
    """A name with all but letters, digits, ``_`` and ``-`` as ``%xx`` of its UTF-8: another name, another result.

    >>> encoded_name("talk.1/a"), encoded_name("talk.1_a")
    ('talk%2e1%2fa', 'talk%2e1_a')
    """
    return re.sub(r"[^\w-]", lambda m: "".join(f"%{byte:02x}" for byte in m[0].encode()), name)


class Names:
    """Gives each name a file name of its own, on disks that do not tell capitals or forms of accents apart too.

    A name keeps its ``plain`` form unless another has taken it; then a digest of it is added.

    >>> names = Names()
    >>> [names.of(n) for n in ("a/b", "a_b", "A_B", "a/b")]
    ['a_b', 'a_b~648fa9b3', 'A_B~6c1908f9', 'a_b']
    """

    def __init__(self, plain: Callable[[str], str] = plain_name) -> None:
        self._plain = plain
        self._holders: dict[str, str] = {}
        self._given: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The file name of a name; the same each time."""
        if name not in self._given:
            plain = self._plain(name)
            if self._holders.setdefault(_on_disk(plain), name) != name:
                plain = f"{plain}~{_digest(name)}"
                self._holders[_on_disk(plain)] = name
            self._given[name] = plain
        return self._given[name]


def _on_disk(name: str) -> str:
    """What the least exact disk sees of a name."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFKC", name).casefold())


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
