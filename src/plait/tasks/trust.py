"""What held-out items decide about a forecast: how far heads are trusted, and where the quantiles lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.core.errors import DataError
from plait.core.parts import Options
from plait.tasks.horizons import subsets_of

__all__ = ["Trust"]


class Trust(nn.Module):
    """For each subset of the modalities, how far heads move a forecast from its reference; then the conformal bands.

    All of it are buffers, so that it is saved with the weights. At first the answer of all streams counts fully, and
    nothing is moved.

    Args:
        modalities: their number.
        shape: horizons, targets, levels.

    Attributes:
        subsets: those that have values of their own, [subsets][modalities].
        shares: of the answer of all streams and of that of the target's own stream, [subsets, targets, 2]; the rest
            up to 1 is the reference's.
        moves: what is added to each quantile, [subsets, horizons, targets, levels].

    >>> trust = Trust(2, (1, 1, 3))
    >>> trust.subset(torch.tensor([[True, False], [True, True]])).tolist(), trust.subsets[2]
    ([0, 2], [False, True])
    """

    shares: Tensor
    moves: Tensor

    def __init__(self, modalities: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.subsets = subsets_of(modalities)
        self.register_buffer("shares", torch.tensor([1.0, 0.0]).repeat(len(self.subsets), shape[1], 1))
        self.register_buffer("moves", torch.zeros(len(self.subsets), *shape))

    def subset(self, there: Bool[Tensor, "modalities batch"]) -> Tensor:
        """The index of the subset of each item's modalities, [batch]: of the one that differs least."""
        known = torch.tensor(self.subsets, device=there.device)
        return (there.T[:, None] != known).sum(-1).argmin(1)

    def mixed(
        self, parts: Sequence[Float[Tensor, "batch horizons targets levels"]], index: Tensor
    ) -> Float[Tensor, "batch horizons targets levels"]:
        """What is added to the reference: ``parts`` are what all streams, and the own one, would add."""
        shares = self.shares[index].to(parts[0])[:, None, :, None]
        return shares[..., 0] * parts[0] + shares[..., 1] * parts[1]

    def describe(self) -> Options:
        """The buffers as JSON."""
        return {"shares": self.shares.tolist(), "moves": self.moves.tolist()}

    def set(self, found: Mapping[str, object]) -> None:
        """Set them from `describe` of a task with the same modalities and targets.

        Raises:
            DataError: one is missing, or its size is wrong.
        """
        for name, own in self.named_buffers():
            chosen = torch.tensor(found.get(name, ()))
            if chosen.shape != own.shape or not chosen.isfinite().all():
                raise DataError(
                    f"post-processing: {name} of shape {list(chosen.shape)}; expected numbers {list(own.shape)}."
                )
            own.copy_(chosen)
