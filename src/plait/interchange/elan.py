"""ELAN: one ``.eaf`` a recording, its tiers, and where its media are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from plait.interchange import Format, Moved
from plait.interchange.annotations import Interval, tiers_of, write_each
from plait.interchange.sample import Sample
from plait.streams.corpus import Corpus

__all__ = ["Elan"]

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="plait" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
"""


class Elan(Format):
    """A folder with ``ID.eaf`` for each recording: every tier of annotations and every stream of words as a tier.

    Times are whole milliseconds, as ELAN keeps them. Media files are linked by their absolute paths, with the offset
    that their clocks need (``TIME_ORIGIN``); drift has no place there and is counted where it exceeds 1 ppm.

    Source: the EAF annotation format, version 3.0 (Max Planck Institute for Psycholinguistics).
    """

    features = False

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        def text_of(sample: Sample) -> str | None:
            tiers = tiers_of(sample)
            if not tiers:
                return None
            links = list(_media(corpus, sample.id, moved))
            return HEAD + _header(links) + _body(tiers) + "</ANNOTATION_DOCUMENT>\n"

        write_each(found, out, ".eaf", moved, text_of)


MIME = {
    ".wav": "audio/x-wav",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".mpg": "video/mpeg",
    ".mov": "video/quicktime",
}


def _media(corpus: Corpus, id: str, moved: Moved) -> Iterator[tuple[str, str, int]]:
    """Address, type and offset (ms) of each media file of a recording."""
    seen = set()
    for name, entry in corpus.entry(id).streams.items():
        kind = MIME.get(Path(entry.path or "").suffix.lower())
        if entry.path is None or kind is None or entry.path in seen:
            continue
        seen.add(entry.path)
        path = corpus.resolve(entry.path, f" {id!r} {name!r}").resolve()
        moved.note("drifts of media above 1 ppm", int(abs(entry.drift_ppm) > 1))
        moved.note("bent clocks of media", int(bool(entry.warp)))
        yield path.as_uri(), kind, round((entry.origin - entry.offset) * 1000)


def _header(links: list[tuple[str, str, int]]) -> str:
    rows = "".join(
        f"        <MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(address)} MIME_TYPE={quoteattr(kind)}"
        + (f' TIME_ORIGIN="{origin}"' if origin > 0 else "")
        + "/>\n"
        for address, kind, origin in links
    )
    return f'    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">\n{rows}    </HEADER>\n'


def _body(tiers: dict[str, list[Interval]]) -> str:
    slots: list[str] = []
    parts: list[str] = []
    number = 0
    for name, rows in tiers.items():
        parts.append(f'    <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID={quoteattr(name)}>\n')
        for start, stop, label in rows:
            first, last = len(slots) + 1, len(slots) + 2
            # ELAN wants an annotation to last a millisecond at least.
            begin = max(round(start * 1000), 0)
            slots += [_slot(first, begin), _slot(last, max(round(stop * 1000), begin + 1))]
            number += 1
            parts.append(
                f'        <ANNOTATION>\n            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" '
                f'TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{last}">\n'
                f"                <ANNOTATION_VALUE>{_text(label)}</ANNOTATION_VALUE>\n"
                "            </ALIGNABLE_ANNOTATION>\n        </ANNOTATION>\n"
            )
        parts.append("    </TIER>\n")
    order = "    <TIME_ORDER>\n" + "".join(slots) + "    </TIME_ORDER>\n"
    kinds = '    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>\n'
    return order + "".join(parts) + kinds


def _slot(number: int, value: int) -> str:
    return f'        <TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{value}"/>\n'


def _text(label: str) -> str:
    """Escaped, without the control characters that XML cannot hold."""
    return escape("".join(c for c in label if c in "\t\n\r" or ord(c) >= 32))
