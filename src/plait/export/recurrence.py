"""Recurrent layers in a form that exports with a length that is not fixed.

`torch.export` unrolls `torch.nn.GRU` and `LSTM` over the length of the example, so that the graph holds for that length
alone. As an operator of its own a layer stays one node of the graph, which `plait.export.translations` maps to the
operator of the same name in ONNX. Importing this module defines the operators ``plait::gru`` and ``plait::lstm``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from plait.core.errors import ConfigError

__all__ = ["Layer", "with_operators"]

M = TypeVar("M", bound=nn.Module)


@torch.library.custom_op("plait::gru", mutates_args=())
def gru(x: Tensor, enter: Tensor, again: Tensor, bias: Tensor, bias_again: Tensor, backward: bool) -> Tensor:
    """One layer of `torch.nn.GRU` in one direction, from a state of zeros: [batch, time, in] -> [batch, time, dim]."""
    first = x.new_zeros(1, len(x), again.shape[1])
    weights = [enter, again, bias, bias_again]
    run = torch.gru(x.flip(1) if backward else x, first, weights, True, 1, 0.0, False, False, True)[0]
    return run.flip(1) if backward else run


@torch.library.custom_op("plait::lstm", mutates_args=())
def lstm(x: Tensor, enter: Tensor, again: Tensor, bias: Tensor, bias_again: Tensor, backward: bool) -> Tensor:
    """One layer of `torch.nn.LSTM` in one direction, from states of zeros; as `gru`."""
    first = x.new_zeros(1, len(x), again.shape[1])
    weights = [enter, again, bias, bias_again]
    run = torch.lstm(x.flip(1) if backward else x, [first, first], weights, True, 1, 0.0, False, False, True)[0]
    return run.flip(1) if backward else run


@gru.register_fake
@lstm.register_fake
def _shape(x: Tensor, enter: Tensor, again: Tensor, bias: Tensor, bias_again: Tensor, backward: bool) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1], again.shape[1])


class Layer(nn.Module):
    """A `torch.nn.GRU` or `LSTM` as operators, one for each layer and direction.

    Args:
        layer: whose weights it has; batch first, from states of zeros.

    Raises:
        ConfigError: time comes first, there are projections, or no biases.

    >>> layer, x = nn.GRU(3, 4, batch_first=True, bidirectional=True, num_layers=2), torch.randn(2, 5, 3)
    >>> torch.allclose(Layer(layer)(x)[0], layer(x)[0], atol=1e-6)
    True
    """

    def __init__(self, layer: nn.GRU | nn.LSTM) -> None:
        super().__init__()
        kind = type(layer).__name__
        if not layer.batch_first or not layer.bias or layer.proj_size:
            raise ConfigError(f"export: a {kind} with batch_first, with biases and without projections is expected.")
        self.layer, self.hidden_size = layer, layer.hidden_size
        self.operator: Callable[..., Tensor] = gru if isinstance(layer, nn.GRU) else lstm

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """[batch, time, in] -> [batch, time, out], and None in place of the last states."""
        for weights in self._weights():
            x = torch.cat([self.operator(x, *own, bool(back)) for back, own in enumerate(weights)], -1)
        return x, None

    def _weights(self) -> Iterable[list[list[nn.Parameter]]]:
        """Of each layer, the four weights of each direction."""
        directions = 2 if self.layer.bidirectional else 1
        for number in range(0, self.layer.num_layers * directions, directions):
            yield self.layer.all_weights[number : number + directions]


def with_operators(module: M) -> M:
    """A copy in evaluation mode whose recurrent layers are operators.

    Raises:
        ConfigError: a recurrent layer has no such form.
    """
    found = copy.deepcopy(module).eval()
    for parent in list(found.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.GRU | nn.LSTM):
                setattr(parent, name, Layer(child))
    return found
