"""Whether an answer depends on what was recorded at its own time: the deletion test.

A model that names a word or an event with its time claims that the evidence is there. For one answer of each item, the
observations within its time are removed from all streams, and in a second pass as many seconds elsewhere. Both times it
is measured how far the output within the answer's time moves (`plait.tasks.Task.divergence`); where there is one answer
per item, of which parts have times, how far that moves. Streams that stand at one instant of an item, such as a text
about all of it, stay. Deletion is the usual
check of an explanation (Samek et al. 2017, "Evaluating the visualization of what a deep neural network has learned",
IEEE TNNLS 28(11)); of a text whose words were read from places, it is measured how far the word itself moves
(`plait.tasks.Task.part_moved`). Here the explanation is the answer's own time, and the control has the same length.

A relation names two objects instead: what was observed of both is removed, and in a second pass what was observed of
two others. Where their boxes are stays told, as it is part of the question.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from plait.evaluation.effects import Effect
from plait.evaluation.intervals import Units
from plait.evaluation.object_effects import object_effects
from plait.evaluation.query_effects import query_effects
from plait.evaluation.rows import ratio_of_means
from plait.evaluation.schema import Deletion
from plait.evaluation.time_effects import time_effects
from plait.examples.data import ItemData
from plait.models.model import Model

__all__ = ["Effect", "deletion_of", "effects_of"]

KINDS = {"times": time_effects, "objects": object_effects, "query": query_effects}
"""By what the answers of a task rest on (`plait.tasks.Task.rests_on`)."""


def effects_of(model: Model, data: ItemData, *, seed: int = 0) -> list[Effect]:
    """One effect per item whose answer has evidence, and room for as much elsewhere.

    Args:
        model: its task says what its answers rest on.
        data: the items.
        seed: draws the answer of each item, and the other part.
    """
    model.eval()
    with torch.inference_mode():
        return KINDS[model.task.rests_on](model, data, np.random.default_rng(seed))


def deletion_of(effects: Sequence[Effect]) -> Deletion | None:
    """The effects as the evaluation has them; None if there are none.

    >>> found = deletion_of([Effect(g, 0.4, 0.1) for g in "abcde"])
    >>> found and round(found["ratio"], 6)
    4.0
    """
    if not effects:
        return None
    both = np.array([(e.inside, e.elsewhere) for e in effects])
    inside, elsewhere = both.mean(0).tolist()
    ratio = ratio_of_means(both[:, 0], both[:, 1], Units.of([e.group for e in effects]))
    return {"answers": len(effects), "inside": inside, "elsewhere": elsewhere, **ratio}
