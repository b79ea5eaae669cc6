"""Import: a folder of raw files becomes a corpus, by naming convention and a few options."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from plait.core.errors import DataError, raise_all
from plait.corpus.corpus import write_manifest
from plait.importing.drafts import Importer
from plait.importing.found import printable
from plait.importing.options import ImportOptions, import_options
from plait.importing.report import ImportReport
from plait.importing.scan import scan_files
from plait.importing.untold import Rates, give_rates

__all__ = ["ImportOptions", "ImportReport", "import_files", "import_folder", "import_options"]


def import_folder(
    folder: str | Path,
    *,
    out: str | Path | None = None,
    options: ImportOptions | Mapping[str, object] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Make a manifest of the files in a folder.

    By convention ``talk01.mp4``, ``talk01.imu.csv`` and ``notes/talk01.srt`` are streams of the recording
    ``talk01``: what follows the name of another file is the stream's name; without it the reader suggests
    one (`plait.importing.naming` has the whole rule). A folder of a known format is one recording.
    ``labels.csv`` holds labels. Options (see `ImportOptions`) apply where names are not enough. Recordings whose
    clocks are dates get an origin, so that their seconds start at 0 with their first stream; the date is
    kept as ``meta["epoch"]``.

    Args:
        folder: what to import; nothing in it is changed but the manifest.
        out: where the manifest goes (a ``.jsonl`` file or a folder); default ``folder/manifest.jsonl``.
            Paths are relative to the manifest's folder. If they have to leave it, open the corpus with
            ``allow_outside=True``.
        options: how to understand the files.
        overwrite: whether to replace a manifest that is there.
        progress: called with (done, total) after each file.

    Returns:
        What was understood, and what was left out and why. A file that cannot be opened is left out.

    Raises:
        ConfigError: an option is wrong; all of them at once.
        DataError: no such folder, a manifest is there already, or nothing could be imported.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "labels.csv").write_text("id,text,mood\\na,hello there,1\\nb,go away,0\\n")
    >>> report = import_folder(folder, options={"labels": {"text": "text"}})
    >>> report.recordings, report.labels["labels"]["mood"]["counts"]
    (2, {'0': 1, '1': 1})
    """
    checked = import_options(options)
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Give the folder that holds the recordings.")
    manifest = _target(root, out)
    if manifest.exists() and not overwrite:
        raise DataError(f"{manifest}: is there already. Remove it, allow overwriting, or write elsewhere.")
    importer = Importer(root, manifest, checked)
    importer.files(progress)
    importer.rows()
    importer.tables()
    entries = importer.entries()
    write_manifest(manifest, entries)
    return importer.report(entries)


def _target(root: Path, out: str | Path | None) -> Path:
    if out is None:
        return root / "manifest.jsonl"
    path = Path(out)
    return path if path.suffix == ".jsonl" else path / "manifest.jsonl"


def import_files(
    paths: Sequence[str | Path],
    *,
    out: str | Path,
    options: ImportOptions | Mapping[str, object] | None = None,
    known: Collection[str] = (),
    rates: Rates | None = None,
) -> ImportReport:
    """Make a manifest of a few files and folders, wherever they are: new recordings, to be predicted.

    Names are understood as by `import_folder`; patterns are searched in the paths as given. Of the options only
    ``match``, ``id_match``, ``streams`` and ``skip`` count: labels and groups are not needed, tables not looked for.

    Args:
        paths: media files, or folders of them.
        out: the manifest to write (replaced where there is one); open it with ``allow_outside=True``.
        options: how the training corpus was imported.
        known: names of its streams.
        rates: by stream, the observations per second of arrays that do not state them; None where it is not known.
            Arrays of other streams are taken as 1 per second, which is noted.

    Returns:
        What was understood; of folders, also what was left out.

    Raises:
        ConfigError: an option is wrong.
        DataError: a file that was named cannot be opened (all of them at once), there is nothing to import, or
            a rate is not known.
    """
    unneeded: dict[str, object] = {"labels": [], "rows": [], "group": None, "labels_from_meta": []}
    checked = import_options(options).model_copy(update=unneeded)
    # Labels, groups and rows are answers of the training corpus; new recordings have none yet.
    manifest, given = _target(Path(), out), [Path(p) for p in paths]
    importer = Importer(Path(), manifest, checked)
    scan = scan_files(given, manifest.parent, checked, known)
    named = [printable(p.as_posix()) for p in given]
    raise_all(DataError, [f"{path}: {scan.left_out[path]}" for path in named if path in scan.left_out])
    give_rates(scan.streams, rates or {})
    importer.take(scan)
    entries = importer.entries()
    write_manifest(manifest, entries)
    return importer.report(entries)
