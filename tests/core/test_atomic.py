from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plait.core.atomic import replacing, sweep, write_text


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def interrupted() -> None:
        with replacing(target) as part:
            part.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    write_text(target, "new é")
    assert target.read_text(encoding="utf-8") == "new é"


def test_writers_at_once_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with replacing(target) as first, replacing(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first", "the last to finish wins, whole"


def test_the_umask_is_kept(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


KILLED = """
import sys
from plait.core.atomic import replacing
with replacing(sys.argv[1]) as part, open(part, "w") as out:
    out.write("half")
    out.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_killed_writer_leaves_the_old_file_and_a_part_that_is_swept(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    target.parent.mkdir()
    write_text(target, "old")
    command = [sys.executable, "-c", KILLED, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert target.read_text() == "old"
    (left,) = target.parent.glob("*.part")
    assert sweep(target.parent) == 0, "it may still be written to"
    past = time.time() - 7200
    os.utime(left, (past, past))
    assert sweep(tmp_path) == 0, "it lies deeper"
    assert sweep(target.parent) == 1
    assert list(target.parent.iterdir()) == [target]
