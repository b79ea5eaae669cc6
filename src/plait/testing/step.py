"""The laws of steps, which change a raw stream before its features are computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.streams.stream import KINDS, Stream
from plait.testing.laws import require
from plait.testing.streams import changed, check_kinds, edges, for_kinds, read_alike, same
from plait.transforms import Step

__all__ = ["check_step"]


def check_step(cls: type[Step], *streams: Stream, **options: object) -> None:
    """Check the laws of a step.

    Kinds (it takes the kinds that it lists, and refuses others with a `DataError`); shape (a stream of a known kind,
    none of its values infinite); pieces (read in blocks or in cuts, the result is the same as in one pass); inputs
    (the stream is not changed, and gives the same result again); emptiness (an empty stream stays empty); times (a
    stream shifted by 64 s has the same result, shifted by 64 s); receptive field (if it is ``causal``, values outside
    the field change nothing); notes (counts by name).

    Args:
        cls: the class, constructed as ``cls(**options)``.
        streams: to test it on; by default a random one of each kind that it takes.
        options: its options.

    Raises:
        LawBroken: which law, and how.

    >>> from plait.transforms.hampel import Hampel
    >>> check_step(Hampel, window=0.3)
    """
    step = cls(**options)
    check_kinds(cls, step, cls.kinds)
    for stream in for_kinds(cls, streams):
        before = np.array(stream.read())
        made = step(stream)
        known = isinstance(made, Stream) and made.kind in KINDS
        require(known, cls, "shape", f"it gives {type(made).__name__}; expected a stream of a known kind")
        read_alike(cls, made)
        values = made.read()
        require(values.dtype.kind != "f" or not np.isinf(values).any(), cls, "shape", "values are infinite")
        kept = same(cls(**options)(stream).read(), values) and same(stream.read(), before)
        require(kept, cls, "inputs", "it changes the stream, or gives another result the second time")
        require(not len(step(stream[:0]).read()), cls, "emptiness", "it makes something of an empty stream")
        moved = step(stream.on(stream.clock.corrected(offset=64.0)))
        kept = same(moved.read(), values) and np.allclose(moved.clock.times, made.clock.times + 64, atol=1e-6)
        require(kept, cls, "times", "64 s later it gives another result, or at other times")
        if step.causal:
            _check_field(cls, step, stream, values, made.clock.times)
    counts = all(isinstance(k, str) and isinstance(v, int) and v > 0 for k, v in step.notes().items())
    require(counts, cls, "notes", f"{step.notes()}; expected counts above 0 by name")


def _check_field(
    cls: type, step: Step, stream: Stream, values: NDArray[np.generic], times: NDArray[np.float64]
) -> None:
    begin, end = edges(stream)
    for row in np.random.default_rng(0).integers(0, len(times), 3):
        t, far = times[row], step.receptive_field + 1e-9
        other = step(changed(stream, (begin > t + far) | (end < t - far)))
        # By time, not by position: a step that drops observations may drop others now.
        now = int(np.argmin(np.abs(other.clock.times - t)))
        kept = same(other[now : now + 1].read(), values[row : row + 1])
        require(kept, cls, "receptive field", f"what is more than {far:g} s off changes the value at {t:g} s")
