"""The files of a folder that may be recordings, without leftovers of operating systems, copying and downloads."""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Collection, Iterator, Set
from fnmatch import fnmatch
from pathlib import Path

from plait.importing.found import Scan
from plait.importing.untold import TIMES
from plait.readers import reader_for

__all__ = ["walk"]

SYSTEM = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "@eadir"}
"""Files and folders of Windows, macOS and storage devices, in small letters."""

SHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")

COPY = re.compile(
    r"(?:(?:copy|kopie|copie|copia) (?:of|von|de) )?(?P<of>.+?)"
    r"(?:(?: - | )(?:copy|kopie|copie|copia)(?: ?\(\d+\)| \d+)?| ?\(\d+\))?",
    re.IGNORECASE,
)
"""How systems name copies: ``talk (2).mp4``, ``talk - Copy.mp4``, ``Copy of talk.mp4``."""


def walk(root: Path, skip: Collection[str], special: Set[Path], scan: Scan) -> Iterator[Path]:
    """Files, and folders that a reader claims, in order; what is skipped is recorded in ``scan``.

    Args:
        root: a folder.
        skip: file patterns to leave out.
        special: files that are no streams.
        scan: collects what is left out, and why.
    """
    if reader_for(root) is not None:
        yield root
        return
    unseen = 0

    def locked(error: OSError) -> None:
        scan.leave_out(Path(error.filename).relative_to(root).as_posix(), f"cannot be looked into ({error.strerror}).")

    # Sorted below: the order of a disk differs between machines.
    for here, folders, files in os.walk(root, onerror=locked):
        kept: list[str] = []
        for name in sorted(folders):
            path = Path(here, name)
            if _is_systems(name):
                unseen += 1
            elif not _left_out(path, root, skip, scan):
                if reader_for(path) is not None:
                    yield path
                else:
                    kept.append(name)
        folders[:] = [name for name in kept if not _is_linked(Path(here, name), root, scan)]
        for name in sorted(files):
            path = Path(here, name)
            if _is_systems(name):
                unseen += 1
            elif (
                Path(os.path.realpath(path)) not in special
                and not _are_times(path)
                and not _left_out(path, root, skip, scan)
            ):
                yield path
    if unseen:
        scan.notes.append(f"{unseen} hidden files and folders, and those of the system, were not looked at.")


def _is_systems(name: str) -> bool:
    # ~$talk.xlsx is the lock of a spreadsheet that is open.
    return name.startswith((".", "~$")) or name.lower().strip() in SYSTEM


def _are_times(path: Path) -> bool:
    return path.name.endswith(TIMES) and path.with_name(path.name.replace(TIMES, ".npy")).is_file()


def _is_linked(path: Path, root: Path, scan: Scan) -> bool:
    # Links to folders may form a circle, or lead out of what the user named.
    if path.is_symlink():
        scan.leave_out(path.relative_to(root).as_posix(), "is a link to a folder, which is not followed. Import that.")
    return path.is_symlink()


def _left_out(path: Path, root: Path, skip: Collection[str], scan: Scan) -> bool:
    """Whether a path is no recording; if so, it is recorded why."""
    relative = path.relative_to(root).as_posix()
    why = _why_not(path, relative, skip, scan)
    if why:
        scan.leave_out(relative, why)
    return bool(why)


def _why_not(path: Path, relative: str, skip: Collection[str], scan: Scan) -> str:
    if any(fnmatch(relative, pattern) or fnmatch(path.name, pattern) for pattern in skip):
        return "skipped, as import.skip says."
    if path.is_dir():
        return ""
    if path.suffix.lower() in SHEETS:
        return "is a spreadsheet. Save it as CSV in UTF-8; as labels.csv if it holds labels."
    if path.is_file() and not path.stat().st_size:
        return "is empty (0 bytes). Copy it anew, or delete it."
    return _copied(path, scan)


def _copied(path: Path, scan: Scan) -> str:
    """Why a file is a copy of one beside it, or ''; a file that is only named like a copy is noted."""
    found = COPY.fullmatch(path.stem)
    original = path.with_name(f"{found['of']}{path.suffix}") if found else path
    if original.name == path.name or not original.is_file() or not path.is_file():
        return ""
    try:
        # Size and time alone (shallow) do not make a copy: takes of one length have the same size.
        same = filecmp.cmp(original, path, shallow=False)
    except OSError:  # its reader says what is wrong with it
        return ""
    if same:
        return f"is {original.name} again, byte for byte. Delete it."
    scan.notes.append(f"{path.name}: is named like a copy of {original.name} but differs, so it is another recording.")
    return ""
