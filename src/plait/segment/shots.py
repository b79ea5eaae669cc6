"""Shot boundary detection: cuts and gradual changes between the takes of cameras."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.streams.pictures import held
from plait.streams.stream import Stream

__all__ = ["Boundary", "Looks", "find_boundaries", "look_at"]

Array = NDArray[np.float32]

LENGTHS = (0.3, 0.6, 1.2, 2.0)
"""Lengths of gradual changes that are tested, seconds."""

CONTEXT = 5.0
"""Seconds of context on either side of a decision."""

BLOCK = 12.0
"""Seconds per block of decisions."""

BYTES = 1 << 25
"""Most bytes of pictures in memory."""

AROUND = 0.4
"""Seconds on either side of a cut; it must exceed all changes within them."""

FAINT, GAIN = 0.08**2, 2.0
"""Variance of pictures in 0..1 below which their structure hardly counts; and the change of contrast that light may
cause."""

OWN = 0.15
"""Least change of structure in a cut, as a share of the threshold."""

RATIO = 1.5
"""Least ratio of a cut to the changes around it."""

CROOKED, BENT, RESTLESS = 0.08, 0.25, 0.25
"""Upper limits for a gradual change: distance of pictures from the straight line, unevenness of their progress along
it, and change before and after (squared distances as shares of the whole change)."""

MORE, OWN_SLOW = 2.0, 0.6
"""Least size of a gradual change relative to a cut, because a slow turn of the camera is nearly a straight line; and
its least change of structure, because rising light is one too."""

EMPTY, FLAT = 1.5, 0.03
"""Longest empty picture between two fades, seconds; and the standard deviation of grey, 0..1, of an empty picture."""


@dataclass(frozen=True)
class Boundary:
    """The boundary between two shots, from start to stop (equal for a cut), seconds.

    ``size``: amount of change, 0..3: the share of colours that differ, plus 1 minus the similarity of structure.
    """

    start: float
    stop: float
    kind: str
    size: float

    @property
    def middle(self) -> float:
        return (self.start + self.stop) / 2


@dataclass(frozen=True)
class Looks:
    """Small descriptions of pictures: colours by quarter [n, 192] (sum 1), coarse and fine thumbnails in 0..1,
    [n, 576] (12 x 16, colour) and [n, 768] (24 x 32, grey)."""

    times: NDArray[np.float64]
    colours: Array
    thumbs: Array
    fine: Array

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, part: slice) -> Looks:
        return Looks(self.times[part], self.colours[part], self.thumbs[part], self.fine[part])

    def apart(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> Array:
        """Dissimilarity of pictures i and j in colours and structure, 0..3."""
        colour = np.abs(self.colours[i] - self.colours[j]).sum(-1) / 2
        return np.asarray(colour + self.changed(i, j), np.float32)

    def changed(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> Array:
        """Dissimilarity of pictures i and j in structure alone, 0..2; global changes of light do not count."""
        return 1 - _likeness(self.thumbs[i], self.thumbs[j])


def _likeness(a: Array, b: Array) -> Array:
    """Structure as in SSIM (Wang et al., IEEE Trans. Image Processing 2004, eq. 13) over whole pictures, whose contrast
    may differ by `GAIN`."""
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    va, vb = (a * a).mean(-1), (b * b).mean(-1)
    # Light scales contrast: the variances are brought together first, within limits.
    gain = np.clip(np.sqrt((va + FAINT) / (vb + FAINT)), 1 / GAIN, GAIN)
    return np.asarray((2 * (a * b).mean(-1) + FAINT) / (va / gain + vb * gain + FAINT))


def look_at(stream: Stream) -> Looks:
    """Small descriptions of all pictures of a (short) stream."""
    import cv2

    frames = held(stream.read(), stream.mask())
    small = [cv2.resize(f[..., :3], (64, 48), interpolation=cv2.INTER_AREA).reshape(48, 64, -1) for f in frames]
    pixels = np.stack(small)
    if pixels.shape[3] == 1:
        pixels = np.repeat(pixels, 3, axis=3)
    thumbs = pixels.reshape(-1, 12, 4, 16, 4, 3).mean((2, 4), dtype=np.float32) / 255
    quarters = pixels.reshape(-1, 2, 24, 2, 32, 3).transpose(0, 1, 3, 5, 2, 4).reshape(len(pixels) * 12, -1)
    # 16 levels a channel; each quarter and channel gets its own range of bins, so that one bincount serves all.
    flat = (quarters >> 4).astype(np.int64) + np.arange(len(quarters))[:, None] * 16
    counts = np.bincount(flat.ravel(), minlength=len(quarters) * 16).reshape(-1, 16) / (12 * quarters.shape[1])
    wide = np.pad(counts, ((0, 0), (1, 1)), mode="edge")  # a level on the edge of a bin belongs to both
    shares: Array = ((wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4).reshape(len(pixels), 192).astype(np.float32)
    fine = pixels.reshape(-1, 24, 2, 32, 2 * 3).mean((2, 4), dtype=np.float32).reshape(len(pixels), -1) / 255
    return Looks(stream.clock.times, shares, thumbs.reshape(len(pixels), -1), fine)


def find_boundaries(stream: Stream, *, least: float = 0.35, gradual: bool = True) -> list[Boundary]:
    """Shot boundaries in a stream of pictures; in blocks, in constant memory.

    A cut: colours (histograms by quarter) and structure (of thumbnails) of the three pictures before all differ
    from the three after, by more than any change within `AROUND` on either side, so that neither motion nor a flash
    is a cut. A gradual change (a dissolve, a fade): for some length of `LENGTHS`, the pictures in between lie on the
    straight line from the first to the last, which motion does not (the linear model of Yu, Bozdagi and Harrington,
    "Feature-based hierarchical video segmentation", ICIP 1997), progress evenly, and rest before and after. Two fades
    that meet in an empty picture are one change.

    Args:
        least: least dissimilarity of the two shots, 0..3; 0.35 separates scenes, not takes of one face.
        gradual: also look for dissolves and fades.

    Raises:
        DataError: the stream has no pictures.
        ConfigError: ``least`` is not above 0.
    """
    if stream.kind != "frames" or len(stream.source.shape) != 3:
        raise DataError(f"{stream.where or 'stream'}: shots need pictures, but the stream is {stream.kind}.")
    if not least > 0:
        raise ConfigError(f"shots.least: got {least}; expected above 0.")
    found: list[Boundary] = []
    rate = _rate(stream)
    for looks, start, stop in _windows(stream, rate):
        cuts = _cuts(looks, least, rate)
        slow = _slow(looks, least, rate) if gradual else []
        sudden = [c for c in cuts if not any(g.start <= c.start <= g.stop for g in slow)]
        merged = _through_empty(looks, sorted([*sudden, *slow], key=lambda b: b.start), least)
        found += [b for b in merged if start <= b.middle < stop]
    return found


def _rate(stream: Stream) -> float:
    span = float(stream.clock.times[-1] - stream.clock.times[0]) if len(stream) > 1 else 0.0
    return (len(stream) - 1) / span if span > 0 else 25.0


def _windows(stream: Stream, rate: float) -> Iterator[tuple[Looks, float, float]]:
    """Descriptions of overlapping stretches, and the span of time in which each decides."""
    if not len(stream):
        return
    n = len(stream)
    block, context = max(round(BLOCK * rate), 8), max(round(CONTEXT * rate), 4)
    at_once = max(1, BYTES // math.prod(stream.source.shape))
    times = stream.clock.times
    kept: list[Looks] = []
    seen = 0
    for lo in range(0, n, block):
        hi = min(lo + block, n)
        while seen < min(hi + context, n):
            step = min(seen + at_once, hi + context, n)
            kept.append(look_at(stream[seen:step]))
            seen = step
        first = max(lo - context, 0)
        whole = _joined(kept)
        whole = whole[len(whole) - (seen - first) :]
        yield whole, -np.inf if lo == 0 else float(times[lo]), np.inf if hi == n else float(times[hi])
        kept = [whole]


def _joined(parts: list[Looks]) -> Looks:
    return Looks(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("times", "colours", "thumbs", "fine"))
    )


def _cuts(looks: Looks, least: float, rate: float) -> list[Boundary]:
    """Instants at which the three nearest pictures before and after differ, more than anything else nearby."""
    n = len(looks)
    if n < 2:
        return []
    at = np.arange(1, n)
    # The least over all nine pairs: a flash or a lost picture on one side alone is no cut.
    across = np.full(n, np.inf, np.float32)
    for a in (1, 2, 3):
        for b in (0, 1, 2):
            i, j = np.maximum(at - a, 0), np.minimum(at + b, n - 1)
            across[1:] = np.minimum(across[1:], looks.apart(i, j))
    reach = max(round(AROUND * rate), 4)
    lag = min(3, n - 1)
    moved = looks.apart(np.arange(n - lag), np.arange(lag, n))  # from i to i + lag
    found = []
    for t in np.flatnonzero(across[1:] >= least) + 1:
        near = across[max(t - reach, 1) : t + reach + 1]
        own = np.concatenate([moved[max(t - reach - lag, 0) : max(t - lag, 0)], moved[t : t + reach]])
        alone = float(looks.changed(np.array(t - 1), np.array(t)))
        if across[t] >= near.max() and across[t] > RATIO * float(own.max(initial=0.0)) and alone >= OWN * least:
            found.append(Boundary(float(looks.times[t]), float(looks.times[t]), "cut", float(across[t])))
    return found


def _slow(looks: Looks, least: float, rate: float) -> list[Boundary]:
    """Stretches in which one picture turns into another along a straight line; of overlapping ones the straightest."""
    tried = [_lines(looks, length, least) for length in sorted({max(round(s * rate), 4) for s in LENGTHS})]
    # Straightest first, so that each stretch of time goes to its best fit.
    every = sorted(fit for one in tried for fit in one)
    taken: list[tuple[float, int, int]] = []
    for fit in every:
        if all(fit[2] <= other[1] or fit[1] >= other[2] for other in taken):
            taken.append(fit)
    return [
        Boundary(float(looks.times[i]), float(looks.times[j]), "gradual", float(looks.apart(np.array(i), np.array(j))))
        for _, i, j in taken
    ]


def _lines(looks: Looks, length: int, least: float) -> list[tuple[float, int, int]]:
    """(deviation, first, last) of stretches of ``length`` pictures on a straight line from one picture to another."""
    n = len(looks)
    if n <= length:
        return []
    i = np.arange(n - length)
    j = i + length
    wide = (looks.apart(i, j) >= MORE * least) & (looks.changed(i, j) >= OWN_SLOW * least)
    i, j = i[wide], j[wide]
    first, way = looks.fine[i], looks.fine[j] - looks.fine[i]
    size = np.maximum((way**2).sum(1), 1e-6)
    crooked, bent = np.zeros(len(i)), np.zeros(len(i))
    for k in range(1, 6):
        off = looks.fine[i + round(length * k / 6)] - first
        along = (off * way).sum(1) / size
        bent = np.maximum(bent, np.abs(along - k / 6))
        crooked += ((off - along[:, None] * way) ** 2).sum(1) / size / 5
    # A pan runs straight too, but goes on before and after.
    margin = max(2, length // 2)
    before = ((looks.fine[np.maximum(i - margin, 0)] - first) * way).sum(1) / size
    after = ((looks.fine[np.minimum(j + margin, n - 1)] - looks.fine[j]) * way).sum(1) / size
    before[looks.fine[i].std(1) < FLAT] = 0  # fades from and to black need no rest
    after[looks.fine[j].std(1) < FLAT] = 0
    good = (crooked < CROOKED) & (bent < BENT) & (np.maximum(np.abs(before), np.abs(after)) < RESTLESS)
    return [(float(c + b), int(a), int(z)) for c, b, a, z in zip(crooked[good], bent[good], i[good], j[good])]


def _through_empty(looks: Looks, boundaries: list[Boundary], least: float) -> list[Boundary]:
    """Boundaries with only an empty picture in between become one; none if the same shot returns."""
    out: list[Boundary] = []
    for new in boundaries:
        if out and new.start - out[-1].stop <= EMPTY and _empty(looks, out[-1].stop, new.start):
            old = out.pop()
            i, j = np.searchsorted(looks.times, [old.start, new.stop])
            i, j = max(int(i) - 1, 0) if old.start == old.stop else int(i), min(int(j), len(looks) - 1)
            size = float(looks.apart(np.array(i), np.array(j)))
            out += [Boundary(old.start, new.stop, "gradual", size)] if size >= least else []
        else:
            out.append(new)
    return out


def _empty(looks: Looks, start: float, stop: float) -> bool:
    between = looks.fine[(looks.times >= start - 0.1) & (looks.times <= stop + 0.1)]
    return bool(len(between)) and bool((between.std(1) < FLAT).any())
