"""How the answers of several heads, and of two models, become one."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from plait.tokens import Tokens

__all__ = ["Encoded", "blended", "tempered", "trusted"]


class Encoded(dict[str, Tokens]):
    """Tokens by modality, as encoders gave them.

    Attributes:
        wide: the same of the model that answers beside; None where there is none.
    """

    wide: Encoded | None = None


def trusted(
    outputs: Float[Tensor, "heads batch width"],
    there: Bool[Tensor, "modalities batch"],
    balance: Float[Tensor, " heads"],
    alone: Float[Tensor, " modalities"],
) -> Float[Tensor, "heads batch width"]:
    """The heads' outputs, each times how far it is trusted: by ``alone`` where a modality has no company.

    >>> there = torch.tensor([[True, True], [True, False]])
    >>> trusted(torch.ones(3, 2, 1), there, torch.full((3,), 0.5), torch.ones(2))[..., 0].tolist()
    [[0.5, 1.0], [0.5, 0.5], [0.5, 0.5]]
    """
    own = torch.where(there & (there.sum(0) == 1), alone[:, None], balance[: len(alone), None])
    joint = balance[len(alone) :, None].expand(-1, own.shape[1])
    return torch.cat([own, joint])[..., None] * outputs


def tempered(
    output: Float[Tensor, "batch width"], there: Bool[Tensor, "modalities batch"], temperature: Float[Tensor, ""]
) -> Float[Tensor, "batch width"]:
    """What several heads say together, over ``temperature``; where one modality is alone `trusted` has seen to it.

    >>> there = torch.tensor([[True, True], [True, False]])
    >>> tempered(torch.ones(2, 1), there, torch.tensor(0.5))[:, 0].tolist()
    [2.0, 1.0]
    """
    return output / torch.where(there.sum(0) == 1, 1.0, temperature)[:, None]


def blended(
    deep: Float[Tensor, "batch width"],
    wide: Float[Tensor, "batch width"],
    there: Bool[Tensor, "modalities batch"],
    share: Float[Tensor, " modalities_and_all"],
) -> Float[Tensor, "batch width"]:
    """The weighted mean of two models' answers; each modality alone has a share of its own, several together the last.

    >>> there = torch.tensor([[True, True], [True, False]])
    >>> share = torch.tensor([1.0, 0.0, 0.25])
    >>> blended(torch.zeros(2, 1), torch.full((2, 1), 8.0), there, share)[:, 0].tolist()
    [2.0, 8.0]
    """
    alone = (there * share[:-1, None]).sum(0)
    return torch.lerp(deep, wide, torch.where(there.sum(0) == 1, alone, share[-1])[:, None])
