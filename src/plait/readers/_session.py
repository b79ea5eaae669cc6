"""The text files of a folder, or of a .zip that is read without unpacking it to disk."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from plait.core.errors import DataError
from plait.readers._archive import opened_member
from plait.readers._budget import USUAL, Budget
from plait.readers._words import decoded, read_text

__all__ = ["File", "session_files"]


@dataclass(frozen=True)
class File:
    """A file of a session: of a folder, or a member of an archive."""

    place: Path
    member: str = ""
    budget: Budget = USUAL

    def __str__(self) -> str:
        return f"{self.place}/{self.member}" if self.member else str(self.place)

    @property
    def shown(self) -> Path:
        """A path for messages."""
        return self.place / self.member

    def text(self) -> str:
        """Its content.

        Raises:
            DataError: it is not there, is packed in a way that is not read, is too large, or is no UTF-8.
        """
        if not self.member:
            return read_text(self.place)
        purse = self.budget.purse(self.place)
        try:
            with zipfile.ZipFile(self.place) as archive, opened_member(archive, self.member, purse) as file:
                data = file.read()
        except DataError:
            raise
        except Exception as error:  # zipfile raises whatever broken bytes lead to
            raise DataError(
                f"{self}: cannot be unpacked ({error}). Get a whole copy, or unpack it yourself."
            ) from error
        return decoded(data, self.shown, "utf-8")


def session_files(path: Path, budget: Budget = USUAL) -> dict[str, File]:
    """The CSV files at the top of a folder or archive, or in an archive's only top folder, by name.

    Raises:
        DataError: there is neither, or the archive is broken.
    """
    if path.is_dir():
        return {p.name: File(p) for p in path.glob("*.csv")}
    if not path.is_file():
        raise DataError(f"{path}: no such folder or archive. Correct the path or put it there.")
    try:
        with zipfile.ZipFile(path) as archive:
            # macOS puts a shadow of each file into archives.
            members = [m for m in archive.namelist() if m.endswith(".csv") and not m.startswith("__MACOSX")]
    except Exception as error:  # as above
        raise DataError(f"{path}: is no whole archive ({error}). Get it anew, or unpack it yourself.") from error
    folders = {str(PurePosixPath(m).parent) for m in members}
    if len(folders) > 1:
        members = [m for m in members if "/" not in m]
    return {PurePosixPath(m).name: File(path, m, budget) for m in members}
