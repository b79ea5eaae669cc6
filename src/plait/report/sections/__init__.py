"""Sections of the report: what stands on the page below its header. One file a section."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from markupsafe import Markup

from plait.core.errors import ConfigError, PlaitError
from plait.core.parts import Spec, build, part_name, parts
from plait.core.safe_yaml import brief
from plait.evaluation.schema import Evaluation
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
"""So many rows of a table are shown at once where there are many more."""


class Section(ABC):
    """One section of the report, made of an evaluation.

    Every concrete class beside this one stands on the page, in the order of their `rank`. One of your own goes by its
    dotted path: ``plait evaluate RUN --section mylab.report.Mine``, or ``write_report(..., sections=[...])``. Its
    options are its keyword-only arguments.
    """

    rank: ClassVar[int] = 95
    """Of two the one with the smaller number comes first: plait's own have 10, 20 ... 100."""

    template: ClassVar[str]
    """What stands below the title: Jinja, with the names that `content` gives, ``e`` (the evaluation), ``words``
    (`plait.report.words`) and ``page`` (macros: ``page.tree(mapping)``). Texts are escaped; an SVG is a `Markup`."""

    @abstractmethod
    def title(self, evaluation: Evaluation) -> str:
        """The heading, for people."""

    @abstractmethod
    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        """What the template shows, by name; None where there is nothing to say: the section is then left out.

        Args:
            evaluation: as `plait.evaluation.summary.summarise` makes it. What a run does not have is not in it.
        """

    def render(self, evaluation: Evaluation) -> Markup:
        """Its HTML; empty where there is nothing to say."""
        content = self.content(evaluation)
        if content is None:
            return Markup()
        frame = f"{_BEGIN}{self.template}\n</section>\n"
        made = environment().from_string(frame).render(e=evaluation, title=self.title(evaluation), **content)
        return Markup(made)


def sections_of(more: Sequence[Spec] = ()) -> list[Section]:
    """All of plait's own and some more, in their order; one of plait's that is given with options stands in its place.

    Raises:
        ConfigError: one of them is not a section, or has not such an option.
    """
    added = [build(Section, spec, where="report section") for spec in more]
    own = [cls() for cls in parts(Section).values() if cls not in map(type, added)]
    return sorted([*own, *added], key=lambda section: section.rank)


def render_sections(evaluation: Evaluation, more: Sequence[Spec] = ()) -> Markup:
    """Their HTML, one after another.

    Raises:
        ConfigError: as `sections_of`; or one of them fails on this evaluation.
    """
    return Markup("\n").join(made for section in sections_of(more) if (made := _rendered(section, evaluation)))


def _rendered(section: Section, evaluation: Evaluation) -> Markup:
    try:
        return section.render(evaluation)
    except (PlaitError, MemoryError):
        raise
    except Exception as error:
        if type(section) in parts(Section).values():
            raise
        reason = f"{type(error).__name__}: {brief(error, 200)}"
        raise ConfigError(
            f"report section {part_name(type(section))}: it fails on this evaluation ({reason}). Mend it, or leave it "
            "out; the numbers stand in evaluation.json."
        ) from error


def full_of(evaluation: Evaluation) -> Mapping[str, Any]:
    """The row of all modalities together."""
    row: Mapping[str, Any] = evaluation["subsets"][-1]
    return row


def sign_of(evaluation: Evaluation) -> int:
    return 1 if evaluation["task"]["higher_is_better"] else -1


def has_intervals(evaluation: Evaluation) -> bool:
    """Whether any subset has one: a column that would be empty is left out."""
    return any(words.has_interval(row.get("interval")) for row in evaluation["subsets"])


def has_sd(evaluation: Evaluation) -> bool:
    """Whether there is a spread over seeds."""
    metric = evaluation["task"]["metric"]
    found = [row["metrics"].get(metric) for row in evaluation["subsets"]]
    return any(value is not None and value.get("sd") is not None for value in found)


def folded(rows: Sequence[Any], most: int = FEW_ROWS) -> dict[str, Any] | None:
    """Rows that are shown at once, and those that are folded away where there are many; None of no rows."""
    few = most if len(rows) > most + 3 else len(rows)
    return {"shown": rows[:few], "more": rows[few:]} if rows else None
