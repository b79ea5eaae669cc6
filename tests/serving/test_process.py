"""The server as a process: the page's client, SIGKILL, SIGTERM."""

from __future__ import annotations

import re
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from plait.prediction.predict import Predictor
from tests.serving.test_live import expected, packets, plain
from tests.serving.world import OPTIONS, ROOT, serving

pytestmark = pytest.mark.slow


def blocks() -> tuple[str, str]:
    """The client of docs/serving.md, and what it is used for."""
    client, used = re.findall(r"```python\n(.*?)```", (ROOT / "docs/serving.md").read_text(encoding="utf-8"), re.S)
    return client, used


def test_the_page_runs_and_its_client_survives_a_server_that_is_killed(
    run: Path, predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    client, used = blocks()
    exec(compile(client, "docs/serving.md", "exec"), names)
    assert sum(bool(line.strip()) for line in client.splitlines()) < 75
    options = ["--sessions", str(tmp_path / "live"), "--save-every", "0.05"]
    with serving(run, *options) as server:
        exec(compile(used.replace("ws://127.0.0.1:8000/live", server.socket), "docs/serving.md", "exec"), names)
        told = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert {float(line[0]) for line in told if line[-1] == "True"} == {1.0, 2.0, 3.0, 4.0}
        assert any(line[-1] == "False" for line in told)
        port = str(server.port)
        live = names["LiveClient"](server.socket, options=OPTIONS)
        sent, answers = packets(), []
        for one in sent[:15]:
            answers += live.push(one["stream"], one["values"], one["times"])
        status, _ = server.end(signal.SIGKILL)
        assert status == -signal.SIGKILL
    with serving(run, "--port", port, *options) as server:
        for one in sent[15:-1]:
            answers += live.push(one["stream"], one["values"], one["times"])
        answers += live.close()
        assert plain(answers) == expected(predictor, sent)
        assert [a["number"] for a in answers] == list(range(1, len(answers) + 1))
        # in good order: sessions are saved, and it ends well
        other = names["LiveClient"](server.socket, options=OPTIONS)
        answers = [a for one in sent[:15] for a in other.push(one["stream"], one["values"], one["times"])]
        assert server.end() == (0, "")
    with serving(run, "--port", port, *options):
        for one in sent[15:-1]:
            answers += other.push(one["stream"], one["values"], one["times"])
        assert plain([*answers, *other.close()]) == expected(predictor, sent)
    assert not list((tmp_path / "live").iterdir()), "sessions whose answers are all received leave no files"


def test_other_machines_are_a_warning_and_a_taken_port_an_error(run: Path) -> None:
    with serving(run, "--host", "0.0.0.0") as server:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/v2/health/live") as answer:
            assert answer.status == 200
        with pytest.raises(RuntimeError, match="in use"), serving(run, "--port", str(server.port)):
            pass
        assert "warning: every machine" in server.end()[1]
