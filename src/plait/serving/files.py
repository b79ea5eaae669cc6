"""Answers for the files of one recording. What is uploaded is written to a temporary folder only, and is gone after."""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse

from plait.core.errors import DataError, PlaitError, raise_all
from plait.importing.report import ImportReport
from plait.prediction.predict import Predictor
from plait.readers import reader_for
from plait.serving.served import Served
from plait.store.store import Store

__all__ = ["BODIES", "predicted", "segments_of"]

FILES = 64
"""Most files of a recording."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)

_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<MPD")
"""What media files that name other files begin with; a decoder would open those."""

_SECONDS = re.compile(r"(\d{1,7}(?:\.\d{1,6})?)-(\d{1,7}(?:\.\d{1,6})?)")

BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""For the schema: files, each with its name; or the bytes of one file, named in the query."""


async def predicted(
    request: Request, served: Served, name: str | None, segments: Sequence[tuple[float, float]], ask: str | None
) -> JSONResponse:
    """The predictions for the files of a request.

    Raises:
        DataError: no files, or such as the model cannot answer for.
        Overloaded: too many wait.
    """
    folder = tempfile.TemporaryDirectory(prefix="plait-serve-")
    try:
        paths = [path async for path in _written(request, Path(folder.name), name)]
        if not paths:
            raise DataError("there are no files. Send them as multipart/form-data, or one as body, with ?name=.")
        work = partial(_answers, paths=paths, folder=Path(folder.name), segments=segments, ask=ask)
        found = await served.files.submit("files", partial(work, served.predictor))
    except BaseException:
        folder.cleanup()
        raise
    if served.shadow is None:
        done = BackgroundTask(folder.cleanup)
    else:  # it reads the same files
        offer = served.shadow.offer
        done = BackgroundTask(offer, lambda p: work(p)["predictions"], found["predictions"], folder.cleanup)
    return JSONResponse({"model": served.name, "version": served.version, **found}, background=done)


def segments_of(texts: Sequence[str]) -> list[tuple[float, float]]:
    """Ranges of seconds, such as 3-8.5.

    >>> segments_of(["3-8.5"])
    [(3.0, 8.5)]

    Raises:
        DataError: one is none.
    """
    found = [_SECONDS.fullmatch(text) for text in texts]
    problems = [f"segment {t[:50]!r}: expected START-STOP, in seconds." for t, m in zip(texts, found) if m is None]
    raise_all(DataError, problems)
    return [(float(m[1]), float(m[2])) for m in found if m is not None]


def _answers(
    predictor: Predictor, *, paths: list[Path], folder: Path, segments: Sequence[tuple[float, float]], ask: str | None
) -> dict[str, Any]:
    # features are uploads too: a store of their own, which goes with the folder
    own = copy.copy(predictor)
    own.store = Store(folder / "cache")
    reports = list[ImportReport]()
    try:
        rows = own(paths, segments=segments, ask=ask, told=reports.append)
    except PlaitError as error:  # where the folder is, is nobody's business
        raise DataError([p.replace(f"{folder}/", "") for p in error.problems]) from error
    left_out = {str(Path(k).name): x for r in reports for k, x in r.left_out.items()}
    notes = [note for r in reports for note in r.notes]
    return {"predictions": [row.to_json() for row in rows], "left_out": left_out, "notes": notes}


async def _written(request: Request, folder: Path, name: str | None) -> AsyncIterator[Path]:
    if request.headers.get("content-type", "").startswith("multipart/"):
        async with request.form(max_files=FILES, max_fields=FILES) as form:
            for part in [x for _, x in form.multi_items() if isinstance(x, UploadFile)]:
                path = _place(folder, part.filename)
                with path.open("xb") as file:
                    while piece := await part.read(1 << 20):
                        file.write(piece)
                yield _checked(path)
        return
    path, size = _place(folder, name), 0
    with path.open("xb") as file:
        async for piece in request.stream():
            size += file.write(piece)
    if size:
        yield _checked(path)


def _place(folder: Path, name: str | None) -> Path:
    """Where a file goes. Its name says format and stream, as on disk; a name with folders in it is none.

    Raises:
        DataError: there is no such name, or it stands there twice.
    """
    if name is None or not _NAME.fullmatch(name) or reader_for(Path(name)) is None:
        raise DataError(
            f"file {str(name)[:50]!r}: expected a name of letters, digits, '.', '_' and '-', with the ending of a "
            "format, such as talk.mp4 or talk.imu.csv."
        )
    if (folder / name).exists():
        raise DataError(f"file {name!r}: stands there twice.")
    return folder / name


def _checked(path: Path) -> Path:
    with path.open("rb") as file:
        begin = file.read(2048).lstrip(b"\xef\xbb\xbf \t\r\n")
    if any(begin.startswith(mark) or (mark == b"<MPD" and mark in begin) for mark in _PLAYLISTS):
        raise DataError(f"file {path.name!r}: names other files. Send those that are meant.")
    return path
