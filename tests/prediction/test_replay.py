"""A session's log gives the same answers again; with faults, those that a worse line would have given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import CorpusWriter
from plait.prediction.predict import Predictor
from plait.prediction.replay import Call, Log, Recorder, faulty, read_log, replayed
from plait.prediction.session import LiveAnswer, Session
from plait.recipe import parse_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.testing.stream import packets
from plait.training.fit import fit

RATES = {"wrist": 50, "chest": 20}


def recorded(seed: int) -> dict[str, Stream]:
    rng = np.random.default_rng(seed)
    return {name: Stream.of(rng.normal(seed % 2, 1, (rate * 6, 2)), rate=rate) for name, rate in RATES.items()}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("replay")
    with CorpusWriter(folder) as out:
        for i in range(6):
            out.add(f"r{i}", recorded(i), annotations=[Annotation(0, 6, "ab"[i % 2], "state")], group=f"g{i}")
    recipe = parse_recipe(
        f"corpus: {folder}/manifest.jsonl\nmodel: {{dim: 8}}\ntrain: {{steps: 4}}\ncausal: true\n"
        "task: {name: classify, unit: window, tier: state, length: 1}\n"
    )
    return Predictor(fit(recipe, folder / "run", cache=folder / "cache", quiet=True), cache=folder / "c")


@pytest.fixture(scope="module")
def session_log(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> tuple[Log, list[LiveAnswer], Path]:
    path, answers = tmp_path_factory.mktemp("log") / "live.arrows", list[LiveAnswer]()
    options = {"every": 0.5, "rates": RATES, "lateness": 0.3, "absent_after": 1.0, "clocks": {"chest": {}}}
    with Recorder(Session(predictor, **options), path) as live:  # type: ignore[arg-type]
        for name, values, times in packets(recorded(9), np.random.default_rng(0), 0.2):
            answers += live.push(name, values, times + 50, float(times[-1]) + 50.1)
            with pytest.raises(DataError):
                live.push(name, values[:, :1], times + 50, float(times[-1]))
        with pytest.raises(DataError):
            live.push("wrist", np.array(["a"]), 57.0)
        answers += live.tick(60.0) + live.close()
    return read_log(path), answers, path


def test_it_replays_to_the_bit(
    session_log: tuple[Log, list[LiveAnswer], Path], predictor: Predictor, tmp_path: Path
) -> None:
    log, answers, path = session_log
    assert len(answers) > 5
    assert not log.cut_off
    assert log.model == predictor.digest
    again, session = replayed(log, predictor)
    assert again == answers
    assert session.counts["wrist"].pushed == 300
    with pytest.raises(ConfigError, match="is there already"):
        Recorder(Session(predictor, every=1.0), path)
    cut = tmp_path / "cut.arrows"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    half = read_log(cut)
    assert half.cut_off
    assert 0 < len(half.calls) < len(log.calls)
    assert all(a == b for a, b in zip(replayed(half, predictor)[0], answers))
    for bad in (b"", b"no log", path.read_bytes()[:100]):
        (tmp_path / "bad.arrows").write_bytes(bad)
        with pytest.raises(DataError, match=r"bad\.arrows: not the log"):
            read_log(tmp_path / "bad.arrows")


def test_faults_are_those_that_are_asked_for(
    session_log: tuple[Log, list[LiveAnswer], Path], predictor: Predictor
) -> None:
    log, answers, _ = session_log
    rng = np.random.default_rng(0)

    def told(**faults: float) -> tuple[list[LiveAnswer], Session]:
        return replayed(log, predictor, faulty(log.calls, rng, **faults))  # type: ignore[arg-type]

    assert told()[0] == answers
    same, session = told(repeated=1.0)
    assert same == answers
    assert session.counts["wrist"].repeated == session.counts["wrist"].used > 250
    assert told(shuffled=1)[0] == answers  # within the lateness
    lost, session = told(lost=0.5)
    assert session.counts["wrist"].pushed < 250
    late, session = told(late=0.3)
    assert session.counts["wrist"].late > 30
    assert len(lost) == len(answers) == len(late)
    nothing, session = told(lost=1.0)
    assert (nothing, session.counts["wrist"].pushed) == ([], 0)
    with pytest.raises(ConfigError, match=r"lost: got 2.0.*\n?.*late: got -1"):
        faulty(log.calls, rng, lost=2.0, late=-1.0)
    with pytest.raises(ConfigError, match="shuffled: got -1"):
        faulty([Call("close")], rng, shuffled=-1)
