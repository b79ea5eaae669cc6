"""lhotse manifests: recordings of sound and their supervisions, as gzipped JSON Lines."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NotRequired

import numpy as np
from typing_extensions import TypedDict

from plait.core.atomic import replacing
from plait.core.errors import DataError
from plait.core.names import Names
from plait.corpus.corpus import AnnotationEntry, Corpus, RecordingEntry, StreamEntry, write_manifest
from plait.interchange import LOST, Format, Moved
from plait.interchange.lhotse_kept import Kept, Said, joined, keep, read_kept, write_kept
from plait.interchange.sample import Sample
from plait.readers import reader_for
from plait.store.jobs import neutral
from plait.streams.clock import Grid
from plait.streams.stream import Stream

__all__ = ["Lhotse"]


class Lhotse(Format):
    """``recordings.jsonl.gz`` and ``supervisions.jsonl.gz``, for lhotse's ``RecordingSet`` and ``SupervisionSet``.

    Each stream of sound is a recording ``ID`` (``ID-STREAM`` if a recording has several) that refers to the raw file by
    its absolute path; each word or annotation is a supervision of it. lhotse knows the file's own clock only, so times
    are converted to it: the offset and drift corrections of the manifest are undone. Other kinds of streams cannot be
    written and are counted. What else lhotse cannot hold (which sounds belong to one recording, their clocks, labels,
    group, side) is kept in ``plait.json`` in the same folder, and read back from there. Without that file each
    recording has one stream of sound, and words are annotations.

    Source: lhotse's documentation of its manifests (Zelasko et al., "Lhotse", NeurIPS DCAI 2021).

    Args:
        tier: the tier or stream of words that becomes a supervision's text; the others go into ``custom``.
    """

    features = False

    def __init__(self, *, tier: str | None = None) -> None:
        self._tier = tier

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        out.mkdir()
        names, all_kept = Names(lambda id: id, joint="-", exact=True), dict[str, Kept]()
        recordings: list[_Recording] = []
        supervisions: list[_Supervision] = []
        for sample in found:
            entry, recording = corpus.entry(sample.id), corpus[sample.id]
            sounds = list(_sounds(corpus, sample, moved))
            moved.streams += len(sounds)
            moved.note("recordings without sound", not sounds)
            for what in ("labels", "split", "meta"):
                words, count = LOST[what]
                moved.note(f"{words} (plait alone reads them back)", count(sample) if sounds else 0)
                moved.note(words, 0 if sounds else count(sample))
            for name in sounds:
                own = names.of(sample.id) if len(sounds) == 1 else names.of(sample.id, name)
                all_kept[own] = keep(sample, name, entry.streams[name])
                raw = _raw(corpus, sample.id, name)
                path = corpus.resolve(entry.streams[name].path or "", f" {sample.id!r} {name!r}")
                recordings.append(_recording(own, raw, path.resolve()))
                seconds = _own_seconds(recording.streams[name], recordings[-1]["sampling_rate"])
                said = list(self._supervisions(own, sample, seconds))
                _note_supervisions(said, recordings[-1]["duration"], moved)
                supervisions += said
        _write(out / "recordings.jsonl.gz", recordings)
        _write(out / "supervisions.jsonl.gz", supervisions)
        write_kept(out, all_kept)

    def _supervisions(self, id: str, sample: Sample, own: Callable[[float], float]) -> Iterator[_Supervision]:
        """All annotations and words, on the sound's own clock."""
        rows = [(a.start, a.stop, a.label, a.tier, {"annotator": a.annotator}) for a in sample.annotations]
        for name, piece in sample.streams.items():
            starts, stops = piece.edges()
            rows += [(float(a), float(b), str(t), name, WORDS) for a, b, t in zip(starts, stops, piece.values)]
        for number, (start, stop, label, tier, more) in enumerate(sorted(rows, key=lambda r: r[0])):
            a, b = own(start), own(stop)
            spoken = tier == self._tier or (self._tier is None and isinstance(label, str))
            custom = {"tier": tier, "label": label, **{k: v for k, v in more.items() if v}}
            row: _Supervision = {
                "id": f"{id}-{number:05d}",
                "recording_id": id,
                "start": round(a, 6),
                "duration": round(max(b - a, 0.0), 6),
                "channel": 0,
            }
            if spoken:
                row["text"] = str(label)
            if sample.group:
                row["speaker"] = sample.group
            row["custom"] = custom
            yield row

    def read(self, path: Path, out: Path, moved: Moved) -> None:
        recordings, kept = _found(path, "recordings"), read_kept(path)
        supervisions = _found(path, "supervisions") if _named(path, "supervisions") else []
        entries: dict[str, RecordingEntry] = {}
        said: dict[str, Said] = {}
        out.mkdir(parents=True, exist_ok=True)
        for number, row in enumerate(recordings, 1):
            entry = _read_recording(row, f"{path}: recording {number}", out, moved)
            if entry is not None:
                entries[entry.id] = entry
        for number, row in enumerate(supervisions, 1):
            _add_supervision(entries, said, row, f"{path}: supervision {number}", moved)
        if not entries:
            raise DataError(f"{path}: no recording with a file as its source. Expected recordings.jsonl or .jsonl.gz.")
        found = joined(entries, said, kept)
        write_manifest(out / "manifest.jsonl", found)
        moved.recordings, moved.streams = len(found), sum(len(e.streams) for e in found)


class _Recording(TypedDict):
    """A line of ``recordings.jsonl``."""

    id: str
    sources: list[dict[str, object]]
    sampling_rate: int
    num_samples: int
    duration: float
    channel_ids: list[int]


class _Supervision(TypedDict):
    """A line of ``supervisions.jsonl``."""

    id: str
    recording_id: str
    start: float
    duration: float
    channel: int
    text: NotRequired[str]
    speaker: NotRequired[str]
    custom: NotRequired[Mapping[str, object]]


WORDS = {"kind": "words"}
"""Marks words that come from a stream of words."""


def _sounds(corpus: Corpus, sample: Sample, moved: Moved) -> Iterator[str]:
    """The streams of a recording that are sound files at a regular rate; others that are not words are counted."""
    recording = corpus[sample.id]
    for name, entry in corpus.entry(sample.id).streams.items():
        if name in sample.streams:
            continue
        if recording.streams[name].kind != "waveform":
            moved.note("streams that are neither sound nor words")
        elif reader_for(Path(entry.path or "")) != "media":
            moved.note("streams of sound that are no sound files")
        elif not isinstance(clock := _raw(corpus, sample.id, name).clock, Grid) or clock.rate.denominator != 1:
            moved.note("streams of sound whose rate is uneven or no whole number")
        else:
            yield name


def _raw(corpus: Corpus, id: str, name: str) -> Stream:
    """A stream on its file's own clock, without the manifest's corrections."""
    return corpus.open_entry(neutral(corpus.entry(id).streams[name]), f" {id!r} {name!r}")


def _note_supervisions(rows: Sequence[_Supervision], duration: float, moved: Moved) -> None:
    """Count what lhotse's own checks will refuse."""
    outside = sum(row["start"] < -1e-3 or row["start"] + row["duration"] > duration + 1e-3 for row in rows)
    moved.note("supervisions that stick out of their sound (lhotse.qa.fix_manifests cuts them)", outside)
    moved.note("supervisions of no length (lhotse.validate refuses them)", sum(not row["duration"] for row in rows))


def _recording(id: str, raw: Stream, path: Path) -> _Recording:
    """A sound as lhotse describes it, on its file's own clock."""
    channels = list(range(raw.shape[1]))
    rate = round(raw.clock.rate) if isinstance(raw.clock, Grid) else 1
    return {
        "id": id,
        "sources": [{"type": "file", "channels": channels, "source": str(path)}],
        "sampling_rate": rate,
        "num_samples": len(raw),
        "duration": len(raw) / rate,
        "channel_ids": channels,
    }


POINTS = 1000
"""Points at which a corrected clock is compared with the file's own; in between it is interpolated."""


def _own_seconds(stream: Stream, rate: int) -> Callable[[float], float]:
    """A function from seconds of the recording to seconds of the file, counted from its first sample."""
    index = np.unique(np.linspace(0, max(len(stream) - 1, 0), POINTS).astype(np.int64))
    shown = np.array([stream.clock[i : i + 1].start for i in index])
    slope = (index[-1] - index[0]) / (shown[-1] - shown[0]) if len(index) > 1 else rate

    def own(second: float) -> float:
        if second <= shown[0]:
            place = index[0] + (second - shown[0]) * slope
        elif second >= shown[-1]:
            place = index[-1] + (second - shown[-1]) * slope
        else:
            place = np.interp(second, shown, index)
        return float(place) / rate

    return own


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    # No name and no time in the gzip header, so that the same corpus gives the same bytes.
    with replacing(path) as part, open(part, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        for row in rows:
            packed.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def _named(path: Path, what: str) -> Path | None:
    if path.is_file():
        return path if what in path.name else None
    return next((p for p in sorted(path.glob(f"*{what}*.jsonl*"))), None)


def _found(path: Path, what: str) -> list[dict[str, object]]:
    """The rows of a manifest.

    Raises:
        DataError: there is no manifest, or a line is not an object; the message has its number.
    """
    file = _named(path, what)
    if file is None:
        raise DataError(f"{path}: has no *{what}*.jsonl or .jsonl.gz. Expected lhotse's manifests.")
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}).") from error
    rows = []
    # Not splitlines(), which also cuts at Unicode's line ends, and these may stand within texts.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{file}:{number}: is not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise DataError(f"{file}:{number}: holds {type(row).__name__}; expected an object.")
        rows.append(row)
    return rows


def _read_recording(row: dict[str, object], where: str, out: Path, moved: Moved) -> RecordingEntry | None:
    sources = row.get("sources")
    if not isinstance(row.get("id"), str) or not isinstance(sources, list):
        raise DataError(f"{where}: has no id or no sources. Expected a recording of lhotse.")
    files = [s for s in sources if isinstance(s, dict) and s.get("type") == "file" and s.get("source")]
    # A command or an address is never run or fetched: a manifest may come from anyone.
    moved.note("sources that are no files (commands, addresses, bytes)", len(sources) - len(files))
    if not files:
        return None
    streams = {}
    for i, source in enumerate(files):
        relative = os.path.relpath(str(source["source"]), out)
        streams["sound" if i == 0 else f"sound{i + 1}"] = StreamEntry(path=Path(relative).as_posix(), part=None)
    return RecordingEntry(id=row["id"], streams=streams)


def _add_supervision(
    entries: dict[str, RecordingEntry], said: dict[str, Said], row: Mapping[str, object], where: str, moved: Moved
) -> None:
    try:
        start, length = float(str(row["start"])), float(str(row["duration"]))
        entry = entries.get(str(row["recording_id"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: has no recording_id, start or duration ({error!r}).") from error
    if entry is None:
        moved.note("supervisions of recordings that are not there")
        return
    more = row.get("custom")
    custom = more if isinstance(more, dict) else {}
    label = custom.get("label", row.get("text"))
    if label is None:
        moved.note("supervisions without a text")
        return
    if not isinstance(label, str | int | float):
        moved.note("supervisions whose label is neither a text nor a number")
        return
    tier, annotator = str(custom.get("tier", "text")), str(custom.get("annotator", ""))
    home = said.setdefault(entry.id, {}).setdefault(tier, []) if custom.get("kind") == "words" else entry.annotations
    home.append(AnnotationEntry(start=start, stop=start + length, label=label, tier=tier, annotator=annotator))
    if row.get("speaker") and not entry.group:
        entry.group = str(row["speaker"])
