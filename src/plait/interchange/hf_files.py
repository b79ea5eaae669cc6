"""The files of a Hugging Face dataset, in the layout of ``save_to_disk``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from plait.core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Row", "described", "object_of", "parts_of", "rows_of"]


Row = dict[str, "pa.Scalar"]
"""A row of a dataset: a value of Arrow per column."""


def parts_of(path: Path) -> list[Path]:
    """Folders of the dataset's parts: the dataset itself, or one per dataset of a dictionary of datasets.

    Raises:
        DataError: it is not a dataset.
    """
    listed = path / "dataset_dict.json"
    if listed.is_file():
        splits = object_of(listed).get("splits")
        names = splits if isinstance(splits, list) else []
        # The file is another's: a name with a slash in it could lead out of the folder.
        folders = [path / str(n) for n in names if re.fullmatch(r"[\w.-]+", str(n)) and (path / str(n)).is_dir()]
    else:
        folders = [path] if (path / "state.json").is_file() else []
    if not folders:
        raise DataError(
            f"{path}: is not a dataset of Hugging Face. Expected what `save_to_disk` writes, with state.json."
        )
    return folders


def described(folder: Path) -> dict[str, object]:
    """What plait noted when it wrote the dataset; empty if another tool wrote it."""
    about = object_of(folder / "dataset_info.json").get("description")
    try:
        found = json.loads(about) if isinstance(about, str) and about else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def object_of(path: Path) -> dict[str, object]:
    """The object in a JSON file.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Write the dataset anew.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds {type(found).__name__}; expected an object. Write the dataset anew.")
    return found


def rows_of(folder: Path) -> Iterator[Row]:
    """The rows of one part, with one batch of the file in memory at a time.

    Raises:
        DataError: a file is missing, is not an Arrow stream, or is cut short.
    """
    import pyarrow as pa

    files = object_of(folder / "state.json").get("_data_files")
    for entry in files if isinstance(files, list) else []:
        name = str(entry.get("filename", "")) if isinstance(entry, dict) else ""
        path = folder / Path(name).name
        try:
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    for i in range(batch.num_rows):
                        yield {c: batch.column(c)[i] for c in batch.schema.names}
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be read as Arrow ({error}). Write the dataset anew.") from error
