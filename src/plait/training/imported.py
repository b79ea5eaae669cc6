"""Import a raw folder once as the corpus of a run, with a note of what the manifest was made of."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from plait.core.atomic import read_bytes, write_text
from plait.core.errors import ConfigError
from plait.importing.folder import import_folder
from plait.recipe import CorpusPlan

__all__ = ["discard_import", "import_once", "move_import", "note_of"]


class _Note(BaseModel):
    """The note beside an imported manifest: SHA-256 of the import's plan and of the manifest as it was written."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["plait import 1"] = "plait import 1"
    plan: str
    manifest: str


def note_of(manifest: Path) -> Path:
    """The file beside an imported manifest that says what it was made of.

    >>> note_of(Path("runs/mood/manifest.jsonl")).name
    'manifest.import.json'
    """
    return manifest.with_suffix(".import.json")


def import_once(plan: CorpusPlan, manifest: Path) -> None:
    """Import a raw folder into ``manifest``, unless an import with the same plan has made it already.

    A manifest that was imported with another plan is replaced, if nobody has changed it since.

    Raises:
        ConfigError: a person made or changed the manifest that is there.
        DataError: nothing in the folder could be understood.
    """
    wanted = _digest_of(plan)
    if manifest.exists():
        note = _read(note_of(manifest))
        if note is not None and note.plan == wanted:
            return  # even if somebody has edited it since: corrections by hand stay
        if note is None or note.manifest != _digest(manifest):
            raise ConfigError(
                f"{manifest}: is there already, and is not what an import of {plan.folder} with these options made. "
                "Move it away, name it as the corpus, or choose another --out."
            )
        discard_import(manifest)
    # The note first: a manifest whose import was cut off just after it was written is still known as ours.
    manifest.parent.mkdir(parents=True, exist_ok=True)
    write_text(note_of(manifest), _Note(plan=wanted, manifest="").model_dump_json())
    try:
        import_folder(plan.folder, out=manifest, options=plan.options)
    except BaseException:  # an interrupt too: a note without its manifest claims a file that somebody may put there
        note_of(manifest).unlink()
        raise
    write_text(note_of(manifest), _Note(plan=wanted, manifest=_digest(manifest)).model_dump_json())


def move_import(old: Path, new: Path) -> None:
    """Move an imported manifest and its note, over another pair."""
    os.replace(old, new)  # first: if cut off here, the old note does not fit this manifest, and its digest shows that
    os.replace(note_of(old), note_of(new))


def discard_import(manifest: Path) -> None:
    """Delete an imported manifest and its note; a manifest without a note stays, since a person made it."""
    if _read(note_of(manifest)) is not None:
        manifest.unlink(missing_ok=True)
        note_of(manifest).unlink()


def _read(path: Path) -> _Note | None:
    try:
        return _Note.model_validate_json(read_bytes(path))
    except (OSError, ValidationError):
        return None


def _digest_of(plan: CorpusPlan) -> str:
    text = json.dumps([str(Path(plan.folder).resolve()), plan.options], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()
