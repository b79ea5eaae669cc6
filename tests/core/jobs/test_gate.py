"""The gate: what hangs, dies or swells behind it costs a message, and the next call is answered."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from plait.core.errors import ConfigError, DataError
from plait.core.jobs import gate
from plait.core.jobs.gate import guarded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of the system")


def refuse(what):
    raise ConfigError([f"{what}: no.", "and no."])


def say(what):
    print(what)
    os.write(1, what.encode())
    return what


def here():
    return os.getpid()


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """These functions are called in the other process, which finds them as this one does: by the path."""
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    monkeypatch.setitem(sys.modules, "test_gate", sys.modules[__name__])
    for work in (refuse, say, here):
        monkeypatch.setattr(work, "__module__", "test_gate")
    gate._end()  # a process that knows the path
    yield
    gate._end()


def test_results_and_errors_come_back():
    assert guarded(math.hypot, 3, 4, where="a") == 5
    assert guarded(say, "hello", where="a") == "hello"  # what is printed is no answer
    with pytest.raises(ConfigError) as told:
        guarded(refuse, "a.h5", where="a")
    assert told.value.problems == ("a.h5: no.", "and no.")
    with pytest.raises(FileNotFoundError):
        guarded(os.stat, "/nowhere", where="a")
    with pytest.raises(RuntimeError, match="ValueError"):
        guarded(math.sqrt, -1, where="a")


def test_one_process_answers_many_calls_and_is_another_than_ours():
    pids = {guarded(here, where="a") for _ in range(5)}
    assert pids == {gate.process()}
    assert os.getpid() not in pids


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "given", "message"),
    [
        # never leaves C
        (pow, (3, 10**9), "a.h5: the file is so broken that its reader takes too long. Get a whole copy."),
        (ctypes.string_at, (0,), "was ended by SIGSEGV"),
        (os._exit, (7,), "ended with code 7"),
    ],
)
def test_what_hangs_or_dies_costs_a_message(work, given, message):
    begun = time.monotonic()
    with pytest.raises(DataError, match=message):
        guarded(work, *given, where="a.h5", seconds=1)
    assert time.monotonic() - begun < 30
    assert guarded(math.hypot, 3, 4, where="a") == 5


@pytest.mark.slow
def test_what_waits_for_ever_is_killed_too(monkeypatch):
    guarded(here, where="a")
    monkeypatch.setattr(gate, "PATIENCE", 1.0)
    with pytest.raises(DataError, match="takes too long"):
        guarded(time.sleep, 600, where="a.h5", seconds=1)


@pytest.mark.skipif(sys.platform != "linux", reason="others do not hold a process to its memory")
def test_what_swells_is_held():
    with pytest.raises(RuntimeError, match="MemoryError"):
        guarded(bytes, 1 << 30, where="a.h5", memory=1 << 28)
    assert len(guarded(bytes, 1 << 20, where="a.h5", memory=1 << 28)) == 1 << 20


def test_each_of_many_threads_gets_its_own_answer():
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: guarded(math.hypot, 0, i, where="a"), range(200)))
    assert got == list(range(200))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside threads
def test_a_fork_has_a_process_of_its_own():
    ours = guarded(here, where="a")
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=lambda: send.send(guarded(here, where="a")), daemon=True)
    child.start()
    assert receive.poll(60)
    theirs = receive.recv()
    child.join()
    assert theirs not in (ours, os.getpid(), child.pid)
    assert guarded(here, where="a") == ours
    assert threading.active_count() < 20
