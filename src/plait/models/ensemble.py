"""How the answers of several heads, and of two models, become one."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from plait.tokens import Tokens

__all__ = ["Encoded", "by_company", "ensembled"]


class Encoded(dict[str, Tokens]):
    """Tokens by modality, as encoders gave them.

    Attributes:
        wide: the same of the model that answers beside; None where there is none.
    """

    wide: Encoded | None = None


def by_company(
    numbers: Float[Tensor, " modalities_and_all"], there: Bool[Tensor, "modalities batch"]
) -> Float[Tensor, "batch 1"]:
    """A number for each item: its modality's own where that is alone, the last where several are there, or none.

    >>> there = torch.tensor([[True, True], [True, False]])
    >>> by_company(torch.tensor([1.0, 2.0, 3.0]), there)[:, 0].tolist()
    [3.0, 1.0]
    """
    alone = (there * numbers[:-1, None]).sum(0)
    return torch.where(there.sum(0) == 1, alone, numbers[-1])[:, None]


def ensembled(
    deep: Float[Tensor, "batch width"],
    wide: Float[Tensor, "batch width"] | None,
    share: Float[Tensor, "batch 1"],
    temperature: Float[Tensor, "batch 1"],
) -> Float[Tensor, "batch width"]:
    """The weighted mean of two models' answers, over its temperature.

    The mean of two is less sure than either. So the temperature is that of the mean, not of one of them.

    >>> deep, wide, one = torch.zeros(1, 1), torch.full((1, 1), 8.0), torch.ones(1, 1)
    >>> ensembled(deep, wide, one / 4, one / 2).item()
    4.0
    """
    return (deep if wide is None else torch.lerp(deep, wide, share)) / temperature
