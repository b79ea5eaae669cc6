"""Plain 3-D convolutions over clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Counts, Few, Fews
from plait.encoders.pictures import PictureEncoder, Unit, by_place, check_tower, pooled, pooled_tokens, seen_frames
from plait.tokens import Tokens

__all__ = ["C3d"]


class C3d(PictureEncoder):
    """C3D: stages of 3 x 3 x 3 convolutions, each followed by max pooling over 2 x 2 pixels and some frames.

    Tran et al. 2015, "Learning spatiotemporal features with 3D convolutional networks", section 3. The first pooling
    does not pool over time, so that motion is not lost early. Then two fully connected layers make one token of each
    remaining frame, at the mean time of the frames that it stands for (departure: the paper's layers see a clip of 16
    frames). A gap keeps its place and counts as zeros in every layer. Further departures: batch norm, fewer and
    narrower layers, means over a ``grid`` of the last map instead of the whole map.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        shape: [height, width] or [height, width, channels] of a picture; None for [24, 32] (see `PictureEncoder`).
        widths: channels of each stage.
        layers: convolutions of each stage.
        strides: frames that each stage pools into one.
        grid: parts per side of the picture whose means are taken; 1 for the whole picture.
        norm: ``batch`` (over the observed frames) or ``group`` (each frame by itself).
        dropout: share set to 0 in training, after each of the last two layers.

    Raises:
        ConfigError: ``shape`` does not fit ``dim_in``, or an option is out of range.

    >>> import torch
    >>> film = Tokens(torch.ones(2, 9, 24 * 32), torch.arange(9.0).expand(2, 9), torch.ones(2, 9) > 0)
    >>> tuple(C3d(24 * 32, 16)(film).values.shape)
    (2, 5, 16)
    """

    trial: ClassVar[tuple[int, dict[str, object]]] = (
        30,
        {"shape": [5, 6], "widths": [4, 8], "layers": [1, 2], "strides": [1, 2]},
    )

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        shape: Sequence[int] | None = None,
        widths: Counts = (16, 32, 64),
        layers: Fews = (1, 1, 2),
        strides: Fews = (1, 2, 1),
        grid: Few = 2,
        norm: str = "batch",
        dropout: float = 0.2,
    ) -> None:
        super().__init__(dim_in, dim, shape)
        check_tower("c3d", widths, norm=norm, grid=grid, strides=strides, stages=len(widths))
        if len(layers) != len(widths) or min(layers) < 1:
            raise ConfigError(f"c3d: layers {list(layers)}; expected 1 or more for each of {len(widths)} stages.")
        self.strides, self.grid = list(strides), grid
        before = [self.channels, *widths]
        self.stages = nn.ModuleList(
            nn.ModuleList(Unit(before[i] if j == 0 else width, width, 3, depth=3, norm=norm) for j in range(layers[i]))
            for i, width in enumerate(widths)
        )
        self.full, self.leave = nn.Linear(widths[-1] * grid**2, 2 * dim), nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def see(self, pictures: Float[Tensor, "batch time channels height width"], tokens: Tokens) -> Tokens:
        seen = seen_frames(tokens)
        x = rearrange(pictures, "b t c h w -> b c t h w")
        for stage, stride in zip(self.stages, self.strides):
            for unit in stage.children():
                x = unit(x, seen)
            x, seen = pooled(x, seen, stride)
        frames = by_place(rearrange(x, "b c t h w -> (b t) c h w"), self.grid)
        values = self.dropout(self.leave(self.dropout(F.relu(self.full(frames)))))
        return pooled_tokens(tokens, self.strides).with_values(rearrange(values, "(b t) d -> b t d", b=x.shape[0]))
