"""A small convolutional network per picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Counts, Few
from plait.encoders.pictures import PictureEncoder, Tower, by_place, check_tower
from plait.tokens import Tokens

__all__ = ["Cnn", "stacked"]


class Cnn(PictureEncoder):
    """One token per picture; followed by a recurrent encoder, the CNN-RNN hybrid (Donahue et al. 2015, LRCN).

    A 3 x 3 convolution, then residual blocks (He et al. 2016), each after 2 x 2 max pooling; then means over a coarse
    grid and one linear layer. Departures: two blocks instead of eight, no strided convolutions. ``stack`` adds the
    previous frames to each frame, as channels: with optical flow, this is the motion stream of Simonyan and Zisserman
    2014. A gap counts as zeros.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        shape: [height, width] or [height, width, channels] of a picture; None for [24, 32] (see `PictureEncoder`).
        widths: channels of the first convolution and of each block.
        block: ``residual``, or ``inception`` (Szegedy et al. 2015; twin of `plait.encoders.i3d.I3d`).
        grid: parts per side of the picture whose means are taken; 1 for the whole picture.
        stack: number of frames seen together, up to and including the token's own.
        norm: ``batch`` (over the observed frames; in training only, frames depend on each other through its
            statistics) or ``group`` (each frame by itself).
        dropout: share of the outputs set to 0 in training.

    Raises:
        ConfigError: ``shape`` does not fit ``dim_in``, or an option is out of range.

    >>> film = Tokens(torch.ones(2, 5, 24 * 32), torch.arange(5.0).expand(2, 5), torch.ones(2, 5) > 0)
    >>> tuple(Cnn(24 * 32, 16)(film).values.shape)
    (2, 5, 16)
    """

    causal = True
    trial: ClassVar[tuple[int, dict[str, object]]] = (30, {"shape": [5, 6], "widths": [4, 8]})

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        shape: Sequence[int] | None = None,
        widths: Counts = (16, 32, 64),
        block: str = "residual",
        grid: Few = 2,
        stack: Few = 1,
        norm: str = "batch",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(dim_in, dim, shape)
        check_tower("cnn", widths, block=block, norm=norm, grid=grid)
        if stack < 1:
            raise ConfigError(f"cnn: stack {stack}; expected 1 frame or more.")
        self.stack, self.grid, self.reach = stack, grid, stack - 1
        self.tower = Tower(self.channels * stack, widths, block=block, depth=0, norm=norm)
        self.leave = nn.Linear(widths[-1] * grid**2, dim)
        self.dropout = nn.Dropout(dropout)

    def see(self, pictures: Float[Tensor, "batch time channels height width"], tokens: Tokens) -> Tokens:
        maps = self.by_frame(
            stacked(pictures, self.stack), tokens, lambda x, seen: by_place(self.tower(x, seen), self.grid)
        )
        return tokens.with_values(self.dropout(self.leave(maps)))


def stacked(
    frames: Float[Tensor, "batch time channels height width"], count: int
) -> Float[Tensor, "batch time stacked height width"]:
    """Each frame with the ``count - 1`` frames before it as channels, earliest first; zeros before the first.

    >>> stacked(torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1, 1), 2).flatten().tolist()
    [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]
    """
    time = frames.shape[1]
    # F.pad counts axes from the last: the last pair is time
    wide = F.pad(frames, (0, 0, 0, 0, 0, 0, count - 1, 0))
    return torch.cat([wide[:, i : i + time] for i in range(count)], 2)
