"""A memory of all training items' embeddings: which items, of other groups too, look like the same thing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

__all__ = ["Memory"]


class Memory(nn.Module):
    """Keeps what every item last looked like, and finds the item of each group that is nearest to it.

    Of each item and each of its ``spaces`` (a modality's embeddings, or those of the whole) it keeps the last one, of
    length 1, as the memory bank of Wu et al. 2018 ("Unsupervised feature learning via non-parametric instance
    discrimination", section 3.1). Two items are as alike as the sum of their cosines over the spaces. An item's
    neighbours are the nearest other item of its own group and the nearest one of every other group: the nearest of all
    would mostly be of its own. They serve as positives, as in Dwibedi et al. 2021 ("With a little help from my
    friends", section 3.2); departures: one of each group, and beside the item's own views, not in their place.

    Args:
        groups: of all training items, from 0 up.
        spaces: how many embeddings an item has.
        width: of the embeddings.

    >>> memory = Memory(torch.tensor([0, 0, 1, 1]), 1, 2)
    >>> items, there = torch.arange(4), torch.ones(1, 4, dtype=torch.bool)
    >>> memory.keep([0], items, torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.2, 0.8]]]), there)
    >>> memory.neighbours(items).int().tolist()
    [[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]]
    """

    groups: Tensor
    kept: Tensor

    def __init__(self, groups: Int[Tensor, " items"], spaces: int, width: int) -> None:
        super().__init__()
        self.register_buffer("groups", groups)
        self.register_buffer("kept", torch.zeros(spaces, len(groups), width))

    @torch.no_grad()
    def keep(
        self,
        spaces: Sequence[int],
        items: Int[Tensor, " n"],
        embeddings: Float[Tensor, "spaces n dim"],
        there: Bool[Tensor, "spaces n"],
    ) -> None:
        """Take in new embeddings of some items in some spaces; what is not there stays as it was."""
        place = (torch.tensor(spaces, device=items.device)[:, None], items[None])
        new = F.normalize(embeddings.to(self.kept.dtype), dim=-1)
        self.kept[place] = torch.where(there[..., None], new, self.kept[place])

    @torch.no_grad()
    def neighbours(self, items: Int[Tensor, " n"]) -> Bool[Tensor, "n n"]:
        """Which of these items are neighbours of each (a row), found among all items that were ever kept."""
        seen = (self.kept != 0).any(-1).any(0)
        alike = torch.einsum("snd,smd->nm", self.kept[:, items], self.kept).masked_fill(~seen, -torch.inf)
        alike[torch.arange(len(items)), items] = -torch.inf
        count = int(self.groups.max()) + 1
        best = alike.new_full((len(items), count), -torch.inf)
        best = best.scatter_reduce(1, self.groups.expand(len(items), -1), alike, "amax")
        mine, chosen = self.groups[items], alike[:, items]
        return (chosen >= best[:, mine]) & chosen.isfinite() & seen[items][:, None]
