"""Token batches that provoke a class to break a law, and the comparison of two answers."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from plait.testing.laws import LawBroken
from plait.tokens import Tokens

__all__ = [
    "difference",
    "exported",
    "part_of",
    "poisoned",
    "reloaded",
    "sample",
    "seeded",
    "shifted",
    "widened",
]

M = TypeVar("M", bound=nn.Module)

TOLERANCE = 1e-4
"""Relative to the largest number; float32 sums in another order differ by about 1e-6."""


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A context in which torch's random numbers follow from ``seed``; the state outside is kept."""
    # devices=[]: by default it would save and restore the generators of every GPU.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def sample(dim: int, *, time: int = 13, rate: float = 10.0, seed: int = 0) -> Tokens:
    """Four rows: whole, with gaps in the middle, short with padding behind, and empty."""
    with seeded(seed):
        values, jitter = torch.randn(4, time, dim), torch.rand(4, time) * 0.5
    mask = torch.ones(4, time, dtype=torch.bool)
    mask[1, 1:4] = mask[1, time // 2] = False
    mask[2, max(time // 3, 1) :] = False
    mask[3] = False
    # Jittered times, still rising: a class that counts positions instead of reading times is found out.
    return Tokens(values, (torch.arange(time) + jitter) / rate, mask)


def poisoned(tokens: Tokens, what: float) -> Tokens:
    """The same observations, with ``what`` in values and times wherever the mask is False."""
    return Tokens(
        torch.where(tokens.mask[..., None], tokens.values, what),
        torch.where(tokens.mask, tokens.times, what),
        tokens.mask,
    )


def widened(tokens: Tokens, more: int) -> Tokens:
    """The same observations with ``more`` places of padding behind, filled with numbers that must not matter."""
    rows = len(tokens.mask)
    return Tokens(
        torch.cat([tokens.values, torch.full((rows, more, tokens.dim), 7.0)], 1),
        torch.cat([tokens.times, torch.full((rows, more), 70.0)], 1),
        torch.cat([tokens.mask, torch.zeros(rows, more, dtype=torch.bool)], 1),
    )


def shifted(tokens: Tokens, seconds: float) -> Tokens:
    """The same observations, ``seconds`` later."""
    return tokens._replace(times=tokens.times + seconds)


def part_of(tokens: Tokens, rows: list[int] | tuple[slice, ...]) -> Tokens:
    """Some rows of a batch."""
    return Tokens(*(x[rows] for x in tokens))


def difference(a: Tokens, b: Tokens, *, shift: float = 0.0) -> str:
    """The difference of two token batches in words, or "" if there is none. Trailing padding does not count.

    Args:
        a: one batch.
        b: the other batch.
        shift: seconds by which the times of ``b`` should be later.

    >>> t = sample(3)
    >>> difference(t, widened(t, 5)), difference(t, shifted(t, 1.0))
    ('', 'times differ by 1')
    """
    a, b = a.clean(), b.clean()
    width = max(a.mask.shape[1], b.mask.shape[1])
    a, b = (widened(t, width - t.mask.shape[1]).clean() for t in (a, b))
    if not torch.equal(a.mask, b.mask):
        return f"masks differ in {int((a.mask != b.mask).sum())} places"
    when = torch.where(b.mask, b.times - shift, 0.0)
    return _apart(a.values, b.values, "values") or _apart(a.times, when, "times")


def _apart(a: Tensor, b: Tensor, what: str) -> str:
    if not bool(b.isfinite().all() and a.isfinite().all()):
        return f"{what} are not finite"
    if a.numel() == 0:
        return ""
    gap = float((a - b).abs().max().detach())
    return f"{what} differ by {gap:.3g}" if gap > TOLERANCE * max(1.0, float(a.abs().max().detach())) else ""


def reloaded(module: nn.Module, fresh: M) -> M:
    """``fresh`` with the weights of ``module``, saved to a safetensors file and loaded again.

    Raises:
        LawBroken: the two do not hold tensors of the same names and shapes.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.safetensors"
        # Cloned: safetensors refuses tensors that share memory, as tied weights do.
        save_file({k: v.detach().clone().contiguous() for k, v in module.state_dict().items()}, path)
        try:
            fresh.load_state_dict(load_file(path))
        except RuntimeError as error:
            raise LawBroken(type(module), "saving", str(error)) from error
    return fresh.eval()


def exported(cls: type, module: nn.Module, *args: object) -> nn.Module:
    """The module, of class ``cls`` or holding one, as `torch.export` captures it on ``args``.

    Raises:
        LawBroken: it cannot be exported.
    """
    # as in an answer: traced with gradients, a loop over time looks for those of its states, which are no leaves
    with torch.no_grad(), warnings.catch_warnings():
        # torch's own recurrent layers set a cached list of weights while they are traced
        warnings.filterwarnings("ignore", message=r"(?s).*_flat_weights.*assigned during export")
        try:
            return torch.export.export(module, args).module()
        except Exception as error:  # torch.export raises many kinds, some of them private
            reason = str(error).strip().partition("\n")[0]
            raise LawBroken(cls, "export", f"{type(error).__name__}: {reason}") from error
