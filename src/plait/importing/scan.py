"""Finding the streams in a folder: names by convention or patterns, files opened lazily by their readers."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from dataclasses import replace
from functools import cache
from pathlib import Path

from plait.core.errors import ConfigError, DataError, PlaitError, raise_all
from plait.core.parts import find, options_of
from plait.corpus.corpus import StreamEntry, _clock
from plait.corpus.summary import facts_of
from plait.importing.cells import number
from plait.importing.found import Found, Place, Scan, printable, without_clashes
from plait.importing.naming import Named, Naming, names_of, normal
from plait.importing.options import ImportOptions, StreamOptions, conventional_tables
from plait.importing.report import some_of
from plait.importing.tiers import tier_of
from plait.importing.untold import TIMES
from plait.importing.walk import walk
from plait.readers import Reader, check_path, open_streams, reader_for
from plait.readers._told import hearing
from plait.streams.stream import Stream

__all__ = ["Found", "Place", "Scan", "scan_files", "scan_folder"]


def scan_folder(
    root: Path,
    base: Path,
    options: ImportOptions,
    special: Set[Path],
    *,
    check_links: bool,
    ids: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Scan:
    """Every stream under ``root`` that a reader can open, named and without clashes.

    Args:
        root: the folder.
        base: what the entries' paths are relative to.
        options: patterns, overrides, what to skip.
        special: files that are not streams (manifest, label tables).
        check_links: whether links that leave the folder are left out.
        ids: recordings that are known, or their files.
        progress: called with (done, total) after each file.

    Raises:
        ConfigError: a reader does not have an option that was given for a stream.
    """
    scan = Scan()
    inside: list[tuple[Path, str, str]] = []
    prefix = os.path.relpath(root.resolve(), base.resolve())
    for path in walk(root, options.skip, special, scan):
        relative = "." if path == root else path.relative_to(root).as_posix()
        if check_links and path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root.resolve()):
            scan.leave_out(relative, "is a link that leaves the folder. Put the file inside.")
        else:
            inside.append((path, relative, Path(prefix, relative).as_posix()))
    naming = _naming(inside, options, ids=ids)
    if not options.match:
        scan.notes += naming.notes
    return _scan(inside, options, scan, naming, progress)


def scan_files(paths: Iterable[Path], base: Path, options: ImportOptions, known: Collection[str] = ()) -> Scan:
    """Every stream of the files, and of the files in the folders, that are named; as `scan_folder`.

    ``known``: the names that streams have (see `plait.importing.naming`); empty where they are not known.

    Raises:
        ConfigError: a reader does not have an option that was given for a stream.
    """
    scan = Scan()
    files: list[Path] = []
    for path in paths:
        tables = {path.resolve() / options.file for options in conventional_tables(path)}
        files += walk(path, options.skip, tables, scan) if path.is_dir() else [path]
    there = base.resolve()
    placed = [(p, p.as_posix(), Path(os.path.relpath(os.path.realpath(p), there)).as_posix()) for p in files]
    return _scan(placed, options, scan, _naming(placed, options, known=known))


Placed = tuple[Path, str, str]
"""A file, its name for messages and patterns, and its path in the manifest."""


def _naming(
    files: Sequence[Placed], options: ImportOptions, *, known: Collection[str] = (), ids: Collection[str] = ()
) -> Naming:
    """What the names say of those files that a reader may open."""
    # A rule that names a reader may open files that no reader claims by their name.
    any_file = any(rule.reader for rule in options.streams.values())
    names = {_name(path): None for path, _, _ in files if any_file or reader_for(path) is not None}
    # A file that holds several parts gives streams NAME_PART.
    parts = {name[: m.start()] for name in known for m in re.finditer("_", name)}
    return names_of(list(names), {*options.streams, *known, *parts}, ids, closed=bool(known))


def _scan(
    files: Sequence[Placed],
    options: ImportOptions,
    scan: Scan,
    naming: Naming,
    progress: Callable[[int, int], None] | None = None,
) -> Scan:
    """Open files."""
    found: list[Found] = []
    wrong: dict[str, str] = {}
    told: dict[str, list[str]] = defaultdict(list)
    for path, relative, written in _counted(files, progress):
        if printable(written) != written:
            scan.leave_out(relative, "its name is not in UTF-8, as a manifest is. Rename it.")
            continue
        place = _place(relative, naming.named.get(_name(path), Named(path.stem, "")), options.match)
        if place is None:
            scan.leave_out(relative, "fits none of the patterns in import.match.")
            continue
        try:
            with hearing() as heard:
                held = _held(path, place, options)
                if held:
                    found += _open_held(path, written, place, options, held, scan)
                else:
                    found += _open(path, written, place, options)
            for what in dict.fromkeys(heard):
                told[what].append(relative)
        except ConfigError as error:
            # An option is wrong for a stream, not for a file: told once.
            wrong.setdefault(place.stream, str(error))
        except PlaitError as error:
            scan.leave_out(relative, str(error).replace(str(path), relative).removeprefix(f"{relative}: "))
    raise_all(ConfigError, [f"import.streams.{name}: {text}" for name, text in wrong.items()])
    scan.notes += [f"{some_of(paths, 3)}: {what}." for what, paths in told.items()]
    scan.named = {f.rule_name for f in found}
    without_clashes(found, scan)
    return scan


def _counted(files: Sequence[Placed], progress: Callable[[int, int], None] | None) -> Iterator[Placed]:
    for done, file in enumerate(files, 1):
        yield file
        if progress:
            progress(done, len(files))


def _name(path: Path) -> str:
    """The name that gives recording and stream; a folder has no ending, so its dots belong to its name."""
    name = path.absolute().name
    return f"{name}." if path.is_dir() and path.suffix != ".frames" else name


def _place(relative: str, told: Named, patterns: list[str]) -> Place | None:
    stem, middle = told
    if not patterns:
        return Place(relative, stem, middle)
    for pattern in patterns:
        if found := re.search(pattern, normal(relative)):
            named = {k: v for k, v in found.groupdict().items() if v is not None}
            known = {k: named.pop(k, "") for k in ("id", "stream", "group", "split")}
            known = {**known, "id": known["id"] or stem, "stream": known["stream"] or middle}
            return Place(relative, **known, meta={k: number(v) for k, v in named.items()})
    return None


def _open(path: Path, written: str, place: Place, options: ImportOptions) -> list[Found]:
    if not place.stream:
        return _open_unnamed(path, written, place, options)
    rule = _for_file(path, options.streams.get(place.stream, StreamOptions()))
    parts = open_streams(path, rule.reader, rule.options)
    single = len(parts) == 1
    if rule.part is not None:
        parts = {rule.part: _part(parts, rule.part, place)}
    name = rule.rename or place.stream
    return [
        _found(place, (f"{name}_{part}" if len(parts) > 1 else name, place.stream), rule,
               None if single else part, stream, written)
        for part, stream in parts.items()
    ]  # fmt: skip


def _held(path: Path, place: Place, options: ImportOptions) -> dict[str, dict[str, object]]:
    """Recordings of a file that holds several, and the options that open each."""
    name = reader_for(path)
    if name is None or find(Reader, name, "reader")[0].recordings is Reader.recordings:
        return {}
    check_path(path)
    return find(Reader, name, "reader")[0]().recordings(path)


def _open_held(
    path: Path, written: str, place: Place, options: ImportOptions, held: dict[str, dict[str, object]], scan: Scan
) -> list[Found]:
    """The streams of a file that holds several recordings: by its own names, unless a pattern names the stream."""
    found = []
    for id, own in held.items():
        try:
            # Opened twice: only its parts say by which name the rule is looked up, which may change how it is read.
            parts = open_streams(path, None, own)
            for part in parts:
                name = (options.match and place.stream) or part
                rule = options.streams.get(name, StreamOptions())
                rule = rule.model_copy(update={"options": {**rule.options, **own}})
                stream = open_streams(path, rule.reader, rule.options)[part]
                only = None if len(parts) == 1 else part
                found.append(
                    _found(replace(place, id=normal(id)), (rule.rename or name, name), rule, only, stream, written)
                )
        except DataError as error:
            scan.leave_out(f"{place.path}:{id}", str(error).replace(str(path), place.path))
    return found


def _for_file(path: Path, rule: StreamOptions) -> StreamOptions:
    """The rule for this file: the rate where the reader asks for it, and the file of times beside an array."""
    options = dict(rule.options)
    # A reader that knows rates needs it to open the file; for any other the manifest replaces the clock.
    given = rule.rate is not None and not {"rate", "times", "time"} & set(options)
    if given and _takes_rate(rule.reader or reader_for(path)):
        return rule.model_copy(update={"options": {**options, "rate": rule.rate}, "rate": None})
    beside = path.with_name(path.stem + TIMES)
    told = rule.rate is not None or rule.duration is not None or {"rate", "times"} & set(options)
    if path.suffix.lower() == ".npy" and not told and beside.is_file():
        options["times"] = beside.name
    return rule.model_copy(update={"options": options})


@cache
def _takes_rate(reader: str | None) -> bool:
    return reader is not None and "rate" in options_of(find(Reader, reader, "reader")[0])


def _part(parts: dict[str, Stream], part: str, place: Place) -> Stream:
    if part not in parts:
        known = ", ".join(parts) or "none"
        raise DataError(f"{place.path}: has no part {part!r}. It has: {known}.")
    return parts[part]


def _open_unnamed(path: Path, written: str, place: Place, options: ImportOptions) -> list[Found]:
    """A file whose streams the reader names; rules are looked up by those names."""
    try:
        parts = open_streams(path)
    except PlaitError:  # a table without times, say, needs the rate that a rule gives
        parts = _open_by_rule(path, options)
        if not parts:
            raise
    by_part = {rule.part: name for name, rule in options.streams.items() if rule.part}
    found = []
    for part, stream in parts.items():
        name = by_part.get(part, part)
        rule = _for_file(path, options.streams.get(name, StreamOptions()))
        if rule.reader or rule.options:
            stream = open_streams(path, rule.reader, rule.options).get(part, stream)
        only = None if len(parts) == 1 else part
        found.append(_found(place, (rule.rename or name, name), rule, only, stream, written))
    return found


def _open_by_rule(path: Path, options: ImportOptions) -> dict[str, Stream]:
    """The streams of a file that opens only with the options of its stream."""
    for name, given in options.streams.items():
        rule = _for_file(path, given)
        if rule.reader or rule.options:
            try:
                parts = open_streams(path, rule.reader, rule.options)
            except PlaitError:
                continue
            if name in parts:
                return {name: parts[name]}
    return {}


def _found(
    place: Place, names: tuple[str, str], rule: StreamOptions, part: str | None, stream: Stream, written: str
) -> Found:
    """A stream with its manifest entry; ``names`` are its name and the one by which rules are looked up."""
    entry = StreamEntry(
        path=written,
        part=part,
        reader=rule.reader,
        options=rule.options,
        rate=rule.rate,
        duration=rule.duration,
        offset=rule.offset,
    )
    clock = _clock(entry, stream.clock)
    annotations = tier_of(stream.on(clock), names[0]) if rule.tier else None
    return Found(place, *names, entry, facts_of(stream, clock), annotations)
