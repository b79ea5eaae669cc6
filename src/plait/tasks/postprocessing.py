"""Post-processing of class scores over time: a median filter, and a threshold per class, chosen on held-out items.

Both are standard in sound event detection (Mesaros, Heittola, Virtanen & Plumbley 2021, "Sound event detection: a
tutorial", IEEE Signal Processing Magazine 38(5)). They act on logits, so that every answer of the model has them: a
median commutes with the sigmoid and with a threshold, and a threshold is a shift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from plait.core.errors import DataError
from plait.tokens import Instants

__all__ = ["SHIFTS", "PostProcessing", "best_postprocessing"]

SHIFTS = tuple(math.log(i / (10 - i)) for i in range(1, 10))
"""Logits of the thresholds .1 to .9."""

WIDTHS = (1, 3, 5, 9, 15, 25, 41)
"""Of the median filter, in instants: odd, so that a window has a middle."""

LONGEST = 3.0
"""Seconds of the longest median filter: a longer one would remove short events that the truth has."""


@dataclass(frozen=True)
class PostProcessing:
    """A median filter over time, then a shift per class.

    Attributes:
        shifts: subtracted from the logits of each class: the logit of its threshold.
        width: of the median filter, in instants; 1: none. At the ends, the last value counts as if it went on.
        causal: whether the filter looks back only.

    Raises:
        DataError: a shift that is not finite, or an even width.

    >>> output, at = torch.tensor([[[1.0], [-2.0], [3.0]]]), Instants(torch.zeros(1, 3), torch.ones(1, 3) > 0)
    >>> PostProcessing((0.5,), width=3)(output, at).flatten().tolist()
    [0.5, 0.5, 2.5]
    """

    shifts: tuple[float, ...]
    width: int = 1
    causal: bool = False

    def __post_init__(self) -> None:
        if not all(math.isfinite(s) for s in self.shifts) or self.width < 1 or self.width % 2 == 0:
            raise DataError(
                f"post-processing: shifts {self.shifts}, width {self.width}; expected finite numbers, and an odd "
                "number of instants. Fit again."
            )

    def __call__(self, output: Float[Tensor, "batch steps width"], at: Instants) -> Float[Tensor, "batch steps width"]:
        """The logits after filter and shift."""
        return self.shifted(self.filtered(output, at))

    def shifted(self, output: Tensor) -> Tensor:
        return output - output.new_tensor(self.shifts) if any(self.shifts) else output

    def filtered(self, output: Tensor, at: Instants) -> Tensor:
        """The median over the ``width`` instants around each one; causal: until each one."""
        if self.width == 1 or not output.shape[1]:
            return output
        first = 1 - self.width if self.causal else -(self.width // 2)
        near = torch.arange(first, first + self.width, device=output.device)
        here = torch.arange(output.shape[1], device=output.device)[:, None] + near
        # Beyond the item's own last instant is padding, whose length depends on the batch.
        last = (at.mask.sum(1) - 1).clamp(min=0)[:, None, None]
        index = here.clamp(min=0)[None].minimum(last)
        # gathered and sorted (the width is odd), since this has a form in ONNX, and a median has none
        found = output.gather(1, index.flatten(1)[..., None].expand(-1, -1, output.shape[2]))
        return found.unflatten(1, (-1, self.width)).sort(2).values[:, :, self.width // 2]


def best_postprocessing(
    output: Float[Tensor, "batch steps width"],
    at: Instants,
    score: Callable[[Tensor], float],
    *,
    rate: float,
    causal: bool,
    together: Iterable[Sequence[float]],
    often: Iterable[int] = (),
) -> PostProcessing:
    """The post-processing of the highest score on held-out items; of equal ones, the first.

    First a filter together with shifts that classes share; then, one after another, a shift for each class that occurs
    often enough, all others being fixed.

    Args:
        output: logits of held-out items.
        at: their instants.
        score: of post-processed logits; higher is better, nan is worst.
        rate: instants per second.
        causal: whether the filter may look back only.
        together: shifts of all classes to choose from; the first is that of no change.
        often: classes that may get a shift of their own.
    """
    levels = [tuple(map(float, shifts)) for shifts in together]
    best, value = PostProcessing(levels[0], causal=causal), -math.inf
    for width in WIDTHS:
        if width > 1 and width > LONGEST * rate:
            break
        smooth = PostProcessing((), width, causal).filtered(output, at)
        for shifts in levels:
            tried = PostProcessing(shifts, width, causal)
            # not >=: the smallest filter and the first shifts win a tie
            if (found := score(tried.shifted(smooth))) > value:
                best, value = tried, found
    smooth = best.filtered(output, at)
    for k in often:
        for shift in SHIFTS:
            tried = replace(best, shifts=(*best.shifts[:k], shift, *best.shifts[k + 1 :]))
            if (found := score(tried.shifted(smooth))) > value:
                best, value = tried, found
    return best
