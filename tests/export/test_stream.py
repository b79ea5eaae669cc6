"""A causal model as graphs that are fed a little at a time answers as in one pass, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.core.parts import parts
from plait.encoders import Encoder
from plait.encoders.recurrent import Gru, Lstm
from plait.examples.targets import Annotated
from plait.export import stepped
from plait.export.pte import _stable_sort
from plait.export.stepped import write_stream
from plait.fusion import Fusion
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tasks.tag import Tag
from plait.testing.inputs import sample, seeded
from plait.tokens import Tokens
from plait.tokens.stepwise import leaves
from plait_lite import LiteError, LiteStream

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

CAUSAL: dict[str, dict[str, Any]] = {
    "tcn": {"causal": True}, "conv": {"causal": True}, "conv2d": {"causal": True}, "st_gcn": {"causal": True},
    "st_gcn_pp": {"causal": True}, "transformer": {"causal": True, "window": 3}, "gru": {"bidirectional": False},
    "lstm": {"bidirectional": False, "layers": 2},
}  # fmt: skip


def live_model(**more: Any) -> Model:
    one_way = {"name": "gru", "bidirectional": False}
    spec = {"imu": [{"name": "conv", "causal": True, "strides": [2, 2]}, one_way], "pose": one_way}
    with seeded(1):
        return Model({"imu": 3, "pose": 4}, Classify(["run", "walk", "sit"]), encoders=spec, dim=8, **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    model, out = live_model(fusion="concat"), tmp_path_factory.mktemp("stream")
    made = write_stream(model, out)
    assert (made.rows, made.gaps["onnx"] < 1e-5) == ({"imu": 4, "pose": 1}, True)
    assert sorted(x.name for x in out.iterdir()) == ["answer.onnx", "step.imu.onnx", "step.pose.onnx", "stream.json"]
    return model, out


def rows(seed: int, count: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, dim)).astype(np.float32)
    values[rng.random(count) < 0.2] = np.nan
    return values, np.sort(rng.uniform(0, 4, count)).astype(np.float32)


def once(model: Model, given: dict[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    tokens = {
        m: Tokens(torch.from_numpy(v)[None], torch.from_numpy(t)[None], torch.from_numpy(np.isfinite(v).any(1))[None])
        for m, (v, t) in given.items()
    }
    with torch.no_grad():
        return model.eval()(tokens)[""][0].numpy()


def test_any_pieces_are_one_pass_and_an_answer_changes_nothing(folder: tuple[Model, Path], tmp_path: Path) -> None:
    model, out = folder
    live, rng = LiteStream(out), np.random.default_rng(0)
    given = {"imu": rows(1, 23, 3), "pose": rows(2, 11, 4)}
    places = dict.fromkeys(given, 0)
    for step in range(60):
        m = ["imu", "pose"][int(rng.integers(2))]
        more, at = int(rng.integers(0, 4)), places[m]
        live.push(m, *(x[at : at + more] for x in given[m]))
        places[m] = min(at + more, len(given[m][1]))
        if step % 7 == 3:
            so_far = {m: tuple(x[: places[m]] for x in own) for m, own in given.items() if places[m]}
            assert live.output() == pytest.approx(once(model, so_far), abs=1e-5)  # type: ignore[arg-type]
        if step == 20:
            live.save(tmp_path / "s.npz")
            live = LiteStream(out)
            live.load(tmp_path / "s.npz")
    assert places == {"imu": 23, "pose": 11}
    assert live.output() == pytest.approx(once(model, given), abs=1e-5)
    told = live.answer()
    assert told["used"] == ["imu", "pose"]
    assert sum(told["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    live.restart()
    assert live.answer()["used"] == []
    live.push("pose", *given["pose"])
    assert (live.answer()["used"], live.answer()["missing"]) == (["pose"], ["imu"])
    assert live.output() == pytest.approx(once(model, {"pose": given["pose"]}), abs=1e-5)


def test_the_command_writes_what_answers_without_torch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = live_model(fusion="late")
    model.save(tmp_path / "run")
    assert main(["export", str(tmp_path / "run"), "--onnx", "--stream", "--out", str(tmp_path / "x"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == {"imu": 4, "pose": 1}
    code = (
        "import sys, numpy as np; from plait_lite import LiteStream; live = LiteStream(sys.argv[1]);"
        "live.push('pose', np.ones((3, 4)), np.arange(3)); print(live.answer()['used'], 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True, check=True)
    assert told.stdout == "['pose'] False\n"


def test_what_is_wrong_is_said(folder: tuple[Model, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out = folder
    live = LiteStream(out)
    for bad, said in (
        (("imi", np.ones((1, 3)), np.zeros(1)), "no such modality"),
        (("imu", np.ones((1, 2)), np.zeros(1)), "expected"),
        (("imu", np.ones((1, 3)), np.full(1, np.nan)), "not finite"),
    ):
        with pytest.raises(LiteError, match=said):
            live.push(*bad)
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(LiteError, match=r"bad\.npz: not what was saved"):
        live.load(tmp_path / "bad.npz")
    with pytest.raises(LiteError, match=r"stream\.json: cannot be read"):
        LiteStream(tmp_path)
    both = Model({"imu": 3}, Classify(["a", "b"]), encoders={"imu": "gru"}, fusion="late", dim=8)
    with pytest.raises(ConfigError, match="imu looks ahead"):
        write_stream(both, tmp_path / "both")
    wide = live_model(fusion="late")
    wide.widen(live_model(fusion="late"))
    with pytest.raises(ConfigError, match="quick part"):
        write_stream(wide, tmp_path / "wide")
    monkeypatch.setattr(stepped, "TOLERANCE", -1.0)
    with pytest.raises(DataError, match=r"its outputs \(onnx\) differ from those of one pass"):
        write_stream(live_model(fusion="late"), tmp_path / "off")
    assert not list((tmp_path / "off").iterdir())


@pytest.mark.parametrize("cls", [Gru, Lstm])
def test_unrolled_steps_are_those_of_torch(cls: type[Gru] | type[Lstm], monkeypatch: pytest.MonkeyPatch) -> None:
    with seeded(3), torch.no_grad():
        encoder = cls(3, 6, bidirectional=False, layers=2).eval()
        tokens = sample(3, time=9)
        state, found = encoder.step(encoder.begin(len(tokens.mask)), tokens)
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        after, unrolled = encoder.step(encoder.begin(len(tokens.mask)), tokens)
    assert torch.allclose(unrolled.values, found.values, atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(leaves(after), leaves(state)))


def of_one(name: str) -> Model:
    cls = parts(Encoder)[name]
    spec = {"name": name, **cls.trial[1], **CAUSAL.get(name, {})}
    with seeded(2):
        return Model({"x": cls.trial[0]}, Classify(["a", "b"]), encoders={"x": spec}, fusion="late", dim=16)


STEPS = [*CAUSAL, "cnn", "identity", "linear", "two_stream"]


@pytest.mark.slow
@pytest.mark.parametrize("name", parts(Encoder))
def test_every_causal_encoder_steps_as_a_graph(name: str, tmp_path: Path) -> None:
    model = of_one(name)
    if name in STEPS:
        assert write_stream(model, tmp_path).gaps["onnx"] < 1e-5
    else:
        with pytest.raises(ConfigError, match="x looks ahead"):
            write_stream(model, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_every_causal_encoder_steps_in_executorch(name: str, tmp_path: Path) -> None:
    pytest.importorskip("executorch", reason="executorch is not installed (extra edge)")
    made = write_stream(of_one(name), tmp_path, ["pte"])
    assert made.gaps["pte"] < 1e-5
    assert (tmp_path / "step.x.pte").stat().st_size > 1000


@pytest.mark.slow
def test_a_program_of_torch_steps_too(tmp_path: Path) -> None:
    made = write_stream(live_model(fusion="late"), tmp_path, ["pt2"])
    assert made.gaps["pt2"] < 1e-5
    assert {path.name for path in tmp_path.glob("step.*")} == {
        f"step.{m}.{x}" for m in ("imu", "pose") for x in ("onnx", "pt2")
    }


def test_what_executorch_needs_is_said(
    folder: tuple[Model, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder[0].save(tmp_path / "run")
    command = ["export", str(tmp_path / "run"), "--pte", "--out", str(tmp_path / "x")]
    assert main(command) == 2
    assert "pte has fixed sizes" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "executorch", None)
    assert main([*command, "--stream"]) == 1
    assert "pip install 'plait[edge]'" in capsys.readouterr().err
    assert not list((tmp_path / "x").iterdir())


@given(
    npst.arrays(np.int64, npst.array_shapes(max_dims=3, max_side=7), elements=st.integers(-3, 3)),
    st.booleans(),
    st.data(),
)
def test_sorting_each_against_each_is_stable(values: np.ndarray, descending: bool, data: st.DataObject) -> None:
    x, dim = torch.from_numpy(values), data.draw(st.integers(-values.ndim, values.ndim - 1))
    for own in (x, x.float()):
        wanted = torch.sort(own, dim=dim, descending=descending, stable=True)
        for found, one in zip(_stable_sort(own, dim=dim, descending=descending), wanted):
            assert torch.equal(found, one)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(parts(Fusion)))
def test_every_fusion_answers_from_tokens(name: str, tmp_path: Path) -> None:
    assert write_stream(live_model(fusion=name), tmp_path).gaps["onnx"] < 1e-5


@pytest.mark.slow
def test_answers_over_time_are_asked_at_their_instants(tmp_path: Path) -> None:
    spans = Annotated(4.0, ((0.0, 1.0, "sit"), (1.0, 4.0, "walk")))
    task = Tag([spans], target="moves", rate=2.0)
    with seeded(2):
        model = Model({"imu": 3}, task, encoders={"imu": {"name": "conv", "causal": True}}, fusion="late", dim=8)
    write_stream(model, tmp_path)
    live = LiteStream(tmp_path)
    live.push("imu", *rows(1, 30, 3))
    assert {span["label"] for span in live.answer(seconds=4.0)["spans"]} <= {"sit", "walk"}
