"""The quick model: fixed features of each modality, a ridge regression on them, an opinion pool; no gradient descent.

What is free beyond the ridge (shrinkage, how surely a head answers, how much it counts beside the others) is fitted to
what is said of training groups that are left out, which a ridge regression tells in closed form (`fit_ridge`). So there
is nothing to stop, and no part of the items is spent on validation.

Of a task that answers at instants, instants take the place of items: rows, below.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.augmentations import Setting, Vary
from plait.core.errors import ConfigError, raise_all
from plait.encoders.fixed import Fixed
from plait.examples.data import ItemData
from plait.fusion.opinion_pool import OpinionPool
from plait.models.model import Model
from plait.tasks import Task
from plait.tasks.heads import PooledLinear, TimedLinear
from plait.tokens import Instants, Tokens
from plait.training.least import least
from plait.training.ridge import Ridge, fit_ridge

__all__ = ["MOST", "fit_closed_form"]

MOST = 3000
"""Training items that are used, and rows of them, drawn of all: the work grows with the cube of the rows, and so many
tell what a linear head can learn."""

DRAWS = 4
"""How often an item is taken where the recipe says how items vary."""

CHUNK = 64
ROOM = 2**25
"""Features of instants that are made at once, to have those that are asked about taken out."""

POOLED = 1000
"""Rows of which the pool is fitted."""

SUBSETS = 24
"""Of the modalities, besides all of them, that the pool is fitted to answer from."""


def fit_closed_form(model: Model, data: ItemData, *, seed: int, vary: Vary | None = None) -> dict[str, list[float]]:
    """Fit a fresh model's encoders, heads and fusion to the training items; returns a log of one row.

    Args:
        model: its encoders have fixed features (``mini_rocket``), its fusion is ``opinion_pool``; scaled already.
        data: the training items, with targets.
        seed: of the draws.
        vary: how items vary. Where the recipe says it of any modality (turns, gains), or ``data`` has noises, every
            item is taken several times: once as it is, then as drawn.

    Raises:
        ConfigError: the model or its task has parts of other kinds.
    """
    started = time.process_time()
    _check(model)
    model.eval()
    at = np.sort(np.random.default_rng(seed).permutation(len(data))[:MOST])
    varied = vary is not None and bool(vary.chosen or data.noisy)
    at = np.tile(at, max(min(DRAWS, MOST // len(at)), 1) if varied else 1)
    rows = _rows(model.task, data, at, seed)
    opinions = [_fit_one(model, m, data, rows, seed, vary or Vary({})) for m in model.modalities]
    _fit_pool(model, opinions, rows.target, seed)
    seconds = time.process_time() - started
    return {"epoch": [0.0], "items": [float(len(at))], "processor_seconds": [seconds]}


class _Rows(NamedTuple):
    """What answers are fitted to: the items, or some instants of each.

    Attributes:
        items: places in the data; an item may come again.
        at: the instants of each of ``items``; None where there are none.
        place: of which of ``items`` each row is, [rows].
        target: encoded, [rows, ...].
    """

    items: NDArray[np.int64]
    at: Instants | None
    place: NDArray[np.int64]
    target: Tensor


def _rows(task: Task, data: ItemData, items: NDArray[np.int64], seed: int) -> _Rows:
    index = torch.from_numpy(items)
    target = data.targets[index]
    if data.asked.at is None:
        return _Rows(items, None, np.arange(len(items)), target)
    at = data.asked.at.of(index)
    known = (at.mask & task.known(target)).flatten().nonzero()[:, 0].numpy()
    some = np.sort(np.random.default_rng(seed).permutation(known)[:MOST])
    mask = torch.zeros(at.mask.numel(), dtype=torch.bool)
    mask[torch.from_numpy(some)] = True
    mask = mask.view_as(at.mask)
    return _Rows(items, Instants(at.times, mask), some // mask.shape[1], target[mask])


def _check(model: Model) -> None:
    problems = [
        f"streams.{m}.encoder: train.solver: ridge needs one of fixed features, such as mini_rocket. Leave it out."
        for m, encoder in zip(model.modalities, model.backbone.encoders)
        if not isinstance(encoder, Fixed)
    ]
    if not isinstance(model.backbone.fusion, OpinionPool):
        problems.append(
            "fusion: train.solver: ridge needs opinion_pool, whose weights it fits. Set fusion: opinion_pool."
        )
    if not model.task.linear or not all(isinstance(head, PooledLinear | TimedLinear) for head in model.ensemble.heads):
        problems.append("task: train.solver: ridge needs a task of linear heads, such as classify, regress or tag.")
    raise_all(ConfigError, problems)


class _Opinion(NamedTuple):
    """What a modality's head says of rows when their item's group is left out.

    Attributes:
        output: [rows, width], 0 where the modality is missing.
        there: [rows].
        told: [rows], whether the output is worth anything.
    """

    output: Tensor
    there: Tensor
    told: Tensor


def _fit_one(model: Model, modality: str, data: ItemData, rows: _Rows, seed: int, vary: Vary) -> _Opinion:
    """Fit the encoder and the head of one modality."""
    some = data.present(modality)[rows.items]
    there = some[rows.place]
    own, count = rows.target[torch.from_numpy(there)], len(there)
    output, told = torch.zeros(count, model.task.n_outputs, dtype=torch.float64), torch.zeros(count, dtype=torch.bool)
    index = model.modalities.index(modality)
    encoder, head = _learnt(model, index)
    _silence(encoder.readout, head)  # what cannot be fitted says nothing
    if len(own) > 1:
        at = None if rows.at is None else rows.at.of(torch.from_numpy(some))
        features = encoder.fit(_Chunks(model, modality, data, rows.items[some], at, vary, seed))
        goal, groups = model.task.goals(own), [data.items[i].group for i in rows.items[rows.place[there]]]
        classes = own.ndim == 1 and not model.task.is_numeric  # of several at once, none speaks for the others
        found = fit_ridge(features.numpy(), encoder.sizes, goal.numpy(), groups, classes=classes, seed=seed)
        centre = 0.0 if model.task.is_numeric else goal.double().mean(0)
        known = torch.from_numpy(found.told)
        opinion = torch.from_numpy(found.held_out) - centre
        size = _sureness(model.task, opinion[known], own[known]) if known.any() else 1.0
        _write(model, index, found, centre, size, features)
        output[torch.from_numpy(there)] = (size * opinion).to(output.dtype)
        told[torch.from_numpy(there)] = known
    return _Opinion(output, torch.from_numpy(there), told)


class _Chunks:
    """Some items of one modality as the model's encoder gets them, in batches, and what instants are asked; any number
    of times, always the same.

    Where an item comes again it is varied, and its noise drawn anew.
    """

    def __init__(
        self,
        model: Model,
        modality: str,
        data: ItemData,
        items: NDArray[np.int64],
        at: Instants | None,
        vary: Vary,
        seed: int,
    ) -> None:
        self.model, self.modality, self.data, self.items = model, modality, data, items
        self.at, self.vary, self.seed = at, vary, seed
        self.size = CHUNK
        if at is not None:
            own = data.typical_length(modality) * sum(_learnt(model, model.modalities.index(modality))[0].sizes)
            self.size = min(max(int(ROOM / max(own, 1)), 1), CHUNK)

    def __iter__(self) -> Iterator[tuple[Tokens, Instants | None]]:
        ends = [0, *(np.flatnonzero(np.diff(self.items) <= 0) + 1).tolist(), len(self.items)]
        for turn, (first, last) in enumerate(itertools.pairwise(ends)):
            regular = self.data.regular() if turn else set()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed * 100_003 + turn)
                for start in range(first, last, self.size):
                    part = slice(start, min(start + self.size, last))
                    at = None if self.at is None else Instants(self.at.times[part], self.at.mask[part])
                    yield self._chunk(self.items[part].tolist(), turn, regular), at

    def _chunk(self, items: list[int], turn: int, regular: Collection[str]) -> Tokens:
        m = self.modality
        instead = self.data.stand_ins(items, turn).get(m) if turn else None
        tokens = self.data.rows[m].pad(items, self.model.dims[m], instead)
        if turn:
            tokens = self.vary({m: tokens}, Setting(regular, self.model.backbone.std))[m]
        return self.model.backbone.prepare(m, tokens)


def _learnt(model: Model, index: int) -> tuple[Fixed, nn.Linear]:
    """A modality's encoder and the map of its own head; `fit_closed_form` has checked that they are these."""
    head = cast("PooledLinear | TimedLinear", model.ensemble.heads[index])
    return cast("Fixed", model.backbone.encoders[index]), head.linear


def _pool(model: Model) -> OpinionPool:
    return cast("OpinionPool", model.backbone.fusion)


@torch.no_grad()
def _silence(*maps: nn.Linear) -> None:
    for part in maps:
        part.weight.zero_()
        part.bias.zero_()


@torch.no_grad()
def _write(model: Model, index: int, ridge: Ridge, centre: Tensor | float, size: float, features: Tensor) -> None:
    """Put ``size`` times (what the ridge says, less ``centre``) into an encoder's map and the head behind it.

    Tokens narrower than the answer keep its largest directions: reduced-rank regression (Izenman 1975).
    """
    encoder, head = _learnt(model, index)
    weight = torch.from_numpy(ridge.weight)
    width = weight.shape[1]
    turn = torch.eye(width, dtype=weight.dtype)
    if width > encoder.dim:
        turn = torch.linalg.svd(features.double() @ weight, full_matrices=False).Vh[: encoder.dim].T
    encoder.readout.weight[: turn.shape[1]] = (size * weight @ turn).T.float()
    head.weight[:, : turn.shape[1]] = turn.float()
    head.bias.copy_(size * (torch.from_numpy(ridge.bias) - centre))


def _sureness(task: Task, opinion: Tensor, target: Tensor) -> float:
    """By what an opinion is to be multiplied so that it alone, on top of the prior, foretells the targets best."""
    prior, size = task.prior().double(), torch.zeros((), dtype=torch.float64, requires_grad=True)
    least(lambda: task.nll(prior + size.exp() * opinion, target, _doubt(target)).mean(), [size])
    return float(size.detach().exp())


def _fit_pool(model: Model, opinions: Sequence[_Opinion], target: Tensor, seed: int) -> None:
    """Prior, weights and overlap of the fusion."""
    fusion = _pool(model)
    fusion.prior.data.copy_(model.task.prior())
    views = _views(opinions, target, seed)
    if views:
        fusion.double()  # a search for the least number needs more places than float32 has
        free = [fusion.trust, fusion.overlap]
        start = [one.detach().clone() for one in free]

        def loss() -> Tensor:
            pull = torch.stack([(one - old).square().sum() for one, old in zip(free, start)]).sum()
            return 0.001 * pull + torch.stack([view.share * _pooled_loss(model, view) for view in views]).sum()

        least(loss, free)
        fusion.float()


class _View(NamedTuple):
    """Rows as they would be if some modalities were missing.

    Attributes:
        output: [modalities, rows, width].
        there: [modalities, rows].
        target: [rows, ...].
        share: how much the view counts.
    """

    output: Tensor
    there: Tensor
    target: Tensor
    share: float


def _views(opinions: Sequence[_Opinion], target: Tensor, seed: int) -> list[_View]:
    """Some rows with all their modalities (a half of the weight) and with parts of them, where two or more meet."""
    output, there, told = (torch.stack(parts) for parts in zip(*opinions))
    good = (told | ~there).all(0)
    rng = np.random.default_rng(seed)
    some = torch.from_numpy(np.sort(rng.permutation(good.nonzero()[:, 0].numpy())[:POOLED]))
    count = len(opinions)
    fewer = [s for size in range(2, min(count, 8)) for s in itertools.combinations(range(count), size)]
    parts = [fewer[i] for i in rng.permutation(len(fewer))[:SUBSETS]]
    views = []
    for subset in [tuple(range(count)), *parts]:
        seen = there[:, some] & torch.tensor([m in subset for m in range(count)])[:, None]
        at = seen.sum(0) > 1
        if at.any():
            whole = len(subset) == count
            share = 1.0 if whole and not parts else 0.5 if whole else 0.5 / len(parts)
            views.append(_View(output[:, some][:, at], seen[:, at], target[some][at], share))
    return views


def _pooled_loss(model: Model, view: _View) -> Tensor:
    pooled = _pool(model).aggregate(view.output, _pool(model).weighed(view.there))
    return model.task.nll(pooled, view.target, _doubt(view.target)).mean()


def _doubt(target: Tensor) -> float:
    """Each label is doubted as if one item more had been seen, and been wrong: see `plait.training.temperatures`."""
    return 1 / (len(target) + 2)
