"""Which seconds an answer in words rests on: the gradient of its tokens' probabilities by what was read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from plait.tasks.language import Language, Prompt

__all__ = ["SHARE", "saliency", "spans_of"]

SHARE = 0.2
"""Length of the evidence of a token, as a share of the time between the first and the last observation."""


def saliency(
    model: Language, prompt: Prompt, answer: Int[Tensor, "batch length"], *, whole: bool = False
) -> Float[Tensor, "batch tokens places"]:
    """How much each place of a prompt counts for each token of an answer: gradient times input, not below 0.

    Shrikumar et al. 2017, "Learning important features through propagating activation differences" (ICML), section 1:
    the first-order change of a token's log-probability if the place were all zeros.

    Args:
        model: the language model.
        prompt: what was read.
        answer: what was answered, padded with -1.
        whole: one row for all tokens together, instead of one for each.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # a copy: what was made in inference mode can have no gradient
        values = prompt.values.detach().clone().requires_grad_()
        said = answer.clone()
        logs = model.logits(Prompt(values, prompt.mask.clone()), said).log_softmax(-1)
        sure = logs.gather(2, model.wanted(said).clamp(min=0)[..., None])[..., 0]
        sure = sure * (torch.arange(sure.shape[1], device=said.device) <= (said >= 0).sum(1, keepdim=True))
        steps = [sure.sum()] if whole else [sure[:, k].sum() for k in range(int((said >= 0).sum(1).max()) + 1)]
        rows = [torch.autograd.grad(step, values, retain_graph=True)[0] for step in steps]
    return torch.stack([(row * values.detach()).sum(-1).abs() for row in rows], 1)


def spans_of(
    found: Float[Tensor, "tokens places"], seconds: Float[Tensor, " places"], mask: Bool[Tensor, " places"]
) -> list[tuple[float, float] | None]:
    """The seconds that count most for each token: the interval of `SHARE` of the time with the largest sum.

    Places that share their time with a neighbour, such as those of a text, tell of no instant and are left out; None
    where no other is there.

    >>> seconds, mask = torch.arange(10.0), torch.ones(10) > 0
    >>> spans_of(torch.eye(10)[[4]], seconds, mask)
    [(3.1, 4.9)]
    """
    times, there = seconds.double().cpu().numpy(), mask.cpu().numpy()
    same = np.isclose(times[1:], times[:-1], atol=1e-6) & there[1:] & there[:-1]
    timed = there & ~np.append(same, False) & ~np.insert(same, 0, False)
    if timed.sum() < 2 or np.ptp(times[timed]) <= 0:
        return [None] * len(found)
    order = np.argsort(times[timed], kind="stable")
    own, counts = times[timed][order], found.double().cpu().numpy()[:, timed][:, order]
    return [_densest(own.tolist(), row) for row in counts.tolist()]


def _densest(times: Sequence[float], counts: Sequence[float]) -> tuple[float, float]:
    half = SHARE * (times[-1] - times[0]) / 2
    # Around each observation; the sums overlap, and the first of the largest is taken.
    sums = [sum(c for t, c in zip(times, counts) if abs(t - middle) <= half) for middle in times]
    middle = float(times[int(np.argmax(sums))])
    return max(middle - half, 0.0), middle + half
