"""Two-stream networks: appearance in a single frame, and motion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Counts, Few
from plait.encoders.cnn import stacked
from plait.encoders.pictures import PictureEncoder, Tower, by_place, check_tower
from plait.tokens import Tokens

__all__ = ["TwoStream", "lucas_kanade"]


class TwoStream(PictureEncoder):
    """A network on each frame, and one on the optical flow of the last frames; one token per frame.

    Simonyan and Zisserman 2014, "Two-stream convolutional networks for action recognition in videos". Both networks
    are those of `plait.encoders.cnn.Cnn`. The motion stream sees the flow into this frame and into the ``stack - 1``
    frames before it, two channels each; no frame sees a later one. Departures: small residual networks; the streams are
    combined as features, in one linear layer, instead of as class scores; flow is in picture widths per second, so that
    it does not depend on the rate.

    If the rows already hold flow, ``flow`` is the number of their last channels that do. Otherwise `lucas_kanade`
    estimates it between neighbouring frames: cheap, accurate up to about a pixel per frame, and too small in noise, but
    in the right direction. For larger motions, add a stream with the feature `optical_flow` and the encoder ``cnn``
    with ``stack``, and fuse it with the stream of pictures.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        shape: [height, width] or [height, width, channels] of a picture; None for [24, 32] (see `PictureEncoder`).
        flow: number of last channels that are optical flow; 0 to compute it.
        stack: number of flows seen together.
        widths: channels of the first convolution and of each block, of both networks.
        grid: parts per side of the picture whose means are taken; 1 for the whole picture.
        norm: ``batch`` (over the observed frames) or ``group`` (each frame by itself).
        dropout: share of the outputs set to 0 in training.

    Raises:
        ConfigError: ``shape`` does not fit ``dim_in``, or an option is out of range.

    >>> film = Tokens(torch.ones(2, 6, 24 * 32), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> tuple(TwoStream(24 * 32, 16)(film).values.shape)
    (2, 6, 16)
    """

    causal = True
    trial: ClassVar[tuple[int, dict[str, object]]] = (30, {"shape": [5, 6], "widths": [4, 8]})

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        shape: Sequence[int] | None = None,
        flow: int = 0,
        stack: Few = 5,
        widths: Counts = (16, 32, 64),
        grid: Few = 2,
        norm: str = "batch",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(dim_in, dim, shape)
        check_tower("two_stream", widths, norm=norm, grid=grid)
        if stack < 1 or not 0 <= flow < self.channels:
            raise ConfigError(
                f"two_stream: stack {stack}, and flow {flow} of {self.channels} channels; expected a stack of "
                "1 or more, and 1 channel or more that is not flow."
            )
        self.flow, self.stack, self.grid = flow, stack, grid
        self.reach = stack - bool(flow)
        tower = partial(Tower, block="residual", depth=0, norm=norm)
        self.appearance = tower(self.channels - flow, widths)
        self.motion = tower(stack * (flow or 2), widths)
        self.leave = nn.Linear(2 * widths[-1] * grid**2, dim)
        self.dropout = nn.Dropout(dropout)

    def see(self, pictures: Float[Tensor, "batch time channels height width"], tokens: Tokens) -> Tokens:
        still = pictures[:, :, : self.channels - self.flow]
        moving = pictures[:, :, self.channels - self.flow :] if self.flow else self._velocity(pictures, tokens)
        # both streams as channels of one tensor: the observed frames are selected once
        maps = self.by_frame(torch.cat([still, stacked(moving, self.stack)], 2), tokens, self._maps)
        return tokens.with_values(self.dropout(self.leave(maps)))

    def _maps(self, both: Tensor, seen: Tensor | None) -> Float[Tensor, "n features"]:
        still, moving = both.split([self.channels - self.flow, self.stack * (self.flow or 2)], 1)
        return torch.cat(
            [by_place(tower(x, seen), self.grid) for tower, x in ((self.appearance, still), (self.motion, moving))], 1
        )

    def _velocity(self, pictures: Tensor, tokens: Tokens) -> Float[Tensor, "batch time 2 height width"]:
        """Flow into each frame from the one before, in picture widths per second; zeros where either is missing."""
        grey, times, mask = pictures[:, :, : self.colours].mean(2), tokens.times, tokens.mask
        # the first frame has none before it: it is its own predecessor, and marked as unknown
        last, before = (torch.cat([x[:, :1], x[:, :-1]], 1) for x in (grey, times))
        known = mask & torch.cat([torch.zeros_like(mask[:, :1]), mask[:, :-1]], 1)
        # two frames at one time would give an infinite velocity
        seconds = torch.where(known, (times - before).clamp(min=1e-3), 1.0)
        rate = torch.where(known, 1 / (self.width * seconds), 0.0)
        return lucas_kanade(last, grey) * rearrange(rate, "b t -> b t 1 1 1")


def lucas_kanade(
    before: Float[Tensor, "batch time height width"],
    after: Float[Tensor, "batch time height width"],
    *,
    window: int = 5,
    prior: float = 0.01,
) -> Float[Tensor, "batch time 2 height width"]:
    """Optical flow in pixels, right and down, of each pixel from one grey picture to another; differentiable.

    Lucas and Kanade 1981, "An iterative image registration technique", one step: in each window, the motion that best
    explains the change, by least squares, given the gradients of the mean of the two pictures. Gradients and change use
    the matched 3-pixel filters of Farid and Simoncelli 2004 (plain differences overestimate motion). Without texture
    the estimate is zero (a prior on the velocity: Simoncelli, Adelson and Heeger 1991).

    Args:
        before: brightness, with a standard deviation of about 1.
        after: the same a frame later.
        window: pixels per side of the window; odd.
        prior: mean square gradient at which the estimate is pulled half way to zero.

    >>> x = torch.arange(12.0).expand(1, 1, 12, 12)
    >>> flow = lucas_kanade(torch.sin(x / 2), torch.sin((x - 0.5) / 2))[0, 0, :, 6, 6]
    >>> [round(v, 1) + 0.0 for v in flow.tolist()]
    [0.5, 0.0]
    """
    smooth, slope = before.new_tensor([0.229879, 0.540242, 0.229879]), before.new_tensor([-0.425287, 0, 0.425287])
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth), torch.outer(smooth, smooth)])
    right, down, _ = _filtered((before + after) / 2, kernels).unbind(2)
    change = _filtered(after - before, kernels)[:, :, 2]
    products = torch.stack([right * right, right * down, down * down, right * change, down * change], 2)
    means = F.avg_pool2d(products.flatten(0, 1), window, 1, window // 2).unflatten(0, products.shape[:2])
    xx, xy, yy, xt, yt = means.unbind(2)
    xx, yy = xx + prior, yy + prior
    # Cramer's rule for the 2 x 2 system of each pixel; the prior keeps the determinant above 0
    size = xx * yy - xy * xy
    flow: Tensor = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], 2) / size[:, :, None]
    return flow


def _filtered(pictures: Tensor, kernels: Tensor) -> Float[Tensor, "batch time kernels height width"]:
    # repeated edges: zeros would be read as a strong gradient, and so as motion
    wide = F.pad(pictures.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    out: Tensor = F.conv2d(wide, kernels[:, None]).unflatten(0, pictures.shape[:2])
    return out
