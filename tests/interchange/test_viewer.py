"""What the viewer is given, read back from its file by rerun's own tool."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plait.errors import ConfigError
from plait.interchange.viewer import _extremes, view
from plait.streams.corpus import Corpus
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
