"""What the viewer is given, read back from its file by rerun's own tool."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import ConfigError
from plait.corpus.corpus import Corpus
from plait.interchange.viewer import LOOPBACK, VIEWER, _extremes, view
from plait.streams.recording import Annotation, Recording
from plait.streams.stream import Stream

rerun = pytest.importorskip("rerun")


def made() -> Recording:
    rng = np.random.default_rng(0)
    imu = rng.normal(size=(50, 2))
    imu[10:20, 1] = np.nan
    pose = rng.normal(size=(30, 4, 3))
    pose[3, 2] = np.nan
    return Recording(
        "a",
        {
            "film": Stream.of(rng.integers(0, 255, (25, 30, 40, 3), np.uint8), rate=25),
            "voice": Stream.of(rng.normal(size=16000).astype(np.float32), rate=8000, kind="waveform"),
            "imu": Stream.of(imu, rate=25),
            "body": Stream.of(pose, rate=30),
            "said": Stream.of(["hi", "there"], spans=([0, 1], [0.5, 1.5])),
        },
        annotations=(Annotation(0, 1, "nod", "gesture"),),
    )


def printed(path: Path) -> str:
    tool = shutil.which("rerun") or str(Path(sys.executable).with_name("rerun"))
    done = subprocess.run([tool, "rrd", "print", "-vvv", str(path)], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_every_stream_is_on_one_time_line(tmp_path: Path) -> None:
    path = tmp_path / "a.rrd"
    shown = view(made(), save=path, rate=5)
    assert shown == {"film": 5, "voice": 400, "imu": 100, "body": 30, "said": 2, "annotations/gesture": 1}
    text = printed(path)
    for name in ("film", "voice", "imu/0", "imu/1", "body", "said", "annotations/gesture"):
        assert f"/{name}" in text, name
    for what in ("EncodedImage", "Scalars", "Points3D", "TextLog", "seconds"):
        assert what in text, what


def test_peaks_of_a_long_sound_are_kept() -> None:
    values = np.zeros((100_000, 1))
    values[54_321], values[70_001] = 1.0, -1.0
    times, shown = _extremes(Stream.of(values, rate=1000), 500)
    assert len(times) == len(shown) <= 510
    assert (shown.max(), shown.min()) == (1.0, -1.0)
    assert times[int(np.argmax(shown[:, 0]))] == pytest.approx(54.321, abs=0.5)


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its folder is not there"):
        view(made(), save=tmp_path / "no/a.rrd")


def test_without_a_display_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ConfigError, match=r"no display here .* --save FILE\.rrd, and open it .*--bind 127\.0\.0\.1"):
        view(made())


STUB = """
import json, shutil, sys
shutil.copy(sys.argv[-1], "{folder}/seen.rrd")
json.dump(sys.argv[1:], open("{folder}/arguments.json", "w"))
sys.stderr.write("no graphics")
sys.exit({code})
"""


@pytest.mark.parametrize("code", [0, 3])
def test_the_viewer_is_given_the_file_and_listens_on_loopback_only(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stub.py").write_text(STUB.format(folder=tmp_path.as_posix(), code=code))
    monkeypatch.setattr("plait.interchange.viewer.VIEWER", (sys.executable, str(tmp_path / "stub.py")))
    monkeypatch.setenv("DISPLAY", ":0")
    if code:
        with pytest.raises(ConfigError, match=r"ended with 3 \(no graphics\)\. Write a file with --save"):
            view(made())
    else:
        assert view(made())["said"] == 2
    arguments = json.loads((tmp_path / "arguments.json").read_text())
    assert arguments[arguments.index("--bind") + 1] == "127.0.0.1"
    assert (tmp_path / "seen.rrd").stat().st_size > 1000
    assert not Path(arguments[-1]).exists()


@pytest.mark.slow
def test_the_viewer_knows_these_options_and_binds_to_loopback() -> None:
    """By its own server without a window, since there may be no display."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*VIEWER, "--serve-grpc", "--bind", LOOPBACK, "--port", str(port), "--hide-welcome-screen"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            assert any(f"127.0.0.1:{port}" in line for line in server.stdout)
        finally:
            server.terminate()


@pytest.mark.slow
def test_the_command(corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from plait.cli import main

    assert main(["view", str(corpus.path), "talk.1", "--save", str(tmp_path / "a.rrd"), "--json"]) == 0
    assert '"voice": 800' in capsys.readouterr().out
    assert (tmp_path / "a.rrd").stat().st_size > 1000
    out = str(tmp_path / "shards")
    arguments = ["export", str(corpus.path), "--to", "{name: webdataset, per_shard: 1}", "--out", out]
    assert main([*arguments, "--feature", "imu=series", "--cache", str(tmp_path / "cache")]) == 0
    assert len(list(Path(out).glob("*.tar"))) == 2
    assert main(["import", out, "--from", "webdataset", "--out", str(tmp_path / "back")]) == 0
    assert main(["import", out, "--from", "webdataset"]) == 2
