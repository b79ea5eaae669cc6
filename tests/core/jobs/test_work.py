"""Work shared by processes and clusters: the same bytes, and a process that dies costs its item only."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import plait
from plait.cli import main
from plait.core.errors import ConfigError, DataError, MissingExtra
from plait.core.jobs import processes
from plait.core.jobs.cluster import _task, connected
from plait.core.jobs.outcomes import Died, Failed, Outcomes
from plait.core.jobs.threads import one_thread
from plait.core.jobs.work import _twice, in_order
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.store.prepare import prepare
from plait.store.store import Store
from plait.streams.stream import Stream

HERE = Path(__file__).parent


def written(folder: Path, firsts: Sequence[int]) -> Corpus:
    """A corpus of one stream; the first number of each says what becomes of who reads it (see `killers`)."""
    with CorpusWriter(folder) as out:
        for i, first in enumerate(firsts):
            out.add(f"rec{i}", {"x": Stream.of(np.full((5, 2), float(first)) + [0, i], rate=10)})
    return Corpus(folder / "manifest.jsonl")


def feature(folder: Path, **options: float) -> dict[str, object]:
    return {"name": "killers.Killer", "folder": str(folder), **options}


def everything(folder: Path) -> dict[str, str]:
    """Digest of each file below a folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(autouse=True)
def _killers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE)


# what becomes of the outcomes


def test_who_died_is_tried_again_at_the_end_and_alone() -> None:
    calls: list[tuple[list[str], int]] = []

    def team(todo: Sequence[str], width: int) -> Outcomes[str, int]:
        calls.append((list(todo), width))
        for job in todo:
            yield job, Died("was ended by SIGKILL") if job == "a" or (job == "b" and width > 1) else 0

    found = list(_twice("abc", team, 4))
    assert calls == [(["a", "b", "c"], 4), (["a", "b"], 1)]
    assert [job for job, _ in found] == ["c", "a", "b"]
    assert found[2][1] == found[0][1] == 0
    assert str(found[1][1]).startswith("its process was ended by SIGKILL, and once more")


def halves(number: int) -> float:
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return 6 / number


@pytest.mark.slow
def test_results_come_in_the_order_of_the_jobs_and_errors_when_their_turn_comes() -> None:
    for jobs in (1, 2):
        found = in_order(halves, [3, 2, 0, 1], jobs)
        assert [next(found), next(found)] == [2.0, 3.0]
        with pytest.raises(ZeroDivisionError if jobs == 1 else RuntimeError, match="division by zero"):
            next(found)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_process_that_dies_is_told_in_its_turn() -> None:
    found = in_order(halves, [3, 4], 2)
    assert next(found) == 2.0
    with pytest.raises(DataError, match="its process was ended by SIGKILL, and once more when it was tried alone"):
        next(found)


def test_an_error_that_no_item_is_to_blame_for_keeps_its_class_and_problems() -> None:
    known = Failed.of(ConfigError(["one", "two"])).error()
    assert isinstance(known, ConfigError)
    assert known.problems == ("one", "two")
    other = Failed.of(ZeroDivisionError("division by zero")).error()
    assert isinstance(other, RuntimeError)
    assert "ZeroDivisionError: division by zero" in str(other)


def full(_: int) -> None:
    raise FileTooLarge(errno.EFBIG, "File too large", "film.mp4")


class FileTooLarge(OSError):
    def __reduce__(self) -> str:
        raise TypeError("cannot be sent")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_the_system_stays_one(jobs: int) -> None:
    with pytest.raises(OSError, match="File too large") as caught:
        list(in_order(full, [1, 2], jobs))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, "film.mp4")


def test_too_little_memory_is_a_problem_of_its_item(tmp_path: Path) -> None:
    found = prepare(written(tmp_path / "c", [1, 9]), {"x": feature(tmp_path)}, Store(tmp_path / "s"), keep_going=True)
    assert found.computed == 1
    (problem,) = found.problems
    assert "'rec1' 'x': needs more memory than there is" in problem


# one thread

BITS = """
import hashlib, numpy as np
from plait.core.jobs.threads import one_thread
rng = np.random.default_rng(0)
a, b = rng.normal(size=(1500, 513)).astype(np.float32), rng.normal(size=(513, 80)).astype(np.float32)
with one_thread():
    c = a @ b
    import torch
    d = torch.nn.functional.softmax(torch.from_numpy(c @ b.T), -1) @ torch.from_numpy(a).T
print(torch.get_num_threads(), hashlib.sha256(c.tobytes() + d.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_sums_do_not_depend_on_the_threads_allowed() -> None:
    def run(threads: str) -> list[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", BITS], capture_output=True, text=True, check=True, env=environment)
        return done.stdout.split()

    one, four = run("1"), run("4")
    assert (one[0], four[0]) == ("1", "4"), "torch gets its threads back"
    assert one[1] == four[1]


def test_threads_come_back() -> None:
    import torch

    before = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before[0])
    assert os.environ.get("OMP_NUM_THREADS") == before[1]


# processes


@pytest.mark.slow
def test_a_process_that_is_killed_costs_its_item_only(tmp_path: Path) -> None:
    corpus, store = written(tmp_path / "c", [1, 3, 5, 1, 9, 1, 1, 1]), Store(tmp_path / "s")
    seen: list[tuple[int, int]] = []
    found = prepare(
        corpus,
        {"x": feature(tmp_path)},
        store,
        jobs=2,
        keep_going=True,
        progress=lambda done, total, what: seen.append((done, total)),
    )
    assert found.computed == 6, "rec2 was killed once only, and done when it was tried again"
    assert [p.split(":")[0] for p in found.problems] == ["manifest.jsonl 'rec1' 'x'", "manifest.jsonl 'rec4' 'x'"]
    assert "SIGKILL, and once more when it was tried alone. Most often memory is short" in found.problems[0]
    assert seen == [(i, 8) for i in range(1, 9)]
    assert found.has("rec2", "x")
    assert not found.has("rec1", "x")
    assert not multiprocessing.active_children()
    assert not list(store.folder.rglob("*.part"))


@pytest.mark.slow
def test_a_feature_that_cannot_work_ends_the_work(tmp_path: Path) -> None:
    corpus = written(tmp_path / "c", [1, 7, 1])
    with pytest.raises(ConfigError, match="cannot work at all"):
        prepare(corpus, {"x": feature(tmp_path)}, Store(tmp_path / "s"), jobs=2, keep_going=True)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_processes_that_cannot_start_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_serve", operator.is_)  # ends at once, without a word
    corpus = written(tmp_path / "c", [1, 1])
    with pytest.raises(ConfigError, match=r"cannot start: each ended with code 0 at once\."):
        prepare(corpus, {"x": feature(tmp_path)}, Store(tmp_path / "s"), jobs=2)


RECIPE = "corpus: {corpus}\ntask: {{name: classify, target: kind}}\nstreams: {{left: {{feature: {feature}}}}}\n"


def heeds_interrupts() -> None:
    """In a new process: a shell's background job ignores them, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def arguments(recipe: Path, cache: Path) -> list[str]:
    return ["prepare", str(recipe), "--cache", str(cache), "--json"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_prepare_cut_off_goes_on_to_the_same_bytes(
    how: signal.Signals, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, cache = tmp_path / "recipe.yaml", tmp_path / "cache"
    slow = json.dumps(feature(tmp_path, seconds=0.02))
    recipe.write_text(RECIPE.format(corpus=tiny_corpus, feature=slow))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "plait.cli", *arguments(recipe, cache), "--jobs", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, env=environment, preexec_fn=heeds_interrupts, **pipes)
    deadline = time.monotonic() + 60
    while len(list(cache.rglob("*.safetensors"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    done = len(list(cache.rglob("*.safetensors")))
    assert 5 <= done < 42
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in said
        assert not list(cache.rglob("*.part"))
    time.sleep(0.5)  # a killed parent's processes finish what they are at
    capsys.readouterr()
    assert main(arguments(recipe, cache)) == 0
    counts = json.loads(capsys.readouterr().out)["features"]["left"]
    assert counts["cached"] >= done
    assert counts["computed"] + counts["cached"] == 42
    assert main(arguments(recipe, tmp_path / "whole")) == 0
    ours = {k: v for k, v in everything(cache).items() if not k.endswith(".part")}
    assert ours == everything(tmp_path / "whole")


# a cluster

ON_RAY = """
import json, socket, sys
from pathlib import Path
import ray
from plait.core.errors import ConfigError, DataError
from plait.core.jobs.cluster import connected
from plait.store.prepare import prepare
from plait.store.store import Store
from plait.corpus.corpus import Corpus

folder, killers = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, killers)
feature = {"x": {"name": "killers.Killer", "folder": str(folder)}}

def on_ray(name, streams):
    corpus = Corpus(folder / name / "manifest.jsonl")
    return prepare(corpus, streams, Store(folder / f"{name}_ray"), cluster="local", keep_going=True)

with connected("local", 2):
    plain = on_ray("c", json.loads(sys.argv[3])).pack()
    found = on_ray("k", feature)
    try:
        on_ray("b", feature)
    except ConfigError as error:
        broken = str(error)
    inside = ray.is_initialized()
print(json.dumps([plain.computed, found.computed, found.problems, broken, inside, ray.is_initialized()]))
"""

STREAMS = {"imu": {"name": "statistics", "window": 2, "hop": 0.5}, "said": "hashed_text"}


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_bytes_and_loses_no_more(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed (extra 'scale')")
    rng = np.random.default_rng(0)
    with CorpusWriter(tmp_path / "c") as out:
        for i in range(6):
            words = Stream.of([f"word {i}", ""], spans=([0, 1], [1, 2]))
            out.add(f"rec{i}", {"imu": Stream.of(rng.normal(size=(200, 3)), times=np.arange(200) / 20), "said": words})
    written(tmp_path / "k", [1, 3, 5, 1])
    written(tmp_path / "b", [7])
    arguments = [str(tmp_path), str(HERE), json.dumps(STREAMS)]
    done = subprocess.run([sys.executable, "-c", ON_RAY, *arguments], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    plain, killed, problems, broken, inside, after = json.loads(done.stdout.splitlines()[-1])
    assert (plain, killed) == (12, 3)
    (problem,) = problems
    assert "manifest.jsonl 'rec1' 'x': its process was lost (WorkerCrashedError), and once more" in problem
    assert "cannot work at all" in broken
    assert (inside, after) == (True, False)
    for name, jobs in (("one", 1), ("two", 2)):
        prepare(Corpus(tmp_path / "c" / "manifest.jsonl"), STREAMS, Store(tmp_path / name), jobs=jobs).pack()
    assert everything(tmp_path / "one") == everything(tmp_path / "two") == everything(tmp_path / "c_ray")


def test_machines_that_do_not_fit_say_so(tmp_path: Path) -> None:
    other = _task(-1, abs, [], "0.0.0", [])
    assert isinstance(other, Failed)
    assert other.kind is ConfigError
    assert "and 0.0.0 asks it to work. Install one version on all" in other.problems[0]
    unseen = _task(-1, abs, [str(tmp_path), str(tmp_path / "gone")], plait.__version__, [])
    assert isinstance(unseen, Failed)
    assert unseen.kind is DataError
    assert f"{tmp_path / 'gone'}: machine" in unseen.problems[0]
    assert "does not see it. Put it on a disk that all share" in unseen.problems[0]
    assert _task(-1, abs, [str(tmp_path)], plait.__version__, []) == 1


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"plait\[scale\]"), connected("local"):
        pass


@pytest.mark.slow
def test_no_cluster_at_the_address() -> None:
    pytest.importorskip("ray", reason="ray is not installed (extra 'scale')")
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"):
        with pytest.raises(ConfigError, match=f"cluster {address!r}: cannot be reached"), connected(address):
            pass
