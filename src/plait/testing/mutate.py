"""Broken versions of files: changed bytes, texts, and parts of known formats. Deterministic."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from plait.testing.forms import FORMS, Form

__all__ = ["mutate"]

Rng = np.random.Generator
_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
_TOKENS = (
    *(b"nan", b"inf", b"-inf", b"1e308", b"1e-320", b"-1", b"0", b"99999999999999999999", b"0x10", b"1_0", b"1,5"),
    *(b"", b'"', b"'", b"<", b">", b"&", b"]]>", b"\0", b"\r", b"\n\n", b"\xef\xbb\xbf", b"\xff", b"\xe2\x80\xa8"),
    *(b"true", b"null", b"{", b"[", b"}", b"-->", b"00:00:99,999", b"2026-13-01", b"10000-01-01T00:00:00Z", b"1e400"),
    *("\u0661\u0662".encode(), b"%s%n", b"../../x", b"A" * 300, b"9" * 5000),
)
_LARGEST = 1 << 20


def mutate(rng: Rng, seeds: Sequence[bytes], suffix: str) -> bytes:
    """One broken version of one of the seeds, at most 1 MiB.

    Args:
        rng: the only source of chance.
        seeds: intact files of one format; the chosen one may get pieces of the others.
        suffix: the file's ending; known formats are also broken part by part, with correct checksums.

    >>> rng = np.random.default_rng(0)
    >>> broken = [mutate(rng, [b"0 1 one\\n1 2 two\\n"], ".align") for _ in range(50)]
    >>> len(set(broken)) > 40
    True
    """
    data = seeds[int(rng.integers(len(seeds)))]
    form = FORMS.get(suffix.lower())
    for _ in range(1 + int(rng.integers(3))):
        draw = rng.random()
        # By parts first: random bytes of such a format mostly fail at the first checksum, and test nothing behind it.
        if form is not None and draw < 0.4:
            data = _part_by_part(rng, data, form)
        elif _is_text(data) and draw < 0.85:
            data = _pick(rng, _TEXT)(rng, data)
        else:
            data = _bytes(rng, data, seeds)
    return data[:_LARGEST]


def _pick(rng: Rng, things: Sequence[Callable[[Rng, bytes], bytes]]) -> Callable[[Rng, bytes], bytes]:
    return things[int(rng.integers(len(things)))]


def _is_text(data: bytes) -> bool:
    # git and grep tell binary files in the same way.
    return b"\0" not in data[:4096] and bool(data)


def _place(rng: Rng, n: int) -> int:
    """A position in n bytes. Headers, at the start or the end, are hit more often than their share."""
    lo, hi = ((0, min(n, 96)), (0, n), (max(n - 400, 0), n))[int(rng.integers(3))]
    return int(rng.integers(lo, max(hi, lo + 1)))


def _span(rng: Rng, n: int) -> tuple[int, int]:
    # Lengths from 1 to 1024, drawn by their logarithm: most breaks are short.
    at = _place(rng, n)
    return at, min(n, at + 1 + int(rng.integers(1 << int(rng.integers(1, 11)))))


# ---- bytes


def _bytes(rng: Rng, data: bytes, seeds: Sequence[bytes]) -> bytes:
    if rng.random() < 0.1:
        other = seeds[int(rng.integers(len(seeds)))]
        return data[: _place(rng, len(data))] + other[_place(rng, len(other)) :]
    return _pick(rng, _BYTES)(rng, data)


def _flip(rng: Rng, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(1 + int(rng.integers(8))):
        if out:
            out[_place(rng, len(out))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _noise(rng: Rng, data: bytes) -> bytes:
    lo, hi = _span(rng, len(data))
    return data[:lo] + rng.bytes(hi - lo) + data[hi:]


def _truncate(rng: Rng, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _extend(rng: Rng, data: bytes) -> bytes:
    return data + (rng.bytes(int(rng.integers(1, 600))) if rng.random() < 0.5 else data[: _place(rng, len(data))])


def _drop(rng: Rng, data: bytes) -> bytes:
    lo, hi = _span(rng, len(data))
    return data[:lo] + data[hi:]


def _repeat(rng: Rng, data: bytes) -> bytes:
    lo, hi = _span(rng, len(data))
    return data[:hi] + data[lo:hi] * int(rng.integers(1, 5)) + data[hi:]


def _blank(rng: Rng, data: bytes) -> bytes:
    lo, hi = _span(rng, len(data))
    return data[:lo] + bytes([int(rng.choice([0, 0xFF, 0x20]))]) * (hi - lo) + data[hi:]


def _extreme(rng: Rng, data: bytes) -> bytes:
    """Overwrite what may be a length field with an extreme value, in either byte order."""
    size, value = 1 << int(rng.integers(4)), _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    at = _place(rng, len(data))
    order: Literal["little", "big"] = "little" if rng.random() < 0.5 else "big"
    return data[:at] + (value % (1 << 8 * size)).to_bytes(size, order) + data[at + size :]


def _off_by_one(rng: Rng, data: bytes) -> bytes:
    out = bytearray(data)
    if out:
        at = _place(rng, len(out))
        out[at] = (out[at] + int(rng.choice([-1, 1]))) % 256
    return bytes(out)


# Listed twice: drawn twice as often.
_BYTES = (_flip, _noise, _truncate, _extend, _drop, _repeat, _blank, _extreme, _extreme, _off_by_one)


# ---- texts


def _words(data: bytes) -> list[tuple[int, int]]:
    """Start and stop of each token: a run of characters of numbers and names."""
    found, start = [], None
    for i, byte in enumerate(data + b" "):
        inside = chr(byte).isalnum() or byte in b"+-._" or byte > 127
        if inside and start is None:
            start = i
        elif not inside and start is not None:
            found.append((start, i))
            start = None
    return found


def _token(rng: Rng, data: bytes) -> bytes:
    words = _words(data)
    lo, hi = words[int(rng.integers(len(words)))] if words else (0, 0)
    return data[:lo] + _TOKENS[int(rng.integers(len(_TOKENS)))] + data[hi:]


def _swap_tokens(rng: Rng, data: bytes) -> bytes:
    words = _words(data)
    if len(words) < 2:
        return data
    (a, b), (c, d) = sorted(words[int(i)] for i in rng.choice(len(words), 2, replace=False))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _number(rng: Rng, data: bytes) -> bytes:
    words = [w for w in _words(data) if any(48 <= byte < 58 for byte in data[w[0] : w[1]])]
    if not words:
        return _token(rng, data)
    lo, hi = words[int(rng.integers(len(words)))]
    value = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    texts = (b"%d" % value, b"-%d" % value, b"%d.5e%d" % (value % 10, rng.integers(-400, 400)), b"nan", b"-inf")
    return data[:lo] + texts[int(rng.integers(len(texts)))] + data[hi:]


_QUOTED = re.compile(rb'(?<=")[^"<>]*(?=")|(?<=>)[^<>]*(?=<)')


def _quoted(rng: Rng, data: bytes) -> bytes:
    """Replace a text in quotation marks or between tags; the syntax around it stays valid."""
    found = [m.span() for m in _QUOTED.finditer(data)]
    if not found:
        return _token(rng, data)
    (lo, hi), (a, b) = (found[int(i)] for i in rng.integers(len(found), size=2))
    word = data[a:b] if rng.random() < 0.4 else _TOKENS[int(rng.integers(len(_TOKENS)))]
    # The delimiters are taken out of the new text: else the parser stops here, and code behind it is not reached.
    return data[:lo] + word.translate(None, b'"<>&') + data[hi:]


def _lines(rng: Rng, data: bytes) -> bytes:
    lines = data.split(b"\n")
    i, j = (int(x) for x in rng.integers(len(lines), size=2))
    how = int(rng.integers(5))
    if how == 0:
        rng.shuffle(lines)
    elif how == 1:
        del lines[i]
    elif how == 2:
        lines[j:j] = [lines[i]] * int(rng.integers(1, 9))
    elif how == 3:
        lines[i], lines[j] = lines[j], lines[i]
    else:
        del lines[min(i, j) : max(i, j)]
    return b"\n".join(lines)


def _insert(rng: Rng, data: bytes) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + _TOKENS[int(rng.integers(len(_TOKENS)))] + data[at:]


_TEXT = (
    *(_token, _swap_tokens, _number, _number, _number, _quoted, _quoted, _quoted),
    *(_lines, _lines, _lines, _insert, _flip, _drop, _repeat),
)


# ---- formats of parts


def _part_by_part(rng: Rng, data: bytes, form: Form) -> bytes:
    split, join = form
    parts = split(data)
    if not parts:
        return _pick(rng, _BYTES)(rng, data)
    i, j = (int(x) for x in rng.integers(len(parts), size=2))
    how = int(rng.integers(8))
    if how == 0:
        del parts[i]
    elif how == 1:
        parts.insert(j, parts[i])
    elif how == 2:
        parts[i], parts[j] = parts[j], parts[i]
    elif how == 3:
        parts[i] = (parts[j][0], parts[i][1])
    else:
        name, content = parts[i]
        kinds = (*_TEXT, *_BYTES) if _is_text(content) else _BYTES
        parts[i] = (name, _pick(rng, kinds)(rng, content))
    return join(parts)
