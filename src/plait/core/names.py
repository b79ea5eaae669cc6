"""File names for recordings and streams: readable, and never the same for two names."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from urllib.parse import quote

__all__ = ["Names", "encoded_name", "plain_name", "quoted_name"]

LONGEST = 180
"""Bytes of a name: file systems take 255, and endings are added to it."""

REFUSED = '<>:"/\\|?*'
"""Characters that Windows allows in no file name."""

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}
"""Names that Windows reserves for devices."""


@cache
def plain_name(name: str) -> str:
    """A name without characters that leave a folder or that some disk refuses; two names may give the same one.

    >>> plain_name("talk 1/a?"), plain_name("../x"), plain_name("")
    ('talk 1_a_', '_x', '_')
    """
    # One form of accents: HFS+ hands names out decomposed, other systems as they were typed.
    letters = unicodedata.normalize("NFC", name)
    # Windows drops blanks and dots at the end of a name.
    plain = "".join(c if c.isprintable() and c not in REFUSED else "_" for c in letters).strip(" .") or "_"
    # con.txt is a device as well, and Windows takes superscript digits (COM¹) for digits.
    if unicodedata.normalize("NFKC", plain.split(".")[0]).lower().strip() in RESERVED:
        plain = f"_{plain}"
    return _shortened(plain, name)


def quoted_name(name: str) -> str:
    """A name quoted as in URLs, so that it can be read back, unless it is too long for a file name.

    >>> quoted_name("day 1/a")
    'day%201%2Fa'
    """
    return _shortened(quote(name, safe="", errors="surrogatepass"), name)


def _shortened(form: str, name: str) -> str:
    if len(form.encode()) <= LONGEST:
        return form
    # Room for ~ and 8 digits; a letter that is cut in the middle of its bytes goes.
    return f"{form.encode()[: LONGEST - 9].decode(errors='ignore')}~{_digest(name)[:8]}"


def encoded_name(name: str) -> str:
    """A name with all but letters, digits, ``_`` and ``-`` as ``%xx`` of its UTF-8: different names, different results.

    >>> encoded_name("talk.1/a"), encoded_name("talk.1_a")
    ('talk%2e1%2fa', 'talk%2e1_a')
    """
    return re.sub(r"[^\w-]", lambda m: "".join(f"%{byte:02x}" for byte in m[0].encode(errors="surrogatepass")), name)


class Names:
    """Gives each name a file name of its own, also on disks that ignore case or the form of accents.

    A name keeps its ``plain`` form unless another name has taken it; then a digest is added. A name may have several
    parts (recording and stream): they are joined readably, and ("a", "b.c") differs from ("a.b", "c").

    Args:
        plain: function that makes a name fit its place; it may give two names the same form.
        joint: text between the parts of a name.
        exact: whether the place distinguishes case and forms of accents, which a disk may not.

    >>> names = Names()
    >>> [names.of(n) for n in ("a/b", "a_b", "A_B", "a/b")]
    ['a_b', 'a_b~648fa9b3', 'A_B~6c1908f9', 'a_b']
    >>> names.of("a", "b.imu"), names.of("a.b", "imu")
    ('a.b.imu', 'a.b.imu~107117e7')
    """

    def __init__(self, plain: Callable[[str], str] = plain_name, *, joint: str = ".", exact: bool = False) -> None:
        self._plain, self._joint, self._exact = plain, joint, exact
        self._holders: dict[str, tuple[str, ...]] = {}
        self._given: dict[tuple[str, ...], str] = {}

    def of(self, *name: str) -> str:
        """The file name of a name; the same each time."""
        if name not in self._given:
            self._given[name] = next(form for form in self._forms(name) if self._takes(form, name))
        return self._given[name]

    def _forms(self, name: tuple[str, ...]) -> Iterator[str]:
        """The plain form, then with more and more of the digest."""
        plain = self._plain(self._joint.join(name))
        yield plain
        for letters in range(8, 65, 8):
            yield f"{plain}~{_digest(*name)[:letters]}"

    def _takes(self, form: str, name: tuple[str, ...]) -> bool:
        return self._holders.setdefault(form if self._exact else _on_disk(form), name) == name


def _on_disk(name: str) -> str:
    """The name as the least exact disk compares it."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFKC", name).casefold())


def _digest(*name: str) -> str:
    """SHA-256 of a name; a name of one part is hashed as its bare text."""
    # JSON keeps the borders of the parts: ("a", "b.c") and ("a.b", "c") join to one text.
    text = name[0] if len(name) == 1 else json.dumps(name)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
