"""The options of importing: a section of the recipe (``corpus.import``) or Python keywords."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from plait.core.errors import ConfigError, raise_all
from plait.core.parts import find, suggest
from plait.core.safe_yaml import brief
from plait.corpus.manifest import Rate, Seconds
from plait.readers import Reader
from plait.readers._budget import Budget

__all__ = ["ImportOptions", "LabelOptions", "RowOptions", "StreamOptions", "conventional_tables", "import_options"]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class StreamOptions(_Options):
    """Overrides of one stream, by the name that it has before ``rename``.

    ``reader`` and its ``options``, which ``part`` of the file, another ``rate`` (Hz), a ``duration``
    (seconds over which the observations are spread: normalised time), an ``offset`` (seconds to add),
    another name. With ``tier`` its observations (words, or numbers of one channel) become annotations on the tier
    of its name, in place of a stream.
    """

    reader: str | None = None
    part: str | None = None
    options: dict[str, object] = Field(default_factory=dict)
    rate: Rate | None = None
    duration: Annotated[Seconds, Field(gt=0)] | None = None
    offset: Seconds = 0.0
    rename: str | None = None
    tier: bool = False


class LabelOptions(_Options):
    """A table of labels; columns are given by name or guessed from the header. ``rename`` gives columns other names,
    by which all other options, and the corpus, then know them.

    With ``start`` and ``stop`` a row is an annotation; with ``time`` a row is a tick, and runs of equal
    labels become annotations; else a row is a recording. ``id_format`` (like ``S{:02d}``) makes the
    recording's id of the cell, and of other columns by name (``{split}_{:03d}``). ``scale`` is the seconds in
    one unit of the time columns. ``text`` columns become streams of words, and a row of an unknown id then
    makes a recording. With ``several`` all rows of a recording count: each is an annotation of the whole recording by
    another annotator (``1``, ``2`` ... in the order of the rows), such as the captions of a picture.
    """

    file: str = "labels.csv"
    rename: dict[str, str] = Field(default_factory=dict)
    id: str | None = None
    id_format: str | None = None
    start: str | None = None
    stop: str | None = None
    time: str | None = None
    scale: float = Field(1.0, gt=0, le=1e9)
    label: list[str] | None = None
    tier: str | None = None
    split: str | None = None
    group: str | None = None
    text: list[str] = Field(default_factory=list)
    several: bool = False

    @field_validator("label", "text", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class RowOptions(_Options):
    """Arrays of an ``.npz`` with one row per recording: the variable with the ids, and the role of each other one.

    ``streams``, ``labels`` and ``text`` map the name in the corpus to the variable in the file.
    """

    file: str
    id: str
    streams: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    text: dict[str, str] = Field(default_factory=dict)
    group: str | None = None
    split: str | None = None


class ImportOptions(_Options):
    """How the files of a folder become recordings, where the naming convention is not enough.

    Attributes:
        match: regular expressions searched in the relative path; the first that fits gives, by its named
            groups, ``id``, ``stream``, ``group``, ``split``, and all others as metadata (digits become
            numbers). Files that fit none are left out.
        id_match: a regular expression searched in the recording's id; named groups as in ``match``.
        group: a template over metadata and ``id``, such as ``"{subject}"``.
        labels_from_meta: metadata that are labels of the recording too.
        streams: overrides by stream.
        skip: file patterns (``*.bak``, ``old/*``) to leave out.
        labels: tables of labels; by default ``labels.csv`` and ``captions.csv`` (or ``.txt``) where there are such.
        rows: arrays with one row per recording.
    """

    match: list[str] = Field(default_factory=list)
    id_match: str | None = None
    group: str | None = None
    labels_from_meta: list[str] = Field(default_factory=list)
    streams: dict[str, StreamOptions] = Field(default_factory=dict)
    skip: list[str] = Field(default_factory=list)
    labels: list[LabelOptions] | None = None
    rows: list[RowOptions] = Field(default_factory=list)

    @field_validator("match", "skip", "labels", "labels_from_meta", "rows", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return [value] if isinstance(value, str | Mapping | _Options) else value


_TABLES = (".csv", ".tsv", ".parquet")

_PLACES: dict[str, type[_Options]] = {"streams": StreamOptions, "labels": LabelOptions, "rows": RowOptions}


def import_options(options: ImportOptions | Mapping[str, object] | None) -> ImportOptions:
    """Options, checked.

    Raises:
        ConfigError: an unknown option, a wrong value, pattern, template or reader; all at once.

    >>> import_options({"match": r"(?P<id>a\\d+)"}).match
    ['(?P<id>a\\\\d+)']
    """
    if not isinstance(options, ImportOptions):
        if not isinstance(options, Mapping | None):
            raise ConfigError(f"import: got {brief(options)}; expected options such as match: and streams:.")
        try:
            options = ImportOptions.model_validate(dict(options or {}))
        except ValidationError as error:
            raise ConfigError([_explain(e) for e in error.errors()]) from error
    raise_all(ConfigError, [*_patterns(options), *_templates(options), *_readers(options)])
    return options


def conventional_tables(folder: Path) -> list[LabelOptions]:
    """The tables of a folder that need no option: labels, and captions, of which a recording has several."""
    named = [LabelOptions(file=f"labels{ending}") for ending in _TABLES]
    several = [LabelOptions(file=f"captions{end}", several=True, tier="caption") for end in (*_TABLES, ".txt")]
    return [options for options in (*named, *several) if _is_table(folder / options.file)]


def _is_table(path: Path) -> bool:
    """Whether it is there; a text, whether its first line has several cells: others are transcripts."""
    if not path.is_file() or path.suffix != ".txt":
        return path.is_file()
    with open(path, "rb") as file:
        first = file.readline(1000)
    return any(sign in first for sign in b",;\t")


def _explain(error: ErrorDetails) -> str:
    place = ".".join(str(p) for p in ("import", *error["loc"]))
    if error["type"] != "extra_forbidden":
        return f"{place}: got {brief(error['input'])}. {error['msg'].removeprefix('Value error, ')}."
    model: type[_Options] = _PLACES.get(str(error["loc"][0]), ImportOptions) if len(error["loc"]) > 1 else ImportOptions
    return f"{place}: there is no such option. {suggest(str(error['loc'][-1]), model.model_fields)}"


def _patterns(options: ImportOptions) -> list[str]:
    problems = []
    for place, pattern in [*(("match", m) for m in options.match), ("id_match", options.id_match)]:
        try:
            names = re.compile(pattern or "").groupindex
        except re.error as error:
            problems.append(f"import.{place}: {pattern!r} is not a regular expression ({error}).")
            continue
        if place == "match" and not names:
            problems.append(f"import.match: {pattern!r} has no named group. Write at least (?P<id>...).")
    return problems


def _templates(options: ImportOptions) -> list[str]:
    problems = []
    for place, template in [
        ("group", options.group),
        *(("labels.id_format", x.id_format) for x in options.labels or []),
    ]:
        try:
            list(string.Formatter().parse(template or ""))
        except ValueError as error:
            problems.append(f"import.{place}: {template!r} is not a template ({error}). Write like S{{:02d}}.")
    for table in options.labels or []:
        if (table.start is None) != (table.stop is None) or (table.time and table.start):
            problems.append("import.labels: give start and stop together, or time alone.")
        if table.several and (table.start or table.time):
            problems.append(
                "import.labels.several: rows with times of their own are annotations already. Leave it out."
            )
        if table.tier and table.label and len(table.label) > 1:
            problems.append("import.labels.tier: several label columns make a tier each, named by the column.")
    return problems


def _readers(options: ImportOptions) -> list[str]:
    problems: list[str] = []
    for name, rule in options.streams.items():
        if rule.reader is not None:
            try:
                where = f"import.streams.{name}.reader"
                find(Reader, {"name": rule.reader, **Budget.of(rule.options, where)[1]}, where)
            except ConfigError as error:
                problems += error.problems
    return problems
