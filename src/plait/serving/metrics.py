"""What a server counts and measures, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Edges of the histograms."""


class Metrics:
    """Gauges, counters and histograms of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.depth = self._gauge("queue_depth", "Steps that wait for a model's thread.", "model")
        self.wait = self._histogram("queue_wait_seconds", "From arrival to the step.", "model")
        self.step = self._histogram("step_seconds", "Of one step.", "model", "kind")
        self.batch = self._histogram("batch_size", "Steps taken at once.", "model", buckets=(1, 2, 4, 8))
        self.saved = self._histogram("save_seconds", "Of saving a session.")
        self.sessions = self._gauge("sessions", "Sessions in memory.", "state")
        self.shed = self._counter("shed", "Requests and messages refused for overload.", "what")
        self.refused = self._counter("refused", "Requests and messages that were wrong.", "what")
        self.answers = self._counter("answers", "Answers of sessions.", "model")
        self.shadow = self._counter("shadow", "Answers of a shadow, and those that it did not give.", "model", "what")

    def text(self) -> bytes:
        """All of it in the text format of Prometheus."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, namespace="plait", registry=self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, namespace="plait", registry=self.registry)

    def _histogram(self, name: str, what: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        return Histogram(name, what, labels, namespace="plait", registry=self.registry, buckets=buckets)
