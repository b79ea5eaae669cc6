"""Broken versions of files: bytes, texts, and the parts that a format is put together from. Deterministic."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np

__all__ = ["mutate"]

Rng = np.random.Generator
Parts = list[tuple[bytes, bytes]]
"""(what names a part, its content), in the order of the file."""

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
        rng: decides everything.
        seeds: whole files of one format; others than the one chosen lend pieces to it.
        suffix: the file's ending; formats that are known are broken part by part too, checksums put right.

    >>> rng = np.random.default_rng(0)
    >>> broken = [mutate(rng, [b"0 1 one\\n1 2 two\\n"], ".align") for _ in range(50)]
    >>> len(set(broken)) > 40
    True
    """
    data = seeds[int(rng.integers(len(seeds)))]
    form = _FORMS.get(suffix.lower())
    for _ in range(1 + int(rng.integers(3))):
        draw = rng.random()
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
    return b"\0" not in data[:4096] and bool(data)


def _place(rng: Rng, n: int) -> int:
    """Headers stand in front or at the end: they are hit more often than their share."""
    lo, hi = ((0, min(n, 96)), (0, n), (max(n - 400, 0), n))[int(rng.integers(3))]
    return int(rng.integers(lo, max(hi, lo + 1)))


def _span(rng: Rng, n: int) -> tuple[int, int]:
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
    """A length field, perhaps, at its limits; either byte order."""
    size, value = 1 << int(rng.integers(4)), _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    at = _place(rng, len(data))
    order = "little" if rng.random() < 0.5 else "big"
    return data[:at] + (value % (1 << 8 * size)).to_bytes(size, order) + data[at + size :]


def _off_by_one(rng: Rng, data: bytes) -> bytes:
    out = bytearray(data)
    if out:
        at = _place(rng, len(out))
        out[at] = (out[at] + int(rng.choice([-1, 1]))) % 256
    return bytes(out)


_BYTES = (_flip, _noise, _truncate, _extend, _drop, _repeat, _blank, _extreme, _extreme, _off_by_one)


# ---- texts


def _words(data: bytes) -> list[tuple[int, int]]:
    """Where tokens stand: runs of what numbers and names are made of."""
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
    """What stands in quotation marks, or between tags, becomes another such thing; the form stays whole."""
    found = [m.span() for m in _QUOTED.finditer(data)]
    if not found:
        return _token(rng, data)
    (lo, hi), (a, b) = (found[int(i)] for i in rng.integers(len(found), size=2))
    word = data[a:b] if rng.random() < 0.4 else _TOKENS[int(rng.integers(len(_TOKENS)))]
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


def _part_by_part(rng: Rng, data: bytes, form: tuple[Callable[[bytes], Parts], Callable[[Parts], bytes]]) -> bytes:
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


def _boxes(data: bytes) -> Parts:
    """Top boxes of an mp4, and within ``moov`` all leaves, flattened with their path."""
    return _walk_boxes(data, b"")


_NESTED = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta")


def _walk_boxes(data: bytes, path: bytes) -> Parts:
    found: Parts = []
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            break
        inner = data[at + 8 : at + size]
        found += _walk_boxes(inner, path + name) if name in _NESTED else [(path + name, inner)]
        at += size
    return found


def _join_boxes(parts: Parts, depth: int = 0) -> bytes:
    out, i = b"", 0
    while i < len(parts):
        path, content = parts[i]
        head = path[4 * depth : 4 * depth + 4]
        if len(path) <= 4 * depth + 4:
            out += struct.pack(">I4s", len(content) + 8, head) + content
            i += 1
            continue
        j = i
        while j < len(parts) and parts[j][0][: 4 * depth + 4] == path[: 4 * depth + 4] and len(parts[j][0]) > len(head):
            # a second trak begins with its header
            if j > i and head == b"trak" and parts[j][0][4 * depth + 4 :] == b"tkhd":
                break
            j += 1
        inner = _join_boxes(parts[i:j], depth + 1)
        out += struct.pack(">I4s", len(inner) + 8, head) + inner
        i = j
    return out


def _riff(data: bytes) -> Parts:
    found: Parts = [(data[:4] + data[8:12], b"")]
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        found.append((name, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def _join_riff(parts: Parts) -> bytes:
    body = b"".join(n[:4] + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for n, c in parts if len(n) == 4)
    head = next((n for n, _ in parts if len(n) == 8), b"RIFFWAVE")
    return head[:4] + struct.pack("<I", len(body) + 4) + head[4:] + body


def _png(data: bytes) -> Parts:
    found: Parts = []
    at = 8
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + size]
        found.append((name, zlib.decompress(content) if name == b"IDAT" else content))
        at += 12 + size
    return found


def _join_png(parts: Parts) -> bytes:
    out = b"\x89PNG\r\n\x1a\n"
    for name, content in parts:
        if name == b"IDAT":
            content = zlib.compress(content)
        out += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return out


def _zip(data: bytes) -> Parts:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return [(n.encode(), archive.read(n)) for n in archive.namelist()]


def _join_zip(parts: Parts) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in dict(parts).items():
            archive.writestr(name.decode("utf-8", "replace"), content)
    return out.getvalue()


def _mat(data: bytes) -> Parts:
    """Elements of a MATLAB 5 file, compressed ones unpacked."""
    found: Parts = [(b"", data[:128])]
    at = 128
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        content = data[at + 8 : at + 8 + size]
        found.append((b"z", zlib.decompress(content)) if kind == 15 else (b"", data[at : at + 8] + content))
        at += 8 + size
    return found


def _join_mat(parts: Parts) -> bytes:
    packed = [(c if n == b"" else zlib.compress(c), n) for n, c in parts]
    return b"".join(c if n == b"" else struct.pack("<II", 15, len(c)) + c for c, n in packed)


def _mcap(data: bytes) -> Parts:
    found: Parts = []
    at = 8
    while at + 9 <= len(data) - 8:
        size = struct.unpack_from("<Q", data, at + 1)[0]
        found.append((data[at : at + 1], data[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


def _join_mcap(parts: Parts) -> bytes:
    magic = b"\x89MCAP0\r\n"
    return magic + b"".join(n + struct.pack("<Q", len(c)) + c for n, c in parts) + magic


def _whole(split: Callable[[bytes], Parts]) -> Callable[[bytes], Parts]:
    """The same, with nothing for what is broken already."""

    def attempt(data: bytes) -> Parts:
        try:
            return split(data)
        except (struct.error, zlib.error, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, OSError):
            return []
        except zipfile.BadZipFile:
            return []

    return attempt


_FORMS = {
    **dict.fromkeys((".mp4", ".mov", ".m4a"), (_whole(_boxes), _join_boxes)),
    **dict.fromkeys((".wav", ".avi", ".webp"), (_whole(_riff), _join_riff)),
    ".png": (_whole(_png), _join_png),
    ".npz": (_whole(_zip), _join_zip),
    ".zip": (_whole(_zip), _join_zip),
    ".mat": (_whole(_mat), _join_mat),
    ".mcap": (_whole(_mcap), _join_mcap),
}
