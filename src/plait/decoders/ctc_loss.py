"""The loss of connectionist temporal classification (CTC) for targets of which some tokens cannot be learnt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["ctc_nll"]


def ctc_nll(
    logs: Float[Tensor, "batch steps tokens"], length: Int[Tensor, " batch"], target: Int[Tensor, "batch longest"]
) -> Float[Tensor, " batch"]:
    """Negative log-likelihood of each target per token (Graves et al. 2006, ICML); 0, without a gradient, of one that
    needs more steps than there are.

    Args:
        logs: logarithms of the probabilities; number 0 is the blank.
        length: how many steps each has.
        target: numbers of the tokens; those below 1 and beyond the last token are left out.

    >>> ctc_nll(torch.full((1, 3, 2), 0.5).log(), torch.tensor([3]), torch.tensor([[1, -1]])).exp()  # 6 of 8 paths
    tensor([1.3333])
    """
    known = (target > 0) & (target < logs.shape[-1])
    count = known.sum(1)
    # ctc_loss reads the first `count` targets of a row, so tokens that cannot be learnt move behind the others.
    order = (~known).long().argsort(dim=1, stable=True)
    wanted = torch.where(known, target, 0).gather(1, order)
    found = F.ctc_loss(logs.transpose(0, 1), wanted, length, count, reduction="none", zero_infinity=True)
    # Per token, so that long items do not outweigh short ones.
    return found / count.clamp(min=1)
