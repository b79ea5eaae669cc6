"""A server under load, under overload, killed, and fed nonsense: python benchmarks/serve.py [PART ...]

Needs: nothing beyond plait. Optional: fastapi and what else the extra `serve` brings, httpx, schemathesis.
Takes: some fifteen minutes of two cores; with --kills 5 --malformed 500 some four.

The server is a process of its own; clients speak to it over a loopback socket, and its processor time is what Linux
counted for it. The model is that of benchmarks/stream.py: four streams, packets of a tenth of a second.

- ``push``: pushes per second of the server's processor, with an answer a minute (windows of 60 s), and beside it with
  one a second (windows of 2 s); then, at half of that load, seconds from when a push was due to its acknowledgement.
- ``overload``: ten times as much as it can do: it sheds, and each session's answers are those without a server.
- ``kill``: sessions whose server is killed (SIGKILL) at a random moment, and started again: the same.
- ``http``: tensors from a bounded number of clients.
- ``malformed``: requests that schemathesis makes of the server's own schema, and broken frames: each gets an error.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import multiprocessing
import os
import signal
import socket
import struct
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from stream import PUSH, RATES, predictor_of, streams_of
from targets import check_parts, finish, target

from plait import Predictor, Session

TICK = os.sysconf("SC_CLK_TCK")
PATIENCE = 20.0
"""Seconds after which something counts as hanging."""

Packet = tuple[str, np.ndarray, float]
Worlds = dict[float, Predictor]
Folders = dict[float, Path]


def _served(run: str, port: int, options: dict[str, Any]) -> None:
    from plait.serving.limits import Limits
    from plait.serving.served import Source
    from plait.serving.server import serve

    limits = Limits(**options.pop("limits", {}))
    serve([Source("bench", "1", Path(run))], port=port, limits=limits, told=lambda _: None, **options)


class Process:
    """A server in a process of its own, with its modules loaded before, so that it starts again at once."""

    def __init__(self, run: Path, port: int | None = None, **options: Any) -> None:
        if port is None:
            with socket.socket() as found:
                found.bind(("127.0.0.1", 0))
                port = found.getsockname()[1]
        self.run, self.port = run, port
        self.process = multiprocessing.get_context("fork").Process(target=_served, args=(str(run), port, options))
        self.process.start()
        self.http, self.ws = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/live"

    def wait(self) -> Process:
        """Until it is ready."""
        import httpx

        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.http}/v2/health/ready", timeout=5).status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError("the server does not start")

    @property
    def seconds(self) -> float:
        """Processor seconds, of all its threads."""
        parts = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / TICK

    def kill(self) -> None:
        os.kill(self.process.pid or 0, signal.SIGKILL)
        self.process.join()


@contextmanager
def serving(run: Path, **options: Any) -> Any:
    """A ready server, ended with the block in good order."""
    found = Process(run, **options).wait()
    try:
        yield found
    finally:
        found.process.terminate()
        found.process.join(60)


def packets(seconds: float, seed: int) -> list[Packet]:
    """A tenth of a second of each stream, one after another."""
    streams = streams_of(seconds, seed)
    cuts = [k * PUSH for k in range(round(seconds / PUSH))]
    return [(name, stream.cut(at, at + PUSH).read(), at) for at in cuts for name, stream in streams.items()]


def message(seq: int, received: int, place: int, values: np.ndarray, at: float) -> bytes:
    """A push in binary."""
    code = {"float32": 0, "float64": 1}[values.dtype.name]
    head = struct.pack("<QQHBBId", seq, received, place, code, values.ndim, 1, at)
    return head + struct.pack(f"<{values.ndim}I", *values.shape) + np.ascontiguousarray(values).tobytes()


@dataclass
class Client:
    """A session over a socket that goes on whatever happens, with some messages on the way.

    Attributes:
        address: of the server.
        sent: what it pushes.
        options: of the session.
        ahead: messages on the way, at most.
        every: seconds from one push to the next; 0: as quickly as can be.
    """

    address: str
    sent: list[Packet]
    options: dict[str, Any]
    ahead: int = 32
    every: float = 0.0
    acknowledged: int = 0
    number: int = 0
    shed: int = 0
    resumed: int = 0
    first: dict[str, Any] = field(default_factory=dict)
    answers: dict[int, Any] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def run(self) -> Client:
        """Push all, and close."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        self.began = time.perf_counter()
        while self.acknowledged <= len(self.sent):
            try:
                async with connect(self.address, compression=None, max_size=None, proxy=None) as ws:
                    await self._connected(ws)
            except (OSError, WebSocketException, TimeoutError):
                await asyncio.sleep(0.05)
        return self

    async def _connected(self, ws: Any) -> None:
        self.resumed += bool(self.first)
        hello = self.first or {"type": "open", "options": self.options}
        await ws.send(json.dumps({**hello, "received": self.number}))
        told = json.loads(await asyncio.wait_for(ws.recv(), PATIENCE))
        if told["type"] != "opened":
            return await self._refused(told)
        self.first = self.first or {"type": "resume", "session": told["session"]}
        self.acknowledged, self.room = told["seq"], asyncio.Semaphore(self.ahead)
        pushing = asyncio.create_task(self._push(ws, told["seq"], told["streams"]))
        try:
            while self.acknowledged <= len(self.sent):
                told = json.loads(await asyncio.wait_for(ws.recv(), PATIENCE))
                if told["type"] == "error":
                    return await self._refused(told)
                self._acknowledge(told)
            await ws.send(json.dumps({"type": "received", "received": self.number}))
        finally:
            pushing.cancel()
        return None

    def _acknowledge(self, told: dict[str, Any]) -> None:
        if told["seq"] > self.acknowledged:
            self.acknowledged = told["seq"]
            self.waits.append(time.perf_counter() - self.due[told["seq"]])
            self.room.release()
        for answer in told["answers"]:
            if answer["number"] in self.answers and self.answers[answer["number"]] != answer:
                self.wrong.append(f"answer {answer['number']} was another one before")
            self.answers[answer["number"]] = answer
            self.number = max(self.number, answer["number"])

    async def _refused(self, told: dict[str, Any]) -> None:
        if "retry_after" in told:
            self.shed += 1
        else:
            self.wrong.append(told["error"])
        await asyncio.sleep(min(told.get("retry_after", 0.1), 1.0))

    async def _push(self, ws: Any, done: int, streams: list[str]) -> None:
        self.due: dict[int, float] = {}
        for seq in range(done + 1, len(self.sent) + 2):
            when = self.began + seq * self.every if self.every else 0.0
            await asyncio.sleep(max(when - time.perf_counter(), 0))
            await self.room.acquire()
            # from when it was due, not from when there was room: waiting in the client is waiting too
            self.due[seq] = when or time.perf_counter()
            if seq > len(self.sent):
                await ws.send(json.dumps({"type": "close", "seq": seq}))
                return
            name, values, at = self.sent[seq - 1]
            await ws.send(message(seq, self.number, streams.index(name), values, at))

    def equal(self, once: list[Any]) -> bool:
        """Whether it has the answers of a session without a server, each once."""
        got = [{k: x for k, x in self.answers[n].items() if k != "number"} for n in sorted(self.answers)]
        return not self.wrong and [*self.answers] and sorted(self.answers) == [*range(1, len(once) + 1)] and got == once  # type: ignore[return-value]


def alone(predictor: Predictor, sent: list[Packet], options: dict[str, Any]) -> list[Any]:
    """The answers of a session without a server."""
    session = Session(predictor, **options)
    found = [a for name, values, at in sent for a in session.push(name, values, [at])] + session.close()
    return [json.loads(json.dumps(a.to_json())) for a in found]


def options_of(every: float) -> dict[str, Any]:
    return {"every": every, "start": 0.0, "rates": {name: float(rate) for name, rate in RATES.items()}}


def together(clients: list[Client]) -> list[Client]:
    async def run() -> list[Client]:
        return await asyncio.gather(*(client.run() for client in clients))

    return asyncio.run(run())


def push(worlds: Worlds, folders: Folders, args: argparse.Namespace, console: Console) -> Any:
    """Pushes a second and core, and how long one takes at half of that."""
    rows = []
    for length, every in ((60.0, 60.0), (2.0, 1.0)):
        with serving(folders[length] / "run") as server:
            before, began = server.seconds, time.perf_counter()
            sent = packets(args.seconds, 1)
            model = -time.process_time()
            alone(worlds[length], sent, options_of(every))
            model += time.process_time()
            clients = together([Client(server.ws, sent, options_of(every)) for _ in range(4)])
            spent, wall = server.seconds - before, time.perf_counter() - began
            done = sum(client.acknowledged for client in clients)
            a_second = done / spent
            half = [Client(server.ws, sent, options_of(every), every=16 / a_second) for _ in range(8)]
            waits = 1e3 * np.concatenate([client.waits for client in together(half)])
        p50, p99 = np.quantile(waits, [0.5, 0.99])
        console.print(f"the session alone, without a server: {len(sent) / model:.0f} pushes a second and core")
        what = f"windows of {length:g} s, an answer every {every:g} s"
        console.print(
            f"{what}: {done} pushes, {spent:.2f} s of processor, {wall:.2f} s, {a_second:.0f} a second and core"
        )
        console.print(
            f"  at half load: p50 {p50:.2f} ms, p99 {p99:.2f} ms; load of the machine {os.getloadavg()[0]:.1f}"
        )
        if length == 60.0:
            rows.append(target("pushes a second and core, with the model", a_second, ">=", 1000))
            rows.append(target("a push at half load, p99 ms", p99, "<=", 20))
    return rows


def overload(
    worlds: dict[float, Predictor], folders: dict[float, Path], args: argparse.Namespace, console: Console
) -> Any:
    """Sixteen clients that together keep ten times as many messages on the way as may wait."""
    options, limits = options_of(1.0), {"waiting": 48, "window": 32}
    sent = [packets(args.seconds / 4, seed) for seed in range(16)]
    with serving(folders[2.0] / "run", limits=limits) as server:
        clients = together([Client(server.ws, own, options, ahead=32) for own in sent])
    lost = sum(not c.equal(alone(worlds[2.0], own, options)) for c, own in zip(clients, sent))
    shed, resumed = sum(c.shed for c in clients), sum(c.resumed for c in clients)
    console.print(f"overload: {shed} times shed, {resumed} times resumed, {lost} of {len(clients)} sessions differ")
    return [
        target("overload: times that the server shed", shed, ">", 0),
        target("overload: sessions with an answer lost, repeated or changed", lost, "<=", 0),
    ]


async def killed(server: Process, client: Client, moment: float, given: dict[str, Any]) -> Process:
    """The server that follows one that is killed while a client pushes."""
    task = asyncio.create_task(client.run())
    await asyncio.sleep(moment)
    server.kill()
    fresh = Process(server.run, port=server.port, **given)
    await asyncio.wait_for(task, 120)
    return fresh


def kill(worlds: Worlds, folders: Folders, args: argparse.Namespace, console: Console) -> Any:
    """One session for each kill."""
    options, rng, equal, saves = options_of(1.0), np.random.default_rng(0), 0, []
    with tempfile.TemporaryDirectory() as folder:
        given = {"sessions": folder, "save_every": 0.1}
        server = Process(folders[2.0] / "run", **given).wait()
        for i in range(args.kills):
            sent = packets(5.0, 1000 + i)
            client = Client(server.ws, sent, options, every=0.004, ahead=int(rng.integers(1, 32)))
            moment = float(rng.uniform(0.02, 0.9))
            server = asyncio.run(killed(server, client, moment, given))
            same = client.equal(alone(worlds[2.0], sent, options))
            equal += same
            saves.append(client.resumed)
            if not same:
                console.print(f"killed after {moment:.2f} s: {len(client.answers)} answers, {client.wrong[:2]}")
        server.process.terminate()
        server.process.join(60)
    console.print(
        f"kill: {equal} of {args.kills} sessions equal; {sum(n > 0 for n in saves)} had begun and were resumed"
    )
    return [target(f"killed at {args.kills} moments: sessions that differ", args.kills - equal, "<=", 0)]


def http(worlds: Worlds, folders: Folders, args: argparse.Namespace, console: Console) -> Any:
    """Tensors of 2 s, from eight clients at once."""
    import httpx

    model, rng = worlds[2.0].model, np.random.default_rng(0)
    inputs = []
    for m, dim in model.dims.items():
        shape = [1, 40, dim]
        inputs.append(
            {
                "name": f"{m}.values",
                "shape": shape,
                "datatype": "FP32",
                "data": rng.normal(0, 1, shape).ravel().tolist(),
            }
        )
        inputs.append(
            {"name": f"{m}.times", "shape": shape[:2], "datatype": "FP32", "data": (np.arange(40) / 20).tolist()}
        )
    body, waits, failed = json.dumps({"inputs": inputs}).encode(), list[float](), 0

    async def one(client: httpx.AsyncClient, count: int) -> None:
        nonlocal failed
        for _ in range(count):
            began = time.perf_counter()
            answer = await client.post(
                "/v2/models/bench/infer", content=body, headers={"content-type": "application/json"}
            )
            failed += answer.status_code != 200
            waits.append(time.perf_counter() - began)

    async def all_of(address: str) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=PATIENCE) as client:
            await asyncio.gather(*(one(client, args.requests // 8) for _ in range(8)))

    with serving(folders[2.0] / "run") as server:
        before = server.seconds
        asyncio.run(all_of(server.http))
        spent = server.seconds - before
    p50, p99 = 1e3 * np.quantile(waits, [0.5, 0.99])
    console.print(
        f"http: {len(waits)} requests, {len(waits) / spent:.0f} a second and core, p50 {p50:.1f}, p99 {p99:.1f} ms"
    )
    return [target(f"http: of {len(waits)} requests from 8 clients, failed", failed, "<=", 0)]


def malformed(
    worlds: dict[float, Predictor], folders: dict[float, Path], args: argparse.Namespace, console: Console
) -> Any:
    """Half requests, half frames; then a session that must be as ever."""
    options, sent = options_of(1.0), packets(4.0, 5)
    with serving(folders[2.0] / "run") as server:
        asked = requests_of(server.http, args.malformed // 2, console)
        frames = asyncio.run(frames_of(server.ws, args.malformed - args.malformed // 2, sent))
        (after,) = together([Client(server.ws, sent, options)])
        well = after.equal(alone(worlds[2.0], sent, options))
    for name, found in (("requests", asked), ("frames", frames)):
        console.print(f"malformed {name}: {found}")
    return [
        target("malformed requests and frames", asked["sent"] + frames["sent"], ">=", args.malformed),
        target("malformed: hung", asked["hung"] + frames["hung"], "<=", 0),
        target("malformed: refused without an error, or failed", asked["mute"] + frames["mute"], "<=", 0),
        target("malformed: a session afterwards is as ever", well, ">=", 1),
    ]


def requests_of(address: str, count: int, console: Console) -> dict[str, int]:
    """Requests that do not fit the server's schema, by schemathesis; what fits after all is counted apart."""
    import hypothesis
    import requests
    import schemathesis
    from schemathesis import GenerationMode

    found = {"sent": 0, "refused": 0, "accepted": 0, "hung": 0, "mute": 0}
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [own.ok() for own in schema.get_all_operations()]
    asking = [own for own in operations if own.method.upper() == "POST" or own.path_parameters]
    session = requests.Session()

    def one(case: Any) -> None:
        found["sent"] += 1
        try:
            answer = case.call(base_url=address, session=session, timeout=PATIENCE)
        except requests.Timeout:
            found["hung"] += 1
            return
        if answer.status_code < 400:
            found["accepted"] += 1
            found["sent"] -= 1
            return
        found["refused"] += 1
        try:
            clear = bool(answer.json()["error"])
        except (ValueError, KeyError, TypeError):
            clear = False
        if not clear or answer.status_code in (500, 502):
            found["mute"] += 1
            console.print(f"{case.method} {case.path}: {answer.status_code} {answer.text[:200]!r}")

    rounds = 0
    while found["sent"] < count and rounds < 50:
        for own in asking:
            strategy = own.as_strategy(generation_mode=GenerationMode.NEGATIVE)
            settings = hypothesis.settings(
                max_examples=max(count // len(asking), 20), deadline=None, database=None,
                suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate],
            )  # fmt: skip
            with suppress(hypothesis.errors.Unsatisfiable):  # whatever is asked of this path fits
                hypothesis.seed(rounds)(settings(hypothesis.given(strategy)(one)))()
        rounds += 1
    return found


async def frames_of(address: str, count: int, sent: list[Packet]) -> dict[str, int]:
    """Frames that were right, and then cut, turned over or filled with something else."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    rng, found = np.random.default_rng(0), {"sent": 0, "refused": 0, "accepted": 0, "hung": 0, "mute": 0}
    while found["sent"] < count:
        try:
            async with connect(address, compression=None, proxy=None) as ws:
                if rng.random() < 0.2:  # the first message is wrong
                    await ws.send(broken(rng, json.dumps({"type": "open", "options": options_of(1.0)})))
                else:
                    await ws.send(json.dumps({"type": "open", "options": options_of(1.0)}))
                    told = json.loads(await asyncio.wait_for(ws.recv(), PATIENCE))
                    if told["type"] == "error":  # as many sessions as may be: those that are left end after a while
                        await asyncio.sleep(told.get("retry_after", 1.0))
                        continue
                    seq, told = told["seq"], {}
                    for _ in range(50):
                        await ws.send(broken(rng, valid(rng, seq + 1, sent)))
                        told = json.loads(await asyncio.wait_for(ws.recv(), PATIENCE))
                        seq = max(seq, told.get("seq", 0))
                        counted(found, told)
                    await ws.send(json.dumps({"type": "close", "seq": seq + 1, "received": 2**53}))
                    continue
                told = json.loads(await asyncio.wait_for(ws.recv(), PATIENCE))
                counted(found, told)
        except TimeoutError:
            found["hung"] += 1
            found["sent"] += 1
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            found["sent"] += 1
            found["mute" if code in (1006, 1011) else "refused"] += 1
    return found


def counted(found: dict[str, int], told: dict[str, Any]) -> None:
    if told["type"] == "error":
        found["sent"] += 1
        found["refused"] += 1
        found["mute"] += not told["error"]
    else:  # it was right after all
        found["accepted"] += 1


def valid(rng: np.random.Generator, seq: int, sent: list[Packet]) -> str | bytes:
    """A right message."""
    name, values, at = sent[int(rng.integers(len(sent)))]
    if rng.random() < 0.5:
        return message(seq, 0, [*RATES].index(name), values[:20], at)
    kinds: list[dict[str, Any]] = [
        {"type": "push", "stream": name, "values": values[:5].tolist(), "times": at},
        {"type": "tick", "now": at},
    ]
    return json.dumps({**kinds[int(rng.integers(len(kinds)))], "seq": seq})


def broken(rng: np.random.Generator, data: str | bytes) -> str | bytes:
    """The message with a fault."""
    if isinstance(data, bytes):
        raw, how = bytearray(data), int(rng.integers(3))
        if how == 0:
            return bytes(raw[: int(rng.integers(len(raw)))])
        if how == 1:  # in the header, but not in its number
            raw[int(rng.integers(16, 24))] ^= 1 << int(rng.integers(8))
            return bytes(raw)
        return bytes(raw[:16]) + rng.bytes(int(rng.integers(0, 200)))
    odd: list[Any] = [None, True, -1, 1e308, "x", [], {}, [[]], "\0", 10**30, [1, "2"], {"a": {}}]
    how = int(rng.integers(3))
    if how == 0:
        return data[: int(rng.integers(len(data)))]
    if how == 1:
        at = int(rng.integers(len(data)))
        return data[:at] + chr(int(rng.integers(32, 1000))) + data[at + 1 :]
    body = json.loads(data)
    body[sorted(body)[int(rng.integers(len(body)))]] = odd[int(rng.integers(len(odd)))]
    return json.dumps(body)


KINDS = {"push": push, "overload": overload, "kill": kill, "http": http, "malformed": malformed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[*KINDS], help=f"of {', '.join(KINDS)}")
    parser.add_argument("--seconds", type=float, default=70.0, help="of streams that each client sends")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--requests", type=int, default=800)
    parser.add_argument("--malformed", type=int, default=10_000)
    args = parser.parse_args()
    check_parts(parser, args.parts, KINDS)
    torch.set_num_threads(1)
    importlib.import_module("plait.serving.server")  # before servers are forked

    console, rows = Console(), []
    with tempfile.TemporaryDirectory() as folder:
        folders = {length: Path(folder) / f"{length:g}" for length in (60.0, 2.0)}
        worlds = {length: predictor_of(own, length=length, causal=True) for length, own in folders.items()}
        for part in args.parts:
            rows += KINDS[part](worlds, folders, args, console)
    finish(rows)


if __name__ == "__main__":
    main()
