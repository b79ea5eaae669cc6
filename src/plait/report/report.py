"""The evaluation as one self-contained HTML file: no network, no scripts, for light and dark screens and for paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plait.core.atomic import write_text
from plait.core.parts import Spec
from plait.evaluation.schema import Evaluation, to_json
from plait.report import facts as report_facts
from plait.report import words
from plait.report.environment import environment, write_page
from plait.report.sections import render_sections

__all__ = ["render_report", "save_evaluation", "write_report"]


def write_report(evaluation: Evaluation, path: str | Path, *, sections: Sequence[Spec] = ()) -> Path:
    """Write report.html, atomically; the same numbers give the same bytes.

    Args:
        evaluation: as `plait.evaluation.summary.summarise` makes it. If given, these are shown too:
            ``training`` {"seeds": [{"epoch", "train_loss", "valid"}]}, ``scatter`` {"target", "predicted"},
            ``sync`` (a list of clocks, planted and recovered), ``recipe_yaml`` (text), ``versions``.
        path: the file to write.
        sections: your own sections, beside plait's: dotted paths of a `plait.report.sections.Section`, or specs with
            options. ``{"name": "per_class", "rows": 40}`` changes an option of one of plait's.

    Raises:
        ConfigError: one of ``sections`` is not a section, or fails.
        OSError: it cannot be written.
    """
    return write_page(path, render_report(evaluation, sections=sections))


def save_evaluation(evaluation: Evaluation, folder: str | Path, *, sections: Sequence[Spec] = ()) -> Path:
    """Write evaluation.json and report.html into ``folder``, made if needed; returns the report's path.

    The numbers are written first, so that they are kept if a section of your own fails.

    Raises:
        ConfigError: as `write_report`.
        OSError: they cannot be written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "evaluation.json", to_json(evaluation))
    return write_report(evaluation, place / "report.html", sections=sections)


def render_report(evaluation: Evaluation, *, sections: Sequence[Spec] = ()) -> str:
    """The report's HTML: its header, then its sections; arguments as for `write_report`."""
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            e=evaluation,
            headline=words.headline(evaluation),
            cautions=words.cautions(evaluation),
            facts=report_facts.facts(evaluation),
            sections=render_sections(evaluation, sections),
            version=(evaluation.get("versions") or {}).get("plait"),
        )
    )
