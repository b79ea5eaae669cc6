"""A second model that gets the same requests: its answers are compared and counted, and never sent."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plait.core.errors import PlaitError
from plait.prediction.session import LiveAnswer, Session
from plait.serving.messages import Message, Options, carried_out
from plait.serving.metrics import Metrics
from plait.serving.worker import Worker

if TYPE_CHECKING:
    from plait.prediction.predict import Predictor

__all__ = ["Shadow", "ShadowSession", "same"]

LOG = logging.getLogger("plait.serving")

UNCOMPARED = ("confidence", "probabilities", "trust", "within", "used", "missing", "note", "waiting", "final")
"""How sure an answer is, and what it was made of."""

Said = Mapping[str, object]


def same(one: Said, other: Said) -> bool:
    """Whether two answers, as JSON, say the same; numbers within one in a hundred.

    >>> same({"label": "run", "confidence": 0.9}, {"label": "run", "confidence": 0.6}), same({"value": 1}, {"value": 2})
    (True, False)
    """
    mine, its = ({k: x for k, x in d.items() if k not in UNCOMPARED} for d in (one, other))
    return mine.keys() == its.keys() and all(_near(x, its[k]) for k, x in mine.items())


def _near(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=1e-2, abs_tol=1e-6)
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(_near, one, other))
    return one == other


class Shadow:
    """A model in the shadow of another.

    Args:
        predictor: its model.
        worker: its own thread.
        metrics: of the server.
        name: of the model that answers.
    """

    def __init__(self, predictor: Predictor, worker: Worker, metrics: Metrics, name: str) -> None:
        self.predictor, self.worker = predictor, worker
        self.counts = {what: metrics.shadow.labels(name, what) for what in ("agree", "differ", "failed", "dropped")}

    def offer(
        self,
        work: Callable[[Predictor], Sequence[Said]],
        expected: Sequence[Said],
        after: Callable[[], None] | None = None,
    ) -> None:
        """Let it answer too, if there is room; ``after`` is called in any case."""

        def compared() -> None:
            try:
                self._count(work(self.predictor), expected)
            except Exception as error:
                self.failed(error)
            finally:
                if after is not None:
                    after()

        if not self.worker.post("shadow", compared):
            self.counts["dropped"].inc()
            if after is not None:
                after()

    def failed(self, error: Exception) -> None:
        """It could not answer."""
        LOG.info("shadow: %s", error)
        self.counts["failed"].inc()

    def _count(self, found: Sequence[Said], expected: Sequence[Said]) -> None:
        for i in range(max(len(found), len(expected))):
            agrees = i < min(len(found), len(expected)) and same(found[i], expected[i])
            self.counts["agree" if agrees else "differ"].inc()


class ShadowSession:
    """A session of a shadow, fed as the one that answers; final answers of one time are compared."""

    def __init__(self, shadow: Shadow, session: Session) -> None:
        self.shadow, self.session, self.ended = shadow, session, False

    @classmethod
    def beside(cls, shadow: Shadow | None, options: Options) -> ShadowSession | None:
        """One of the same options; None where there is no shadow, or it cannot stream so."""
        if shadow is None:
            return None
        try:
            return cls(shadow, Session(shadow.predictor, **options.model_dump()))
        except PlaitError as error:
            shadow.failed(error)
            return None

    def offer(self, message: Message, answers: Sequence[LiveAnswer]) -> None:
        """The message, and what was answered to it. Once one is dropped, all that follows is."""
        expected = [a.to_json() for a in answers if a.final]
        if not self.ended and self.shadow.worker.post("shadow", lambda: self._apply(message, expected)):
            return
        self.ended = True
        self.shadow.counts["dropped"].inc()

    def _apply(self, message: Message, expected: Sequence[dict[str, Any]]) -> None:
        try:
            found = [a.to_json() for a in carried_out(message, self.session) if a.final]
            self.shadow._count(found, expected)
        except Exception as error:
            self.shadow.failed(error)
