"""Sections of the report, below its header. One file per section."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypedDict

from markupsafe import Markup

from plait.core.errors import ConfigError, PlaitError
from plait.core.parts import Spec, build, part_name, parts
from plait.core.safe_yaml import brief
from plait.evaluation.schema import Evaluation, SubsetRow
from plait.report import words
from plait.report.environment import environment

__all__ = [
    "FEW_ROWS",
    "Section",
    "folded",
    "full_of",
    "has_intervals",
    "has_sd",
    "render_sections",
    "sections_of",
    "sign_of",
]

_BEGIN = "{% import 'macros.html.j2' as page %}<section>\n<h2>{{ title }}</h2>\n"

FEW_ROWS = 12
"""Rows of a table that are shown at once if there are many more."""


class Section(ABC):
    """One section of the report, made from an evaluation.

    Every concrete class in this package is on the page, in the order of `rank`. Name your own by its dotted path:
    ``plait evaluate RUN --section mylab.report.Mine``, or ``write_report(..., sections=[...])``. Its options are its
    keyword-only arguments.
    """

    rank: ClassVar[int] = 95
    """Sections with smaller numbers come first; plait's own have 10, 20 ... 100."""

    template: ClassVar[str]
    """The Jinja template below the title. Names: those of `content`, ``e`` (the evaluation), ``words`` (`plait.report.words`)
    and ``page`` (macros: ``page.tree(mapping)``). Texts are escaped; an SVG is a `Markup`."""

    @abstractmethod
    def title(self, evaluation: Evaluation) -> str:
        """The heading."""

    @abstractmethod
    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        """The template's values by name; None if there is nothing to show: the section is then left out.

        Args:
            evaluation: as `plait.evaluation.summary.summarise` makes it, without what the run does not have.
        """

    def render(self, evaluation: Evaluation) -> Markup:
        """The section's HTML; empty if there is nothing to show."""
        content = self.content(evaluation)
        if content is None:
            return Markup()
        # The heading and the macros are put around it here, so that a section's template has only its own content.
        frame = f"{_BEGIN}{self.template}\n</section>\n"
        made = environment().from_string(frame).render(e=evaluation, title=self.title(evaluation), **content)
        return Markup(made)


def sections_of(more: Sequence[Spec] = ()) -> list[Section]:
    """Plait's sections and ``more``, in their order; one of plait's in ``more`` (with options) replaces the default.

    Raises:
        ConfigError: one of ``more`` is not a section, or does not have such an option.
    """
    added = [build(Section, spec, where="report section") for spec in more]
    own = [cls() for cls in parts(Section).values() if cls not in map(type, added)]
    return sorted([*own, *added], key=lambda section: section.rank)


def render_sections(evaluation: Evaluation, more: Sequence[Spec] = ()) -> Markup:
    """The HTML of all sections.

    Raises:
        ConfigError: as `sections_of`; or a section of your own fails on this evaluation.
    """
    return Markup("\n").join(made for section in sections_of(more) if (made := _rendered(section, evaluation)))


def _rendered(section: Section, evaluation: Evaluation) -> Markup:
    try:
        return section.render(evaluation)
    except (PlaitError, MemoryError):
        raise
    except Exception as error:
        # A bug in a section of plait's keeps its traceback; of a user's own the user is told which, and why.
        if type(section) in parts(Section).values():
            raise
        reason = f"{type(error).__name__}: {brief(error, 200)}"
        raise ConfigError(
            f"report section {part_name(type(section))}: it fails on this evaluation ({reason}). Mend it, or leave it "
            "out; the numbers are in evaluation.json."
        ) from error


def full_of(evaluation: Evaluation) -> SubsetRow:
    """The row of all modalities together."""
    return evaluation["subsets"][-1]


def sign_of(evaluation: Evaluation) -> int:
    return 1 if evaluation["task"]["higher_is_better"] else -1


def has_intervals(evaluation: Evaluation) -> bool:
    """Whether any subset has an interval; if none has, the column is left out."""
    return any(words.has_interval(row.get("interval")) for row in evaluation["subsets"])


def has_sd(evaluation: Evaluation) -> bool:
    """Whether there is a spread over seeds."""
    metric = evaluation["task"]["metric"]
    found = [row["metrics"].get(metric) for row in evaluation["subsets"]]
    return any(value is not None and value["sd"] is not None for value in found)


class Folded(TypedDict):
    """Rows that are shown at once, and rows that are folded away."""

    shown: Sequence[object]
    more: Sequence[object]


def folded(rows: Sequence[object], most: int = FEW_ROWS) -> Folded | None:
    """Rows that are shown at once, and, if there are many, rows that are folded away; None if there are no rows."""
    # Up to three more rows are shown too: a fold for two rows is a click for nothing.
    few = most if len(rows) > most + 3 else len(rows)
    return {"shown": rows[:few], "more": rows[few:]} if rows else None
