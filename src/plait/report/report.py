"""The evaluation as one HTML file that needs nothing else: no network, no scripts, light and dark, paper too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plait.core.atomic import replacing, write_text
from plait.core.parts import Spec
from plait.evaluation.schema import Evaluation, to_json
from plait.report import facts as report_facts
from plait.report import words
from plait.report.environment import environment
from plait.report.sections import render_sections

__all__ = ["render_report", "save_evaluation", "write_report"]


def write_report(evaluation: Evaluation, path: str | Path, *, sections: Sequence[Spec] = ()) -> Path:
    """Write report.html, atomically; the same numbers give the same bytes.

    Args:
        evaluation: as `plait.evaluation.summary.summarise` makes it. Where given, these are shown as well:
            ``training`` {"seeds": [{"epoch", "train_loss", "valid"}]}, ``scatter`` {"target", "predicted"},
            ``sync`` (a list of clocks, planted against recovered), ``recipe_yaml`` (text), ``versions``.
        path: the file to write.
        sections: of your own, beside plait's: dotted paths of `plait.report.sections.Section`, or specs with options;
            ``{"name": "per_class", "rows": 40}`` gives one of plait's other options.

    Raises:
        ConfigError: one of ``sections`` is none, or fails.
        OSError: it cannot be written.
    """
    target = Path(path)
    with replacing(target) as part:
        # Half of a pair (a name cut through an emoji) must not cost the report: it is shown as a question mark.
        part.write_bytes(render_report(evaluation, sections=sections).encode("utf-8", errors="replace"))
    return target


def save_evaluation(evaluation: Evaluation, folder: str | Path, *, sections: Sequence[Spec] = ()) -> Path:
    """Write evaluation.json and report.html into ``folder``, made if need be; returns the report's path.

    The numbers come first: a section of one's own that fails does not cost them.

    Raises:
        ConfigError: as `write_report`.
        OSError: they cannot be written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "evaluation.json", to_json(evaluation))
    return write_report(evaluation, place / "report.html", sections=sections)


def render_report(evaluation: Evaluation, *, sections: Sequence[Spec] = ()) -> str:
    """The report's HTML: its header, then `plait.report.sections`; arguments as `write_report`."""
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            e=evaluation,
            headline=words.headline(evaluation),
            cautions=words.cautions(evaluation),
            facts=report_facts.facts(evaluation),
            sections=render_sections(evaluation, sections),
        )
    )
