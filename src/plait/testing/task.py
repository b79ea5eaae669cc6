"""The laws of tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from plait.core.errors import DataError
from plait.tasks import Task
from plait.testing.inputs import exported, poisoned, sample, seeded
from plait.testing.laws import LawBroken, require
from plait.tokens import Tokens

__all__ = ["check_task"]

DIM = 8


def check_task(cls: type[Task], targets: list[Any], **options: Any) -> None:
    """Check the laws of a task, on training ``targets`` as a corpus would give them.

    Shape (of heads, losses, scores); loss (finite, and smaller after steps against its gradient); heads
    (finite for an item without tokens, blind to what is masked, exportable); agreement (the answer decoded
    from the loss's own optimum is the target; `decode`, `scores` and `metrics` say the same); state (survives
    JSON, and the restored task gives the same numbers); strangers (a target of another kind is a
    DataError); baseline (finite scores that the metrics take, and that telling the truth beats).

    Args:
        cls: the class, constructed as ``cls(targets, **options)``.
        targets: two different ones at least.
        options: its options.

    Raises:
        LawBroken: which law, and how.
    """
    task = cls(list(targets), **options)
    _check_shape(cls, task, targets)
    _check_head(cls, task)
    output = _fitted(cls, task, targets)
    _check_agreement(cls, task, targets, output)
    _check_state(cls, task, targets, output)
    _check_strangers(cls, task)
    _check_baseline(cls, task, targets, output)


def _check_shape(cls: type, task: Task, targets: list[Any]) -> None:
    target = task.encode(targets)
    require(len(target) == len(targets), cls, "shape", f"{len(target)} encoded targets of {len(targets)}")
    with seeded(1):
        output = torch.randn(len(targets), task.width)
    loss = task.loss(output, target)
    require(tuple(loss.shape) == (len(targets),), cls, "shape", f"loss {tuple(loss.shape)}; expected one an item")
    require(bool(loss.isfinite().all()), cls, "loss", "it is not finite")
    alone = torch.cat([task.loss(output[i : i + 1], target[i : i + 1]) for i in range(len(targets))])
    require(torch.allclose(loss, alone, atol=1e-5), cls, "loss", "an item's loss depends on the other items")
    scores = task.scores(output)
    fits = isinstance(scores, np.ndarray) and scores.shape == (len(targets), task.width)
    require(fits, cls, "shape", f"scores {np.shape(scores)}; expected ({len(targets)}, {task.width})")


def _check_head(cls: type, task: Task) -> None:
    with seeded(1):
        head = task.head(DIM).eval()
    require(isinstance(head, nn.Module), cls, "heads", f"head gives {type(head).__name__}; expected a module")
    tokens = sample(DIM)
    out = head(tokens)
    require(
        tuple(out.shape) == (4, task.width),
        cls,
        "heads",
        f"output {tuple(out.shape)}; expected (4, {task.width})",
    )
    blind = torch.allclose(out, head(poisoned(tokens, float("nan"))), atol=1e-5)
    require(blind and bool(out.isfinite().all()), cls, "heads", "what is masked changes the output")
    none = head(Tokens(*(x[:, :0] for x in tokens)))
    require(bool(none.isfinite().all()), cls, "heads", "without any token the output is not finite")
    graph = exported(cls, head, tokens)(tokens)
    require(torch.allclose(out, graph, atol=1e-5), cls, "heads", "once exported it gives other numbers")


def _fitted(cls: type, task: Task, targets: list[Any]) -> torch.Tensor:
    """Outputs driven down the loss's gradient; the loss must fall."""
    target = task.encode(targets)
    output = torch.zeros(len(targets), task.width, requires_grad=True)
    optimizer = torch.optim.Adam([output], lr=0.05)
    losses = []
    for _ in range(300):
        loss = task.loss(output, target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    require(
        losses[1] < losses[0],
        cls,
        "loss",
        f"a step against its gradient leads from {losses[0]} to {losses[1]}",
    )
    return output.detach()


def _check_agreement(cls: type, task: Task, targets: list[Any], output: torch.Tensor) -> None:
    said = task.decode(output)
    require(len(said) == len(targets), cls, "agreement", f"{len(said)} answers for {len(targets)} items")
    json.dumps([answer.to_json() for answer in said])
    require(all(str(answer) for answer in said), cls, "agreement", "an answer prints as nothing")
    answers = [a.label for answer in said for a in answer.annotations(0.0, 1.0, tier="said")]
    truth, again = task.encode(targets), task.encode(answers)
    slack = 0.1 * float(truth.std()) if truth.is_floating_point() else 0.0
    same = bool(((again - truth).abs() <= slack).all())
    require(same, cls, "agreement", f"fitted to {targets[:4]}, it answers {answers[:4]}")
    found = task.metrics(task.scores(output), task.encode(targets).numpy())
    first = next(iter(found))
    require(first == task.main_metric, cls, "agreement", f"metrics begin with {first!r}, not {task.main_metric!r}")
    odd = [k for k, v in found.items() if not isinstance(v, float)]
    require(not odd, cls, "agreement", f"metrics {odd} are no floats")


def _check_state(cls: type[Task], task: Task, targets: list[Any], output: torch.Tensor) -> None:
    try:
        state = json.loads(json.dumps(task.state(), allow_nan=False))
        options = json.loads(json.dumps(task.options, allow_nan=False))
    except (TypeError, ValueError, AttributeError) as error:
        raise LawBroken(cls, "state", f"state or options are not JSON ({error})") from error
    again = cls.restore(state, **options)
    require(again.state() == task.state() and again.options == task.options, cls, "state", "it changes on the way")
    same = np.array_equal(task.scores(output), again.scores(output)) and task.decode(output) == again.decode(output)
    target = task.encode(targets)
    same = same and torch.equal(target, again.encode(targets))
    same = same and torch.equal(task.loss(output, target), again.loss(output, target))
    require(same and task.width == again.width, cls, "state", "the restored task gives other numbers")


def _check_strangers(cls: type, task: Task) -> None:
    for stranger in ("a label that nobody gave", float("nan"), None):
        require(
            _refuses(lambda s=stranger: task.encode([s])),
            cls,
            "strangers",
            f"it takes {stranger!r} as a target",
        )


def _refuses(act: Callable[[], object]) -> bool:
    try:
        act()
    except DataError:
        return True
    return False


def _check_baseline(cls: type, task: Task, targets: list[Any], output: torch.Tensor) -> None:
    target = task.encode(targets).numpy()
    scores = task.baseline(target, len(targets))
    fits = scores.shape == (len(targets), task.width) and bool(np.isfinite(scores).all())
    require(fits, cls, "baseline", f"scores {scores.shape}; expected finite ({len(targets)}, {task.width})")
    require(bool((scores == scores[0]).all()), cls, "baseline", "it is not constant")
    ours, constant = (task.metrics(s, target)[task.main_metric] for s in (task.scores(output), scores))
    better = ours > constant if task.higher_is_better else ours < constant
    require(better, cls, "baseline", f"{task.main_metric}: fitted outputs give {ours}, the baseline {constant}")
