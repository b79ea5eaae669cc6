"""lhotse manifests: recordings of sound, and what was said in them, as gzipped JSON Lines."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from plait.atomic import replacing, write_text
from plait.errors import DataError
from plait.features.jobs import neutral
from plait.interchange import Format, Moved
from plait.interchange.sample import Sample
from plait.names import Names
from plait.streams.clock import Grid, Ticks
from plait.streams.corpus import AnnotationEntry, Corpus, RecordingEntry, StreamEntry, write_manifest
from plait.streams.stream import Stream

__all__ = ["Lhotse"]


class Lhotse(Format):
    """``recordings.jsonl.gz`` and ``supervisions.jsonl.gz``, for lhotse's ``RecordingSet`` and ``SupervisionSet``.

    Each stream of sound is a recording ``ID`` (``ID-STREAM`` where one has several), pointing at the raw file by its
    absolute path; each word or annotation is a supervision of it. lhotse knows no clock but the file's own, so
    times are brought to it: offset and drift that the manifest corrects are taken out again. Streams of other kinds
    have no place there and are counted. What lhotse has no place for beside them (which sounds are of one recording,
    their clocks, labels, group, side) is kept in ``plait.json`` in the same folder, and read back from there; without
    that file each recording is one stream of sound. Supervisions become annotations, of words too.

    Source: lhotse's documentation of its manifests (Zelasko et al., "Lhotse", NeurIPS DCAI 2021).

    Args:
        tier: the tier or stream of words that becomes a supervision's text; the others go into ``custom``.
    """

    features = False

    def __init__(self, *, tier: str | None = None) -> None:
        self._tier = tier

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        out.mkdir()
        names, kept = Names(lambda id: id), dict[str, dict[str, Any]]()
        recordings: list[dict[str, Any]] = []
        supervisions: list[dict[str, Any]] = []
        for sample in found:
            entry, recording = corpus.entry(sample.id), corpus[sample.id]
            sounds = [n for n in entry.streams if recording.streams[n].kind == "waveform"]
            raw = {n: corpus.open_entry(neutral(entry.streams[n]), f" {sample.id!r} {n!r}") for n in sounds}
            others = [n for n in entry.streams if n not in sounds and n not in sample.streams]
            moved.note("streams that are neither sound nor words", len(others))
            moved.streams += len(sounds)
            moved.note("recordings without sound", not sounds)
            moved.note("labels of whole recordings (plait alone reads them back)", len(sample.labels))
            for name in sounds:
                own = names.of(sample.id if len(sounds) == 1 else f"{sample.id}-{name}")
                kept[own] = _kept(sample, name, entry.streams[name])
                stream = recording.streams[name]
                path = corpus.resolve(entry.streams[name].path or "", f" {sample.id!r} {name!r}").resolve()
                recordings.append(_recording(own, raw[name], path))
                supervisions += self._supervisions(own, sample, _own_seconds(stream, _rate(raw[name])))
        _write(out / "recordings.jsonl.gz", recordings)
        _write(out / "supervisions.jsonl.gz", supervisions)
        write_text(out / KEPT, json.dumps({"format": KEPT_FORMAT, "recordings": kept}, ensure_ascii=False, default=str))

    def _supervisions(self, id: str, sample: Sample, own: Callable[[float], float]) -> Iterator[dict[str, Any]]:
        """Everything with a start and an end, on the sound's own clock."""
        rows = [(a.start, a.stop, a.label, a.tier, a.annotator) for a in sample.annotations]
        for name, piece in sample.streams.items():
            starts, stops = piece.edges()
            rows += [(float(a), float(b), str(t), name, "") for a, b, t in zip(starts, stops, piece.values)]
        for number, (start, stop, label, tier, annotator) in enumerate(sorted(rows, key=lambda r: r[:2])):
            a, b = own(start), own(stop)
            spoken = tier == self._tier or (self._tier is None and isinstance(label, str))
            custom = {"tier": tier, "label": label, **({"annotator": annotator} if annotator else {})}
            row: dict[str, Any] = {"id": f"{id}-{number:05d}", "recording_id": id}
            row |= {"start": round(a, 6), "duration": round(max(b - a, 0.0), 6), "channel": 0}
            row |= {"text": str(label)} if spoken else {}
            row |= {"speaker": sample.group} if sample.group else {}
            yield {**row, "custom": custom}

    def read(self, path: Path, out: Path, moved: Moved) -> None:
        recordings = _found(path, "recordings")
        supervisions = _found(path, "supervisions") if _named(path, "supervisions") else []
        entries: dict[str, RecordingEntry] = {}
        out.mkdir(parents=True, exist_ok=True)
        for number, row in enumerate(recordings, 1):
            entry = _read_recording(row, f"{path}: recording {number}", out, moved)
            if entry is not None:
                entries[entry.id] = entry
        for number, row in enumerate(supervisions, 1):
            _add_supervision(entries, row, f"{path}: supervision {number}", moved)
        entries = _joined(entries, _read_kept(path), moved)
        if not entries:
            raise DataError(f"{path}: no recording with a file as its source. Expected recordings.jsonl or .jsonl.gz.")
        write_manifest(out / "manifest.jsonl", list(entries.values()))
        moved.recordings, moved.streams = len(entries), sum(len(e.streams) for e in entries.values())


KEPT, KEPT_FORMAT = "plait.json", "plait-lhotse-1"


def _kept(sample: Sample, name: str, entry: StreamEntry) -> dict[str, Any]:
    """What lhotse has no place for."""
    about = {k: v for k, v in sample.about().items() if k != "annotations"}
    clock = entry.model_dump(mode="json", include={"part", "reader", "options", "rate", "duration", *CLOCK})
    return {"of": about, "stream": name, "entry": clock}


CLOCK = ("origin", "offset", "drift_ppm", "warp")


def _read_kept(path: Path) -> dict[str, dict[str, Any]]:
    """What `_kept` kept, by lhotse's ids; nothing where another tool wrote the manifests.

    Raises:
        DataError: the file is damaged.
    """
    file = (path if path.is_dir() else path.parent) / KEPT
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["format"] != KEPT_FORMAT:
            raise DataError(f"{file}: is of another version ({found['format']!r}). Export again.")
        return {id: _Kept.model_validate(one).model_dump() for id, one in found["recordings"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: cannot be read ({str(error)[:200]}). Export again, or delete it.") from error


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    of: dict[str, Any]
    stream: str
    entry: dict[str, Any]


def _joined(
    entries: Mapping[str, RecordingEntry], kept: Mapping[str, dict[str, Any]], moved: Moved
) -> dict[str, RecordingEntry]:
    """Recordings as they were before they were exported: sounds of one together, on its time line.

    Annotations are on every sound of a recording; they are taken from its first.
    """
    found: dict[str, RecordingEntry] = {}
    for id, entry in entries.items():
        one = kept.get(id)
        if one is None:
            found[id] = entry
            continue
        (sound,) = list(entry.streams.values())[:1]
        sound = StreamEntry.model_validate({**sound.model_dump(), **one["entry"]})
        about = {k: one["of"].get(k) for k in ("id", "labels", "meta", "group", "split") if one["of"].get(k)}
        own = RecordingEntry.model_validate(about)
        if own.id not in found:
            own.annotations = [_on_the_time_line(a, sound) for a in entry.annotations]
        home = found.setdefault(own.id, own)
        home.streams[one["stream"]] = sound
    return found


def _on_the_time_line(a: AnnotationEntry, sound: StreamEntry) -> AnnotationEntry:
    clock = sound.correct(Ticks(np.array([a.start, a.stop])))
    start, stop = (float(t) for t in clock.times)
    return a.model_copy(update={"start": round(start, 6), "stop": round(stop, 6)})


def _recording(id: str, raw: Stream, path: Path) -> dict[str, Any]:
    """A sound as lhotse describes it, on the clock of its file."""
    channels = list(range(raw.shape[1]))
    rate = _rate(raw)
    return {
        "id": id,
        "sources": [{"type": "file", "channels": channels, "source": str(path)}],
        "sampling_rate": rate,
        "num_samples": len(raw),
        "duration": len(raw) / rate,
        "channel_ids": channels,
    }


def _rate(raw: Stream) -> int:
    return round(raw.clock.rate) if isinstance(raw.clock, Grid) else 1


POINTS = 1000
"""Places at which a corrected clock is compared with the file's own; in between it runs straight."""


def _own_seconds(stream: Stream, rate: int) -> Callable[[float], float]:
    """From seconds of the recording to seconds of the file, counted from its first sample."""
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


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as part, open(part, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        for row in rows:
            packed.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def _named(path: Path, what: str) -> Path | None:
    if path.is_file():
        return path if what in path.name else None
    return next((p for p in sorted(path.glob(f"*{what}*.jsonl*"))), None)


def _found(path: Path, what: str) -> list[dict[str, Any]]:
    """Rows of a manifest.

    Raises:
        DataError: there is none, or a line is no object; with its number.
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
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{file}:{number}: is not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise DataError(f"{file}:{number}: holds {type(row).__name__}; expected an object.")
        rows.append(row)
    return rows


def _read_recording(row: dict[str, Any], where: str, out: Path, moved: Moved) -> RecordingEntry | None:
    sources = row.get("sources")
    if not isinstance(row.get("id"), str) or not isinstance(sources, list):
        raise DataError(f"{where}: has no id or no sources. Expected a recording of lhotse.")
    files = [s for s in sources if isinstance(s, dict) and s.get("type") == "file" and s.get("source")]
    moved.note("sources that are no files (commands, addresses, bytes)", len(sources) - len(files))
    if not files:
        return None
    streams = {}
    for i, source in enumerate(files):
        relative = os.path.relpath(str(source["source"]), out)
        streams["sound" if i == 0 else f"sound{i + 1}"] = StreamEntry(path=Path(relative).as_posix(), part=None)
    return RecordingEntry(id=row["id"], streams=streams)


def _add_supervision(entries: dict[str, RecordingEntry], row: dict[str, Any], where: str, moved: Moved) -> None:
    try:
        start, length = float(row["start"]), float(row["duration"])
        entry = entries.get(str(row["recording_id"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: has no recording_id, start or duration ({error!r}).") from error
    if entry is None:
        moved.note("supervisions of recordings that are not there")
        return
    custom = row.get("custom") if isinstance(row.get("custom"), dict) else {}
    label = (custom or {}).get("label", row.get("text"))
    if label is None:
        moved.note("supervisions without a text")
        return
    tier, annotator = str((custom or {}).get("tier", "text")), str((custom or {}).get("annotator", ""))
    entry.annotations.append(
        AnnotationEntry(start=start, stop=start + length, label=label, tier=tier, annotator=annotator)
    )
    if row.get("speaker") and not entry.group:
        entry.group = str(row["speaker"])
