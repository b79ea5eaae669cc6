"""Models that a server answers with, by name and version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from plait.core.errors import ConfigError, PlaitError
from plait.core.parts import suggest
from plait.prediction.predict import Predictor
from plait.serving.batches import run_waiting
from plait.serving.limits import Limits
from plait.serving.metrics import Metrics
from plait.serving.shadow import Shadow
from plait.serving.tensors import Inputs
from plait.serving.worker import Worker

__all__ = ["Models", "NotServed", "Served", "Source", "load_models", "source_of"]

_SOURCE = re.compile(r"(?:(?P<name>[A-Za-z][\w-]{0,63})=)?(?P<path>[^=]+?)(?:@(?P<version>[\w.-]{1,32}))?")


class NotServed(PlaitError):
    """There is no such model, or no such version of it."""


class Source(NamedTuple):
    """A run, and what it is called."""

    name: str
    version: str
    path: Path


@dataclass(eq=False)
class Served:
    """One version of a model.

    Attributes:
        name, version: as clients call it.
        predictor: its model.
        worker: the thread of its tensors and sessions.
        files: the thread of whole files, which take long: sessions must not wait for them.
        inputs: its tensors.
        shadow: a model that gets the same requests.
        ready: whether it has answered once.
        problem: why it will not be ready; "" if it will.
    """

    name: str
    version: str
    predictor: Predictor
    worker: Worker
    files: Worker
    inputs: Inputs
    shadow: Shadow | None = None
    ready: bool = False
    problem: str = ""

    def warm(self) -> None:
        """Answer once, so that the first request is as quick as the others; in the model's thread."""
        try:
            if self.inputs.refusal == "":
                self.inputs.blank()()
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"
            raise
        self.ready = True


class Models:
    """All models of a server."""

    def __init__(self, served: Sequence[Served]) -> None:
        self.all = list(served)

    @property
    def names(self) -> list[str]:
        """Of the models, each once."""
        return list(dict.fromkeys(one.name for one in self.all))

    def versions(self, name: str) -> list[str]:
        """Of a model, the one that answers by default last."""
        return [one.version for one in self.all if one.name == name]

    def get(self, name: str | None = None, version: str | None = None) -> Served:
        """A model; without a name the only one, without a version the one that was given last.

        Raises:
            NotServed: there is none of that name or version, or there are several models and no name.
        """
        names = self.names
        if name is None and len(names) > 1:
            raise NotServed(f"there are several models. Say which: {', '.join(names)}.")
        found = [one for one in self.all if name in (None, one.name) and version in (None, one.version)]
        if not found:
            raise NotServed(
                f"there is no model {str(name)[:64]!r}, or no version {str(version)[:64]!r} of it. "
                f"{suggest(str(name)[:64], names)}"
            )
        return found[-1]

    def stop(self) -> None:
        """Finish what waits, and end the threads; shadows last, which the others feed."""
        workers = [w for one in self.all for w in (one.worker, one.files)]
        for worker in [*workers, *(one.shadow.worker for one in self.all if one.shadow)]:
            worker.stop()


def source_of(text: str) -> Source:
    """``name=path@version``; by default the folder's name, and version 1.

    >>> source_of("runs/mood"), source_of("mood=runs/v2@2")[:2]
    (Source(name='mood', version='1', path=PosixPath('runs/mood')), ('mood', '2'))

    Raises:
        ConfigError: it is not of this form.
    """
    found = _SOURCE.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r}: expected a run's folder, or NAME=FOLDER@VERSION.")
    path = Path(found["path"])
    name = found["name"] or re.sub(r"[^\w-]", "-", path.resolve().name, flags=re.ASCII) or "model"
    return Source(name, found["version"] or "1", path)


def load_models(
    sources: Iterable[Source], shadows: Iterable[Source], limits: Limits, metrics: Metrics, *, allow_code: bool = False
) -> Models:
    """Load runs, and start their threads.

    Raises:
        ConfigError: two have one name and version, or a shadow has no model of its name.
        DataError: as `Predictor`.
    """
    named, dark = list(sources), {source.name: source for source in shadows}
    for source in named:
        if sum(source[:2] == other[:2] for other in named) > 1:
            raise ConfigError(f"{source.name}@{source.version}: stands there twice. Give NAME=FOLDER@VERSION.")
    if strange := dark.keys() - {source.name for source in named}:
        raise ConfigError(f"shadow {min(strange)!r}: no model has its name. Give NAME=FOLDER as of the model.")
    predictors = {path: Predictor(path, allow_code=allow_code) for path in {s.path for s in (*named, *dark.values())}}

    def served(source: Source) -> Served:
        title, predictor = f"{source.name}@{source.version}", predictors[source.path]
        steps = Worker(title, limits.waiting, metrics, run_waiting)
        files = Worker(f"{title} files", limits.waiting, metrics)
        own = Served(source.name, source.version, predictor, steps, files, Inputs(predictor.model))
        if source.name in dark:
            worker = Worker(f"{title} shadow", limits.waiting, metrics)
            own.shadow = Shadow(predictors[dark[source.name].path], worker, metrics, source.name)
        return own

    return Models([served(source) for source in named])
