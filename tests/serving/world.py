"""A small trained model, and servers of it: within this process, and in one of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from plait.streams.stream import Stream

LIVE = "ws://127.0.0.1/live"
ROOT = Path(__file__).parents[2]
RATES = {"wrist": 50, "chest": 20}
OPTIONS: dict[str, Any] = {"every": 0.5, "rates": RATES, "start": 0.0}


def recorded(seed: int, seconds: float = 4.0) -> dict[str, Stream]:
    rng = np.random.default_rng(seed)
    return {
        name: Stream.of(rng.normal(seed % 2, 1, (int(rate * seconds), width)), rate=rate)
        for (name, rate), width in zip(RATES.items(), (3, 1))
    }


class Process:
    """`plait serve` as a user starts it."""

    def __init__(self, run: Path, *options: str, token: str = "") -> None:
        env = {**os.environ, "PLAIT_TOKEN": token, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-m", "plait", "serve", f"state={run}", "--json", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        line = (self.process.stdout or sys.stdin).readline()
        if not line.startswith('{"address"'):
            raise RuntimeError(self.process.communicate()[1])
        self.address = str(json.loads(line)["address"])
        self.port = int(re.sub(r".*:", "", self.address))
        self.socket = self.address.replace("http", "ws") + "/live"

    def end(self, how: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit status and what it said."""
        self.process.send_signal(how)
        told = self.process.communicate(timeout=60)[1]
        return self.process.returncode, told


@contextmanager
def serving(run: Path, *options: str, token: str = "") -> Iterator[Process]:
    """A server that is ended with the block."""
    found = Process(run, "--port", "0", *options, token=token)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.end(signal.SIGKILL)


@contextmanager
def client(
    sources: list[str],
    *,
    shadows: list[str] | None = None,
    folder: Path | None = None,
    token: str = "",
    every: float = 5.0,
    **limits: float,
) -> Iterator[Any]:
    """A server within this process."""
    from fastapi.testclient import TestClient

    from plait.serving.app import Server, application
    from plait.serving.limits import Limits
    from plait.serving.metrics import Metrics
    from plait.serving.served import load_models, source_of
    from plait.serving.sessions import Sessions

    own, metrics = Limits(**limits), Metrics()  # type: ignore[arg-type]
    models = load_models(map(source_of, sources), map(source_of, shadows or []), own, metrics)
    server = Server(models, own, metrics, Sessions(models, own, metrics, folder, every), token)
    with TestClient(application(server), base_url="http://127.0.0.1") as found:
        while not server.ready:
            assert not any(one.problem for one in models.all)
        found.server = server
        yield found
