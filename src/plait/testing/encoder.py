"""The laws of encoders."""

from __future__ import annotations

import numpy as np
import torch

from plait.core.parts import Options
from plait.encoders import Encoder
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
from plait.tokens import Tokens
from plait.tokens.stepwise import leaves
from plait.tokens.tokens import cat

__all__ = ["check_encoder"]

DIM = 16

CUTTINGS = 6
"""Ways in which the rows are cut into steps."""


def check_encoder(cls: type[Encoder], *, export: bool = True, **options: object) -> None:
    """Check the laws of an encoder, on a batch with gaps, padding and an empty row, in evaluation mode.

    Shape; masks (values under a False mask change neither output nor gradient, NaN included); rows (items do not see
    each other); padding; emptiness; gradient (to every row that has tokens); times (a shift of 12.5 s shifts the
    output's times and nothing else); causality, if it declares ``causal``; steps (fed in pieces, however cut,
    it gives what one pass gives, and changes no state that it is given; a ``bounded`` state does not grow); saving;
    export.

    Args:
        cls: the class, constructed as ``cls(dim_in, 16, **options)``, with the width and the options of ``cls.trial``.
        export: whether to export it too, which takes as long as all other laws.
        options: further options, in addition to those of the trial.

    Raises:
        LawBroken: which law, and by how much.
    """
    encoder = _made(cls, options)
    tokens = sample(cls.trial[0])
    with torch.no_grad():
        out = encoder(tokens)
        _check_shape(cls, encoder, tokens, out)
        _check_mask(cls, encoder, tokens, out)
        _check_rows(cls, encoder, tokens, out)
        _check_padding(cls, encoder, tokens, out)
        _check_nothing(cls, encoder)
        _check_shift(cls, encoder, tokens, out)
        if encoder.causal:
            _check_causal(cls, encoder, tokens, out)
        _check_steps(cls, encoder, tokens, out)
        again = reloaded(encoder, _made(cls, options, seed=2))(tokens)
        require(not difference(out, again), cls, "saving", f"loaded again, {difference(out, again)}")
    _check_gradient(cls, encoder, tokens)
    if export:
        graph = exported(cls, encoder, tokens)(tokens)
        require(not difference(out, graph), cls, "export", f"once exported, {difference(out, graph)}")


def _made(cls: type[Encoder], options: Options, seed: int = 1) -> Encoder:
    """An encoder after one training batch, so that running statistics have moved from their initial values."""
    with seeded(seed):
        encoder = cls(cls.trial[0], DIM, **{**cls.trial[1], **options}).train()
        encoder(sample(cls.trial[0], seed=seed))
    return encoder.eval()


def _check_shape(cls: type[Encoder], encoder: Encoder, tokens: Tokens, out: Tokens) -> None:
    values, times, mask = out
    require(isinstance(out, Tokens), cls, "shape", f"returns {type(out).__name__}; expected Tokens")
    require(encoder.dim_in == cls.trial[0] and encoder.dim == DIM, cls, "shape", "dim_in and dim are not those given")
    shape = (*mask.shape, DIM)
    require(
        mask.dtype == torch.bool and tuple(values.shape) == shape and times.shape == mask.shape,
        cls,
        "shape",
        f"values {tuple(values.shape)}, times {tuple(times.shape)}, mask {tuple(mask.shape)} {mask.dtype}",
    )
    require(bool(torch.equal(out.present, tokens.present)), cls, "shape", "a row appears or is lost")
    require(not difference(out, out), cls, "shape", difference(out, out))


def _check_mask(cls: type, encoder: Encoder, tokens: Tokens, out: Tokens) -> None:
    for what in (float("nan"), float("inf"), 1e4):
        gap = difference(out, encoder(poisoned(tokens, what)))
        require(not gap, cls, "masks", f"with {what} where there is no observation, {gap}")


def _check_rows(cls: type, encoder: Encoder, tokens: Tokens, out: Tokens) -> None:
    for row in range(len(tokens.mask)):
        gap = difference(part_of(out, [row]), encoder(part_of(tokens, [row])))
        require(not gap, cls, "rows", f"row {row} alone: {gap}")


def _check_padding(cls: type, encoder: Encoder, tokens: Tokens, out: Tokens) -> None:
    for more in (1, 2, 7):
        gap = difference(out, encoder(widened(tokens, more)))
        require(not gap, cls, "padding", f"with {more} places of padding behind, {gap}")


def _check_nothing(cls: type, encoder: Encoder) -> None:
    for time in (0, 1):
        tokens = sample(encoder.dim_in, time=max(time, 1))
        out = encoder(part_of(tokens, (slice(None), slice(0, time))))
        require(not difference(out, out), cls, "emptiness", f"with {time} places in time, {difference(out, out)}")
        require(out.values.shape[-1] == DIM, cls, "emptiness", f"width {out.values.shape[-1]}; expected {DIM}")


def _check_shift(cls: type, encoder: Encoder, tokens: Tokens, out: Tokens) -> None:
    gap = difference(out, encoder(shifted(tokens, 12.5)), shift=12.5)
    require(not gap, cls, "times", f"12.5 s later, {gap}")


def _check_steps(cls: type, encoder: Encoder, tokens: Tokens, out: Tokens) -> None:
    rng, rows = np.random.default_rng(0), tokens.mask.shape[1]
    for _ in range(CUTTINGS):
        edges = np.sort(rng.integers(0, rows + 1, rng.integers(0, rows)))
        state, found = encoder.begin(len(tokens.mask)), []
        for lo, hi in zip([0, *edges], [*edges, rows]):
            before = [x.clone() for x in leaves(state)]
            after, given = encoder.step(state, Tokens(*(x[:, lo:hi] for x in tokens)))
            kept = all(torch.equal(a, b) for a, b in zip(before, leaves(state)))
            require(kept, cls, "steps", "a step changes the state that it was given")
            state = after
            found.append(given)
        gap = difference(out, cat([*found, encoder.end(state)]))
        require(not gap, cls, "steps", f"cut before rows {edges.tolist()}, {gap}")
    if encoder.bounded:
        _check_state(cls, encoder, tokens)


def _check_state(cls: type, encoder: Encoder, tokens: Tokens) -> None:
    """Its size may only change as far as an incomplete window does."""
    state, sizes = encoder.begin(len(tokens.mask)), []
    for row in [*range(tokens.mask.shape[1])] * 6:
        state, _ = encoder.step(state, Tokens(*(x[:, row : row + 1] for x in tokens)))
        sizes.append(sum(x.numel() for x in leaves(state)))
    half = len(sizes) // 2
    require(max(sizes[half:]) <= max(sizes[:half]), cls, "steps", "its state grows, but it is said to be bounded")


def _check_causal(cls: type, encoder: Encoder, tokens: Tokens, out: Tokens) -> None:
    for now in tokens.times[0, ::3].tolist():
        later = (tokens.times > now)[..., None]
        other = encoder(tokens._replace(values=torch.where(later, tokens.values + 3.0, tokens.values)))
        known = out.mask & (out.times <= now)
        gap = difference(out._replace(mask=known), other._replace(mask=known))
        require(not gap, cls, "causality", f"with another future after {now:.2f} s, past {gap}")


def _check_gradient(cls: type, encoder: Encoder, tokens: Tokens) -> None:
    if encoder.symbolic:  # ids have no gradient
        return
    # 0 * NaN is NaN in the backward pass too: an encoder that masks only its output fails here.
    values = poisoned(tokens, float("nan")).values.requires_grad_()
    out = encoder(tokens._replace(values=values))
    with seeded(3):
        # A random probe: the plain sum of normalised values has a gradient of 0.
        probe = torch.randn(out.values.shape)
    torch.where(out.mask[..., None], out.values * probe, 0.0).sum().backward()
    size = torch.zeros(tokens.mask.shape) if values.grad is None else values.grad.abs().sum(-1)
    require(bool(size.isfinite().all()), cls, "masks", "NaN under the mask makes the gradient NaN")
    require(bool((size[~tokens.mask] == 0).all()), cls, "masks", "a gradient reaches what is masked")
    reached = (size > 0).any(1) == tokens.present
    require(bool(reached.all()), cls, "gradient", "a row that is there gets none")
    for name, weight in encoder.named_parameters():
        if not weight.requires_grad:
            continue  # frozen on purpose
        bad = weight.grad is None or not bool(weight.grad.isfinite().all())
        require(not bad, cls, "gradient", f"parameter {name} gets none, or one that is not finite")
