"""A share of the weights becomes zero."""

from __future__ import annotations

import torch
from torch import Tensor

from plait.compression import Lesson, Way
from plait.compression.lessons import settle, taught
from plait.core.options import Share, Whole
from plait.models.model import Model

__all__ = ["Sparse", "pruned"]

RISE = 0.7
"""Share of the steps within which weights are taken away; in the rest the others settle."""

GENTLE = 0.25
"""The learning rate of fine-tuning, of the recipe's."""


class Sparse(Way):
    """The smallest weights of each matrix become zero (Han et al. 2015, "Learning both weights and connections", NIPS).

    With ``steps`` the model is fine-tuned meanwhile, and the share rises by a cubic law (Zhu & Gupta 2017, "To prune,
    or not to prune", arXiv:1710.01878, equation 1); what is zero stays zero. Zeros are counted among the weights that
    are not zero before, and cost a fraction of a bit each in a packed file; answers take as long as before.

    Args:
        share: of the weights of each matrix.
        steps: of fine-tuning, by labels and the original's answers; 0: none.
    """

    order = 1

    def __init__(self, *, share: Share, steps: Whole = 200) -> None:
        self.share, self.steps = share, steps

    def smaller(self, model: Model, lesson: Lesson) -> Model:
        weights = [p for p in model.parameters() if p.ndim > 1]
        masks = [w.detach() != 0 for w in weights]
        full = [int(m.sum()) for m in masks]

        @torch.no_grad()
        def prune(done: float) -> None:
            share = self.share * (1 - (1 - min(done / RISE, 1.0)) ** 3)
            for i, weight in enumerate(weights):
                masks[i] = pruned(weight * masks[i], round(full[i] * (1 - share)))
                weight.mul_(masks[i])

        if self.steps:
            taught(model, lesson, steps=self.steps, lr=GENTLE * lesson.recipe.train.lr, after=prune)
        prune(1.0)
        settle(model, lesson)
        return model


def pruned(weight: Tensor, kept: int) -> Tensor:
    """Where the ``kept`` largest numbers are, by magnitude.

    >>> pruned(torch.tensor([0.1, -3.0, 2.0]), 2).tolist()
    [False, True, True]
    """
    mask = torch.zeros(weight.numel(), dtype=torch.bool)
    mask[weight.detach().abs().reshape(-1).topk(kept).indices] = True
    return mask.reshape(weight.shape)
