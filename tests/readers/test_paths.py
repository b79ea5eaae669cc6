"""What is no regular file or folder is refused before anything waits on it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from plait.core.errors import DataError
from plait.core.parts import parts
from plait.importing.folder import import_folder
from plait.readers import Reader, open_streams, reader_for
from plait.readers._words import read_bytes

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes in the file system")


@pytest.mark.parametrize("ending", sorted({s for cls in parts(Reader).values() for s in cls.suffixes} - {"/"}))
def test_a_pipe_is_refused_by_every_ending_at_once(ending, tmp_path):
    path = tmp_path / f"a{ending}"
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"a.*: is a pipe; expected a regular file or a folder"):
        open_streams(path)


def test_sockets_and_devices_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket may have some 100 bytes
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("a.wav")
        with pytest.raises(DataError, match=r"a\.wav: is a socket"):
            open_streams(Path("a.wav"))
    (tmp_path / "b.csv").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"b\.csv: is a device"):
        open_streams(tmp_path / "b.csv")


def test_a_pipe_among_the_pictures_of_a_folder_is_refused(tmp_path):
    (tmp_path / "a.frames").mkdir()
    os.mkfifo(tmp_path / "a.frames" / "1.png")
    with pytest.raises(DataError, match=r"1\.png: is a pipe"):
        open_streams(tmp_path / "a.frames", None, {"rate": 25})["frames"].read()
    with pytest.raises(DataError, match="is a pipe"):
        read_bytes(tmp_path / "a.frames" / "1.png")


def test_importing_a_folder_leaves_pipes_out(tmp_path):
    (tmp_path / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    held = next(n for n, cls in parts(Reader).items() if cls.recordings is not Reader.recordings)
    ending = parts(Reader)[held].suffixes[0]
    for name in ("x.wav", f"y{ending}"):
        os.mkfifo(tmp_path / name)
    assert reader_for(tmp_path / f"y{ending}") == held
    report = import_folder(tmp_path)
    assert report.recordings == 1
    assert {name for name, why in report.left_out.items() if "is a pipe" in why} == {"x.wav", f"y{ending}"}


@pytest.mark.parametrize(
    ("name", "what"), [("a\0b.wav", "null"), ("x" * 300 + ".wav", "name too long"), ("loop.wav", "symbolic links")]
)
def test_names_that_cannot_be_opened_are_told_as_such(name, what, tmp_path):
    if name == "loop.wav":
        (tmp_path / name).symlink_to(name)
    with pytest.raises(DataError, match=rf"(?i){what}"):
        open_streams(tmp_path / name)
