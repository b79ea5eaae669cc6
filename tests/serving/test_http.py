"""Files and tensors over HTTP: the model's own answers, and an error for whatever is wrong."""

from __future__ import annotations

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.websockets import WebSocketDisconnect

from plait.core.errors import ConfigError
from plait.prediction.predict import Predictor
from plait.serving.batches import merged
from plait.serving.limits import Limits
from plait.serving.served import source_of
from plait.serving.tensors import Request
from plait.tokens import Tokens
from tests.serving.world import LIVE, OPTIONS, client, recorded

INFER = "/v2/models/state/infer"


def tensors(items: int = 2, rows: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (items, rows, 3))
    return [
        {"name": "wrist.values", "shape": [items, rows, 3], "datatype": "FP32", "data": values.ravel().tolist()},
        {
            "name": "wrist.times",
            "shape": [items, rows],
            "datatype": "FP32",
            "data": [[0.1 * i for i in range(rows)]] * items,
        },
    ]


def files(folder: Path, seed: int = 3) -> list[Path]:
    for name, stream in recorded(seed).items():
        rows = np.column_stack([stream.clock.times, stream.read()])
        head = ",".join(["time", "x", "y", "z"][: rows.shape[1]])
        np.savetxt(folder / f"r.{name}.csv", rows, delimiter=",", header=head, comments="")
    return sorted(folder.glob("r.*.csv"))


def test_health_and_metadata_are_those_of_the_protocol(http: Any) -> None:
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"ready": True}
    assert http.get("/v2").json()["name"] == "plait"
    told = http.get("/v2/models/state/versions/1").json()
    assert told == http.get("/v2/models/state").json()
    assert {"name": "chest.mask", "datatype": "BOOL", "shape": [-1, -1]} in told["inputs"]
    assert [x["name"] for x in told["outputs"]] == ["output", "answer", "prediction"]
    assert http.get("/v2/models/state/ready").json() == {"name": "state", "ready": True}


def test_tensors_are_answered_as_by_the_model(http: Any, predictor: Predictor) -> None:
    body = {"id": "7", "inputs": tensors(), "outputs": [{"name": "answer"}, {"name": "prediction"}]}
    told = http.post(INFER, json=body).json()
    assert (told["id"], told["model_name"], told["model_version"]) == ("7", "state", "1")
    values = torch.tensor(body["inputs"][0]["data"]).view(2, 5, 3)
    times = torch.tensor(body["inputs"][1]["data"])
    with torch.inference_mode():
        output = predictor.model({"wrist": Tokens(values, times, times >= 0)})[""]
    answer = told["outputs"][0]
    assert answer["shape"] == [2, 2]
    np.testing.assert_allclose(np.reshape(answer["data"], (2, 2)), output.softmax(-1), atol=1e-6)
    assert told["outputs"][1]["datatype"] == "BYTES"
    assert '"label": ' in told["outputs"][1]["data"][0]


def test_requests_that_run_together_are_answered_as_alone(http: Any, predictor: Predictor) -> None:
    def request(items: int, rows: int, seed: int) -> Request:
        rng = torch.Generator().manual_seed(seed)
        times = torch.arange(rows).expand(items, rows) / 10
        own = {
            m: Tokens(torch.randn(items, rows, d, generator=rng), times, times >= 0)
            for m, d in predictor.model.dims.items()
        }
        return Request(predictor.model, own if seed else {"wrist": own["wrist"]}, None)

    some = [request(1, 4, 0), request(3, 9, 1), request(2, 1, 2)]
    with torch.inference_mode():
        alone, together = [r()["output"] for r in some], merged(some)()["output"]
    np.testing.assert_allclose(np.concatenate(alone), together, atol=1e-5)
    bodies = [{"inputs": tensors(1, 3 + i, i)} for i in range(8)]
    once = [http.post(INFER, json=b).json()["outputs"][0]["data"] for b in bodies]
    with ThreadPoolExecutor(8) as pool:
        at_once = [r.json()["outputs"][0]["data"] for r in pool.map(lambda b: http.post(INFER, json=b), bodies)]
    np.testing.assert_allclose(once, at_once, atol=1e-5)


def wrong_tensors() -> list[Any]:
    values, times = tensors()
    return [
        None,
        [],
        1,
        {},
        {"inputs": []},
        {"inputs": [values]},
        {"inputs": [times]},
        {"inputs": [values, values, times]},
        {"inputs": [values, times, {**times, "name": "nose.times"}]},
        {"inputs": [{**values, "shape": [2, 5, 4]}, times]},
        {"inputs": [{**values, "shape": [2**31, 2**31, 2**31]}, times]},
        {"inputs": [{**values, "shape": [-1, 5, 3]}, times]},
        {"inputs": [{**values, "data": ["1"] * 30}, times]},
        {"inputs": [{**values, "data": [[1], [1, 2]]}, times]},
        {"inputs": [{**values, "data": [10**400] * 30}, times]},
        {"inputs": [{**values, "data": [1e39] * 30}, times]},
        {"inputs": [values, {**times, "data": [1e30] * 10}]},
        {"inputs": [values, times, {**times, "name": "at.times"}]},
        {"inputs": [{**values, "shape": [2, 0, 3], "data": []}, {**times, "shape": [0, 0], "data": []}]},
        {"inputs": [values, times], "outputs": [{"name": "nothing"}]},
        {"inputs": tensors(300, 1)},
        {"inputs": tensors(1, 5000)},
        {"inputs": [values, times], "id": ["1"]},
        {"inputs": [values, times, *({**x, "name": x["name"].replace("wrist", "chest")} for x in tensors(1))]},
    ]


@pytest.mark.parametrize("body", wrong_tensors())
def test_wrong_tensors_get_an_error(body: Any, http: Any) -> None:
    answer = http.post(INFER, json=body)
    assert answer.status_code in (400, 422), answer.text[:200]
    assert answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN", b'{"inputs": NaN}'])
def test_bodies_that_are_no_json_get_an_error(body: bytes, http: Any) -> None:
    answer = http.post(INFER, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_files_are_answered_as_by_predict_and_leave_nothing(
    http: Any, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, work = tmp_path / "tmp", tmp_path / "work"
    own.mkdir(), work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    paths = files(tmp_path)
    once = [p.to_json() for p in predictor(paths, segments=[(0.5, 2.0)])]
    sent = [("files", (p.name, p.read_bytes())) for p in paths]
    told = http.post("/predict?segment=0.5-2", files=sent)
    assert told.json()["predictions"] == once
    windows = [p.to_json() for p in predictor(paths)]
    assert len(windows) > 1
    assert http.post("/predict", files=sent).json()["predictions"] == windows
    raw = http.post("/predict?name=r.wrist.csv&segment=0.5-2", content=paths[1].read_bytes()).json()["predictions"]
    assert raw[0]["missing"] == ["chest"]
    assert not list(own.iterdir())
    assert not list(work.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "../r.wrist.csv",
        "/etc/r.wrist.csv",
        "a/b.wrist.csv",
        ".r.wrist.csv",
        "r.wrist.nothing",
        "",
        "r\0.csv",
        "..",
        "x" * 200 + ".csv",
        "s.jsonl",
        "é.csv",
    ],
)
def test_names_are_never_paths(name: str, http: Any, tmp_path: Path) -> None:
    body = b"x,y,z\n1,2,3\n"
    for answer in (
        http.post("/predict", params={"name": name}, content=body),
        http.post("/predict", files=[("files", (name or "nothing", body))]),
    ):
        assert answer.status_code in (400, 422)
        assert answer.json()["error"]
    assert not Path("/etc/r.wrist.csv").exists()


@pytest.mark.parametrize("begin", [b"#EXTM3U\n/etc/passwd", b"\n ffconcat version 1.0\nfile x", b"<?xml?><MPD>"])
def test_files_that_name_others_are_refused(begin: bytes, http: Any) -> None:
    answer = http.post("/predict?name=talk.mp4", content=begin)
    assert (answer.status_code, "names other files" in answer.json()["error"]) == (422, True)


def test_wrong_uploads_get_an_error(http: Any) -> None:
    body = b"x,y,z\n1,2,3\n"
    for answer in (
        http.post("/predict?name=r.wrist.csv"),
        http.post("/predict"),
        http.post("/predict?name=r.wrist.csv&segment=8", content=body),
        http.post("/predict?name=r.wrist.csv&segment=2-1", content=body),
        http.post("/predict?name=r.wrist.mp4", content=b"nothing"),
        http.post("/predict?name=r.wrist.csv&ask=what", content=body),
        http.post("/predict", content=b"--x", headers={"content-type": "multipart/form-data; boundary=x"}),
        http.post("/predict", content=b"x", headers={"content-type": "multipart/form-data"}),
        http.post("/predict", files=[("files", ("r.wrist.csv", body)), ("files", ("r.wrist.csv", body))]),
        http.post("/predict?model=no&name=r.wrist.csv", content=body),
    ):
        assert answer.status_code in (400, 404, 422), answer.text
        assert answer.json()["error"]


def test_limits_hold_before_a_body_is_read(run: Path) -> None:
    with client([f"state={run}"], upload=100, tensors=100) as http:
        for path in ("/predict?name=r.wrist.csv", INFER):
            for body in (b"x" * 200, (b"x" * 50 for _ in range(4))):
                answer = http.post(path, content=body, headers={"content-type": "application/json"})
                assert (answer.status_code, "bytes" in answer.json()["error"]) == (413, True)
    with client([f"state={run}"]) as http:
        http.server.models.all[0].worker.limit = 0
        answer = http.post(INFER, json={"inputs": tensors()})
        assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
    with pytest.raises(ConfigError):
        Limits(sessions=0)


def test_only_who_may_ask_is_answered(http: Any, run: Path) -> None:
    def refused(own: Any, **headers: str) -> tuple[int, bool]:
        try:
            with own.websocket_connect(LIVE, headers=headers):
                met = False
        except WebSocketDisconnect:
            met = True
        return own.get("/v2", headers=headers).status_code, met

    assert refused(http, origin="http://127.0.0.1") == (200, False)
    assert refused(http, origin="http://evil.example") == (403, True)
    assert refused(http, origin="null") == (403, True)
    assert refused(http, host="evil.example") == (421, True)
    with client([f"state={run}"], token="sesame") as own:
        for headers, status in (
            ({}, 401),
            ({"authorization": "Bearer wrong"}, 401),
            ({"authorization": "Bearer sesame"}, 200),
        ):
            assert own.get("/v2", headers=headers).status_code == status
            assert own.get("/metrics", headers=headers).status_code == status
        assert [own.get(path).status_code for path in ("/", "/v2/health/live", "/v2/health/ready")] == [200] * 3
        for url, first, opened in (
            (LIVE, {}, False),
            (f"{LIVE}?token=sesame", {}, True),
            (f"{LIVE}?token=no", {}, False),
            (LIVE, {"token": "sesame"}, True),
        ):
            with own.websocket_connect(url, headers={"origin": "https://elsewhere.example"}) as ws:
                ws.send_json({"type": "open", "options": OPTIONS, **first})
                assert (ws.receive_json()["type"] == "opened") == opened


def test_versions_and_a_shadow(run: Path, tmp_path: Path) -> None:
    sources = [f"state={run}@1", f"state={run}@two", f"other={run}"]
    with client(sources, shadows=[f"state={run}"]) as http:
        assert http.get("/v2/models/state").json()["versions"] == ["1", "two"]
        body = {"inputs": tensors()}
        assert http.post(INFER, json=body).json()["model_version"] == "two"
        assert http.post("/v2/models/state/versions/1/infer", json=body).json()["model_version"] == "1"
        assert http.post("/v2/models/state/versions/3/infer", json=body).status_code == 404
        assert http.post("/predict?name=r.wrist.csv", content=b"x").status_code == 404
        sent = [("files", (p.name, p.read_bytes())) for p in files(tmp_path)]
        filed = http.post("/predict?model=state", files=sent).json()
        assert filed["version"] == "two"
        with http.websocket_connect(LIVE) as ws:
            ws.send_json({"type": "open", "model": "state", "options": OPTIONS})
            ws.receive_json()
            for i, (name, stream) in enumerate(recorded(4).items()):
                ws.send_json(
                    {"type": "push", "seq": i + 1, "stream": name, "values": stream.read().tolist(), "times": 0.0}
                )
                answers = ws.receive_json()["answers"]
        shadow = http.server.models.get("state").shadow
        shadow.worker.limit = 0
        http.post(INFER, json=body)
        shadow.worker.stop()
        told = http.get("/metrics").text
        # 2 of tensors for each version, the windows of files, those of the session; one request was dropped
        found = sum(float(x) for x in re.findall(r'shadow_total{model="state",what="agree"} (\S+)', told))
        assert found == 2 + 2 + len(filed["predictions"]) + len(answers) > 8
        assert 'plait_shadow_total{model="state",what="dropped"} 1.0' in told
        assert 'what="differ"} 0.0' in told


def test_metrics_and_traces(http: Any) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = http.post(INFER, json={"inputs": tensors()}, headers={"traceparent": parent})
    assert answer.headers["traceparent"][:36] == parent[:36]
    assert (
        "traceparent" not in http.post(INFER, json={"inputs": tensors()}, headers={"traceparent": "nonsense"}).headers
    )
    told = http.get("/metrics").text
    for name in (
        "queue_depth",
        "queue_wait_seconds_bucket",
        'step_seconds_count{kind="infer"',
        "sessions",
        "shed_total",
    ):
        assert f"plait_{name}" in told


def test_pages_are_served_in_ranges(http: Any) -> None:
    whole = http.get("/").content
    part = http.get("/", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert http.get("/nothing").json() == {"error": "Not Found"}


@pytest.mark.parametrize("text", ["=x", "", "a=", "9=x"])
def test_sources_say_what_they_are(text: str) -> None:
    with pytest.raises(ConfigError):
        source_of(text)
