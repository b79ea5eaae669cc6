"""Inflated 3-D convolutions: a picture network whose kernels extend over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError, raise_all
from plait.core.options import Counts, Few, Fews
from plait.encoders.pictures import PictureEncoder, Tower, by_place, check_tower, pooled_tokens, seen_frames
from plait.tokens import Tokens

__all__ = ["I3d", "inflate"]


class I3d(PictureEncoder):
    """I3D: inception modules with kernels over time (Carreira and Zisserman 2017, "Quo vadis, action recognition?").

    The network of `plait.encoders.cnn.Cnn` with each k x k kernel extended to ``depth`` x k x k, and each max pooling
    extended over ``strides`` frames. The result is one token per remaining frame, at the mean time of the frames that
    it stands for. A gap keeps its place and counts as zeros in every layer. `inflated` takes the weights of a `Cnn`
    with the same ``widths``, ``block`` and ``grid``. Departures: two narrow modules instead of nine, a first kernel of
    3 x 3 x 3.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        shape: [height, width] or [height, width, channels] of a picture; None for [24, 32] (see `PictureEncoder`).
        widths: channels of the first convolution and of each module (multiples of 8).
        block: ``inception`` or ``residual``.
        depth: frames that a kernel sees; odd.
        strides: frames that are pooled into one before each module.
        grid: parts per side of the picture whose means are taken; 1 for the whole picture.
        norm: ``batch`` (over the observed frames) or ``group`` (each frame by itself).
        dropout: share of the outputs set to 0 in training.

    Raises:
        ConfigError: ``shape`` does not fit ``dim_in``, or an option is out of range.

    >>> import torch
    >>> film = Tokens(torch.ones(2, 9, 24 * 32), torch.arange(9.0).expand(2, 9), torch.ones(2, 9) > 0)
    >>> out = I3d(24 * 32, 16)(film)
    >>> tuple(out.values.shape), out.times[0].tolist()
    ((2, 5, 16), [0.5, 2.5, 4.5, 6.5, 8.0])
    """

    trial: ClassVar[tuple[int, dict[str, object]]] = (30, {"shape": [5, 6], "widths": [4, 8, 8]})

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        shape: Sequence[int] | None = None,
        widths: Counts = (16, 32, 64),
        block: str = "inception",
        depth: Few = 3,
        strides: Fews = (1, 2),
        grid: Few = 2,
        norm: str = "batch",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(dim_in, dim, shape)
        check_tower("i3d", widths, block=block, norm=norm, grid=grid, strides=strides)
        # odd, so that a kernel is centred on its frame and tokens keep their times
        if depth < 1 or depth % 2 == 0:
            raise ConfigError(f"i3d: depth {depth}; expected an odd number of frames.")
        self.strides, self.grid = list(strides), grid
        self.tower = Tower(self.channels, widths, block=block, depth=depth, norm=norm, strides=strides)
        self.leave = nn.Linear(widths[-1] * grid**2, dim)
        self.dropout = nn.Dropout(dropout)

    def see(self, pictures: Float[Tensor, "batch time channels height width"], tokens: Tokens) -> Tokens:
        seen = seen_frames(tokens)
        maps = self.tower(rearrange(pictures, "b t c h w -> b c t h w"), seen)
        frames = by_place(rearrange(maps, "b c t h w -> (b t) c h w"), self.grid)
        values = rearrange(self.leave(frames), "(b t) d -> b t d", b=maps.shape[0])
        return pooled_tokens(tokens, self.strides).with_values(self.dropout(values))

    def inflated(self, weights: Mapping[str, Tensor]) -> I3d:
        """Load the weights of a picture network (``cnn.state_dict()``), inflated over time; returns the encoder.

        On a still film its answers then equal that network's on the picture, except near the first and last frames,
        which are padded with zeros.

        Raises:
            ConfigError: the weights are not of a network with the same options.
        """
        self.load_state_dict(inflate(weights, self.state_dict()))
        return self


def inflate(flat: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a network with 2-D kernels, inflated for the same network with 3-D kernels.

    Carreira and Zisserman 2017, section 2.4: each kernel is repeated over time and divided by the number of
    repetitions; all other weights are copied.

    Args:
        flat: state of the 2-D network; any `torch.nn.Conv2d` works.
        like: state of the 3-D network, whose shapes give the depth of each kernel.

    Raises:
        ConfigError: names or shapes of the two networks do not match.

    >>> import torch
    >>> flat, deep = nn.Conv2d(3, 4, 5), nn.Conv3d(3, 4, (7, 5, 5))
    >>> deep.load_state_dict(inflate(flat.state_dict(), deep.state_dict()))
    <All keys matched successfully>
    """
    strange = sorted(set(flat) ^ set(like))
    if strange:
        raise ConfigError(f"inflate: {', '.join(strange[:6])} in one network only. Give both the same options.")
    deep = {name: _deep(flat[name], target) for name, target in like.items()}
    shapes = {name: (list(flat[name].shape), list(target.shape)) for name, target in like.items()}
    wrong = [name for name, target in like.items() if deep[name].shape != target.shape]
    raise_all(
        ConfigError, [f"inflate: {n}: {shapes[n][0]} for {shapes[n][1]}. Give both the same widths." for n in wrong]
    )
    return deep


def _deep(flat: Tensor, target: Tensor) -> Tensor:
    if flat.ndim != 4 or target.ndim != 5:
        return flat.detach().clone()
    # divided, so that a film of equal frames gives the activations of the picture
    return repeat(flat.detach() / target.shape[2], "o i h w -> o i t h w", t=target.shape[2])
