"""Sessions over a WebSocket: each message counts once, each wrong one gets an error, nothing is lost."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

from plait.prediction.predict import Predictor
from plait.prediction.session import Session
from tests.serving.world import LIVE, OPTIONS, RATES, client, recorded

Said = dict[str, Any]


def packets(seed: int = 7, seconds: float = 4.0, piece: float = 0.2) -> list[Said]:
    """Messages without numbers: both streams cut in pieces, and the end."""
    streams, found = recorded(seed, seconds), list[Said]()
    for k in range(round(seconds / piece)):
        for name, stream in streams.items():
            rows = stream.cut(k * piece, (k + 1) * piece).read().tolist()
            found.append({"type": "push", "stream": name, "values": rows, "times": k * piece})
    return [*found, {"type": "close"}]


def expected(predictor: Predictor, sent: list[Said]) -> list[Said]:
    """What a session says that is fed the same, without a server."""
    session, answers = Session(predictor, **OPTIONS), []
    for one in sent:
        answers += (
            session.close() if one["type"] == "close" else session.push(one["stream"], one["values"], one["times"])
        )
    return [json.loads(json.dumps(a.to_json())) for a in answers]


class Socket:
    """A connection that numbers its messages."""

    def __init__(self, ws: Any, **first: Any) -> None:
        self.ws = ws
        ws.send_text(json.dumps({"type": "open", "options": OPTIONS, **first}))
        self.opened = json.loads(ws.receive_text())
        self.seq = self.opened.get("seq", 0)

    def say(self, message: Said, **more: Any) -> Said:
        self.seq += 1
        return self.raw(json.dumps({"seq": self.seq, **message, **more}))

    def raw(self, data: str | bytes) -> Said:
        (self.ws.send_bytes if isinstance(data, bytes) else self.ws.send_text)(data)
        return json.loads(self.ws.receive_text())


def plain(answers: list[Said]) -> list[Said]:
    return [{k: x for k, x in a.items() if k != "number"} for a in answers]


def binary(seq: int, stream: int, values: np.ndarray, times: list[float], code: int = 1, received: int = 0) -> bytes:
    head = struct.pack("<QQHBBI", seq, received, stream, code, values.ndim, len(times))
    return (
        head
        + struct.pack(f"<{len(times)}d", *times)
        + struct.pack(f"<{values.ndim}I", *values.shape)
        + values.tobytes()
    )


def test_a_device_with_a_clock_of_its_own_says_when_its_packets_arrived(http: Any) -> None:
    options = {**OPTIONS, "clocks": {"wrist": {}}}
    sent = [one for one in packets(seconds=20.0, piece=0.5) if one["type"] == "push"]
    with http.websocket_connect(LIVE) as ws:
        socket, answers = Socket(ws, options=options), []
        assert "expected seconds" in socket.say(sent[0])["error"]
        for one in sent:
            own = {"times": one["times"] + 1000.0, "arrived": one["times"] + 0.51} if one["stream"] == "wrist" else {}
            told = socket.say(one, **own)
            assert told["type"] == "ack"
            answers += told["answers"]
        assert "its clock leaps" in socket.say(sent[0], times=9000.0, arrived=20.1)["error"]
        answers += socket.say({"type": "close"})["answers"]
        ws.send_text(json.dumps({"type": "received", "received": answers[-1]["number"]}))
    # not before its clock is trusted, and of all since the start then
    assert len(answers) == 39
    assert [(a["time"], a["used"]) for a in answers if a["used"] != ["wrist", "chest"]] == []


def test_answers_are_those_of_a_session_in_json_and_in_binary(http: Any, predictor: Predictor) -> None:
    sent = packets()
    once = expected(predictor, sent)
    assert len(once) == 7
    for form in ("json", "binary"):
        with http.websocket_connect(LIVE) as ws:
            socket, answers = Socket(ws), []
            assert socket.opened["streams"] == ["wrist", "chest"]
            for one in sent:
                if form == "json" or one["type"] == "close":
                    told = socket.say(one)
                else:
                    socket.seq += 1
                    place = socket.opened["streams"].index(one["stream"])
                    told = socket.raw(binary(socket.seq, place, np.array(one["values"]), [one["times"]]))
                assert (told["type"], told["seq"]) == ("ack", socket.seq)
                answers += told["answers"]
            assert [a["number"] for a in answers] == list(range(1, len(once) + 1))
            assert plain(answers) == once
            ws.send_text(json.dumps({"type": "received", "received": len(once)}))
            with pytest.raises(WebSocketDisconnect) as ended:
                ws.receive_text()
            assert ended.value.code == 1000
    assert http.get("/sessions").json() == []


def test_wrong_messages_get_an_error_each_and_change_nothing(http: Any, predictor: Predictor) -> None:
    sent, answers = packets(), []
    push = {"type": "push", "stream": "wrist", "values": [[0, 0, 0]], "times": 0.0}
    refused: list[Said] = [
        {**push, "stream": "nothing"},
        {**push, "values": [[0, 0]]},
        {**push, "values": [[0], [0, 1]]},
        {**push, "values": [["0", "0", "0"]]},
        {**push, "times": "soon"},
        {**push, "times": [0.0, 1.0]},
        {**push, "more": 1},
        {**push, "times": 1e300},
        {**push, "times": 1e9},
        {**push, "values": 10**400},
        {**push, "values": [[10**400] * 3]},
        {**push, "values": []},
        {"type": "tick", "now": 1e9},
        {"type": "tick"},
        {"type": "tick", "now": True},
        {"type": "restart", "start": 0.0},
        {"type": "close", "really": 1},
    ]
    unread = [
        "",
        "{",
        "[]",
        "1",
        '"push"',
        "{}",
        '{"type": "sing"}',
        '{"type": "push"}',
        '{"type": "push", "seq": -1}',
        "[" * 100_000,
        '{"type": "push", "seq": "1"}',
        '{"type": "push", "seq": 1e400}',
        '{"type": "received", "seq": 3}',
        b"",
        b"\0" * 23,
        b"\xff" * 200,
    ]
    with http.websocket_connect(LIVE) as ws:
        socket = Socket(ws)
        for data in unread:
            told = socket.raw(data)
            assert told["type"] == "error", data[:40]
            assert told["error"]
            assert "seq" not in told
        for i, one in enumerate(sent[:-1]):
            answers += socket.say(one)["answers"]
            for bad in refused[i % len(refused)], refused[(i + 5) % len(refused)]:
                if bad.get("seq", 0) is not None:
                    told = socket.say(bad)
                    assert (told["type"], told["seq"]) == ("error", socket.seq), bad
        for cut in (24, 30, 36, 44):  # binary messages that end too early, with numbers
            socket.seq += 1
            told = socket.raw(binary(socket.seq, 0, np.zeros((1, 3)), [0.0])[:cut])
            assert (told["type"], told["seq"]) == ("error", socket.seq)
        answers += socket.say(sent[-1])["answers"]
        assert plain(answers) == expected(predictor, sent)
        assert socket.say(push)["error"].startswith("the session is closed")


def test_messages_count_once_and_in_order(http: Any, predictor: Predictor) -> None:
    sent, answers = packets(), []
    with http.websocket_connect(LIVE) as ws:
        socket = Socket(ws)
        for one in sent:
            answers += socket.say(one)["answers"]
            again = socket.raw(json.dumps({**one, "seq": max(socket.seq - 1, 1)}))
            assert (again["type"], again["answers"]) == ("ack", [])
            early = socket.raw(json.dumps({**one, "seq": socket.seq + 2}))
            assert early["expected"] == socket.seq + 1
    assert plain(answers) == expected(predictor, sent)


@pytest.mark.parametrize("saved", [False, True], ids=["in memory", "from disk"])
def test_a_session_goes_on_after_its_connection_or_its_server(
    saved: bool, run: Path, predictor: Predictor, tmp_path: Path
) -> None:
    sent, answers, first = packets(), dict[int, Said](), {}
    folder, done, number = (tmp_path if saved else None), 0, 0
    with client([f"state={run}"], folder=folder, every=0.0) as http:
        while done < len(sent) + 7:  # the last time to hear what is left
            if saved:  # as if it had been killed: nothing is in memory
                http.server.sessions.all.clear()
            with http.websocket_connect(LIVE) as ws:
                socket = Socket(ws, **first)
                assert socket.opened["type"] == "opened"
                identity = first.get("session") or socket.opened["session"]
                if first:
                    told = json.loads(ws.receive_text())
                    answers |= {a["number"]: a for a in told["answers"]}
                    assert socket.seq == min(done, len(sent))
                first = {"type": "resume", "session": identity, "options": {}, "received": number}
                for one in sent[done : done + 7]:
                    told = socket.say(one)
                    # the answers of the last message are lost on the way
                    if one is not sent[min(done + 6, len(sent) - 2)]:
                        answers |= {a["number"]: a for a in told["answers"]}
                        number = max([number, *answers])
                        first["received"] = number
                done += 7
        assert all(identity not in path.name for path in tmp_path.iterdir())
    once = expected(predictor, sent)
    assert plain([answers[k] for k in sorted(answers)]) == once


def test_what_cannot_be_opened_is_said_and_closed(http: Any) -> None:
    first: list[Any] = [
        "",
        "[]",
        b"\0",
        {"type": "sing"},
        {"type": "open", "model": "no"},
        {"type": "open", "model": "state", "version": "9"},
        {"type": "open", "options": {"every": 1e-9}},
        {"type": "open", "options": {"every": "1"}},
        {"type": "open", "options": {"nothing": 1}},
        {"type": "open", "options": {"rates": {"nothing": 1.0}}},
        {"type": "open", "options": {"every": 0.01, "window": 80_000.0}},
        {"type": "open", "options": {"lateness": 1e12}},
        {"type": "resume"},
        {"type": "resume", "session": "../../etc/passwd"},
        {"type": "watch", "session": "nobody"},
        {"type": "push", "seq": 1},
        {"type": "open", "options": {"rates": {"wrist": "1/0"}}},
    ]
    for one in first:
        with http.websocket_connect(LIVE) as ws:
            ws.send_bytes(one) if isinstance(one, bytes) else ws.send_text(
                one if isinstance(one, str) else json.dumps(one)
            )
            told = json.loads(ws.receive_text())
            assert told["type"] == "error", one
            with pytest.raises(WebSocketDisconnect) as ended:
                ws.receive_text()
            assert ended.value.code == 1008, one


def test_too_much_is_shed_with_a_time_and_nothing_accepted_is_lost(run: Path, predictor: Predictor) -> None:
    with client([f"state={run}"], sessions=1, unread=2) as http:
        with http.websocket_connect(LIVE) as ws:
            socket = Socket(ws)
            with http.websocket_connect(LIVE) as other:
                told = Socket(other).opened
                assert told["retry_after"] > 0
                with pytest.raises(WebSocketDisconnect) as ended:
                    other.receive_text()
                assert ended.value.code == 1013
            sent, answers = packets(), []
            worker = http.server.models.all[0].worker
            worker.limit = 0
            assert socket.say(sent[0])["retry_after"] > 0
            with pytest.raises(WebSocketDisconnect) as ended:
                ws.receive_text()
            assert ended.value.code == 1013
            worker.limit = 256
        first = {"type": "resume", "session": socket.opened["session"], "options": {}}
        refused = 0
        while sent:
            with http.websocket_connect(LIVE) as ws:
                resumed = Socket(ws, **first, received=len(answers))
                answers += json.loads(ws.receive_text())["answers"]
                first["options"] = {}
                while sent:  # it does not say what it has received, until it has to
                    told = resumed.say(sent[0])
                    if "seq" not in told:
                        assert "acknowledged" in told["error"]
                        refused += 1
                        break
                    answers += told["answers"]
                    sent = sent[1:]
        assert refused
        assert plain(answers) == expected(predictor, packets())
        assert 'plait_shed_total{what="session"}' in http.get("/metrics").text


def test_another_connection_takes_over_and_idle_ones_are_closed(run: Path, tmp_path: Path) -> None:
    with client([f"state={run}"], idle=1.5, folder=tmp_path) as http:
        opening = http.websocket_connect(LIVE)
        with opening as old, http.websocket_connect(LIVE) as new:
            first = Socket(old)
            Socket(new, type="resume", session=first.opened["session"], options={})
            assert "resumed" in json.loads(old.receive_text())["error"]
            with pytest.raises(WebSocketDisconnect) as ended:
                old.receive_text()
            assert ended.value.code == 4409
            json.loads(new.receive_text())
            assert "nothing was said" in json.loads(new.receive_text())["error"]
            with pytest.raises(WebSocketDisconnect) as ended:
                new.receive_text()
            assert ended.value.code == 4408


def test_who_looks_on_sees_rows_and_answers_but_cannot_push(http: Any) -> None:
    with http.websocket_connect(LIVE) as ws, http.websocket_connect(LIVE) as page:
        socket = Socket(ws)
        (listed,) = [x for x in http.get("/sessions").json() if x["name"] == socket.opened["name"]]
        assert listed["name"] != socket.opened["session"]
        assert Socket(page, type="watch", session=listed["name"], options={}).opened["streams"] == ["wrist", "chest"]
        for one in packets()[:20]:
            socket.say(one)
        seen = [json.loads(page.receive_text()) for _ in range(40)]
        assert {s["stream"] for s in seen if s["type"] == "rows"} == set(RATES)
        assert [a["time"] for s in seen if s["type"] == "ack" for a in s["answers"]] == [1.0, 1.5, 2.0]
    with http.websocket_connect(LIVE) as thief:
        assert Socket(thief, type="resume", session=listed["name"], options={}).opened["type"] == "error"


def test_a_state_that_grows_too_large_ends_the_session(run: Path, tmp_path: Path) -> None:
    with (
        client([f"state={run}"], state=1000, every=0.0, folder=tmp_path) as http,
        http.websocket_connect(LIVE) as ws,
    ):
        socket = Socket(ws)
        sent, told = iter(packets()), list[Said]()

        def until_closed() -> None:
            while True:
                told.append(socket.say(next(sent)))

        with pytest.raises(WebSocketDisconnect) as ended:
            until_closed()
        assert ended.value.code == 1011
        assert (told[0]["type"], told[-1]["type"]) == ("ack", "error")
        assert "bytes" in told[-1]["error"]
