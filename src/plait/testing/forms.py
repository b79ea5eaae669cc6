"""Parts of binary formats: files are taken apart, and joined again with correct lengths and checksums."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO

__all__ = ["FORMS", "Form", "Parts"]

Parts = list[tuple[bytes, bytes]]
"""(name of a part, its content), in the order of the file."""

Form = tuple[Callable[[bytes], Parts], Callable[[Parts], bytes]]
"""The function that takes a file apart, and the one that joins it."""


def _boxes(data: bytes) -> Parts:
    """Top-level boxes of an mp4, and all leaves within ``moov``, flat, each named by its path."""
    return _walk_boxes(data, b"")


_NESTED = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta")


def _walk_boxes(data: bytes, path: bytes) -> Parts:
    found: Parts = []
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        # Size 0 (to the end of the file) and 1 (64-bit size) are legal but rare: the rest stays out.
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
        at += 8 + size + size % 2  # RIFF pads chunks to an even length; the size does not count the padding
    return found


def _join_riff(parts: Parts) -> bytes:
    body = b"".join(n[:4] + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for n, c in parts if len(n) == 4)
    head = next((n for n, _ in parts if len(n) == 8), b"RIFFWAVE")
    return head[:4] + struct.pack("<I", len(body) + 4) + head[4:] + body


def _png(data: bytes) -> Parts:
    found: Parts = []
    at = 8  # after the signature; a chunk is length, name, content and CRC (PNG specification, section 5.3)
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
    """Elements of a MATLAB 5 file; compressed ones are unpacked."""
    found: Parts = [(b"", data[:128])]  # text, version and byte order; elements of 8-byte tags follow
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
    magic = b"\x89MCAP0\r\n"  # opens and closes a file; records between: opcode, 64-bit length, content
    return magic + b"".join(n + struct.pack("<Q", len(c)) + c for n, c in parts) + magic


def _whole(split: Callable[[bytes], Parts]) -> Callable[[bytes], Parts]:
    """The same function, but with no parts for a file that is already broken."""

    def attempt(data: bytes) -> Parts:
        try:
            return split(data)
        except (struct.error, zlib.error, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, OSError):
            return []
        except zipfile.BadZipFile:
            return []

    return attempt


FORMS: dict[str, Form] = {
    **dict.fromkeys((".mp4", ".mov", ".m4a"), (_whole(_boxes), _join_boxes)),
    **dict.fromkeys((".wav", ".avi", ".webp"), (_whole(_riff), _join_riff)),
    ".png": (_whole(_png), _join_png),
    ".npz": (_whole(_zip), _join_zip),
    ".zip": (_whole(_zip), _join_zip),
    ".mat": (_whole(_mat), _join_mat),
    ".mcap": (_whole(_mcap), _join_mcap),
}
