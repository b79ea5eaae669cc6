"""The laws of report sections."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser

import numpy as np
from numpy.typing import NDArray

from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.schema import Evaluation
from plait.evaluation.summary import subsets_of, summarise
from plait.report.sections import Section
from plait.tasks import Task
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.testing.laws import LawBroken, require

__all__ = ["check_section"]

STRANGE = "<script>x</script>&amp;"
"""A name that appears unchanged on the page only if it was not escaped."""

# HTML's void elements have no end tag; ``use`` is SVG's, always written without content.
_VOID = {"br", "hr", "img", "input", "link", "meta", "use"}


def check_section(cls: type[Section], evaluations: Sequence[Evaluation] = (), **options: object) -> list[Evaluation]:
    """Check the laws of a report section.

    Page (all tags are closed; it loads nothing from outside and runs no script); names (those of users are escaped);
    inputs (the evaluation is not changed); sameness (the same evaluation gives the same HTML); gaps (it works on the
    evaluation of any task, with one modality or with several).

    Args:
        cls: the class, constructed as ``cls(**options)``.
        evaluations: more evaluations, in addition to made-up ones of classes and values, of one modality and several.
        options: its options.

    Returns:
        The evaluations for which it rendered something.

    Raises:
        LawBroken: which law, and how.
    """
    said = []
    for evaluation in [*_made_up(), *evaluations]:
        before = json.dumps(evaluation)
        html = _rendered(cls, evaluation, options)
        require(json.dumps(evaluation) == before, cls, "inputs", "it changes the evaluation")
        require(html == _rendered(cls, evaluation, options), cls, "sameness", "the same evaluation gives other HTML")
        require("<script" not in html, cls, "names", "a name of the user's stands on the page unescaped")
        _check_page(cls, html)
        said += [evaluation] if html else []
    return said


def _rendered(cls: type[Section], evaluation: Evaluation, options: Mapping[str, object]) -> str:
    try:
        return str(cls(**options).render(evaluation))
    except Exception as error:
        task = f"{evaluation['task']['name']} of {evaluation['modalities']}"
        raise LawBroken(cls, "gaps", f"{task}: {type(error).__name__}: {error}") from error


class _Tags(HTMLParser):
    """Open tags, tags closed without having been opened, and attributes that load or run something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.wrong += [f"<{tag} {k}=...>" for k, v in attrs if k in ("src", "href") and not (v or "").startswith("#")]
        self.wrong += [f"<{tag} {k}=...>" for k, _ in attrs if k.startswith("on")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(f"</{tag}>")


def _check_page(cls: type, html: str) -> None:
    tags = _Tags(html)
    require(not tags.wrong, cls, "page", f"{tags.wrong[:3]} does not belong there")
    require(not tags.open, cls, "page", f"<{tags.open[-1] if tags.open else ''}> is not closed")
    outside = re.search(r"url\((?!#)|@import", html)
    require(outside is None, cls, "page", "its style loads something from elsewhere")


def _made_up() -> Iterator[Evaluation]:
    """Evaluations of classes and of values, of one modality and of two, with hostile names."""
    for modalities in (["see"], ["see", STRANGE]):
        yield _evaluation(Classify(["calm", STRANGE]), modalities)
        yield _evaluation(Regress([0.0, 1.0]), modalities)


def _evaluation(task: Task, modalities: list[str]) -> Evaluation:
    replicates = [_replicate(task, modalities, seed) for seed in (0, 1)]
    about = {"run": STRANGE, "corpus": STRANGE, "target": STRANGE}
    return summarise(task, replicates, about=about, sections={"recipe_yaml": STRANGE, "versions": {"plait": STRANGE}})


def _replicate(task: Task, modalities: list[str], seed: int, n: int = 48) -> ReplicateOutput:
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2 if not task.is_numeric else np.linspace(-1, 1, n)
    clue = np.stack([1 - target, target], 1) if not task.is_numeric else target[:, None]
    scores: NDArray[np.float64] = np.add(clue, rng.random((n, task.n_outputs)), dtype=np.float64)
    scores = scores if task.is_numeric else scores / scores.sum(1, keepdims=True)
    items = [f"{STRANGE} {i}" for i in range(n)]
    return ReplicateOutput(
        seed=seed,
        fold="",
        items=items,
        recordings=items,
        groups=[f"{STRANGE} {i % 8}" for i in range(n)],
        target=target,
        present={m: rng.random(n) > 0.1 for m in modalities},
        outputs=dict.fromkeys(subsets_of(modalities), scores),
        baseline=task.baseline(target, n),
    )
