"""Late fusion: plurality voting."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from plait.fusion import Fusion
from plait.fusion.late import Decision
from plait.tokens import Tokens

__all__ = ["Vote"]


class Vote(Decision):
    """Each present modality has one vote; a tie goes to the class with the higher mean probability.

    Plurality voting (Kittler et al. 1998, "On combining classifiers", the majority vote rule). The output is the
    logarithm of ``(votes + mean probability) / (voters + 1)``, relative to chance: its probabilities sum to 1, and the
    elected class has the largest. A count has no gradient, so in training the output is the logarithm of the mean
    probability alone (their sum rule). For values in units the output is their median, in training too.

    Args:
        modalities: their names.
        dim: width of their tokens.

    >>> vote = Vote(["a", "b", "c"], 4).eval()
    >>> vote.bind(2, is_numeric=False)
    >>> logits = torch.tensor([[[0.1, 0.0]], [[0.1, 0.0]], [[0.0, 9.0]]])  # two say the first class, one the second
    >>> vote.aggregate(logits, torch.ones(3, 1)).argmax(1).tolist()
    [0]
    """

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        """1 where the modality is present: all votes count the same."""
        return Fusion.weights(self, tokens)

    def aggregate(
        self, outputs: Float[Tensor, "heads batch width"], weights: Float[Tensor, "heads batch"]
    ) -> Float[Tensor, "batch width"]:
        there = (weights > 0)[..., None]
        if self.is_numeric:
            return _median(outputs, there)
        count = there.sum(0)
        mean = torch.where(there, outputs.softmax(-1), 0.0).sum(0) / count.clamp(min=1)
        # without any modality all classes are equally probable; the clamp keeps the logarithm finite
        mean = torch.where(count > 0, mean, 1 / self.n_outputs).clamp(min=torch.finfo(mean.dtype).tiny)
        if self.training:
            return (self.n_outputs * mean).log()
        votes = F.one_hot(outputs.argmax(-1), self.n_outputs) * there
        return (self.n_outputs * (votes.sum(0) + mean) / (count + 1)).log()


def _median(outputs: Tensor, there: Tensor) -> Float[Tensor, "batch width"]:
    """Median over the present heads (of two: their mean), 0 where none is present."""
    count = there.sum(0)
    # not torch.median: it gives the lower of the two middle values, and knows no mask
    ordered = torch.where(there, outputs, torch.inf).sort(0).values
    low, high = ((count - 1).clamp(min=0) // 2, count // 2)
    last = len(outputs) - 1
    both = [ordered.gather(0, place.clamp(max=last).expand(ordered.shape[1:])[None])[0] for place in (low, high)]
    return torch.where(count > 0, (both[0] + both[1]) / 2, 0.0)
