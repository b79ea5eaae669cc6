"""Hubs: rows that are near to every query. Similarities less how near each side is to the training items."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Csls"]


class Csls(nn.Module):
    """Cross-domain similarity local scaling, as two more columns of each embedding.

    Conneau et al. 2018 ("Word translation without parallel data", equation 3): the cosine of a query and a row, less
    half of the mean cosine of each to its k nearest neighbours on the other side. In spaces of many dimensions some
    rows are near to every query (hubs); so is each of these penalised. Departure: the neighbours are sought among kept
    training items instead of among those that are searched, so that no answer depends on the other queries.

    Args:
        neighbours: k; 0: embeddings get two columns of zeros.
        width: of the embeddings.
        kept: numbers of training queries and rows; `keep` may be given so many.

    >>> csls = Csls(1, 2, (1, 1))
    >>> csls.keep(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    >>> one = torch.tensor([[0.6, 0.8]])
    >>> round(float(csls(one, query=True) @ csls(one, query=False).T), 3)  # 1 - 0.8 / 2 - 0.6 / 2
    0.3
    """

    queries: Tensor
    rows: Tensor

    def __init__(self, neighbours: int, width: int, kept: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.register_buffer("queries", torch.zeros(kept[0], width))
        self.register_buffer("rows", torch.zeros(kept[1], width))

    @property
    def kept(self) -> tuple[int, int]:
        """Numbers of training queries and rows."""
        return len(self.queries), len(self.rows)

    def keep(self, queries: Float[Tensor, "n width"], rows: Float[Tensor, "m width"]) -> None:
        """Keep the embeddings of training items, of length 1, on both sides."""
        self.queries, self.rows = queries.detach().float(), rows.detach().float()

    def forward(self, embedding: Float[Tensor, "n width"], *, query: bool) -> Float[Tensor, "n width_and_two"]:
        """Embeddings of length 1 (or zeros) with what makes an inner product of both sides the scaled similarity."""
        other = self.rows if query else self.queries
        near = embedding.new_zeros(len(embedding))
        if self.neighbours and len(other):
            count = min(self.neighbours, len(other))
            near = (embedding @ other.to(embedding).T).topk(count, dim=1).values.mean(1) / 2
        one = torch.full_like(near, float(self.neighbours > 0))
        return torch.cat([embedding, torch.stack([one, -near] if query else [-near, one], 1)], 1)

    def sides(self, output: Float[Tensor, "n twice_width"]) -> Float[Tensor, "n 2 width_and_two"]:
        """Both sides of items, from embeddings as a query and as a row side by side, of any length."""
        both = F.normalize(output.unflatten(-1, (2, -1)), dim=-1)
        return torch.stack([self(both[:, 0], query=True), self(both[:, 1], query=False)], 1)
