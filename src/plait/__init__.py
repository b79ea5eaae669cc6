"""plait braids streams that tick at different rates into one model.

The public names, by what they are for:

- what was recorded: `Grid`, `Ticks`, `Spans`, `Stream`, `Recording`, `Annotation`, `Corpus`, `CorpusWriter`
- from files to a corpus on one clock: `import_folder`, `check_corpus`, `synchronise`, `write_synced`
- experiments: `Recipe`, `load_recipe`, `parse_recipe`, `fit`, `Run`, `evaluate`, `read_evaluation`, `write_report`,
  `predict`, `Predictor`, `compare`, `tune`
- as time passes: `stream`, `Session`
- parts to build on: `Reader`, `Feature`, `Tokens`, `Encoder`, `Fusion`, `Task`, `Model`
- errors: `PlaitError`, `DataError`, `ConfigError`, `MissingExtra`

Each is imported when it is first used, so that code that needs no torch does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.core.lazy import lazy
from plait.core.version import __version__ as __version__

_HOMES = {
    "plait.core.errors": ("ConfigError", "DataError", "MissingExtra", "PlaitError"),
    "plait.streams.clock": ("Grid", "Spans", "Ticks"),
    "plait.streams.stream": ("Stream",),
    "plait.streams.recording": ("Annotation", "Recording"),
    "plait.corpus.corpus": ("Corpus", "CorpusWriter"),
    "plait.readers": ("Reader",),
    "plait.importing.folder": ("import_folder",),
    "plait.quality.check": ("check_corpus",),
    "plait.clocks": ("synchronise", "write_synced"),
    "plait.recipe": ("Recipe", "load_recipe", "parse_recipe"),
    "plait.features": ("Feature",),
    "plait.tokens": ("Tokens",),
    "plait.encoders": ("Encoder",),
    "plait.fusion": ("Fusion",),
    "plait.tasks": ("Task",),
    "plait.models.model": ("Model",),
    "plait.training.fit": ("fit",),
    "plait.training.run": ("Run",),
    "plait.evaluation.evaluate": ("evaluate",),
    "plait.evaluation.schema": ("read_evaluation",),
    "plait.report.report": ("write_report",),
    "plait.comparison.compare": ("compare",),
    "plait.tuning.tune": ("tune",),
    "plait.prediction.predict": ("Predictor", "predict"),
    "plait.prediction.session": ("Session", "stream"),
}

__all__ = [
    "Annotation",
    "ConfigError",
    "Corpus",
    "CorpusWriter",
    "DataError",
    "Encoder",
    "Feature",
    "Fusion",
    "Grid",
    "MissingExtra",
    "Model",
    "PlaitError",
    "Predictor",
    "Reader",
    "Recipe",
    "Recording",
    "Run",
    "Session",
    "Spans",
    "Stream",
    "Task",
    "Ticks",
    "Tokens",
    "check_corpus",
    "compare",
    "evaluate",
    "fit",
    "import_folder",
    "load_recipe",
    "parse_recipe",
    "predict",
    "read_evaluation",
    "stream",
    "synchronise",
    "tune",
    "write_report",
    "write_synced",
]

if TYPE_CHECKING:
    from plait.clocks import synchronise, write_synced
    from plait.comparison.compare import compare
    from plait.core.errors import ConfigError, DataError, MissingExtra, PlaitError
    from plait.corpus.corpus import Corpus, CorpusWriter
    from plait.encoders import Encoder
    from plait.evaluation.evaluate import evaluate
    from plait.evaluation.schema import read_evaluation
    from plait.features import Feature
    from plait.fusion import Fusion
    from plait.importing.folder import import_folder
    from plait.models.model import Model
    from plait.prediction.predict import Predictor, predict
    from plait.prediction.session import Session, stream
    from plait.quality.check import check_corpus
    from plait.readers import Reader
    from plait.recipe import Recipe, load_recipe, parse_recipe
    from plait.report.report import write_report
    from plait.streams.clock import Grid, Spans, Ticks
    from plait.streams.recording import Annotation, Recording
    from plait.streams.stream import Stream
    from plait.tasks import Task
    from plait.tokens import Tokens
    from plait.training.fit import fit
    from plait.training.run import Run
    from plait.tuning.tune import tune


__getattr__ = lazy(__name__, {name: home for home, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
