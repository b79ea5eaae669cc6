"""Weights shared across widths and depths: those of a smaller model are slices of a larger one's, by name.

Slimmable networks: Yu, Yang, Xu, Yang & Huang 2019, "Slimmable neural networks", ICLR (arXiv 1812.08928); with depth as
in Cai, Gan, Wang, Zhang & Han 2020, "Once-for-all", ICLR (arXiv 1908.09791): a shallower model has the first layers.

Tokens have `Model.dim` channels. They fall into equal parts, since channels of one part are treated alike: the two
directions of a recurrent network, the heads of attention. A smaller model keeps the same channels of each part, so that
what was a channel of the backward direction stays one. An axis made of several such parts (gates of recurrent cells,
projections to queries, keys and values, mean and maximum side by side, concatenated modalities) is cut in each of them.

Departure from both papers: one set of channels for the whole model, whichever layer gives them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from plait.core.errors import ConfigError, raise_all
from plait.examples.data import Batch
from plait.models.model import Model

__all__ = ["Channels", "Slices", "importance", "parts_of", "recalibrate"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of tokens that a smaller model keeps: the same ones of each of ``parts`` equal parts.

    Attributes:
        dim: width of the larger model's tokens.
        parts: how many.
        kept: numbers of the channels within a part, rising.

    >>> Channels.leading(8, 4, 2).index.tolist()
    [0, 1, 4, 5]
    """

    dim: int
    parts: int
    kept: Int[Tensor, " kept"]

    @classmethod
    def leading(cls, dim: int, smaller: int, parts: int) -> Channels:
        """The first channels of each part."""
        return cls(dim, parts, torch.arange(smaller // parts))

    @property
    def part(self) -> int:
        """Channels of a part."""
        return self.dim // self.parts

    @property
    def smaller(self) -> int:
        """Width of the smaller model's tokens."""
        return self.parts * len(self.kept)

    @property
    def index(self) -> Int[Tensor, " smaller"]:
        """Numbers of all kept channels."""
        return (torch.arange(self.parts)[:, None] * self.part + self.kept).flatten()

    def labels(self, large: int, small: int) -> Int[Tensor, " large"] | None:
        """Which channel of a part each entry of an axis is, where a smaller model keeps ``small`` of ``large`` entries.

        An axis is made of whole parts. Entries beside the channels, such as the flag of each modality in a
        concatenation, stand behind each ``dim`` channels; their number is -1. None: the axis does not follow the width.

        >>> Channels.leading(4, 2, 2).labels(10, 6).tolist()  # two modalities of four channels and a flag
        [0, 1, 0, 1, -1, 0, 1, 0, 1, -1]
        """
        less = self.part - len(self.kept)
        if less == 0 or large <= small or (large - small) % less:
            return None
        blocks = (large - small) // less
        beside, entry = large - blocks * self.part, torch.arange(large)
        if beside == 0:
            return entry % self.part
        if beside < 0 or blocks % self.parts or beside % (blocks // self.parts):
            return None
        entry = entry % (self.dim + beside // (blocks // self.parts))
        return torch.where(entry < self.dim, entry % self.part, -1)

    def of_axis(self, large: int, small: int) -> Int[Tensor, " small"] | None:
        """Which of an axis's ``large`` entries a smaller model keeps; None: the axis does not follow the width.

        >>> Channels.leading(4, 2, 2).of_axis(10, 6).tolist()
        [0, 2, 4, 5, 7, 9]
        """
        labels = self.labels(large, small)
        return (
            None if labels is None else torch.isin(labels, torch.cat([self.kept, torch.tensor([-1])])).nonzero()[:, 0]
        )


def parts_of(model: Model, smaller: int) -> int:
    """Into how many parts the channels of a model's tokens fall, so that one of ``smaller`` channels has them too."""
    # Rotary positions turn pairs of channels, one in each half of a head.
    found = [1, *(h for m in model.modules() for h in (_heads(m),) if h)]
    return math.gcd(2 * math.lcm(*found), model.dim, smaller)


def _heads(module: nn.Module) -> int:
    found = getattr(module, "heads", getattr(module, "num_heads", 0))
    return found if isinstance(found, int) else 0


class Slices:
    """Which entries of a larger model's parameters and buffers are those of a smaller one.

    Args:
        large: the larger model; it may be of the same size.
        small: a model of the same modalities and task, whose ``dim`` and layers are fewer.
        channels: that ``small`` keeps; None: the leading ones of each part.

    Raises:
        ConfigError: a weight of ``small`` is no slice of one of ``large``: the message names it.
    """

    def __init__(self, large: Model, small: Model, channels: Channels | None = None) -> None:
        self.channels = channels or Channels.leading(large.dim, small.dim, parts_of(large, small.dim))
        if (self.channels.dim, self.channels.smaller) != (large.dim, small.dim):
            raise ConfigError(
                f"{self.channels.smaller} of {self.channels.dim} channels are kept, but the models have tokens of "
                f"{small.dim} and {large.dim}."
            )
        there = {name: value.shape for name, value in large.state_dict().items()}
        self.axes: dict[str, list[Tensor | None]] = {}
        problems = list[str]()
        for name, value in small.state_dict().items():
            found = self._axes(there.get(name), value.shape)
            if found is None:
                own = [*value.shape], "none" if name not in there else [*there[name]]
                problems.append(
                    f"{name}: {own[0]} at width {small.dim}, {own[1]} at width {large.dim}. One is no slice of the "
                    "other, so these two recipes cannot share weights. Leave out the key that makes them differ."
                )
            else:
                self.axes[name] = found
        raise_all(ConfigError, problems)

    def _axes(self, large: torch.Size | None, small: torch.Size) -> list[Tensor | None] | None:
        if large is None or len(large) != len(small):
            return None
        found = [None if a == b else self.channels.of_axis(a, b) for a, b in zip(large, small)]
        return None if any(own is None and a != b for own, a, b in zip(found, large, small)) else found

    def of(self, state: Mapping[str, Tensor], names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The smaller model's part of ``state``, through which gradients flow.

        Args:
            state: parameters or buffers of the larger model by name.
            names: which; None: all that the smaller one has.
        """
        return {name: _cut(state[name], self.axes[name]) for name in (self.axes if names is None else names)}


def _cut(value: Tensor, axes: list[Tensor | None]) -> Tensor:
    for axis, index in enumerate(axes):
        if index is not None:
            value = value.index_select(axis, index.to(value.device))
    return value


def importance(model: Model, small: Model) -> Float[Tensor, " part"]:
    """How much each channel of a part weighs: the mean magnitude of the weights that touch it.

    The criterion of Li, Kadav, Durdanovic, Samet & Graf 2017, "Pruning filters for efficient ConvNets", ICLR (arXiv
    1608.08710): the L1 norm. Here over all matrices that give or take the channel, each divided by its own mean, as the
    scale of a matrix before a norm means nothing.

    Args:
        model: whose channels are weighed.
        small: of the width that they are to be reduced to.

    Raises:
        ConfigError: see `Slices`.
    """
    slices = Slices(model, small)
    channels, smaller = slices.channels, small.state_dict()
    total = torch.zeros(channels.part)
    for name, value in model.named_parameters():
        for axis, index in enumerate(slices.axes.get(name, ())):
            if index is None or value.ndim < 2:
                continue
            labels = channels.labels(value.shape[axis], smaller[name].shape[axis])
            own = value.detach().abs().movedim(axis, 0).flatten(1).mean(1).cpu()
            found = torch.stack([own[labels == j].mean() for j in range(channels.part)])
            total += found / found.mean().clamp(min=1e-12)
    return total


class Within(nn.Module):
    """A smaller model that has no weights of its own: it works with slices of a larger one's.

    Args:
        large: the larger model.
        small: gives the structure, and buffers, such as running statistics.
    """

    def __init__(self, large: Model, small: Model) -> None:
        super().__init__()
        self.small, self.slices = small, Slices(large, small)
        self._names = [name for name, _ in small.named_parameters()]
        self._large = [large]  # in a list: its weights are not to be registered a second time

    def forward(self, work: Callable[[Model], T]) -> T:
        return work(self.small)

    def do(self, work: Callable[[Model], T]) -> T:
        """What ``work`` gives for the smaller model; gradients reach the weights of the larger one."""
        own = self.slices.of(dict(self._large[0].named_parameters(remove_duplicate=False)), self._names)
        given = {f"small.{name}": value for name, value in own.items()}
        return cast(T, torch.func.functional_call(self, given, (work,)))


@torch.no_grad()
def recalibrate(model: Model, batches: Iterable[Batch]) -> None:
    """Take running statistics anew: those of a larger model do not suit its slices.

    Yu & Huang 2019, "Universally slimmable networks and improved training techniques", ICCV (arXiv 1903.05134), section
    3.3: the mean over batches. The model is in evaluation mode afterwards.

    Args:
        model: only its running statistics change.
        batches: of training items.
    """
    model.eval()
    norms = [m for m in model.modules() if isinstance(getattr(m, "running_mean", None), Tensor)]
    before = [getattr(norm, "momentum", None) for norm in norms]
    for norm in norms:
        norm.train()
    for count, batch in enumerate(batches if norms else ()):
        for norm in norms:
            norm.momentum = 1 / (count + 1)  # type: ignore[assignment]
        model(batch.inputs, batch.at)
    for norm, momentum in zip(norms, before):
        norm.momentum = momentum  # type: ignore[assignment]
    model.eval()
