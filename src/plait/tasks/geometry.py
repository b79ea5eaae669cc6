"""How two boxes lie to each other, as numbers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["GEOMETRY", "geometry", "mirrored"]

GEOMETRY = 33
"""Numbers of a pair of boxes."""

FURTHEST = 4.0
"""Largest number: a box a hundred times as large as another says no more."""


def geometry(one: Float[Tensor, "*pairs 6"], two: Float[Tensor, "*pairs 6"]) -> Float[Tensor, "*pairs 33"]:
    """How the box of a subject lies to that of an object: `GEOMETRY` numbers of about mean 0 and deviation 1.

    Distances of centres and edges, ratios of sizes, overlap, areas, and both boxes in the picture: the spatial features
    of Zhang et al. 2017 ("Visual translation embedding network for visual relation detection", section 3.2), and the
    same relative to the box around both.

    Args:
        one, two: left, top, right, bottom in pixels, and width and height of the picture.

    >>> box = torch.tensor([0.0, 0.0, 9.0, 9.0, 100.0, 100.0])
    >>> tuple(geometry(box, box + torch.tensor([10.0, 0, 10, 0, 0, 0])).shape)
    (33,)
    """
    (a0, b0, a1, b1, w, h), (c0, d0, c1, d1, _, _) = one.unbind(-1), two.unbind(-1)
    w, h = w.clamp(min=1), h.clamp(min=1)
    aw, ah, cw, ch = ((x + 1).clamp(min=1) for x in (a1 - a0, b1 - b0, c1 - c0, d1 - d0))
    iw = (torch.minimum(a1, c1) - torch.maximum(a0, c0) + 1).clamp(min=0)
    ih = (torch.minimum(b1, d1) - torch.maximum(b0, d0) + 1).clamp(min=0)
    uw = (torch.maximum(a1, c1) - torch.minimum(a0, c0) + 1).clamp(min=1)
    uh = (torch.maximum(b1, d1) - torch.minimum(b0, d0) + 1).clamp(min=1)
    x, y = ((a0 + a1) - (c0 + c1)) / 2, ((b0 + b1) - (d0 + d1)) / 2
    first, second, shared = aw * ah, cw * ch, iw * ih
    areas = [shared / first, shared / second, shared / (first + second - shared)]
    areas += [first / (uw * uh), second / (uw * uh), first / (w * h), second / (w * h)]
    picture = [a0 / w, b0 / h, a1 / w, b1 / h, c0 / w, d0 / h, c1 / w, d1 / h]
    shares = torch.stack([*areas, iw / uw, ih / uh, *picture], -1)
    sizes = [(aw / cw).log(), (ah / ch).log(), (aw / ah).log(), (cw / ch).log()]
    centres = [x / cw, y / ch, x / aw, y / ah]
    edges = [x, a0 - c0, a1 - c1], [y, b0 - d0, b1 - d1, b1 - d0, b0 - d1]
    within = [e / u for own, u in zip(edges, (uw, uh)) for e in own]
    rest = torch.stack([*sizes, *centres, *within], -1)
    # Shares lie around one half, a third to each side; the rest around 0 by about 1.
    return torch.cat([3 * (shares - 0.5), rest], -1).clamp(-FURTHEST, FURTHEST)


def mirrored(boxes: Float[Tensor, "*boxes 6"]) -> Float[Tensor, "*boxes 6"]:
    """The boxes in the mirror image of their picture, left and right exchanged.

    >>> mirrored(torch.tensor([10.0, 0.0, 30.0, 5.0, 100.0, 50.0])).tolist()
    [70.0, 0.0, 90.0, 5.0, 100.0, 50.0]
    """
    left, top, right, bottom, width, height = boxes.unbind(-1)
    return torch.stack([width - right, top, width - left, bottom, width, height], -1)
