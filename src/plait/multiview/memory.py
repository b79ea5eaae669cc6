"""A memory of all training items' embeddings, to find similar items, also in other groups."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

__all__ = ["Memory"]


class Memory(nn.Module):
    """Keeps the last embeddings of every item, and finds the nearest item in each group.

    For each item and each of its ``spaces`` (a modality's embeddings, or those of all together) the last embedding is
    kept, normalised to length 1, as in the memory bank of Wu et al. 2018 ("Unsupervised feature learning via
    non-parametric instance discrimination", section 3.1). The similarity of two items is the sum of their cosines over
    the spaces. An item's neighbours are the nearest other item of its own group and the nearest item of every other
    group: the nearest of all would mostly be of its own group. They serve as positives, as in Dwibedi et al. 2021
    ("With a little help from my friends", section 3.2). Departures: one neighbour per group, and in addition to the
    item's own views, not in their place.

    Args:
        groups: the groups of all training items, numbered from 0.
        spaces: number of embeddings per item.
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
        """Store new embeddings of some items in some spaces; where ``there`` is False the old ones stay."""
        place = (torch.tensor(spaces, device=items.device)[:, None], items[None])
        new = F.normalize(embeddings.to(self.kept.dtype), dim=-1)
        self.kept[place] = torch.where(there[..., None], new, self.kept[place])

    @torch.no_grad()
    def neighbours(self, items: Int[Tensor, " n"]) -> Bool[Tensor, "n n"]:
        """Which of these items (columns) are neighbours of each (a row), searched for among all items ever kept."""
        # A kept embedding has length 1, so zeros mean that there is none yet.
        seen = (self.kept != 0).any(-1).any(0)
        alike = torch.einsum("snd,smd->nm", self.kept[:, items], self.kept).masked_fill(~seen, -torch.inf)
        alike[torch.arange(len(items)), items] = -torch.inf
        count = int(self.groups.max()) + 1
        best = alike.new_full((len(items), count), -torch.inf)
        # The best of each group; then those of the batch that reach it, as only these can be positives.
        best = best.scatter_reduce(1, self.groups.expand(len(items), -1), alike, "amax")
        mine, chosen = self.groups[items], alike[:, items]
        return (chosen >= best[:, mine]) & chosen.isfinite() & seen[items][:, None]
