"""A session fed a little at a time answers as one pass over the files does."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import CorpusWriter
from plait.evaluation.examined import Examination
from plait.prediction.predict import Prediction, Predictor
from plait.prediction.session import Facts, LiveAnswer, Session
from plait.prediction.session_file import load_session, save_session
from plait.prediction.together import together
from plait.recipe import Recipe, parse_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.testing import LawBroken, check_stream
from plait.testing.stream import Packet, apart, packets
from plait.training.fit import fit
from plait.training.run import Run

SECONDS, LENGTH, HOP = 8.0, 2.0, 0.5
FEATURES = {
    "imu": "{feature: series}",
    "skin": "{feature: {name: statistics, window: 0.6, hop: 0.2}}",
    "voice": "{feature: {name: log_mel, mels: 12}, normalization: running}",
    "taps": "{feature: series}",
}
RATES = {"imu": 50, "skin": 20, "voice": 8000}

MODELS = {"one that looks both ways": "train: {steps: 6, wide: true}", "causal": "causal: true\ntrain: {steps: 6}"}


def recipe_of(folder: Path, model: str, task: str = "", length: float = LENGTH) -> Recipe:
    streams = "".join(f"  {m}: {spec}\n" for m, spec in FEATURES.items())
    return parse_recipe(
        f"corpus: {folder}/manifest.jsonl\nmodel: {{dim: 8}}\n{MODELS[model]}\n"
        f"task: {{name: classify, unit: window, tier: state, length: {length}, hop: {HOP}{task}}}\n"
        f"split: {{hash: group, test: 0.2}}\nstreams:\n{streams}"
    )


def corpus_in(folder: Path) -> Path:
    with CorpusWriter(folder) as out:
        for i in range(6):
            notes = [Annotation(0, SECONDS, "ab"[i % 2], "state")]
            out.add(f"r{i}", recorded(i), annotations=notes, group=f"g{i}")
    return folder


def recorded(seed: int) -> dict[str, Stream]:
    rng = np.random.default_rng(seed)
    level = seed % 2
    at = np.sort(rng.uniform(0, SECONDS, 60)).round(4)
    return {
        "imu": Stream.of(rng.normal(level, 1, (int(SECONDS * 50), 3)), rate=50),
        "skin": Stream.of(rng.normal(0, 1 + level, (int(SECONDS * 20), 1)), rate=20),
        "voice": Stream.of(
            (rng.normal(0, 0.1, (int(SECONDS * 8000), 1)) * (1 + level)).astype(np.float32), rate=8000, kind="waveform"
        ),
        "taps": Stream.of(rng.normal(level, 1, (60, 2)), times=at),
    }


def long_recording(seconds: float) -> dict[str, Stream]:
    """States of a second each: what is a second off is told wrongly."""
    rng, parts = np.random.default_rng(3), []
    for i in range(int(seconds / SECONDS) + 1):
        parts.append(recorded(100 + i))
    values = {name: np.concatenate([p[name].read() for p in parts]) for name in RATES}
    taps = np.concatenate([p["taps"].clock.times + i * SECONDS for i, p in enumerate(parts)])
    moves = np.repeat(rng.integers(0, 2, len(values["imu"]) // 25 + 1), 25)[: len(values["imu"]), None]
    made = {name: Stream.of(x, rate=RATES[name]) for name, x in values.items() if name != "voice"}
    made["voice"] = Stream.of(values["voice"], rate=8000, kind="waveform")
    # 50 rows a second by a clock that loses 200 ppm
    made["imu"] = Stream.of(values["imu"] + 2 * moves, rate=Fraction(50) / (1 + Fraction(200, 10**6)))
    made["taps"] = Stream.of(np.concatenate([p["taps"].read() for p in parts]), times=taps)
    return {name: stream.cut(0.0, seconds) for name, stream in made.items()}


@pytest.fixture(scope="module", params=MODELS)
def predictor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = corpus_in(tmp_path_factory.mktemp("live"))
    run = fit(recipe_of(folder, request.param), folder / "run", cache=folder / "cache", quiet=True)
    return Predictor(run, cache=folder / "c")


def whole(predictor: Predictor, streams: dict[str, Stream], folder: Path) -> list[Prediction]:
    """What one pass over files says of the windows."""
    with CorpusWriter(folder) as out:
        out.add("live", streams)
    ends = np.arange(LENGTH, SECONDS + 1e-6, HOP)
    return predictor(folder / "manifest.jsonl", segments=[(t - LENGTH, t) for t in ends])


def run(session: Session, sent: list[Packet]) -> list[LiveAnswer]:
    return [a for name, values, at in sent for a in session.push(name, values, at)] + session.close()


def session_of(predictor: Predictor) -> Session:
    return Session(predictor, every=HOP, start=0.0, rates=RATES, absent_after=1.5)


def run_of(session: Session, streams: dict[str, Stream]) -> list[LiveAnswer]:
    return run(session, packets(streams, np.random.default_rng(4)))


def same(live: list[LiveAnswer], once: list[Prediction]) -> None:
    assert [(a.prediction.start, a.prediction.stop) for a in live] == [(p.start, p.stop) for p in once]
    for a, p in zip(live, once):
        assert a.final
        assert a.prediction.used == p.used
        left, right = a.prediction.answer, p.answer
        assert left is not None
        assert right is not None
        assert left.confidence == pytest.approx(right.confidence, abs=1e-5)
        assert left.label == right.label


def test_the_laws_hold(predictor: Predictor) -> None:
    check_stream(predictor, recorded(11), every=HOP, tries=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_laws_hold_of_other_recordings(predictor: Predictor, seed: int) -> None:
    check_stream(predictor, recorded(20 + seed), every=HOP, window=(1.0, None)[seed % 2], seed=seed, tries=5)


@pytest.mark.parametrize("ahead", [0.0, 0.7])
def test_context_is_seen_before_an_item_and_look_ahead_after_it(tmp_path: Path, ahead: float) -> None:
    folder = corpus_in(tmp_path / "corpus")
    recipe = recipe_of(folder, "causal", ", pad: 1.2", 1.0)
    recipe.look_ahead = ahead
    predictor = Predictor(fit(recipe, folder / "run", cache=folder / "cache", quiet=True), cache=folder / "c")
    streams = recorded(17)
    with CorpusWriter(tmp_path) as out:
        out.add("live", streams)
    once = predictor(tmp_path / "manifest.jsonl", segments=[(t - 1.0, t) for t in np.arange(1, SECONDS + 1e-6, HOP)])
    assert (once[6].start, once[6].stop) == pytest.approx((4.0 - 2.2, 4.0 + ahead))
    session = Session(predictor, every=HOP, start=0.0, rates=RATES, late="revise")
    assert session.facts.latency["imu"] == pytest.approx(ahead)
    same([a for a in run_of(session, streams) if a.final], once)


def test_what_sees_both_ways_has_no_context_and_no_look_ahead(tmp_path: Path) -> None:
    folder = corpus_in(tmp_path)
    both = recipe_of(folder, "one that looks both ways", ", pad: 1.2", 1.0)
    sees_on = fit(both, folder / "both", cache=folder / "cache", quiet=True)
    with pytest.raises(ConfigError, match="causal: true"):
        Session(Predictor(sees_on, cache=folder / "c"), every=HOP, rates=RATES)
    both.look_ahead = 0.5
    with pytest.raises(ConfigError, match=r"look_ahead: 0\.5 s, but causal is false"):
        fit(both, folder / "ahead", cache=folder / "cache", quiet=True)


def test_a_prediction_sees_what_training_saw(predictor: Predictor) -> None:
    folder = predictor.store.folder.parent
    one = next(iter(Examination(Run(folder / "run"), folder / "cache", None)))
    scores = one.output().outputs[tuple(one.modalities)]
    told = {(p.recording, p.start): p for p in predictor(folder / "manifest.jsonl")}
    for item, row in zip(one.items, scores):
        answer = told[item.recording, item.start].answer
        assert answer is not None
        assert answer.confidence == pytest.approx(row.max(), abs=1e-5)


def test_a_damaged_file_is_no_session(predictor: Predictor, tmp_path: Path) -> None:
    session = Session(predictor, every=HOP, rates=RATES, lateness=0.5)
    for name, stream in recorded(15).items():
        session.push(name, stream.read(), stream.clock.times)
    save_session(session, tmp_path / "s.safetensors")
    damaged = (tmp_path / "s.safetensors").read_bytes()
    (tmp_path / "d.safetensors").write_bytes(damaged[: len(damaged) // 2])
    with pytest.raises(DataError):
        load_session(tmp_path / "d.safetensors", predictor)


def test_facts_are_told_before_anything_runs_and_hold(predictor: Predictor) -> None:
    session = Session(predictor, every=HOP, start=0.0, rates=RATES, lateness={"imu": 0.2})
    facts = session.facts
    assert facts.recomputed == (tuple(FEATURES) if predictor.model.wide else ())
    assert facts.latency["imu"] == pytest.approx(0.2)
    # the rows of a causal model stand where they are known
    assert facts.latency["skin"] == pytest.approx(0.0 if predictor.prepared.causal else 0.3)


def test_a_stream_that_falls_silent_is_missing_from_there(predictor: Predictor) -> None:
    streams = recorded(13)
    streams["imu"] = streams["imu"].cut(0.0, 3.0)
    answers = run_of(Session(predictor, every=HOP, start=0.0, rates=RATES, absent_after=1.0), streams)
    assert "imu" not in answers[-1].prediction.used
    assert "imu" in answers[0].prediction.used


def test_sessions_in_a_batch_answer_as_alone(predictor: Predictor) -> None:
    recordings = [recorded(30 + i) for i in range(5)]
    recordings[1]["imu"] = recordings[1]["imu"].cut(0.0, 3.0)
    del recordings[2]["voice"]
    sent = [packets(streams, np.random.default_rng(i)) for i, streams in enumerate(recordings)]
    alone = [run(session_of(predictor), own) for own in sent]
    sessions, answers = [session_of(predictor) for _ in sent], [list[LiveAnswer]() for _ in sent]
    for now in range(max(map(len, sent))):
        there = [i for i, own in enumerate(sent) if now < len(own)]
        for i, told in zip(there, together([sessions[i].pushing(*sent[i][now]) for i in there])):
            answers[i] += told
    for own, told in zip(answers, together([session.closing() for session in sessions])):
        own += told
    for own, expected in zip(answers, alone):
        assert len(own) == len(expected) > 5
        assert apart([a.to_json() for a in own], [a.to_json() for a in expected]) < 1e-5


def test_a_failure_in_a_batch_is_told_and_the_others_go_on(predictor: Predictor) -> None:
    stream = recorded(11)["imu"]
    good, bad = session_of(predictor), session_of(predictor)
    steps = [bad.pushing("imu", stream.read()[:, :1], 0.0), good.pushing("imu", stream.read(), 0.0)]
    with pytest.raises(DataError, match="imu: rows of shape"):
        together(steps)
    assert (good.counts["imu"].pushed, bad.counts["imu"].pushed) == (len(stream), 0)


@pytest.mark.slow
@pytest.mark.parametrize("predictor", ["causal"], indirect=True)
def test_a_device_with_a_clock_of_its_own_answers_as_by_the_straight_one(predictor: Predictor) -> None:
    streams, rng = long_recording(90.0), np.random.default_rng(5)
    true = streams["imu"].clock
    own = np.arange(len(true)) / 50 - 2.0  # and that is 2 s late
    given = {**RATES, "imu": str(true.rate)}  # type: ignore[attr-defined]
    sessions = {
        "straight": Session(predictor, every=HOP, start=0.0, rates=given),
        "corrected": Session(predictor, every=HOP, start=0.0, rates=RATES, clocks={"imu": {}}),
        "as it is": Session(predictor, every=HOP, start=0.0, rates=RATES),
    }
    answers: dict[str, list[LiveAnswer]] = {name: [] for name in sessions}
    for name, values, times in packets(streams, np.random.default_rng(1), 0.2):
        for kind, session in sessions.items():
            at, arrived = times, None
            if name == "imu" and kind != "straight":
                at = own[np.searchsorted(true.times, times - 1e-6)]
                arrived = times[-1] + 0.02 + rng.exponential(0.01)
            answers[kind] += session.push(name, values, at, arrived)
    for kind, session in sessions.items():
        answers[kind] += session.close()
    facts, clock = sessions["corrected"].clocks["imu"], sessions["corrected"].channels["imu"].clock
    assert clock is not None
    assert facts.trusted
    assert facts.drift_ppm == pytest.approx(200, abs=60)
    assert clock.expected(own[-1]) == pytest.approx(true.times[-1], abs=0.01)

    def off(kind: str) -> float:
        pairs = [(a, b) for a, b in zip(answers[kind], answers["straight"]) if a.time > 60]
        return float(np.mean([abs(p[k] - q[k]) for p, q in map(probabilities, pairs) for k in q]))

    def probabilities(pair: tuple[LiveAnswer, LiveAnswer]) -> list[dict[str, float]]:
        return [a.prediction.to_json()["probabilities"] for a in pair]  # type: ignore[misc]

    assert [a.time for a in answers["corrected"]] == [a.time for a in answers["straight"]]
    assert off("corrected") < 0.1 * off("as it is")


def test_a_clock_that_nothing_is_known_of_keeps_its_stream_waiting(predictor: Predictor) -> None:
    session = Session(predictor, every=HOP, start=0.0, rates=RATES, absent_after=1.5, clocks={"imu": {}})
    streams, answers = recorded(11), []
    for name, values, times in packets(streams, np.random.default_rng(1)):
        answers += session.push(name, values, times + (100.0 if name == "imu" else 0.0), float(times[-1]))
    assert answers
    assert not session.clocks["imu"].trusted
    assert all("imu" not in a.prediction.used for a in [*answers, *session.close()])
    assert session.counts["imu"].pending == len(streams["imu"])
    with pytest.raises(DataError, match="arrived=None"):
        session.push("imu", streams["imu"].read()[:3], 110.0)
    with pytest.raises(ConfigError, match="clock of 'imi': the model has no such stream"):
        Session(predictor, every=HOP, clocks={"imi": {}})


class Forgets(Session):
    def push(self, stream, values, times=None):  # type: ignore[no-untyped-def]
        return super().push(
            stream,
            values[:-1] if len(values) > 7 else values,
            None if times is None else times[: len(values) - (len(values) > 7)],
        )


class WaitsForNobody(Session):
    def __init__(self, predictor, **options):  # type: ignore[no-untyped-def]
        super().__init__(predictor, **{**options, "lateness": 0.0})


class SaysItAgain(Session):
    said: tuple[LiveAnswer, ...] = ()

    def ticking(self, now):  # type: ignore[no-untyped-def]
        told = [*(yield from super().ticking(now)), *self.said]
        self.said = tuple(told[:1])
        return told


class CountsTwice(Session):
    def push(self, stream, values, times=None):  # type: ignore[no-untyped-def]
        self.channels[stream].inbox.counts.pushed += 1
        return super().push(stream, values, times)


class Slower(Session):
    @property
    def facts(self) -> Facts:
        told = super().facts
        return replace(told, latency={name: seconds + 0.1 for name, seconds in told.latency.items()})


class Quicker(Session):
    @property
    def facts(self) -> Facts:
        told = super().facts
        return replace(told, latency={name: seconds - 0.1 for name, seconds in told.latency.items()})


class WaitsForever(Session):
    def __init__(self, predictor, **options):  # type: ignore[no-untyped-def]
        super().__init__(predictor, **{**options, "absent_after": None})


class Ages(Session):
    def push(self, stream, values, times=None):  # type: ignore[no-untyped-def]
        return super().push(stream, values * (2.0 if times is not None and times[0] > 50 else 1.0), times)


@pytest.mark.slow
@pytest.mark.parametrize("predictor", ["causal"], indirect=True)
@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Forgets, "cutting"), (WaitsForNobody, "order"), (SaysItAgain, "finality"), (CountsTwice, "counts"),
        (Slower, "latency"), (Quicker, "latency"), (WaitsForever, "silence"), (Ages, "shift"),
    ],
)  # fmt: skip
def test_each_law_can_be_broken(
    predictor: Predictor, broken: type[Session], law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.testing.stream.Session", broken)
    with pytest.raises(LawBroken, match=f"the law of {law}:"):
        check_stream(predictor, recorded(11), every=HOP, tries=1)


@pytest.mark.slow
def test_a_session_that_is_loaded_wrongly_breaks_the_law_of_saving(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(path: Path, predictor: Predictor) -> Session:
        session = load_session(path, predictor)
        session.lanes = {}
        return session

    monkeypatch.setattr("plait.testing.stream.load_session", forgetful)
    with pytest.raises(LawBroken, match="the law of saving"):
        check_stream(predictor, recorded(11), every=HOP, tries=1)


def test_what_cannot_be_is_refused_and_the_session_goes_on(predictor: Predictor, tmp_path: Path) -> None:
    for options, said in (
        ({"every": 0.3}, "whole number of every"),
        ({"every": -1.0}, "every"),
        ({"every": 0.5, "late": "never"}, "expected one of wait, revise, drop"),
        ({"every": 0.5, "lateness": {"imi": 1.0}}, "imu"),
        ({"every": 0.5, "rates": {"imi": 1.0}}, "no such stream"),
        ({"every": 0.5, "absent_after": 0.0}, "absent_after"),
    ):
        with pytest.raises(ConfigError, match=said):
            Session(predictor, **options)  # type: ignore[arg-type]
    streams = recorded(14)
    once = whole(predictor, streams, tmp_path)
    session = Session(predictor, every=HOP, start=0.0, rates=RATES)
    sent, answers = packets(streams, np.random.default_rng(2)), []
    for name, values, at in sent:
        for bad in ((name, values, np.full(len(values), np.nan)), (name, values[:, :0], at), (name, 3.0, 0.0)):
            with pytest.raises(DataError):
                session.push(*bad)
        with pytest.raises(DataError, match="no such stream"):
            session.push("immu", values, at)
        answers += session.push(name, values, at)
    same([*answers, *session.close()], once)
