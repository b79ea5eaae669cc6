"""A text that is told in the order of time: connectionist temporal classification over the places of each source."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from plait.decoders.ctc_loss import ctc_nll
from plait.tasks.places import Places

__all__ = ["InOrder"]


class InOrder(nn.Module):
    """How likely a text is, if its words come in the order in which what they tell happens (Graves et al. 2006, ICML).

    Args:
        width: of the places.
        tokens: how many there are; their numbers begin with 1.
    """

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, tokens + 1)

    def nll(
        self, places: Places, texts: Int[Tensor, "texts longest"], owner: Int[Tensor, " texts"]
    ) -> Float[Tensor, " texts"]:
        """Negative log-likelihood per token, the mean over the sources that an item has; 0, without a gradient, from a
        source with fewer places than the text needs.

        Args:
            places: of the items.
            texts: numbers of tokens, -1 after the end; those above ``tokens`` are left out.
            owner: the item of each text.

        >>> from plait.decoders.autoregressive import Memory
        >>> values = torch.zeros(1, 3, 4)
        >>> places = Places(Memory(values, values[..., 0] == 0), torch.arange(3.0)[None], torch.zeros(1, 3).long())
        >>> order = InOrder(4, 1)
        >>> _ = order.read.bias.data.zero_()
        >>> round(order.nll(places, torch.tensor([[1, -1]]), torch.tensor([0])).item(), 4)  # 6 of 8 paths
        0.2877
        """
        logs = self.read(places.memory.values).log_softmax(-1)
        total, heard = logs.new_zeros(len(texts)), logs.new_zeros(len(texts))
        for source in places.sources[places.mask].unique().tolist():
            own, length = _in_order(logs, places.mask & (places.sources == source), places.times)
            total = total + ctc_nll(own[owner], length[owner], texts)
            heard = heard + (length[owner] > 0)
        mean: Tensor = total / heard.clamp(min=1)
        return mean


def _in_order(
    logs: Float[Tensor, "batch places tokens"],
    there: Bool[Tensor, "batch places"],
    times: Float[Tensor, "batch places"],
) -> tuple[Float[Tensor, "batch most tokens"], Int[Tensor, " batch"]]:
    """The places of one source in the order of their times, padded, and how many each item has."""
    length = there.sum(1)
    order = times.masked_fill(~there, torch.inf).argsort(dim=1, stable=True)[:, : max(1, int(length.max()))]
    return logs.gather(1, order[..., None].expand(-1, -1, logs.shape[-1])), length
