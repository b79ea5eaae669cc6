"""The laws of tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import nn

from plait.core.errors import DataError
from plait.examples.future import Future
from plait.examples.items import Item
from plait.examples.scenes import Scene
from plait.examples.targets import Annotated, Named, Target
from plait.tasks import Task
from plait.tasks.answers import Answer
from plait.testing.inputs import exported, poisoned, sample, seeded
from plait.testing.laws import LawBroken, require
from plait.tokens import Instants, Tokens

__all__ = ["check_task"]

DIM = 8

PLACES = 3
"""In the outputs of a task that reads places."""


def check_task(cls: type[Task], targets: Sequence[Target], **options: object) -> None:
    """Check the laws of a task, on training ``targets`` as a corpus would give them.

    Shape (of heads, losses, scores); loss (finite, independent of instants that are not asked, and smaller after a
    gradient step); heads (finite for an item without tokens, independent of masked values, the same at an instant
    whatever else is asked, exportable); agreement (the answer decoded from the loss's own optimum is the target, also
    by way of annotations; `decode`, `scores` and `metrics` agree); likelihood (`nll` and `divergence` give a number
    per item, as `scores` say); state (survives JSON, and the restored task gives
    the same numbers); strangers (a target of another kind is a DataError); baseline (finite scores that the metrics
    accept, and that the fitted answers beat). A task without targets (``asks = "nothing"``) compares the items of a
    batch: its loss may depend on all of them, but not on their order; its targets are the items' groups, and no answer
    need be one.

    Args:
        cls: the class, constructed as ``cls(targets, **options)``.
        targets: at least two different ones.
        options: its options.

    Raises:
        LawBroken: which law, and how.
    """
    task = cls(list(targets), **options).eval()  # a task may have dropout of its own
    _check_shape(cls, task, targets)
    _check_head(cls, task, targets)
    output = _fitted(cls, task, targets)
    _check_agreement(cls, task, targets, output)
    _check_likelihood(cls, task, targets, output)
    _check_state(cls, task, targets, output)
    _check_strangers(cls, task, targets)
    _check_baseline(cls, task, targets, output)


def _items(targets: Sequence[Target]) -> list[Item]:
    return [Item(f"r{i}", 0.0, _seconds(t), t) for i, t in enumerate(targets)]


def _seconds(target: Target) -> float:
    return target.seconds if isinstance(target, Annotated | Future | Scene) else 1.0


def _size(task: Task, targets: Sequence[Target]) -> tuple[int, ...]:
    """Shape of an output for the targets."""
    if task.gathers:
        return len(targets), PLACES, task.n_outputs
    at = task.asked_at(_items(targets))
    if at is not None:
        return *at.mask.shape, task.n_outputs
    return tuple(task.answer(lambda _: torch.zeros(len(targets), task.n_outputs), None).shape)


def _compares(task: Task) -> bool:
    """Whether the loss compares the items of a batch: there are no targets."""
    return task.asks == "nothing"


def _silenced(task: Task, targets: Sequence[Target], output: torch.Tensor) -> torch.Tensor:
    """The output as a model gives it: at instants of padding it holds what `Task.unasked` says."""
    at = task.asked_at(_items(targets))
    return output if at is None else torch.where(at.mask[..., None], output, task.unasked().to(output))


def _check_shape(cls: type, task: Task, targets: Sequence[Target]) -> None:
    target, size = task.encode(list(targets)), _size(task, targets)
    require(len(target) == len(targets), cls, "shape", f"{len(target)} encoded targets of {len(targets)}")
    with seeded(1):
        output = _silenced(task, targets, torch.randn(size))
    try:
        loss = task.loss(output, target)
    except (RuntimeError, IndexError, ValueError) as error:
        shapes = f"an output {tuple(output.shape)} and encoded targets {tuple(target.shape)} {target.dtype}"
        raise LawBroken(cls, "loss", f"it fails on {shapes} ({error})") from error
    require(tuple(loss.shape) == (len(targets),), cls, "shape", f"loss {tuple(loss.shape)}; expected one an item")
    require(bool(loss.isfinite().all()), cls, "loss", "it is not finite")
    if _compares(task):
        turned = task.loss(output.flip(0), target.flip(0)).flip(0)
        require(torch.allclose(loss, turned, atol=1e-5), cls, "loss", "an item's loss depends on the order of items")
    else:
        alone = torch.cat([task.loss(output[i : i + 1], target[i : i + 1]) for i in range(len(targets))])
        require(torch.allclose(loss, alone, atol=1e-5), cls, "loss", "an item's loss depends on the other items")
    if task.gathers:
        more = [task.joined([output[i : i + 1], output[:, : PLACES - 1]])[:1] for i in range(len(targets))]
        wider = torch.cat([task.joined([one, torch.cat([output, output], 1)])[:1] for one in more])
        same = torch.allclose(loss, task.loss(wider, target), atol=1e-4)
        require(same, cls, "loss", "an item's loss depends on places where there is nothing")
    elif len(size) > 2:
        ends = [int(at.mask.sum()) for t in targets if (at := task.asked_at(_items([t]))) is not None]
        own = [task.loss(output[i : i + 1, :n], task.encode([t])) for i, (n, t) in enumerate(zip(ends, targets))]
        same = torch.allclose(loss, torch.cat(own), atol=1e-4)
        require(same, cls, "loss", "an item's loss depends on instants that nobody asks about")
    scores = task.scores(output)
    fits = isinstance(scores, np.ndarray) and len(scores) == len(targets) and bool(np.isfinite(scores).all())
    # any number of columns: K - 1 outputs may encode K classes
    fits = fits and (len(size) > 2 or scores.ndim == 2 or _compares(task))
    told = f"{len(targets)} rows" if len(size) > 2 else f"{len(targets)} rows of columns"
    require(fits, cls, "shape", f"scores {np.shape(scores)}; expected finite ones, {told}")
    classes = task.state().get("classes")
    if isinstance(classes, list) and scores.ndim == 2:
        named = scores.shape[1] == len(classes)
        require(named, cls, "shape", f"scores have {scores.shape[1]} columns for the {len(classes)} classes of state()")


def _check_head(cls: type, task: Task, targets: Sequence[Target]) -> None:
    with seeded(1):
        head = task.head(DIM).eval()
    require(isinstance(head, nn.Module), cls, "heads", f"head gives {type(head).__name__}; expected a module")
    tokens, more = sample(DIM), list[Instants]()
    if task.instants(1.0) is not None:
        # instants before the first token and after the last one are legal questions
        times = torch.tensor([-0.5, 0.0, 0.31, 0.9, 7.0]).expand(4, 5)
        more = [Instants(times, torch.ones(4, 5) > 0)]
    elif (at := task.asked_at(_items(targets))) is not None:  # the targets decide what is asked
        more = [at.of(torch.arange(4) % len(targets))]
    out = head(tokens, *more)
    steps = [tokens.mask.shape[1]] if task.gathers else [x.mask.shape[1] for x in more]
    size = (4, *steps, task.n_outputs)
    require(tuple(out.shape) == size, cls, "heads", f"output {tuple(out.shape)}; expected {size}")
    blind = torch.allclose(out, head(poisoned(tokens, float("nan")), *more), atol=1e-5)
    require(blind and bool(out.isfinite().all()), cls, "heads", "what is masked changes the output")
    none = head(Tokens(*(x[:, :0] for x in tokens)), *more)
    require(bool(none.isfinite().all()), cls, "heads", "without any token the output is not finite")
    for at in more:
        fewer = head(tokens, at.part(slice(1, 3)))
        require(torch.allclose(out[:, 1:3], fewer, atol=1e-5), cls, "heads", "an instant depends on what else is asked")
    graph = exported(cls, head, tokens, *more)(tokens, *more)
    require(torch.allclose(out, graph, atol=1e-5), cls, "heads", "once exported it gives other numbers")


def _fitted(cls: type, task: Task, targets: Sequence[Target]) -> torch.Tensor:
    """Outputs driven down the loss's gradient; the loss must fall."""
    # The outputs themselves, and what the task itself learns, are the parameters: this tests loss and decoding without
    # any model.
    target = task.encode(list(targets))
    with seeded(1):  # where all items are the same, nothing draws one from another
        output = (1e-2 * torch.randn(_size(task, targets)) * _compares(task)).requires_grad_()
    optimizer = torch.optim.Adam([{"params": [output], "lr": 0.05}, {"params": list(task.parameters()), "lr": 1e-3}])
    losses = []
    for _ in range(300):
        loss = task.loss(_silenced(task, targets, output), target).mean()
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
    return _silenced(task, targets, output.detach())


def _check_likelihood(cls: type, task: Task, targets: Sequence[Target], output: torch.Tensor) -> None:
    """What training asks beside the loss: `nll` for calibration, `divergence` for distillation."""
    target, scores = task.encode(list(targets)), task.scores(output)
    try:
        sure, doubted = task.nll(output, target), task.nll(output, target, 0.1)
        same, apart = task.divergence(output, output), task.divergence(output, 0.5 * output)
    except (IndexError, RuntimeError, ValueError) as error:
        raise LawBroken(
            cls, "likelihood", f"nll or divergence fails ({error}); override it for such outputs"
        ) from error
    rows = {"nll": sure, "nll with doubt": doubted, "divergence": same, "divergence from another": apart}
    for name, row in rows.items():
        fits = tuple(row.shape) == (len(targets),) and bool(row.isfinite().all())
        require(fits, cls, "likelihood", f"{name} is {tuple(row.shape)}; expected a finite number per item")
    require(bool((same.abs() < 1e-3).all()), cls, "likelihood", "an output's divergence from itself is not 0")
    require(bool((apart > -1e-3).all()), cls, "likelihood", "a divergence is below 0")
    if task.is_numeric or target.ndim > 1 or scores.ndim != 2:
        return
    require(bool(np.allclose(scores.sum(1), 1, atol=1e-4)), cls, "likelihood", "probabilities do not add up to 1")
    said = -np.log(np.maximum(scores[np.arange(len(target)), target.numpy()], 1e-12))
    close = np.allclose(sure.numpy(), said, atol=1e-2)
    require(close, cls, "likelihood", "nll is not minus the logarithm of the probability in scores")


def _check_agreement(cls: type, task: Task, targets: Sequence[Target], output: torch.Tensor) -> None:
    said = task.decode(output, task.asked_at(_items(targets)))
    require(len(said) == len(targets), cls, "agreement", f"{len(said)} answers for {len(targets)} items")
    json.dumps([answer.to_json() for answer in said])
    require(all(str(answer) for answer in said), cls, "agreement", "an answer prints as nothing")
    if not _compares(task):
        _check_answers(cls, task, targets, said)
    found = task.metrics(task.scores(output), task.encode(list(targets)).numpy())
    first = next(iter(found))
    require(first == task.main_metric, cls, "agreement", f"metrics begin with {first!r}, not {task.main_metric!r}")
    odd = [k for k, v in found.items() if not isinstance(v, float)]
    require(not odd, cls, "agreement", f"metrics {odd} are no floats")
    if output.ndim > 2:
        return  # as many places as the longest item has
    apart = [task.scores(output[i : i + 1]) for i in range(len(targets))]
    same = all(np.allclose(own[0], row, atol=1e-6) for own, row in zip(apart, task.scores(output)))
    require(same, cls, "agreement", "an item's scores depend on the other items")


def _check_answers(cls: type, task: Task, targets: Sequence[Target], said: Sequence[Answer]) -> None:
    answers = [_as_target(answer, t) for answer, t in zip(said, targets)]
    truth, again = task.encode(list(targets)), task.encode(answers)
    # Values come back from an optimizer, not exactly; classes must.
    slack = 0.1 * float(truth.std()) if truth.is_floating_point() else 0.0
    # any answer is right where the target is unknown (-1)
    known = torch.ones_like(truth, dtype=torch.bool) if truth.is_floating_point() else truth != -1
    same = again.shape == truth.shape and bool(((again - truth).abs()[known] <= slack).all())
    require(same, cls, "agreement", f"fitted to {targets[:4]}, it answers {answers[:4]}")


def _as_target(answer: Answer, target: Target) -> Target:
    """The target that a corpus would give if it held the answer as annotations."""
    notes = answer.annotations(0.0, 1.0, tier="said")
    if isinstance(target, Named):
        return Named({note.tier.removeprefix("said."): note.label for note in notes})
    if isinstance(target, Future):
        return target.answered([(a.start, float(a.label)) for a in notes])
    if isinstance(target, Scene):
        return target.answered([note.label for note in notes])
    if not isinstance(target, Annotated):
        return notes[0].label
    return Annotated(target.seconds, tuple((a.start, a.stop, a.label) for a in notes))


def _check_state(cls: type[Task], task: Task, targets: Sequence[Target], output: torch.Tensor) -> None:
    try:
        state = json.loads(json.dumps(task.state(), allow_nan=False))
        options = json.loads(json.dumps(task.options, allow_nan=False))
    except (TypeError, ValueError, AttributeError) as error:
        hint = (
            "keep each option as an attribute of its name" if isinstance(error, AttributeError) else "use plain values"
        )
        raise LawBroken(cls, "state", f"state or options are not JSON ({error}); {hint}") from error
    again = cls.restore(state, **options).eval()
    again.load_state_dict(task.state_dict())  # as a model that is loaded does
    require(again.state() == task.state() and again.options == task.options, cls, "state", "it changes on the way")
    at = task.asked_at(_items(targets))
    same = np.array_equal(task.scores(output), again.scores(output))
    same = same and task.decode(output, at) == again.decode(output, at)
    target = task.encode(list(targets))
    same = same and torch.equal(target, again.encode(list(targets)))
    same = same and torch.equal(task.loss(output, target), again.loss(output, target))
    require(same and task.n_outputs == again.n_outputs, cls, "state", "the restored task gives other numbers")


def _check_strangers(cls: type, task: Task, targets: Sequence[Target]) -> None:
    # any text may be the true answer of a task whose targets are texts
    free = (hasattr(task, "texts") or _compares(task)) and isinstance(targets[0], str)
    for stranger in (float("nan"), None, *(() if free else ("a label that nobody gave",))):
        require(
            _refuses(partial(task.encode, cast("list[Target]", [stranger]))),  # a label of JSON may be null
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


def _check_baseline(cls: type, task: Task, targets: Sequence[Target], output: torch.Tensor) -> None:
    target = task.encode(list(targets)).numpy()
    scores = task.baseline(target, len(targets))
    fits = len(scores) == len(targets) and bool(np.isfinite(scores).all())
    wanted = np.shape(task.scores(output))
    fits = fits and (output.ndim > 2 or scores.shape == wanted)
    require(fits, cls, "baseline", f"scores {scores.shape}; expected finite ones, as `scores` gives them {wanted}")
    require(bool((scores == scores[0]).all()), cls, "baseline", "it is not constant")
    ours, constant = (task.metrics(s, target)[task.main_metric] for s in (task.scores(output), scores))
    better = ours > constant if task.higher_is_better else ours < constant
    require(better, cls, "baseline", f"{task.main_metric}: fitted outputs give {ours}, the baseline {constant}")
