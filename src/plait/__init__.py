"""plait braids streams that tick at different rates into one model.

The public names, by what they are for:

- what was recorded: `Grid`, `Ticks`, `Spans`, `Stream`, `Recording`, `Annotation`, `Corpus`, `CorpusWriter`
- from files to a corpus on one clock: `import_folder`, `check_corpus`, `synchronise`, `write_synced`
- experiments: `Recipe`, `load_recipe`, `parse_recipe`, `fit`, `Run`, `evaluate`, `write_report`, `predict`, `compare`
- parts to build on: `Reader`, `Feature`, `Tokens`, `Encoder`, `Fusion`, `Task`, `Model`
- errors: `PlaitError`, `DataError`, `ConfigError`, `MissingExtra`

Each is imported when it is first asked for, so that what needs no torch does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.lazy import lazy

__version__ = "0.1.0"

_HOMES = {
    "plait.errors": ("ConfigError", "DataError", "MissingExtra", "PlaitError"),
    "plait.streams.clock": ("Grid", "Spans", "Ticks"),
    "plait.streams.stream": ("Stream",),
    "plait.streams.recording": ("Annotation", "Recording"),
    "plait.streams.corpus": ("Corpus", "CorpusWriter"),
    "plait.streams.readers": ("Reader",),
    "plait.streams.importing": ("import_folder",),
    "plait.streams.check": ("check_corpus",),
    "plait.sync": ("synchronise", "write_synced"),
    "plait.recipe": ("Recipe", "load_recipe", "parse_recipe"),
    "plait.features": ("Feature",),
    "plait.tokens": ("Tokens",),
    "plait.encoders": ("Encoder",),
    "plait.fusion": ("Fusion",),
    "plait.tasks": ("Task",),
    "plait.model": ("Model",),
    "plait.training.fit": ("fit",),
    "plait.training.run": ("Run",),
    "plait.evaluation.evaluate": ("evaluate",),
    "plait.evaluation.report": ("write_report",),
    "plait.evaluation.compare": ("compare",),
    "plait.evaluation.predict": ("predict",),
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
    "Reader",
    "Recipe",
    "Recording",
    "Run",
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
    "synchronise",
    "write_report",
    "write_synced",
]

if TYPE_CHECKING:
    from plait.encoders import Encoder
    from plait.errors import ConfigError, DataError, MissingExtra, PlaitError
    from plait.evaluation.compare import compare
    from plait.evaluation.evaluate import evaluate
    from plait.evaluation.predict import predict
    from plait.evaluation.report import write_report
    from plait.features import Feature
    from plait.fusion import Fusion
    from plait.model import Model
    from plait.recipe import Recipe, load_recipe, parse_recipe
    from plait.streams.check import check_corpus
    from plait.streams.clock import Grid, Spans, Ticks
    from plait.streams.corpus import Corpus, CorpusWriter
    from plait.streams.importing import import_folder
    from plait.streams.readers import Reader
    from plait.streams.recording import Annotation, Recording
    from plait.streams.stream import Stream
    from plait.sync import synchronise, write_synced
    from plait.tasks import Task
    from plait.tokens import Tokens
    from plait.training.fit import fit
    from plait.training.run import Run


__getattr__ = lazy(__name__, {name: home for home, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
