"""The laws of sessions: a trained model that is fed as time passes answers as one that reads files."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.corpus.corpus import CorpusWriter
from plait.prediction.predict import Prediction, Predictor
from plait.prediction.session import LiveAnswer, Session
from plait.prediction.session_file import load_session, save_session
from plait.streams.stream import Stream, Values
from plait.testing.laws import require

__all__ = ["Packet", "apart", "check_stream", "packets"]

TOLERANCE = 1e-5
"""Most by which a number of an answer may differ."""


class Packet(NamedTuple):
    """Rows of a stream on their way: values [n, ...], and the time of each, [n], seconds."""

    stream: str
    values: Values
    times: NDArray[np.float64]


def check_stream(
    predictor: Predictor,
    streams: Mapping[str, Stream],
    *,
    every: float,
    window: float | None = None,
    tries: int = 10,
    seed: int = 0,
) -> None:
    """Check the laws of sessions of a model, on one recording.

    Cutting (however its streams are cut and interleaved, the answers are those of one pass over files); order (rows
    that come in another order, within the lateness that is allowed, change nothing); finality (watermarks never go
    back, and nothing is said of an instant after its final answer); counts (every row that was pushed is used, pending,
    late, repeated or early); latency (an answer is final as soon as the latency that is stated has passed, and not one
    row earlier); silence (a stream that falls silent is a stream that ends there); saving (a session that is saved and
    loaded elsewhere goes on as if nothing had happened); shift (a recording that begins 64 s later has the same
    answers, 64 s later).

    Args:
        predictor: of the model.
        streams: one recording of all of the model's streams, from 0 s on; longer than a window.
        every: seconds between answers.
        window: seconds of an item; None: as `plait.prediction.session.Session`.
        tries: random cuttings.
        seed: of their drawing.

    Raises:
        LawBroken: which law, and how.
        ConfigError: the model cannot stream.

    >>> check_stream(plait.Predictor("runs/mood"), streams, every=1.0)  # doctest: +SKIP
    """
    checked = _Checked(predictor, streams, every, window, np.random.default_rng(seed))
    once = checked.once(streams)
    for _ in range(tries):
        checked.cutting(once)
    checked.order(once)
    checked.latency()
    checked.silence()
    checked.saving()
    checked.shift(once)


def packets(streams: Mapping[str, Stream], rng: np.random.Generator, most: float = 1.0) -> list[Packet]:
    """Streams cut anywhere, into pieces of up to ``most`` seconds, and interleaved: in the order of their ends.

    >>> made = packets({"a": Stream.of(np.zeros(10), rate=10)}, np.random.default_rng(0), 0.3)
    >>> sum(len(packet.times) for packet in made), max(len(packet.times) for packet in made) <= 3
    (10, True)
    """
    found = list[Packet]()
    for name, stream in streams.items():
        values, times = stream.read(), stream.clock.times
        rows = max(int(most * len(times) / max(stream.clock.stop - stream.clock.start, 1e-9)), 1)
        alike = rng.integers(1, rows + 1)  # half of the streams come in pieces of one size, as from a driver
        sizes = rng.integers(1, rows + 1, len(times)) if rng.integers(2) else np.full(len(times), alike)
        edges = [0, *np.cumsum(sizes)[np.cumsum(sizes) < len(times)].tolist(), len(times)]
        found += [Packet(name, values[lo:hi], times[lo:hi]) for lo, hi in pairwise(edges) if hi > lo]
    return sorted(found, key=lambda packet: packet.times[-1])


def apart(one: object, other: object) -> float:
    """How far the numbers of two answers, as JSON, are apart at most; inf where anything else differs.

    >>> round(apart({"label": "a", "confidence": 0.5}, {"label": "a", "confidence": 0.6}), 3)
    0.1
    """
    if isinstance(one, bool | str) or isinstance(other, bool | str) or one is None or other is None:
        return 0.0 if one == other else math.inf
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if one.keys() != other.keys():
            return math.inf
        return max((apart(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, Sequence) and isinstance(other, Sequence):
        if len(one) != len(other):
            return math.inf
        return max(map(apart, one, other), default=0.0)
    return abs(float(one) - float(other))  # type: ignore[arg-type]


class _Checked:
    """One recording of a model."""

    def __init__(
        self,
        predictor: Predictor,
        streams: Mapping[str, Stream],
        every: float,
        window: float | None,
        rng: np.random.Generator,
    ) -> None:
        self.predictor, self.streams, self.every, self.window, self.rng = predictor, streams, every, window, rng
        self.rates = {n: str(r) for n, s in streams.items() if (r := getattr(s.clock, "rate", None)) is not None}
        self.length = self.session().window
        self.ended = False
        self.end = max(stream.clock.stop for stream in streams.values())

    def session(self, **options: object) -> Session:
        """A new one."""
        given = {"every": self.every, "window": self.window, "start": 0.0, "rates": self.rates, **options}
        return Session(self.predictor, **given)  # type: ignore[arg-type]

    def require(self, kept: bool, law: str, detail: str) -> None:
        require(kept, Session, law, detail)

    def once(self, streams: Mapping[str, Stream]) -> list[Prediction]:
        """What one pass over files says of each item."""
        first = self.every if self.length is None else self.length
        ends = np.arange(first, self.end + 1e-6, self.every)
        spans = [(0.0 if self.length is None else float(end) - self.length, float(end)) for end in ends]
        with tempfile.TemporaryDirectory() as folder:
            with CorpusWriter(Path(folder)) as out:
                out.add("live", streams)
            return self.predictor(Path(folder) / "manifest.jsonl", segments=spans)

    def run(self, session: Session, sent: Sequence[Packet]) -> Iterator[LiveAnswer]:
        """The answers, with what must hold at every moment."""
        done, before = -math.inf, dict.fromkeys(session.channels, -math.inf)
        self.ended = False
        for packet in sent:
            told = session.push(*packet)
            marks = {name: own.watermark for name, own in session.channels.items()}
            self.require(all(marks[n] >= before[n] for n in marks), "finality", "a watermark goes back")
            before = marks
            for answer in told:
                self.require(answer.time > done, "finality", f"{answer.time:g} s is answered after its final answer")
                done = answer.time if answer.final else done
                yield answer
            self.counts(session)
        self.ended = True
        yield from session.close()
        self.counts(session)

    def counts(self, session: Session) -> None:
        """Each row is counted once."""
        for name, own in session.counts.items():
            rest = own.used + own.pending + own.late + own.repeated + own.early
            self.require(own.pushed == rest, "counts", f"of {name}, {own.pushed} rows were pushed, {rest} are counted")

    def alike(self, law: str, live: Sequence[LiveAnswer], once: Sequence[Prediction], moved: float = 0.0) -> None:
        """The final answers are those of one pass."""
        final = [answer for answer in live if answer.final]
        self.require(len(final) == len(once), law, f"{len(final)} final answers; one pass has {len(once)}")
        for answer, expected in zip(final, once):
            mine, its = answer.prediction.to_json(), expected.to_json()
            off = apart(_placed(mine, moved), _placed(its, 0.0))
            self.require(off <= TOLERANCE, law, f"at {answer.time:g} s: {mine}; one pass says {its}")

    def cutting(self, once: Sequence[Prediction]) -> None:
        """Any pieces, in the order of their ends."""
        most = float(self.rng.choice([0.05, 0.3, 1.0, 3.0]))
        self.alike("cutting", [*self.run(self.session(), packets(self.streams, self.rng, most))], once)

    def order(self, once: Sequence[Prediction]) -> None:
        """Any order within the lateness, with tentative answers between."""
        sent = packets(self.streams, self.rng, 0.2)
        wait = float(max(packet.times[-1] - packet.times[0] for packet in sent)) + 1.0
        late = sorted(sent, key=lambda packet: packet.times[-1] + self.rng.uniform(0, 0.9))
        session = self.session(lateness=wait, late="revise")
        self.alike("order", [*self.run(session, [*late, late[0]])], once)
        lost = sum(own.late + own.repeated for own in session.counts.values())
        self.require(
            lost == len(late[0].times), "order", f"{lost} rows are late or repeated; {len(late[0].times)} were"
        )

    def latency(self) -> None:
        """Final at the stated latency after the first instant, and not a row before it."""
        due, facts = self.length or self.every, self.session().facts
        for name, latency in facts.latency.items():
            session = self.session()
            ends = {n: self._ends(n, session) for n in session.channels}
            own = int(np.searchsorted(ends[name], due + latency - 1e-9))
            if any(ends[n][-1] < due + facts.latency[n] - 1e-9 for n in ends):
                continue  # the recording ends before
            told = [a for n in ends for a in self._push(session, n, 0, own if n == name else len(ends[n]))]
            self.require(not told, "latency", f"an answer before {name} has passed its latency of {latency:g} s")
            told = self._push(session, name, own, own + 1)
            said = f"{name} has passed its latency of {latency:g} s, and there is no answer for {due:g} s"
            self.require(bool(told) and math.isclose(told[0].time, due), "latency", said)

    def _ends(self, name: str, session: Session) -> NDArray[np.float64]:
        """Until when a stream is known with each of its rows."""
        period = session.channels[name].inbox.period
        return np.asarray(self.streams[name].clock.times + period)

    def _push(self, session: Session, name: str, start: int, stop: int) -> list[LiveAnswer]:
        part = self.streams[name][start:stop]
        return session.push(name, part.read(), part.clock.times) if len(part) else []

    def silence(self) -> None:
        """Each stream in turn stops half way."""
        for name, stream in self.streams.items():
            cut = {**self.streams, name: stream.cut(0.0, self.end / 2)}
            if len(cut[name]):
                sent = packets(cut, self.rng, self.every / 2)
                # longer than any stream keeps the others waiting
                ends = [[0.0, *(p.times[-1] for p in sent if p.stream == n)] for n in cut]
                wait = self.every + max(float(np.diff(each).max()) for each in ends)
                session = self.session(absent_after=wait)
                told = [(answer, self.ended) for answer in self.run(session, sent)]
                self.alike("silence", [answer for answer, _ in told], self.once(cut))
                sure = self.end - wait - max(session.facts.latency.values()) - 2 * self.every
                late = [answer.time for answer, ended in told if ended and answer.time < sure]
                self.require(not late, "silence", f"{name} is silent, but {late} s are answered at the end only")

    def saving(self) -> None:
        """Saved and loaded between any two packets."""
        sent = packets(self.streams, self.rng)
        options: dict[str, object] = {"lateness": self.every, "late": "revise"}
        alone = [*self.run(self.session(**options), sent)]
        session, told, places = self.session(**options), list[LiveAnswer](), {*self.rng.integers(0, len(sent), 5)}
        with tempfile.TemporaryDirectory() as folder:
            for i, packet in enumerate(sent):
                told += session.push(*packet)
                if i in places:
                    save_session(session, Path(folder) / "s.safetensors")
                    session = load_session(Path(folder) / "s.safetensors", self.predictor)
        self.require([*told, *session.close()] == alone, "saving", "a session that was saved answers otherwise")

    def shift(self, once: Sequence[Prediction]) -> None:
        """All clocks begin later."""
        moved = 64.0
        sent = [packet._replace(times=packet.times + moved) for packet in packets(self.streams, self.rng)]
        self.alike("shift", [*self.run(self.session(start=moved), sent)], once, moved)


def _placed(told: Mapping[str, Any], moved: float) -> dict[str, Any]:
    """What an answer says, whatever the recording is called, ``moved`` seconds earlier."""

    def earlier(entry: Mapping[str, Any]) -> dict[str, Any]:
        return {**entry, **{key: entry[key] - moved for key in ("start", "stop")}}

    spans = {"spans": [*map(earlier, told["spans"])]} if "spans" in told else {}
    return {**earlier(told), **spans, "recording": ""}
