"""Files of a Hugging Face dataset, as ``save_to_disk`` lays them out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plait.core.errors import DataError

__all__ = ["described", "object_of", "parts_of", "rows_of"]


def parts_of(path: Path) -> list[Path]:
    """Folders of the dataset's parts: itself, or, of a dictionary of datasets, one each.

    Raises:
        DataError: it is none.
    """
    listed = path / "dataset_dict.json"
    if listed.is_file():
        names = object_of(listed).get("splits", [])
        folders = [path / str(n) for n in names if re.fullmatch(r"[\w.-]+", str(n)) and (path / str(n)).is_dir()]
    else:
        folders = [path] if (path / "state.json").is_file() else []
    if not folders:
        raise DataError(f"{path}: is no dataset of Hugging Face. Expected what `save_to_disk` writes, with state.json.")
    return folders


def described(folder: Path) -> dict[str, object]:
    """What plait noted when it wrote the dataset; empty for those of others."""
    about = object_of(folder / "dataset_info.json").get("description")
    try:
        found = json.loads(about or "{}")
    except (ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def object_of(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Write the dataset anew.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds {type(found).__name__}; expected an object. Write the dataset anew.")
    return found


def rows_of(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of one part, a batch of the file in memory at a time; of numbers, arrays.

    Raises:
        DataError: a file is missing, no Arrow stream, or cut short.
    """
    import pyarrow as pa

    for entry in object_of(folder / "state.json").get("_data_files", []):
        name = str(entry.get("filename", "")) if isinstance(entry, dict) else ""
        path = folder / Path(name).name
        try:
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    for i in range(batch.num_rows):
                        yield {c: batch.column(c)[i] for c in batch.schema.names}
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be read as Arrow ({error}). Write the dataset anew.") from error
