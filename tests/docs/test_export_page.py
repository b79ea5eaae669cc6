"""What the page on exported models shows is run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from plait.core.parts import parts
from plait.export import ModelFormat
from plait.export.export import write_model
from plait.export.stepped import write_stream
from plait.models.model import Model
from plait.tasks.classify import Classify

PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_python_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    encoders = {"imu": "linear", "pose": "linear"}
    model = Model({"imu": 6, "pose": 40}, Classify(["wave", "sit"]), encoders=encoders, fusion="late", dim=8)
    write_model(model.eval(), tmp_path / "edge")
    np.save(tmp_path / "imu.npy", np.ones((100, 6)))
    monkeypatch.chdir(tmp_path)
    write_stream(model, tmp_path / "edge-live")
    whole, live = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(whole, "docs/export.md", "exec"), {})
    assert capsys.readouterr().out.split(maxsplit=1)[1].strip() == "['imu'] ['pose']"
    exec(compile(live, "docs/export.md", "exec"), {})
    assert capsys.readouterr().out.count("'used': ['imu']") == 10


@pytest.mark.parametrize("name", parts(ModelFormat))
def test_every_format_stands_on_the_page(name: str) -> None:
    assert f"`--{name}`" in PAGE
