"""The quick model: fixed features per modality, ridge regression on them, and an opinion pool; no gradient descent.

The other parameters (shrinkage, scale of each head, weight of each modality) are fitted on predictions for training
groups that are left out. Ridge regression gives these predictions in closed form (`fit_ridge`), so there is no early
stopping and no validation part.

Below, a row is an item, or an instant of an item if the task answers at instants.
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
"""Most training items, and most rows, that are used; of more, a random sample. The work grows with the cube of the
rows, and a linear head learns little from more."""

DRAWS = 4
"""How often each item is used, if the recipe has augmentations or noise."""

CHUNK = 64
ROOM = 2**25
"""Most numbers of features at all instants per batch; afterwards only those at the asked instants are kept."""

POOLED = 1000
"""Most rows that the pool is fitted on."""

SUBSETS = 24
"""Most subsets of the modalities, besides the full set, that the pool is fitted to answer from."""


def fit_closed_form(model: Model, data: ItemData, *, seed: int, vary: Vary | None = None) -> dict[str, list[float]]:
    """Fit a fresh model's encoders, heads and fusion to the training items; returns a log of one row.

    Args:
        model: its encoders have fixed features (``mini_rocket``), its fusion is ``opinion_pool``; its normalisation is
            set already.
        data: the training items, with targets.
        seed: of all random draws.
        vary: the augmentations. If the recipe has any (rotations, gains), or ``data`` has noises, each item is used
            several times: once as it is, then augmented.

    Raises:
        ConfigError: the model has another kind of encoder, fusion or head.
    """
    started = time.process_time()
    _check(model, timed=data.asked.at is not None)
    model.eval()
    # Sorted: `_Chunks` tells by an index that does not grow where the items begin again.
    at = np.sort(np.random.default_rng(seed).permutation(len(data))[:MOST])
    varied = vary is not None and bool(vary.chosen or data.noisy)
    at = np.tile(at, max(min(DRAWS, MOST // len(at)), 1) if varied else 1)
    rows = _rows(model.task, data, at, seed)
    opinions = [_fit_one(model, m, data, rows, seed, vary or Vary({})) for m in model.modalities]
    _fit_pool(model, opinions, rows.target, seed)
    seconds = time.process_time() - started
    return {"epoch": [0.0], "items": [float(len(at))], "processor_seconds": [seconds]}


class _Rows(NamedTuple):
    """The rows that heads are fitted to: items, or some instants of each item.

    Attributes:
        items: indices into the data; an item can occur several times.
        at: the instants of each of ``items``; None if each item is one row.
        place: index into ``items`` of each row, [rows].
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
    # Sorted, since `target[mask]` gives the rows in this order too.
    some = np.sort(np.random.default_rng(seed).permutation(known)[:MOST])
    mask = torch.zeros(at.mask.numel(), dtype=torch.bool)
    mask[torch.from_numpy(some)] = True
    mask = mask.view_as(at.mask)
    return _Rows(items, Instants(at.times, mask), some // mask.shape[1], target[mask])


def _check(model: Model, *, timed: bool) -> None:
    problems = [
        f"streams.{m}.encoder: train.solver: ridge needs one of fixed features, such as mini_rocket. Leave it out."
        for m, encoder in zip(model.modalities, model.backbone.encoders)
        if not isinstance(encoder, Fixed)
    ]
    problems += [
        f"streams.{m}.encoder: its features are of {'each token' if encoder.timed else 'whole items'}, but task is "
        f"answered {'over time' if timed else 'once per item'}. Leave it out."
        for m, encoder in zip(model.modalities, model.backbone.encoders)
        if isinstance(encoder, Fixed) and encoder.timed != timed
    ]
    if not isinstance(model.backbone.fusion, OpinionPool):
        problems.append(
            "fusion: train.solver: ridge needs opinion_pool, whose weights it fits. Set fusion: opinion_pool."
        )
    if not model.task.linear or not all(isinstance(head, PooledLinear | TimedLinear) for head in model.ensemble.heads):
        problems.append("task: train.solver: ridge needs a task of linear heads, such as classify, regress or tag.")
    raise_all(ConfigError, problems)


class _Opinion(NamedTuple):
    """Predictions of one modality's head, each from a fit without the item's group.

    Attributes:
        output: [rows, width], 0 where the modality is missing.
        there: [rows].
        told: [rows], whether the prediction is usable, see `plait.training.ridge.Ridge`.
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
    _silence(encoder.readout, head)  # a head that cannot be fitted answers 0
    if len(own) > 1:
        at = None if rows.at is None else rows.at.of(torch.from_numpy(some))
        features = encoder.fit(_Chunks(model, modality, data, rows.items[some], at, vary, seed))
        goal, groups = model.task.goals(own), [data.items[i].group for i in rows.items[rows.place[there]]]
        classes = own.ndim == 1 and not model.task.is_numeric  # multi-label rows have no single class
        found = fit_ridge(features.numpy(), encoder.sizes, goal.numpy(), groups, classes=classes, seed=seed)
        # Without the class shares: the pool adds the prior, once for all modalities.
        centre = 0.0 if model.task.is_numeric else goal.double().mean(0)
        known = torch.from_numpy(found.told)
        opinion = torch.from_numpy(found.held_out) - centre
        size = _sureness(model.task, opinion[known], own[known]) if known.any() else 1.0
        _write(model, index, found, centre, size, features)
        output[torch.from_numpy(there)] = (size * opinion).to(output.dtype)
        told[torch.from_numpy(there)] = known
    return _Opinion(output, torch.from_numpy(there), told)


class _Chunks:
    """Items of one modality as the encoder gets them, in batches, with their asked instants. Every iteration gives the
    same batches.

    When an item occurs again it is augmented, and its noise is drawn anew.
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
            # Seeded per turn: each iteration draws the same, and the caller's generator is not touched.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed * 100_003 + turn)
                for start in range(first, last, self.size):
                    part = slice(start, min(start + self.size, last))
                    at = None if self.at is None else Instants(self.at.times[part], self.at.mask[part])
                    yield self._chunk(self.items[part].tolist(), turn, regular, at)

    def _chunk(
        self, items: list[int], turn: int, regular: Collection[str], at: Instants | None
    ) -> tuple[Tokens, Instants | None]:
        m = self.modality
        instead = self.data.stand_ins(items, turn).get(m) if turn else None
        tokens = self.data.rows[m].pad(items, self.model.dims[m], instead)
        if turn:
            varied = self.vary({m: tokens}, Setting(regular, self.model.backbone.std, at))
            # Each instant is a row of the regression: none may be left out, as the mask would.
            tokens = varied[m]
            at = at and varied.at and varied.at._replace(mask=at.mask)
        return self.model.backbone.prepare(m, tokens), at


def _learnt(model: Model, index: int) -> tuple[Fixed, nn.Linear]:
    """A modality's encoder and the linear map of its own head; `_check` has made sure of their types."""
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
    """Write ``size * (ridge - centre)`` into an encoder's readout and the head behind it.

    Tokens narrower than the output keep its largest directions: reduced-rank regression (Izenman 1975).
    """
    encoder, head = _learnt(model, index)
    weight = torch.from_numpy(ridge.weight)
    width = weight.shape[1]
    turn = torch.eye(width, dtype=weight.dtype)
    if width > encoder.dim:
        # The SVD of the fitted values, not of the weights: the features are correlated.
        turn = torch.linalg.svd(features.double() @ weight, full_matrices=False).Vh[: encoder.dim].T
    encoder.readout.weight[: turn.shape[1]] = (size * weight @ turn).T.float()
    head.weight[:, : turn.shape[1]] = turn.float()
    head.bias.copy_(size * (torch.from_numpy(ridge.bias) - centre))


def _sureness(task: Task, opinion: Tensor, target: Tensor) -> float:
    """The factor with which this opinion alone, added to the prior, predicts the targets best."""
    # Fitted as a logarithm: a negative factor would reverse the opinion.
    prior, size = task.prior().double(), torch.zeros((), dtype=torch.float64, requires_grad=True)
    least(lambda: task.nll(prior + size.exp() * opinion, target, _doubt(target)).mean(), [size])
    return float(size.detach().exp())


def _fit_pool(model: Model, opinions: Sequence[_Opinion], target: Tensor, seed: int) -> None:
    """Fit prior, weights and overlap of the fusion."""
    fusion = _pool(model)
    fusion.prior.data.copy_(model.task.prior())
    views = _views(opinions, target, seed)
    if views:
        fusion.double()  # float32 has too few digits for the optimiser to converge
        free = [fusion.trust, fusion.overlap]
        start = [one.detach().clone() for one in free]

        def loss() -> Tensor:
            # A weak pull to the start values: weights that the views do not determine stay there.
            pull = torch.stack([(one - old).square().sum() for one, old in zip(free, start)]).sum()
            return 0.001 * pull + torch.stack([view.share * _pooled_loss(model, view) for view in views]).sum()

        least(loss, free)
        fusion.float()


class _View(NamedTuple):
    """Rows with some modalities taken away.

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
    """Rows with all modalities (half of the weight) and with subsets of them, where two or more are present."""
    output, there, told = (torch.stack(parts) for parts in zip(*opinions))
    good = (told | ~there).all(0)
    rng = np.random.default_rng(seed)
    some = torch.from_numpy(np.sort(rng.permutation(good.nonzero()[:, 0].numpy())[:POOLED]))
    count = len(opinions)
    # Sizes below 8 only: of many modalities there are too many subsets to list.
    fewer = [s for size in range(2, min(count, 8)) for s in itertools.combinations(range(count), size)]
    parts = [fewer[i] for i in rng.permutation(len(fewer))[:SUBSETS]]
    views = []
    for subset in [tuple(range(count)), *parts]:
        seen = there[:, some] & torch.tensor([m in subset for m in range(count)])[:, None]
        at = seen.sum(0) > 1  # one modality alone has the weight 1: nothing to fit
        if at.any():
            whole = len(subset) == count
            share = 1.0 if whole and not parts else 0.5 if whole else 0.5 / len(parts)
            views.append(_View(output[:, some][:, at], seen[:, at], target[some][at], share))
    return views


def _pooled_loss(model: Model, view: _View) -> Tensor:
    pooled = _pool(model).aggregate(view.output, _pool(model).weighed(view.there))
    return model.task.nll(pooled, view.target, _doubt(view.target)).mean()


def _doubt(target: Tensor) -> float:
    """Label smoothing by one more item that is wrong (Platt 1999): see `plait.training.temperatures`."""
    return 1 / (len(target) + 2)
