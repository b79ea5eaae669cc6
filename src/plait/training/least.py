"""A few numbers that make a loss least."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.optimize
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["least"]

FAR = 10.0
"""Numbers are sought no farther from 0: they are logarithms of factors."""


def least(loss: Callable[[], Tensor], free: Sequence[Tensor]) -> None:
    """Change a few numbers to those of least loss (L-BFGS-B, Byrd et al. 1995).

    Args:
        loss: of ``free``, as they stand; a scalar that can be differentiated.
        free: leaves that require gradients; changed in place. float64 finds the least number to more places.

    >>> x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    >>> least(lambda: (x - torch.tensor([1.0, -2.0])).square().sum(), [x])
    >>> x.detach().round(decimals=6).tolist()
    [1.0, -2.0]
    """
    sizes = [one.numel() for one in free]

    def value(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        with torch.no_grad():
            for one, numbers in zip(free, torch.from_numpy(at).split(sizes)):
                one.copy_(numbers.reshape(one.shape))
        found = loss()
        slopes = torch.autograd.grad(found, free)
        return float(found.detach()), torch.cat([one.reshape(-1) for one in slopes]).double().numpy()

    start = torch.cat([one.detach().reshape(-1) for one in free]).double().numpy()
    value(scipy.optimize.minimize(value, start, jac=True, method="L-BFGS-B", bounds=[(-FAR, FAR)] * len(start)).x)
