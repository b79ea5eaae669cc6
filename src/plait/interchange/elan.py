"""ELAN: one ``.eaf`` per recording, with its tiers and links to its media."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from plait.core.names import Names
from plait.corpus.corpus import Corpus
from plait.interchange import Format, Moved
from plait.interchange.annotations import LACKS, Interval, laned, tiers_of, write_each
from plait.interchange.sample import Sample

__all__ = ["Elan"]

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="plait" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
"""


class Elan(Format):
    """A folder with ``ID.eaf`` for each recording: every tier of annotations and every stream of words as a tier.

    Times are whole milliseconds from 0 on, as in ELAN, and an annotation lasts at least one. Annotations of a tier
    cannot overlap: one that begins before the last one has ended goes to a further tier (``TIER+1``). Media files are
    linked by their absolute paths, with the offset of their clocks (``TIME_ORIGIN``). What is lost is counted: drift of
    more than 1 ppm, bent clocks, media that begin later than the recording, characters that XML cannot hold.

    Source: the EAF annotation format, version 3.0 (Max Planck Institute for Psycholinguistics).
    """

    features = False
    lacks = LACKS

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        def text_of(sample: Sample) -> str | None:
            tiers = tiers_of(sample, moved)
            if not tiers:
                return None
            links = list(_media(corpus, sample, moved))
            return HEAD + _header(links) + _body(_whole(tiers, moved)) + "</ANNOTATION_DOCUMENT>\n"

        write_each(found, out, ".eaf", moved, text_of)


MIME = {
    ".wav": "audio/x-wav",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".mpg": "video/mpeg",
    ".mov": "video/quicktime",
}


def _media(corpus: Corpus, sample: Sample, moved: Moved) -> Iterator[tuple[str, str, int]]:
    """Address, type and offset (ms) of each media file of a recording."""
    # A film's picture and sound are two streams of one file, which is linked once.
    seen = set()
    for name, entry in corpus.entry(sample.id).streams.items():
        kind = MIME.get(Path(entry.path or "").suffix.lower())
        if entry.path is None or kind is None:
            moved.note("streams that are neither words nor media that ELAN knows", name not in sample.streams)
            continue
        if entry.path in seen:
            continue
        seen.add(entry.path)
        path = corpus.resolve(entry.path, f" {sample.id!r} {name!r}").resolve()
        # TIME_ORIGIN skips the beginning of a file; ELAN has no way to delay one.
        origin = round((entry.origin - entry.offset) * 1000)
        moved.note("drifts of media above 1 ppm", abs(entry.drift_ppm) > 1)
        moved.note("bent clocks of media", bool(entry.warp))
        moved.note("delays of media that begin after the recording", origin < 0)
        yield path.as_uri(), kind, origin


def _whole(tiers: dict[str, list[Interval]], moved: Moved) -> dict[str, list[tuple[int, int, str]]]:
    """Tiers in whole milliseconds, without overlaps, with text that XML can hold."""
    names = Names(_text, exact=True)
    found: dict[str, list[tuple[int, int, str]]] = {}
    for name, rows in tiers.items():
        moved.note("instants (now 1 ms long)", sum(a == b for a, b, _ in rows))
        moved.note("texts with characters that XML cannot hold", sum(_text(t) != t for _, _, t in rows))
        whole = [(round(a * 1000), max(round(b * 1000), round(a * 1000) + 1), _text(t)) for a, b, t in rows]
        found[names.of(name)] = sorted(whole)
    return laned(found, moved)


def _header(links: list[tuple[str, str, int]]) -> str:
    rows = "".join(
        f"        <MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(address)} MIME_TYPE={quoteattr(kind)}"
        + (f' TIME_ORIGIN="{origin}"' if origin > 0 else "")
        + "/>\n"
        for address, kind, origin in links
    )
    return f'    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">\n{rows}    </HEADER>\n'


def _body(tiers: dict[str, list[tuple[int, int, str]]]) -> str:
    slots: list[str] = []
    parts: list[str] = []
    number = 0
    for name, rows in tiers.items():
        parts.append(f'    <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID={quoteattr(name)}>\n')
        for start, stop, label in rows:
            # Two slots per annotation: one that is shared would tie both annotations to its value.
            first, last = len(slots) + 1, len(slots) + 2
            slots += [_slot(first, start), _slot(last, stop)]
            number += 1
            parts.append(
                f'        <ANNOTATION>\n            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" '
                f'TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{last}">\n'
                f"                <ANNOTATION_VALUE>{escape(label, LINES)}</ANNOTATION_VALUE>\n"
                "            </ALIGNABLE_ANNOTATION>\n        </ANNOTATION>\n"
            )
        parts.append("    </TIER>\n")
    order = "    <TIME_ORDER>\n" + "".join(slots) + "    </TIME_ORDER>\n"
    kinds = '    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>\n'
    return order + "".join(parts) + kinds


def _slot(number: int, value: int) -> str:
    return f'        <TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{value}"/>\n'


LINES = {"\r": "&#13;"}
"""A bare carriage return is the end of a line for an XML reader (XML 1.0, section 2.11), unless it is escaped."""


def _text(text: str) -> str:
    """The text without characters that XML 1.0 cannot hold (section 2.2)."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
