"""Minimise a loss over a few numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.optimize
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["least"]

FAR = 10.0
"""Bound on the absolute value of each number; they are logarithms of factors."""


def least(loss: Callable[[], Tensor], free: Sequence[Tensor]) -> None:
    """Set a few numbers to the minimum of a loss (L-BFGS-B, Byrd et al. 1995).

    Args:
        loss: gives a differentiable scalar from the present values of ``free``.
        free: leaf tensors that require gradients; changed in place. float64 gives more exact results.

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
    # The last call only sets the numbers: the optimiser's last evaluation need not be its best.
    value(scipy.optimize.minimize(value, start, jac=True, method="L-BFGS-B", bounds=[(-FAR, FAR)] * len(start)).x)
