"""MiniRocket: shares of positive random convolutions, together with simple statistics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.encoders.fixed import Fixed
from plait.encoders.summary import Summary
from plait.tokens import Tokens

__all__ = ["MiniRocket", "RandomConvolutions"]

TAPS = 9
KERNELS = list(itertools.combinations(range(TAPS), 3))
"""The 84 ways to place three weights of 2 among nine; the other six are -1."""

# both limits as in the authors' code
MOST_DILATIONS = 32
MOST_CHANNELS = 9
EXAMPLES = 84
"""Most training items from which the biases are taken."""

FLAT = 1e-4
"""A convolution counts as above its bias only by more than this (features are standardised). Constant stretches give 0
up to rounding, and so do biases taken from them: without a margin, rounding would decide."""

ROOM = 2**13
"""Places in time that are convolved at once, few enough for the CPU's cache."""


class MiniRocket(Fixed):
    """MiniRocket features and simple statistics of an item, mapped linearly; one token per item.

    Dempster, Schmidt and Webb 2021, "MiniRocket: a very fast (almost) deterministic transform for time series
    classification": 84 kernels of length 9 with weights -1 and 2, dilated by up to the item's length. The biases of
    each kernel are quantiles of its convolutions with training items; a feature is the share of places where the
    convolution is above the bias (PPV). Every second kernel leaves out places where it reaches beyond the ends. As in
    the authors' multivariate version, each kernel and dilation sees the sum of 1 to 9 columns. The statistics are those
    of `Summary`: mean, deviation, slope, step and quantiles.

    Departures: shares are taken over the item's own observations, so items may differ in length; if an item is too
    short for any place within its ends, all places count; the number of columns per kernel is spread evenly over the
    paper's range instead of drawn from it; the statistics are not in the paper. Kernels run over positions, whatever
    the seconds between them: give an irregular stream a ``rate`` in the recipe.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing token.
        length: tokens of a typical item. It decides the dilations; below 2 there are no convolutions, only the mean.
        features: approximate number of convolutional features; rounded down to a multiple of 84.

    Raises:
        ConfigError: ``length`` below 1, ``features`` below 84.

    >>> tokens = Tokens(torch.randn(2, 50, 3), torch.arange(50.0).expand(2, 50) / 25, torch.ones(2, 50) > 0)
    >>> encoder = MiniRocket(3, 8, length=50, features=840)
    >>> tuple(encoder.fit([(tokens, None)]).shape), tuple(encoder(tokens).values.shape)
    ((2, 873), (2, 1, 8))
    """

    trial = (5, {"length": 13, "features": 168})

    def __init__(self, dim_in: int, dim: int, *, length: float = 64, features: int = 4998) -> None:
        super().__init__()
        if not 1 <= length < 1e9 or not len(KERNELS) <= features <= 1_000_000:
            raise ConfigError(
                f"mini_rocket: length {length}, features {features}; expected 1 or more and {len(KERNELS)} or more."
            )
        single = length < 2
        self.convolutions = None if single else RandomConvolutions(dim_in, length=length, features=features)
        self.summary = Summary(dim_in, mean_only=single)
        own = [] if self.convolutions is None else [self.convolutions.size]
        self._ready(dim_in, dim, [*own, self.summary.size])

    def raw(self, tokens: Tokens) -> Float[Tensor, "batch features"]:
        found = self.summary(tokens)
        return found if self.convolutions is None else torch.cat([self.convolutions(tokens), found], -1)

    def settle(self, tokens: Iterable[Tokens]) -> None:
        if self.convolutions is not None:
            self.convolutions.fit(tokens)


class RandomConvolutions(nn.Module):
    """MiniRocket's transform; see `MiniRocket`.

    Args:
        dim_in: width of the tokens.
        length: tokens of a typical item.
        features: approximate number of features; ``size`` is the exact one.
    """

    channels: Tensor
    order: Tensor
    bias: Tensor
    kernels: Tensor

    def __init__(self, dim_in: int, *, length: float, features: int) -> None:
        super().__init__()
        self.dim_in = dim_in
        self.dilations, self.biases = dilations_for(length, max(features // len(KERNELS), 1))
        self.size = len(KERNELS) * sum(self.biases)
        self.counts = _channel_counts(dim_in)
        several = range(len(self.dilations))
        self.register_buffer("channels", torch.stack([_channels(self.counts, dim_in) for _ in several]))
        # `channels` puts kernels with many columns first: which kernels these are is drawn for each dilation
        self.register_buffer("order", torch.stack([torch.randperm(len(KERNELS)) for _ in several]))
        self.register_buffer("bias", torch.zeros(len(KERNELS), sum(self.biases)))
        weights = torch.full((len(KERNELS), TAPS), -1.0)
        self.register_buffer("kernels", weights.scatter(1, torch.tensor(KERNELS), 2.0), persistent=False)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tokens]) -> None:
        """Take the biases from training items: one random item per kernel and dilation.

        The quantiles are spread by the golden ratio. Both as in the paper.
        """
        items = _sampled(batches, EXAMPLES)
        # multiples of the golden ratio modulo 1 stay evenly spread, however many of them a kernel takes
        golden = torch.arange(1, self.bias.numel() + 1, dtype=torch.float64) * (math.sqrt(5) + 1) / 2
        at = golden.frac().reshape(len(KERNELS), -1)
        start = 0
        for number, count in enumerate(self.biases):
            chosen = torch.randint(len(items), (len(KERNELS),))
            for kernel, item in enumerate(chosen.tolist()):
                values, mask = items[item]
                one = self._convolved(_columns(values[None]), number, kernel)[0, 0, mask]
                self.bias[kernel, start : start + count] = one.quantile(at[kernel, start : start + count].to(one.dtype))
            start += count

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch features"]:
        """[batch, time, dim] -> [batch, features]: shares of places, 0 for an item without tokens.

        ``tokens`` must be clean.
        """
        length = tokens.mask.shape[1]
        if length == 0:
            return tokens.values.new_zeros(tokens.values.shape[0], self.size)
        if torch.compiler.is_compiling():  # a graph has no number of parts that depends on sizes
            return self._shares(tokens.values, tokens.mask)
        rows = max(ROOM // length, 1)
        parts = zip(tokens.values.split(rows), tokens.mask.split(rows))
        return torch.cat([self._shares(values, mask) for values, mask in parts])

    def _shares(self, values: Tensor, mask: Tensor) -> Float[Tensor, "batch features"]:
        bias, start, found, columns = self.bias + FLAT, 0, list[Tensor](), _columns(values)
        for number, (dilation, count) in enumerate(zip(self.dilations, self.biases)):
            places = torch.stack([mask, _within(mask, dilation * (TAPS // 2))], 1)
            total = places.sum(-1).clamp(min=1).repeat(1, len(KERNELS) // 2).to(values.dtype)
            # kernels come in pairs: the first counts all places, the second only those within the ends
            out = self._convolved(columns, number).unflatten(1, (-1, 2))
            out = torch.where(places[:, None], out, -torch.inf).flatten(1, 2)
            found += [above / total for above in _above(out, bias[:, start : start + count])]
            start += count
        return torch.stack(found, -1).flatten(1)

    def _convolved(
        self, columns: Tensor, number: int, kernel: int | None = None
    ) -> Float[Tensor, "batch kernels time"]:
        """Convolutions of `_columns` at one dilation with all kernels, or with one.

        The order of summation does not depend on the batch.
        """
        some = slice(None) if kernel is None else slice(kernel, kernel + 1)
        channels, weights = self.channels[number, some], self.kernels[self.order[number, some]]
        summed = columns.index_select(1, channels[:, 0])
        for j, many in enumerate(self.counts if kernel is None else [1] * len(self.counts)):
            if j:
                summed[:, :many] += columns.index_select(1, channels[:many, j])
        dilation, time = self.dilations[number], columns.shape[2]
        wide = F.pad(summed, (TAPS // 2 * dilation, TAPS // 2 * dilation))
        # nine shifted sums instead of conv1d, whose algorithm and so whose rounding depends on the batch size
        out = weights[:, 0, None] * wide[..., :time]
        for tap in range(1, TAPS):
            out = out.addcmul(weights[:, tap, None], wide[..., tap * dilation : tap * dilation + time])
        return out


def _columns(values: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch columns time"]:
    """The columns, and behind them one of zeros, which stands for no column."""
    return F.pad(values.transpose(1, 2), (0, 0, 0, 1))


def dilations_for(length: float, biases: int) -> tuple[list[int], list[int]]:
    """The dilations for items of ``length`` tokens, and how many of a kernel's ``biases`` biases each dilation gets.

    Exponents are spread evenly up to the dilation at which a kernel spans the item, and the dilations rounded down;
    equal dilations are merged, with their biases.

    >>> dilations_for(64, 20)
    ([1, 2, 3, 4, 5, 6, 7], [7, 4, 2, 2, 2, 1, 2])
    """
    longest = math.log2(max((length - 1) / (TAPS - 1), 1))
    many = min(biases, MOST_DILATIONS)
    each = [int(2 ** (longest * i / max(many - 1, 1))) for i in range(many)]
    dilations = sorted(set(each))
    counts = [each.count(d) * biases // many for d in dilations]
    # the remainder of the integer division goes to the shortest dilations first
    for i in range(biases - sum(counts)):
        counts[i % len(counts)] += 1
    return dilations, counts


def _channel_counts(dim_in: int) -> list[int]:
    """How many kernels see a first, a second, a third column ...; a kernel sees 2 ** u, u even on 0 to log2(9 + 1)."""
    top = math.log2(min(dim_in, MOST_CHANNELS) + 1)
    each = [int(2 ** (top * (k + 0.5) / len(KERNELS))) for k in range(len(KERNELS))]
    return [sum(n > j for n in each) for j in range(max(each))]


def _channels(counts: list[int], dim_in: int) -> Tensor:
    """Random columns of every kernel, [kernels, most]; kernels with most columns first; ``dim_in`` means no column."""
    drawn = torch.stack([torch.randperm(dim_in)[: len(counts)] for _ in KERNELS])
    none = torch.arange(len(KERNELS))[:, None] >= torch.tensor(counts)
    return drawn.masked_fill(none, dim_in)


def _within(mask: Bool[Tensor, "batch time"], padding: int) -> Bool[Tensor, "batch time"]:
    """The observed places at least ``padding`` from both ends of an item; if there are none, all observed places."""
    place = torch.arange(mask.shape[1], device=mask.device)
    stop = (place + 1).masked_fill(~mask, 0).amax(1, keepdim=True)
    inner = mask & (place >= padding) & (place < stop - padding)
    return torch.where(inner.any(1, keepdim=True), inner, mask)


def _above(values: Float[Tensor, "batch kernels time"], bias: Float[Tensor, "kernels biases"]) -> list[Tensor]:
    """For each bias, the number of places above it, [batch, kernels]."""
    if torch.compiler.is_compiling():
        return [(values > one[:, None]).to(values.dtype).sum(-1) for one in bias.unbind(1)]
    room = torch.empty_like(values)  # comparing into floats: they are summed several times faster than booleans
    return [torch.gt(values, one[:, None], out=room).sum(-1) for one in bias.unbind(1)]


def _sampled(batches: Iterable[Tokens], most: int) -> list[tuple[Tensor, Tensor]]:
    """Values and masks of a random sample of at most ``most`` items, without trailing padding."""
    kept: list[tuple[Tensor, Tensor]] = []
    seen = 0
    for tokens in batches:
        for values, mask in zip(tokens.values, tokens.mask):
            # reservoir sampling: every item is as likely, with only `most` of them in memory
            seen += 1
            place = len(kept) if len(kept) < most else int(torch.randint(seen, ()))
            if place < most:
                stop = int(mask.nonzero().max()) + 1
                kept[place : place + 1] = [(values[:stop], mask[:stop])]
    return kept
