"""The future of streams: quantiles of what they will be, some seconds ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated as Typed
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError
from plait.core.options import Count, Share
from plait.core.parts import Options, Spec
from plait.examples.data import Asked
from plait.examples.items import Item
from plait.examples.targets import Target
from plait.metrics import metrics_for
from plait.metrics.coverage import Coverage
from plait.metrics.errors import Mae, Mse
from plait.metrics.pinball_skill import PinballSkill
from plait.metrics.quantiles import Quantiles, pinball
from plait.tasks import Task
from plait.tasks.answers import TOLD, Answer, Outlook
from plait.tasks.claims import Claim
from plait.tasks.heads import AheadLinear
from plait.tasks.history import History, futures_of, origins_of
from plait.tasks.horizons import MOST_HORIZONS, horizons_of, levels_of, subsets_of, targets_of
from plait.tasks.trust import Trust
from plait.tokens import Instants, Reference

__all__ = ["Forecast"]

Floats = NDArray[np.float64]
Seconds = Typed[float, Field(gt=0, description="seconds above 0")]

VALUE, KNOWN, CENTRE, SCALE, LAST, SEASON = range(6)
"""What an encoded target holds for each instant and stream."""


class Forecast(Task):
    """Quantiles of streams of numbers at instants after an item, from all streams until its end.

    Each stream is counted from its own last instant in the item: on a clock of one hour, ``horizon: 3600`` is the next
    observation. A value between two observations is interpolated; in a gap it is neither learnt nor scored.

    An item's values are told relative to its own past: to the forecast of a ridge regression on the stream's own lags
    (or to its last value, if that is the better forecast on left-out groups), in units of the mean absolute change over
    the horizon in the recording so far. Heads output what is to be added to the quantiles that the training items have
    on that scale; so a model that has learnt nothing is that regression, with bands. The stream's own features get two
    columns more: the change to the last value on that scale, and the logarithm of the scale. Where the stream itself is
    missing, a second set of outputs answers, relative to all training values.

    Quantiles are learned by pinball loss (Koenker and Bassett 1978) and sorted (Chernozhukov et al. 2010, "Quantile and
    probability curves without crossing"). Then items that were not trained on decide, for each subset of the modalities
    (`plait.training.bands`): how far the answer of all streams, and that of the target's own one, are heard; and by how
    much each quantile is moved to its level: conformalised quantile regression (Romano et al. 2019, theorem 2, each
    side by itself). The guarantee holds for exchangeable items; items of one recording are not.

    Args:
        targets: what streams do after the training items.
        target: the stream to forecast, or several; each of one channel.
        horizon: seconds, or a list of them.
        every: with one horizon: forecast all multiples of so many seconds up to it.
        quantiles: levels; 0.5 must be among them and is the point forecast.
        lags: number of past values that the ridge regression sees; by default all of an item, at most 512.
        strategy: how the ridge regression reaches a horizon: ``direct``, with weights for each, or ``recursive``
            (autoregressive): it forecasts the next block of values and goes on from its own forecasts. Heads correct
            each horizon directly in both: the second is "rectify" (Ben Taieb and Hyndman 2014, "Recursive and direct
            multi-step forecasting: the best of both worlds").
        block: seconds of that block; by default one observation.
        whole_past: whether a target's own features get seven columns more: what its recording said until the item's
            end, however long ago: mean, least, most, deviation, mean change, and length.
        season: seconds of a period, for the rival that repeats the last one.
        conformal: whether held-out items decide how far heads are heard, and move quantiles to their levels.
        dropout: share of the pooled numbers that a head sets to 0 in training.
        metric: the metric by which validation selects, of ``quantiles``. With several targets all metrics are in
            training deviations of each; with one in its own units.

    Raises:
        ConfigError: horizons or quantiles that cannot be meant, or an unknown metric.
        DataError: nothing is known of a target in the training items.

    >>> from plait.examples.future import Future, Track
    >>> track = Track(np.arange(40.0), np.arange(40.0) % 7)
    >>> task = Forecast([Future(10.0, float(t), (track,)) for t in range(20)], target="load", horizon=2.0)
    >>> tuple(task.encode([Future(10.0, 0.0, (track,))]).shape), task.instants(10.0).tolist()
    ((1, 1, 1, 6), [12.0])
    """

    main_metric = "pinball_skill"
    is_numeric = True
    asks = "future"
    cross_fits = True

    def __init__(
        self,
        targets: list[Target],
        *,
        target: str | list[str],
        horizon: Seconds | list[Seconds],
        every: Seconds | None = None,
        quantiles: list[float] | None = None,
        lags: Count | None = None,
        strategy: Literal["direct", "recursive"] = "direct",
        block: Seconds | None = None,
        whole_past: bool = False,
        season: Seconds | None = None,
        conformal: bool = True,
        dropout: Share = 0.2,
        metric: Spec = "pinball_skill",
    ) -> None:
        super().__init__()
        self.target, self.horizon, self.every, self.lags, self.season = target, horizon, every, lags, season
        self.quantiles, self.conformal = levels_of(quantiles or [0.1, 0.5, 0.9]), conformal
        self.strategy, self.block, self.whole_past = strategy, block, whole_past
        self.dropout, self.metric = dropout, metric
        options = {"target": target, "horizon": horizon, "every": every}
        self.streams, _ = self.looks_ahead(options)
        self.horizons = horizons_of(horizon, every)
        self._check()
        self._metrics = metrics_for("quantiles", metric, where="forecast.metric")
        self.select_by(self._metrics)
        self.n_outputs = 2 * len(self.streams) * len(self.quantiles)
        self.own_places: list[int] = []
        """Position among the modalities of each target's own stream; -1 where it is none of them."""
        if targets:
            recursive = (block or 0.0) if strategy == "recursive" else None
            found = futures_of(targets)
            self._set(History.of(found, self.streams, self.horizons, self.quantiles, lags, season, recursive))

    def _set(self, history: History) -> None:
        self.history = history
        self._base = torch.from_numpy(history.base)
        self._absolute = torch.from_numpy(history.absolute)
        self._location, self._spread = (torch.from_numpy(x) for x in (history.location, history.spread))

    def _check(self) -> None:
        if self.block is not None and self.strategy == "direct":
            raise ConfigError(f"forecast.block: {self.block:g}, but the strategy is direct. Give strategy: recursive.")
        if len(self.horizons) > MOST_HORIZONS:
            raise ConfigError(f"forecast.every: {len(self.horizons):,} horizons; expected {MOST_HORIZONS:,} at most.")

    @classmethod
    def looks_ahead(cls, options: Mapping[str, Any]) -> tuple[list[str], float]:
        return targets_of(options.get("target")), horizons_of(options.get("horizon"), options.get("every"))[-1]

    def bind(self, dims: Mapping[str, int], dim: int) -> None:
        names = list(dims)
        self.own_places = [names.index(name) if name in names else -1 for name in self.streams]
        self.trust = Trust(len(names), (len(self.horizons), len(self.streams), len(self.quantiles)))

    @property
    def postprocessing(self) -> Options:
        """What `Trust` holds; it is kept as weights."""
        return self.trust.describe()

    @postprocessing.setter
    def postprocessing(self, found: Mapping[str, object]) -> None:
        self.trust.set(found)

    def subsets(self, modalities: Sequence[str]) -> list[tuple[str, ...]]:
        """Those that have bands of their own: of seven modalities or more all, all but one, and each alone."""
        return [tuple(m for m, on in zip(modalities, there) if on) for there in subsets_of(len(modalities))]

    def instants(self, seconds: float) -> Floats:
        return seconds + np.array(self.horizons)

    def head(self, dim: int) -> nn.Module:
        return AheadLinear(dim, self.n_outputs, self.horizons, self.dropout)

    def encode(self, targets: list[Target]) -> Tensor:
        """The truth of each instant, [items, horizons, targets, 6].

        In the target's units: value (0 if unknown), whether it is known, centre and scale of the item, its last value,
        and the value one season before.
        """
        return torch.from_numpy(self.history.told(futures_of(targets))).float()

    def asked(self, items: Sequence[Item], *, known: bool = True) -> Asked:
        target = self.encode([i.target for i in items])
        futures, places = futures_of([i.target for i in items]), enumerate(self.streams)
        own = {name: self.history.columns(futures, s, whole_past=self.whole_past) for s, name in places}
        return Asked(target if known else torch.zeros(len(items)), self._at(items, target), own)

    def asked_at(self, items: Sequence[Item]) -> Instants:
        return self._at(items, self.encode([i.target for i in items]))

    def _at(self, items: Sequence[Item], target: Tensor) -> Instants:
        futures = futures_of([i.target for i in items])
        since = origins_of(futures) - np.array([f.start for f in futures])
        seconds = torch.from_numpy(since).float().reshape(-1, 1)
        ahead = torch.tensor(self.horizons, dtype=torch.float32).expand(len(items), -1)
        mask = torch.ones(ahead.shape, dtype=torch.bool)
        return Instants(seconds + ahead, mask, Reference(ahead, target[..., CENTRE], target[..., SCALE]))

    def known(self, target: Tensor) -> Tensor:
        return (target[..., KNOWN] > 0).any(-1)

    def _parts(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles relative to each item's past, and to all training values, [batch, horizons, targets, levels]."""
        both = output.unflatten(-1, (2, len(self.streams), len(self.quantiles)))
        return self._base.to(both) + both[:, :, 0], self._absolute.to(both) + both[:, :, 1]

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean pinball loss over what is known of an item, of both sets of outputs; 0 if nothing is known."""
        relative, absolute = self._parts(output)
        target = target.to(output)
        own = (target[..., VALUE] - target[..., CENTRE]) / target[..., SCALE]
        all_ = (target[..., VALUE] - self._location.to(output)) / self._spread.to(output)
        # Clipped: an item whose past hardly varied would otherwise outweigh thousands.
        each = self._pinball(own.clamp(-30, 30), relative) + self._pinball(all_, absolute)
        known = (target[..., KNOWN] > 0).to(output)
        return (each * known).sum((1, 2)) / known.sum((1, 2)).clamp(min=1)

    def _pinball(self, truth: Tensor, said: Tensor) -> Tensor:
        level = torch.tensor(self.quantiles).to(said)
        apart = truth[..., None] - said
        return torch.maximum(level * apart, (level - 1) * apart).mean(-1)

    def divergence(self, output: Tensor, teacher: Tensor) -> Tensor:
        return (output - teacher).square().mean((1, 2))

    def postprocess(
        self,
        output: Tensor,
        there: Bool[Tensor, "modalities batch"],
        at: Instants | None,
        own: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Mix the heads' answers as far as each is trusted; then add the bands.

        Where a target's own stream is missing, the second set of outputs answers.
        """
        if at is None or at.reference is None:
            return output
        index = self.trust.subset(there)
        relative, absolute = (self.trust.mixed(parts, index) for parts in self.added(output, own or {}))
        location, spread = self._location.to(output)[:, None], self._spread.to(output)[:, None]
        centre, scale = (x.to(output)[..., None] for x in at.reference[1:])
        elsewhere = ((self._absolute.to(output) + absolute) * spread + location - centre) / scale
        nobody = torch.zeros_like(there[0])
        seen = torch.stack([there[i] if i >= 0 else nobody for i in self.own_places], 1)[:, None, :, None]
        relative = torch.where(seen, relative, elsewhere - self._base.to(output))
        # The unit of the bands is that of the outputs which answer.
        relative = relative + torch.where(seen, 1.0, spread / scale) * self.trust.moves[index].to(output)
        return torch.cat([relative.flatten(2), output[..., self.n_outputs // 2 :]], -1)

    def added(self, output: Tensor, own: Mapping[str, Tensor]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """What all streams, and each target's own one, add to the reference; then the same of the second outputs.

        Args:
            output: of the whole model, [batch, horizons, outputs].
            own: of each modality's own head; zeros stand for what is missing.

        Returns:
            [batch, horizons, targets, levels] each.
        """
        split = (2, len(self.streams), len(self.quantiles))
        whole = output.unflatten(-1, split)
        heads = {name: out.unflatten(-1, split)[:, :, 0] for name, out in own.items()}
        nothing = torch.zeros_like(whole[:, :, 0])
        alone = [heads.get(name, nothing)[:, :, i] for i, name in enumerate(self.streams)]
        return (whole[:, :, 0], torch.stack(alone, 2)), (whole[:, :, 1], nothing)

    def scores(self, output: Tensor) -> Floats:
        """Quantiles on the item's own scale, in order, [items, horizons, targets * levels]."""
        return np.sort(self._parts(output.detach().double())[0].cpu().numpy(), -1).reshape(*output.shape[:2], -1)

    def claims(self, output: Tensor, at: Instants | None = None) -> list[list[Claim]]:
        """Of each stream the median, mean over the horizons, and at some of them (`TOLD`, evenly chosen). Targets: the
        numbers of the stream, of the first horizon, and of the one after the last."""
        if at is None or at.reference is None:
            raise DataError("a forecast needs the instants and the reference of its items.")
        scale, count = at.reference.scale.mean(1).tolist(), len(self.horizons)
        some = np.unique(np.linspace(0, count - 1, TOLD).round().astype(int)).tolist() if count > 1 else []
        parts = [("", 0, count), *((f" in {self.horizons[k]:g} s", k, k + 1) for k in some)]
        return [
            [
                Claim(f"{name}{when}", torch.tensor([s, first, stop]), unit=scale[i][s])
                for s, name in enumerate(self.streams)
                for when, first, stop in parts
            ]
            for i in range(len(output))
        ]

    def claimed(self, output: Tensor, target: Tensor) -> Tensor:
        """The change from the reference to the median, in units of the item's scale: the reference itself, a regression
        on the stream's own past, is the same whatever is hidden."""
        stream, first, stop = target.unbind(1)
        median = self._parts(output)[0].sort(-1).values[..., self.quantiles.index(0.5)]
        own = median[torch.arange(len(median)), :, stream]
        step = torch.arange(own.shape[1], device=own.device)
        asked = (step >= first[:, None]) & (step < stop[:, None])
        return (own * asked).sum(1) / asked.sum(1)

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        scores = self.levels(self.scores(output))
        if at is None or at.reference is None:
            raise DataError("a forecast needs the instants and the reference of its items.")
        centre, scale = (x.cpu().double().numpy()[..., None] for x in at.reference[1:])
        values, times = centre + scale * scores, at.times.cpu().double().numpy()
        return [self._answer(t, own) for t, own in zip(times, values)]

    def _answer(self, times: Floats, values: Floats) -> Outlook:
        when = tuple(round(float(t), 6) for t in times)
        told = {name: values[:, i].tolist() for i, name in enumerate(self.streams)}
        return Outlook(when, tuple(self.quantiles), told)

    def levels(self, scores: Floats) -> Floats:
        """[items, horizons, targets * levels] -> [items, horizons, targets, levels]."""
        return scores.reshape(*scores.shape[:2], len(self.streams), len(self.quantiles))

    def metrics(self, scores: Floats, target: NDArray[np.generic]) -> dict[str, float]:
        """The chosen metric and the others of quantiles; then mean absolute and squared error of the median."""
        truth, said = self._rows(scores, target)
        found = {name: metric(truth, said) for name, metric in self._metrics.items()}
        median = said.values[:, self.quantiles.index(0.5)]
        return {**found, "mae": Mae()(truth, median), "mse": Mse()(truth, median), **self._of_each(scores, target)}

    def _of_each(self, scores: Floats, target: NDArray[np.generic]) -> dict[str, float]:
        """Skill and coverage of each target, if there are several, by metric and name."""
        found: dict[str, float] = {}
        for i, name in enumerate(self.streams if len(self.streams) > 1 else ()):
            truth, said = self._rows(scores, target, [i])
            found |= {f"pinball_skill {name}": PinballSkill()(truth, said), f"coverage {name}": Coverage()(truth, said)}
        return found

    def main(self, scores: Floats, target: NDArray[np.generic]) -> float:
        return self._metrics[self.main_metric](*self._rows(scores, target))

    def _rows(
        self, scores: Floats, target: NDArray[np.generic], only: Sequence[int] | None = None
    ) -> tuple[Floats, Quantiles]:
        """Truth [rows] and quantiles of all that is known of all targets, or of some, in units of `metrics`."""
        some = list(range(len(self.streams)) if only is None else only)
        told = np.asarray(target, np.float64)[:, :, some]
        known, location, unit = told[..., KNOWN] > 0, self.history.location[some], self.history.units[some]
        centre, scale = told[..., CENTRE, None], told[..., SCALE, None]
        rival = told[..., LAST, None] + scale * self.history.rivals["persistence"][:, some]
        made = (centre + scale * self.levels(scores)[:, :, some], rival)
        own, rival = (((x - location[:, None]) / unit[:, None])[known] for x in made)
        truth = ((told[..., VALUE] - location) / unit)[known]
        return truth, Quantiles(tuple(self.quantiles), own, rival)

    def losses(self, scores: Floats, target: NDArray[np.generic]) -> Floats:
        """The pinball loss of each item and target, in the target's units; NaN where nothing is known."""
        told = np.asarray(target, np.float64)
        said = told[..., CENTRE, None] + told[..., SCALE, None] * self.levels(scores)
        each = pinball(told[..., VALUE].ravel(), self.quantiles, said.reshape(-1, len(self.quantiles))).mean(-1)
        known = told[..., KNOWN] > 0
        total = np.where(known, each.reshape(known.shape), 0.0).sum(1)
        return np.where(known.any(1), total / np.maximum(known.sum(1), 1), np.nan)

    def moved(self, scores: Floats, other: Floats, target: NDArray[np.generic]) -> Floats:
        """How far apart the quantiles of two forecasts are on average, in the target's units, [items, targets]."""
        apart = np.abs(self.levels(scores) - self.levels(other)).mean(-1)
        found: Floats = (np.asarray(target, np.float64)[..., SCALE] * apart).mean(1)
        return found

    def points(self, scores: Floats, target: NDArray[np.generic]) -> tuple[Floats, Floats]:
        """Truth and point forecast of all that is known, [rows] each."""
        truth, said = self._rows(scores, target)
        return truth, said.values[:, self.quantiles.index(0.5)]

    def rivals(self, target: NDArray[np.generic]) -> dict[str, Floats]:
        """Scores of cheap forecasts: persistence, seasonal naive, and the ridge regression on own lags.

        Each has the quantiles that its errors have on the training items, in units of the item's scale.
        """
        told = np.asarray(target, np.float64)
        found: dict[str, Floats] = {}
        for name, place in (("persistence", LAST), ("seasonal_naive", SEASON), ("ridge", CENTRE)):
            if name in self.history.rivals:
                away = (told[..., place] - told[..., CENTRE]) / told[..., SCALE]
                found[name] = (away[..., None] + self.history.rivals[name]).reshape(*told.shape[:2], -1)
        return found

    def baseline(self, train: NDArray[np.generic], count: int) -> Floats:
        """The quantiles of the training items around the ridge regression on own lags: those of no outputs at all."""
        return np.broadcast_to(
            self.history.base.reshape(1, len(self.horizons), -1),
            (count, len(self.horizons), self.history.base[0].size),
        ).copy()

    def state(self) -> Options:
        return self.history.to_json()

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Forecast:
        task = cls([], **options)
        task._set(History.from_json(state))
        return task
