"""What a scan of a folder finds, and a unique name for each stream of a recording."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from plait.corpus.corpus import AnnotationEntry, StreamEntry
from plait.corpus.summary import Facts

__all__ = ["Found", "Place", "Scan", "printable", "without_clashes"]


@dataclass(frozen=True)
class Place:
    """What a file's name says: the recording, the stream ('' if the reader is to name it), and more."""

    path: str
    id: str
    stream: str = ""
    group: str = ""
    split: str = ""
    meta: dict[str, object] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def suffix(self) -> str:
        return self.path.rpartition("/")[2].rpartition(".")[2].lower()


@dataclass
class Found:
    """One stream of one file: its name in the corpus, and the one by which rules are looked up."""

    place: Place
    name: str
    rule_name: str
    entry: StreamEntry
    facts: Facts
    annotations: list[AnnotationEntry] | None = None
    """Its observations, where they are to be a tier of annotations in place of a stream."""


@dataclass
class Scan:
    """What a folder holds; ``named`` are the streams' names before renaming."""

    streams: list[Found] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)

    def leave_out(self, path: str, why: str) -> None:
        """Record that a file was left out, and why."""
        self.left_out[printable(path)] = why


def printable(name: str) -> str:
    """A name with bytes that are no UTF-8 written as escapes; disks with another encoding have such names."""
    # Python keeps such bytes as lone surrogates, which UTF-8 refuses to encode.
    return name.encode("utf-8", "backslashreplace").decode()


def without_clashes(found: list[Found], scan: Scan) -> None:
    """Give each stream of a recording a unique name.

    Where files with different endings give the same stream in most recordings, the first ending keeps the name and the
    others are named by their ending, in every recording, so that a name means the same everywhere. Where only a few
    recordings have both, these hold the stream twice: the ending that most others have is kept, the rest is left out
    with a note.
    """
    owners: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for f in found:
        owners[f.place.id, f.name].append(f)
    endings = {name: own for name, own in _clashing(owners).items() if len(own) > 1}
    common = Counter((f.name, f.place.suffix) for f in found)
    found = sorted(found, key=lambda f: -common[f.name, f.place.suffix])  # stable: of equals the first
    taken: dict[tuple[str, str], Found] = {}
    apart = False
    for f in found:
        name = f.name
        # By the alphabet, so that the same ending keeps the name whatever is found first.
        if f.place.suffix in sorted(endings.get(name, ()))[1:]:
            name = f"{name}_{f.place.suffix}" if f.place.stream or f.entry.part else f.place.suffix
        owner = taken.setdefault((f.place.id, name), f)
        if owner is not f:
            apart |= owner.place.folder != f.place.folder
            scan.leave_out(
                f.place.path,
                f"recording {f.place.id!r} has a stream {name!r} from {owner.place.path} already. "
                "Tell them apart with import.match: (?P<id>...) and (?P<stream>...).",
            )
            continue
        f.name = name
        scan.streams.append(f)
    if apart:
        scan.notes.append(_by_folder(found))
    for name, several in endings.items():
        kept, *others = sorted(several)
        scan.notes.append(f"several files hold {name!r}: .{kept} keeps the name; {', '.join(others)} by ending.")


def _by_folder(found: list[Found]) -> str:
    """A note on how to import files whose names occur in several folders."""
    names: dict[str, set[str]] = defaultdict(set)
    endings: Counter[tuple[str, str]] = Counter()
    for path in {f.place.path: f for f in found}:
        folder, _, name = path.rpartition("/")
        names[folder].add(name)
        endings[folder, name.rpartition(".")[2].lower()] += 1
    if len(set().union(*names.values())) > len(names):  # as of cameras, which number anew in each folder
        return f"the same names stand in several folders. If they are different recordings: import.match: {PATH!r}."
    pattern = FOLDER_STREAM if max(endings.values()) > 1 else FOLDER
    return f"the same names stand in several folders. If each folder is a recording: import.match: {pattern!r}."


PATH = r"(?P<id>.+)\.[^./]+$"
FOLDER = r"(?P<id>.+)/[^/]+$"
FOLDER_STREAM = r"(?P<id>.+)/(?P<stream>[^/.]+)[^/]*$"


def _clashing(owners: Mapping[tuple[str, str], list[Found]]) -> dict[str, set[str]]:
    """By stream, its endings, if at least half of the recordings that have the stream have it in several files."""
    clashes, all_of = defaultdict[str, list[set[str]]](list), Counter[str]()
    for (_, name), own in owners.items():
        all_of[name] += 1
        if len(suffixes := {f.place.suffix for f in own}) > 1:
            clashes[name].append(suffixes)
    return {name: set().union(*several) for name, several in clashes.items() if 2 * len(several) >= all_of[name]}
