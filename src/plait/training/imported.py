"""Raw folders as the corpus of a run: imported once, into the run's own manifest, which says what it was made of."""

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
    """What stands beside a manifest that was imported for a run: SHA-256 of the plan and of the manifest as written."""

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
    """Import a raw folder into ``manifest``, unless it is there already and was imported by the same plan.

    One that was imported by another plan is made anew, as long as nobody has changed it since.

    Raises:
        ConfigError: there is a manifest that another import, or a person, has made.
        DataError: nothing in the folder could be understood.
    """
    wanted = _digest_of(plan)
    if manifest.exists():
        note = _read(note_of(manifest))
        if note is not None and note.plan == wanted:
            return
        if note is None or note.manifest != _digest(manifest):
            raise ConfigError(
                f"{manifest}: is there already, and is not what an import of {plan.folder} with these options made. "
                "Move it away, name it as the corpus, or choose another --out."
            )
        discard_import(manifest)
    # the note first: a manifest whose import was cut off just after it was written is still known as ours
    manifest.parent.mkdir(parents=True, exist_ok=True)
    write_text(note_of(manifest), _Note(plan=wanted, manifest="").model_dump_json())
    try:
        import_folder(plan.folder, out=manifest, options=plan.options)
    except BaseException:
        note_of(manifest).unlink()
        raise
    write_text(note_of(manifest), _Note(plan=wanted, manifest=_digest(manifest)).model_dump_json())


def move_import(old: Path, new: Path) -> None:
    """Put an imported manifest, with its note, in the place of another."""
    os.replace(old, new)  # first: cut off here, the old note tells that this is not the manifest that it is of
    os.replace(note_of(old), note_of(new))


def discard_import(manifest: Path) -> None:
    """Delete an imported manifest and its note; one without a note is somebody else's and stays."""
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
