"""The laws of fusions."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.parts import Options
from plait.fusion import Fusion
from plait.testing.inputs import (
    difference,
    exported,
    part_of,
    poisoned,
    reloaded,
    sample,
    seeded,
    shifted,
    widened,
)
from plait.testing.laws import require
from plait.tokens import Tokens, masked_mean_max

__all__ = ["check_fusion"]

DIM = 16
WIDTH = 3
NAMES = ["fast", "slow", "once"]
Batch = dict[str, Tokens]


def check_fusion(cls: type[Fusion], *, export: bool = True, **options: object) -> None:
    """Check the laws of a fusion of three modalities of different rates, in evaluation mode.

    Shape; masks; rows; padding; subsets (any subset gives finite answers and weights, the same whether a missing
    modality is masked or left out of the dict; its weight is 0); order of the dict; gradient (to every modality that is
    present, through the joint part or its own); times (a shift of 12.5 s shifts the output's times and nothing else);
    causality (if declared: later observations change neither a token nor a weight); mixing of the heads' outputs, of
    classes or values (finite, each row by itself, independent of heads of weight 0, with a gradient to a head that
    counts); saving; export.

    Args:
        cls: the class, constructed as ``cls([three names], 16, **options)`` with the options of ``cls.trial``.
        export: whether to export it too, which takes as long as all other laws.
        options: further options, in addition to those of the trial.

    Raises:
        LawBroken: which law, and by how much.
    """
    fusion = _made(cls, options)
    batch = _batch()
    with torch.no_grad():
        out = fusion(batch)
        _check_shape(cls, fusion, batch, out)
        _check_mask(cls, fusion, batch)
        _check_rows(cls, fusion, batch)
        _check_padding(cls, fusion, batch)
        _check_subsets(cls, fusion, batch)
        _check_order(cls, fusion, batch)
        gap = difference(out, fusion({m: shifted(t, 12.5) for m, t in batch.items()}), shift=12.5)
        require(not gap, cls, "times", f"12.5 s later, {gap}")
        if cls.causal:
            _check_causal(cls, fusion, batch, out)
        gap = _apart(fusion, reloaded(fusion, _made(cls, options, seed=2)), batch)
        require(not gap, cls, "saving", f"loaded again, {gap}")
    _check_gradient(cls, fusion, batch)
    for values in (False, True):
        _check_mix(cls, options, batch, values)
    if export:
        graph = exported(cls, _Both(fusion), batch)(batch)
        gap = difference(out, graph[0]) or _weights_apart(fusion.weights(batch), graph[1])
        gap = gap or (
            "" if torch.allclose(_mixed(fusion, batch), graph[2], atol=1e-4) else "the mix of outputs differs"
        )
        require(not gap, cls, "export", f"once exported, {gap}")


class _Both(nn.Module):
    """Tokens, weights and a mix of outputs in one forward pass."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, batch: Batch) -> tuple[Tokens, dict[str, Tensor], Tensor]:
        return self.fusion(batch), self.fusion.weights(batch), _mixed(self.fusion, batch)


def _made(cls: type[Fusion], options: Options, seed: int = 1) -> Fusion:
    """A fusion with parameters moved away from their initial values, of which some are 0 or equal."""
    with seeded(seed):
        fusion = cls(list(NAMES), DIM, **{**cls.trial, **options}).train()
        fusion.bind(WIDTH, is_numeric=False)
        fusion(_batch())
        with torch.no_grad():
            for weight in fusion.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.1)
    return fusion.eval()


def _batch() -> Batch:
    """Five rows of `sample`, in a different order per modality, so that rows lack none, one, two or all of them."""
    rows = {"fast": [0, 1, 2, 3, 3], "slow": [1, 2, 3, 0, 3], "once": [0, 3, 0, 1, 3]}
    times = {"fast": (13, 10.0), "slow": (5, 2.0), "once": (2, 0.5)}
    return {m: part_of(sample(DIM, time=times[m][0], rate=times[m][1], seed=i), rows[m]) for i, m in enumerate(NAMES)}


def _apart(one: Fusion, other: Fusion, batch: Batch, changed: Batch | None = None) -> str:
    """The difference of two fusions, or of one fusion on two batches, in words."""
    changed = batch if changed is None else changed
    gap = difference(one(batch), other(changed))
    return gap or _weights_apart(one.weights(batch), other.weights(changed))


def _weights_apart(a: dict[str, Tensor], b: dict[str, Tensor]) -> str:
    for m in set(a) | set(b):
        x, y = (w[m] if m in w else torch.zeros(5) for w in (a, b))
        if not torch.allclose(x, y, atol=1e-5):
            return f"the weight of {m!r} goes from {x.tolist()} to {y.tolist()}"
    return ""


def _check_shape(cls: type, fusion: Fusion, batch: Batch, out: Tokens) -> None:
    shape = (*out.mask.shape, DIM)
    fits = tuple(out.values.shape) == shape and out.times.shape == out.mask.shape and len(out.mask) == 5
    require(
        fits,
        cls,
        "shape",
        f"values {tuple(out.values.shape)}, mask {tuple(out.mask.shape)}; expected {shape}",
    )
    there = torch.stack([t.present for t in batch.values()]).any(0)
    if fusion.joint:
        require(torch.equal(out.present, there), cls, "shape", "tokens come of nothing, or nothing of tokens")
    weights = fusion.weights(batch)
    fits = set(weights) == set(NAMES) and all(w.shape == (5,) for w in weights.values())
    require(fits, cls, "shape", "weights are not one [batch] a modality of the dict")


def _check_mask(cls: type, fusion: Fusion, batch: Batch) -> None:
    for what in (float("nan"), float("inf"), 1e4):
        gap = _apart(fusion, fusion, batch, {m: poisoned(t, what) for m, t in batch.items()})
        require(not gap, cls, "masks", f"with {what} where there is no observation, {gap}")


def _check_rows(cls: type, fusion: Fusion, batch: Batch) -> None:
    out = fusion(batch)
    for row in range(5):
        alone = {m: part_of(t, [row]) for m, t in batch.items()}
        gap = difference(part_of(out, [row]), fusion(alone))
        require(not gap, cls, "rows", f"row {row} alone: {gap}")


def _check_padding(cls: type, fusion: Fusion, batch: Batch) -> None:
    before = [masked_mean_max(fusion(batch)), *fusion.weights(batch).values()]
    for name in NAMES:
        wider = {m: widened(t, 4) if m == name else t for m, t in batch.items()}
        after = [masked_mean_max(fusion(wider)), *fusion.weights(wider).values()]
        # Not token by token: padding of one modality moves the tokens of the next one.
        same = all(torch.allclose(a, b, atol=1e-4) for a, b in zip(before, after))
        count = torch.equal(fusion(batch).mask.sum(1), fusion(wider).mask.sum(1))
        require(same and count, cls, "padding", f"padding behind {name!r} changes the answer")


def _check_subsets(cls: type, fusion: Fusion, batch: Batch) -> None:
    for some in (s for size in (1, 2) for s in combinations(NAMES, size)):
        masked = {m: t if m in some else t._replace(mask=t.mask & False) for m, t in batch.items()}
        left = {m: batch[m] for m in some}
        out, weights = fusion(masked), fusion.weights(masked)
        require(not difference(out, out), cls, "subsets", f"of {some}: {difference(out, out)}")
        finite = all(bool(w.isfinite().all()) for w in weights.values())
        require(finite, cls, "subsets", f"of {some}: weights are not finite")
        silent = all(bool((w[~masked[m].present] == 0).all()) for m, w in weights.items())
        require(silent, cls, "subsets", f"of {some}: a missing modality has a weight")
        one, other = (masked_mean_max(fusion(b)) for b in (masked, left))
        gap = "" if torch.allclose(one, other, atol=1e-4) else "the answers differ"
        gap = gap or _weights_apart(weights, fusion.weights(left))
        require(not gap, cls, "subsets", f"of {some}: masked against left out, {gap}")


def _check_order(cls: type, fusion: Fusion, batch: Batch) -> None:
    gap = _apart(fusion, fusion, batch, {m: batch[m] for m in reversed(NAMES)})
    require(not gap, cls, "order", f"with the dict the other way round, {gap}")


def _answer(fusion: Fusion, batch: Batch) -> Tensor:
    """A number that depends on every part of a model's output, [batch]."""
    with seeded(3):
        probe = torch.randn(2 * DIM)
    weights = fusion.weights(batch)
    own = sum(weights[m] * (masked_mean_max(t) @ probe) for m, t in batch.items())
    return own + masked_mean_max(fusion(batch)) @ probe


def _check_gradient(cls: type, fusion: Fusion, batch: Batch) -> None:
    values = {m: poisoned(t, float("nan")).values.requires_grad_() for m, t in batch.items()}
    _answer(fusion, {m: t._replace(values=values[m]) for m, t in batch.items()}).sum().backward()
    for m, t in batch.items():
        gradient = values[m].grad
        size = torch.zeros(t.mask.shape) if gradient is None else gradient.abs().sum(-1)
        require(bool(size.isfinite().all()), cls, "masks", f"NaN under the mask of {m!r} makes its gradient NaN")
        require(bool((size[~t.mask] == 0).all()), cls, "masks", f"a gradient reaches what is masked of {m!r}")
        reached = torch.equal((size > 0).any(1), t.present)
        require(reached, cls, "gradient", f"{m!r} is there and gets none")


def _check_causal(cls: type, fusion: Fusion, batch: Batch, out: Tokens) -> None:
    """Changes everything after an instant; tokens up to then must stay."""
    for row in range(len(out.mask)):
        for end in out.times[row][out.mask[row]].tolist():
            changed = {
                m: t.with_values(torch.where((t.times > end)[..., None], 9.0, t.values)) for m, t in batch.items()
            }
            other, old = fusion(changed), out.mask[row] & (out.times[row] <= end)
            same = torch.allclose(other.values[row][old], out.values[row][old], atol=1e-4)
            require(same, cls, "causality", f"what comes after {end} s changes a token until then")
            same = not _weights_apart(fusion.weights(changed), fusion.weights(batch))
            require(same, cls, "causality", "later values change a weight")


def _heads(fusion: Fusion, batch: Batch) -> tuple[Tensor, Tensor]:
    """Outputs as heads would give them, [heads, batch, width], and their weights."""
    named = fusion.weights(batch)
    weights = [named[m] for m in NAMES] + ([fusion.joint_weight(batch)] if fusion.joint else [])
    heads = torch.stack([masked_mean_max(batch[m])[:, : fusion.n_outputs] for m in NAMES])
    joint = [heads.sum(0, keepdim=True)] if fusion.joint else []
    return torch.cat([heads, *joint]), torch.stack(weights)


def _mixed(fusion: Fusion, batch: Batch) -> Tensor:
    return fusion.aggregate(*_heads(fusion, batch))


def _check_mix(cls: type[Fusion], options: dict[str, object], batch: Batch, values: bool) -> None:
    with seeded(1):
        fusion = cls(list(NAMES), DIM, **{**cls.trial, **options})
        try:
            fusion.bind(1 if values else WIDTH, is_numeric=values)
        except ConfigError:
            return  # the fusion refuses this kind of answers itself
    outputs, weights = (x.detach() for x in _heads(fusion.eval(), batch))
    out = fusion.aggregate(outputs, weights)
    require(tuple(out.shape) == (5, fusion.n_outputs), cls, "mixing", f"its shape is {tuple(out.shape)}")
    require(bool(out.isfinite().all()), cls, "mixing", "it is not finite")
    other = torch.where((weights == 0)[..., None], outputs + 3.0, outputs)
    same = torch.allclose(out, fusion.aggregate(other, weights), atol=1e-4)
    require(same, cls, "mixing", "what a head of weight 0 says changes the answer")
    alone = torch.cat([fusion.aggregate(outputs[:, i : i + 1], weights[:, i : i + 1]) for i in range(5)])
    require(torch.allclose(out, alone, atol=1e-4), cls, "mixing", "a row alone gives another answer")
    free = outputs.clone().requires_grad_()
    with seeded(3):
        probe = torch.randn(out.shape)
    (fusion.train().aggregate(free, weights) * probe).sum().backward()
    size = torch.zeros(weights.shape) if free.grad is None else free.grad.abs().sum(-1)
    require(bool(size.isfinite().all()), cls, "mixing", "its gradient is not finite")
    # Per row one head suffices: a choice by order, such as a median, reaches only some of them.
    reached = torch.equal((size > 0).any(0), (weights > 0).any(0))
    require(reached, cls, "mixing", "no head of a row gets a gradient, or one of weight 0 does")
