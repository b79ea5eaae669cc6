"""What `plait export` writes of a run answers as the run does, with torch and without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.core.parts import parts
from plait.encoders import Encoder
from plait.examples.targets import Annotated
from plait.export import ModelFormat
from plait.export.export import ANSWER, PARITY, write_model
from plait.export.parity import gap
from plait.export.recurrence import Layer, with_operators
from plait.fusion import Fusion
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.tasks.tag import Tag
from plait.testing.inputs import seeded
from plait.tokens import Tokens
from plait_lite import Lite, LiteError

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CLOSE = 1e-5


def two(task: Task) -> Model:
    return Model({"imu": 3, "pose": 4}, task, encoders={"imu": "gru", "pose": "linear"}, fusion="late", dim=8)


def tagger() -> Model:
    spans = Annotated(4.0, ((0.0, 1.0, "sit"), (1.0, 4.0, "walk")))
    task = Tag([spans], target="moves", rate=2.0)
    task.postprocessing = {"shifts": [0.3, -0.2], "width": 3}
    with seeded(2):
        return two(task).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A classifier with a wide part, scales and temperatures, exported."""
    with seeded(1):
        model, wide = (two(Classify(["run", "walk", "sit"])) for _ in range(2))
    model.widen(wide)
    model.wide_weight.copy_(torch.tensor([0.1, 0.9, 0.4]))
    model.temperature.copy_(torch.tensor([2.0, 0.5, 1.5]))
    for one in (model, wide):
        one.backbone.set_scale("imu", [1.0, -2.0, 0.0], [3.0, 0.5, 1.0])
    out = tmp_path_factory.mktemp("export") / "edge"
    assert write_model(model.eval(), out, ["onnx", "pt2"]).gaps["onnx"] < CLOSE
    return model, out


@pytest.mark.slow
@pytest.mark.parametrize("encoder", parts(Encoder))
def test_every_encoder_is_exported(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every fusion: benchmarks/export.py."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from export_cases import small_model

    assert write_model(small_model(encoder, "late"), tmp_path).gaps["onnx"] < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("fusion", parts(Fusion))
def test_every_fusion_is_exported(fusion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from export_cases import small_model

    assert write_model(small_model("linear", fusion), tmp_path).gaps["onnx"] < CLOSE


@pytest.mark.slow
def test_without_torch_the_answer_is_the_models(folder: tuple[Model, Path]) -> None:
    model, out = folder
    lite, rng = Lite(out), np.random.default_rng(0)
    for times in ([7, 12], [1, 3], [0, 4], [5, 0]):
        rows = {m: (rng.normal(size=(n, model.dims[m])), np.sort(rng.random(n))) for m, n in zip(model.dims, times)}
        rows = {m: own for m, own in rows.items() if len(own[0])}
        batch = {m: _tokens(values, when) for m, (values, when) in rows.items()}
        with torch.no_grad():
            (expected,) = model.task.decode(model(batch)[""])
        found = lite(rows)
        assert found["label"] == expected.label
        assert found["probabilities"] == pytest.approx(dict(expected.probabilities), abs=CLOSE)
        assert (found["used"], found["missing"]) == ([*rows], [m for m in model.dims if m not in rows])


@pytest.mark.slow
def test_a_number_that_is_missing_is_the_mean_and_a_row_that_is_missing_is_none(folder: tuple[Model, Path]) -> None:
    lite, values, times = Lite(folder[1]), np.random.default_rng(0).normal(size=(6, 3)), np.arange(6) / 5
    holes, mean = values.copy(), values.copy()
    holes[2, 0], mean[2, 0] = np.nan, 1.0  # the training mean
    one, other = lite({"imu": (holes, times)}), lite({"imu": (mean, times)})
    assert one["probabilities"] == pytest.approx(other["probabilities"], abs=CLOSE)
    gone = values.copy()
    gone[3] = np.nan
    kept = np.arange(6) != 3
    one, other = lite({"imu": (gone, times)}), lite({"imu": (values[kept], times[kept])})
    assert one["probabilities"] == pytest.approx(other["probabilities"], abs=CLOSE)
    assert lite({"imu": (values * np.nan, times)})["note"].startswith("no answer")


@pytest.mark.slow
def test_answers_over_time_are_exported(tmp_path: Path) -> None:
    model = tagger()
    write_model(model, tmp_path)
    rng = np.random.default_rng(1)
    values, times = rng.normal(size=(40, 3)) * 3, np.arange(40) / 10
    item = model.task.instants(4.0)
    assert item is not None
    from plait.tokens import Instants

    at = Instants(torch.from_numpy(item).float()[None], torch.ones(1, len(item)) > 0)
    with torch.no_grad():
        (expected,) = model.task.decode(model({"imu": _tokens(values, times)}, at)[""], at)
    found = Lite(tmp_path)({"imu": (values, times)}, seconds=4.0)["spans"]
    told = expected.to_json()["spans"]
    assert [(s["start"], s["stop"], s["label"]) for s in found] == [(s["start"], s["stop"], s["label"]) for s in told]


@pytest.mark.slow
def test_a_cold_answer_loads_neither_torch_nor_plait(folder: tuple[Model, Path], tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", **{"imu.values": np.ones((9, 3)), "imu.times": np.arange(9) / 9})
    code = (
        "import json, sys; from plait_lite.__main__ import main; main(sys.argv[1:])\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(json.dumps([int(peak.split()[1]) / 1024, [*sys.modules]]))"
    )
    command = [sys.executable, "-c", code, str(folder[1]), str(tmp_path / "rows.npz")]
    answer, cost = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    megabytes, modules = json.loads(cost)
    assert json.loads(answer)["used"] == ["imu"]
    assert not {"torch", "plait"} & set(modules)
    assert megabytes < 120  # seconds depend on the machine's load: benchmarks/export.py


@pytest.mark.slow
def test_a_difference_is_refused_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(parts(ModelFormat)["pt2"]):  # type: ignore[misc]
        def run(self, *given: object) -> list[torch.Tensor]:
            return [out + 0.01 for out in super().run(*given)]

    monkeypatch.setattr("plait.export.export.find", lambda *_: (Off, {}))
    with pytest.raises(DataError, match=r"model\.pt2: its outputs differ .* by 0\.0"):
        write_model(
            Model({"imu": 3}, Regress([1.0, 2.0]), encoders={"imu": "linear"}, fusion="late", dim=4), tmp_path, ["pt2"]
        )
    assert not [*tmp_path.glob("model*")]


def test_a_part_that_branches_on_data_is_named(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, tokens: Tokens) -> Tokens:
            wide = tokens.with_values(tokens.values.repeat(1, 1, 2)[..., :4])
            return wide if float(tokens.values.sum()) > 0 else wide.emptied()

    model = Model({"imu": 3}, Classify(["a", "b"]), encoders={"imu": "linear"}, fusion="late", dim=4)
    model.backbone.encoders[0] = Branching()
    with pytest.raises(ConfigError, match=r"encoders branching, the fusion late and the task classify"):
        write_model(model, tmp_path)


def test_recurrent_layers_as_operators_give_the_same() -> None:
    with seeded(0):
        x = torch.randn(3, 6, 5)
        for layer in (
            nn.GRU(5, 4, batch_first=True, num_layers=2, bidirectional=True),
            nn.LSTM(5, 3, batch_first=True),
        ):
            assert torch.allclose(Layer(layer)(x)[0], layer(x)[0], atol=1e-6)
    with pytest.raises(ConfigError, match="GRU with batch_first"):
        Layer(nn.GRU(5, 4))
    kept = nn.Sequential(nn.GRU(5, 4, batch_first=True))
    assert isinstance(with_operators(kept)[0], Layer)
    assert isinstance(kept[0], nn.GRU)


def test_a_gap_that_is_not_a_number_is_infinite() -> None:
    one = torch.ones(2)
    assert gap([one, one], [one, one + 0.5]) == 0.5
    assert gap([one], [one / 0]) == gap([one], [torch.ones(3)]) == np.inf


def test_the_command_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "m.jsonl"), "--onnx", "--out", str(tmp_path / "out")]) == 2
    assert "no folder of a run" in capsys.readouterr().err
    (tmp_path / "model.json").write_text("{}")
    assert main(["export", str(tmp_path), "--to", "onxx", "--out", str(tmp_path / "out")]) == 2
    assert "Did you mean 'onnx'?" in capsys.readouterr().err


def test_lite_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(LiteError, match=r"answer\.json: cannot be read"):
        Lite(tmp_path)
    (tmp_path / ANSWER).write_text('{"format": "plait export 0"}')
    with pytest.raises(LiteError, match="expected the format 'plait export 1'"):
        Lite(tmp_path)


@pytest.mark.slow
def test_lite_says_what_is_wrong_with_features(folder: tuple[Model, Path]) -> None:
    lite = Lite(folder[1])
    rows = np.ones((4, 3)), np.arange(4.0)
    with pytest.raises(LiteError, match=r"no such modality; it has \['imu', 'pose'\]"):
        lite({"mic": rows})
    with pytest.raises(LiteError, match=r"expected \[time, 4\] and \[time\]"):
        lite({"pose": rows})
    with pytest.raises(LiteError, match="a time is not finite"):
        lite({"imu": (rows[0], rows[1] * np.nan)})
    with pytest.raises(LiteError, match="whole percentage"):
        lite({"imu": rows}, level=0.955)
    assert {p.name for p in folder[1].iterdir()} == {"model.onnx", "model.pt2", ANSWER, PARITY}


def _tokens(values: np.ndarray, times: np.ndarray) -> Tokens:
    rows = torch.from_numpy(values).float()[None]
    return Tokens(rows, torch.from_numpy(times).float()[None], torch.ones(1, len(times)) > 0)
