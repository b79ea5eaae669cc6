"""The test data."""

from __future__ import annotations

from collections.abc import Mapping

from plait.evaluation.schema import Evaluation
from plait.report.facts import data
from plait.report.sections import Section

__all__ = ["Data"]


class Data(Section):
    """The test data."""

    rank = 90
    template = """
{{ page.tree(data) }}
"""

    def title(self, evaluation: Evaluation) -> str:
        return "The data"

    def content(self, evaluation: Evaluation) -> Mapping[str, object] | None:
        return {"data": data(evaluation)}
