"""WebVTT by its specification's own algorithm.

Written here because pysubs2 reads WebVTT as SubRip (identifiers, notes and style sheets join the text before them), and
webvtt-py 0.6 silently drops a cue if its timing has a comma, more than 59 minutes or seconds, or a typing error. Code
around webvtt-py that reports these is as long as this module and 2 to 5 times slower (`benchmarks/readers.py`). On
texts that webvtt-py understands both find the same cues, which a test checks.

Source: W3C, "WebVTT: The Web Video Text Tracks Format", 6.1 (parsing) and 6.3 (timings).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Cues", "cues_of"]

_ARROW, _MAP = "-->", "X-TIMESTAMP-MAP"
_TIME = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?=\s|$)")
_NO_CUES = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")

Block = list[tuple[int, str]]
"""Lines with their numbers, counted from 1."""


@dataclass
class Cues:
    """The content of a file: (start, stop, text) of each cue in seconds, problems, and notes on what is left out."""

    rows: list[tuple[float, float, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Place (``:LINE``) and what is wrong there."""
    told: list[str] = field(default_factory=list)


def cues_of(text: str) -> Cues:
    """The cues of a file.

    Timings are read more tolerantly than the specification asks: fields need no leading zeros, and a comma may replace
    the dot. A fraction of less than three digits is noted: it counts milliseconds in a file that pads no field
    (``0:0:7.23``), and is a decimal fraction in any other.

    >>> cues_of("WEBVTT\\n\\nNOTE\\nby Kyle\\n\\nfirst\\n00:01.000 --> 00:02.5\\nHello\\nyou\\n").rows
    [(1.0, 2.5, 'Hello\\nyou')]
    >>> cues_of("WEBVTT\\n\\n0:0:1.0 --> 0:0:2.5\\nHello\\n").rows
    [(1.0, 2.005, 'Hello')]
    """
    found = Cues()
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not re.match(r"WEBVTT(\s|$)", lines[0]):
        found.problems.append(
            ":1: does not begin with WEBVTT. Put that in its first line; if it is SubRip, name it .srt"
        )
        return found
    strays: list[int] = []
    timed: list[tuple[tuple[str, ...], str]] = []
    for block in _blocks(lines):
        at = next((i for i, (_, line) in enumerate(block[:2]) if _ARROW in line), None)
        if at is None:
            strays += [] if _NO_CUES.match(block[0][1]) else [block[0][0]]
        elif match := _TIMING.match(block[at][1]):
            timed.append((match.groups(default="00"), "\n".join(line for _, line in block[at + 1 :])))
        else:
            found.problems.append(_unread(*block[at]))
    padded = all(len(field) > 1 for fields, _ in timed for field in (*fields[1:3], *fields[5:7]))
    short = sum(len(fields[3]) < 3 or len(fields[7]) < 3 for fields, _ in timed)
    found.rows = [(_seconds(fields[:4], padded), _seconds(fields[4:], padded), body) for fields, body in timed]
    found.told = _told(lines, strays, short, padded)
    return found


def _blocks(lines: list[str]) -> Iterator[Block]:
    """Runs of lines after the header: an empty line ends a run, and so does a second timing."""
    block: Block = []
    header = timed = True
    for number, line in enumerate(lines[1:], 2):
        arrow = _ARROW in line
        if header and line and not arrow:
            continue
        if not line or (arrow and not header and (timed or len(block) > 1)):
            if block:
                yield block
            block, timed = [], False
        header = False
        if line:
            block.append((number, line))
            timed = timed or arrow
    if block:
        yield block


def _seconds(fields: Sequence[str], padded: bool) -> float:
    hours, minutes, seconds, fraction = fields
    millis = int(fraction.ljust(3, "0")) if padded else int(fraction)
    return ((int(hours) * 60 + int(minutes)) * 60_000 + int(seconds) * 1000 + millis) / 1000


def _unread(number: int, line: str) -> str:
    return f":{number}: got {line[:60]!r}; expected '00:01.000 --> 00:02.500'. Correct the timing line"


def _told(lines: list[str], strays: list[int], short: int, padded: bool) -> list[str]:
    told = []
    if strays:
        told.append(f"{len(strays)} blocks of text without a timing are left out, first in line {strays[0]}")
    if short:
        meaning = "are taken as decimal fractions" if padded else "count milliseconds, as nothing in it is padded"
        told.append(f"{short} timings have fractions of less than three digits, which {meaning}")
    header = next((line for line in lines[1:] if not line or _ARROW in line or line.startswith(_MAP)), "")
    if header.startswith(_MAP):
        told.append(f"its second 0 is elsewhere in its broadcast ({header[:60]}); give the stream an offset if need be")
    return told
