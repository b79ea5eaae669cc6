"""A chain of encoders, as a list in a recipe gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from torch import nn

from plait.core.errors import ConfigError
from plait.core.parts import Spec, build, full_spec
from plait.encoders import Encoder
from plait.tokens import Tokens

__all__ = ["build_encoder", "encoder_specs", "resolved_specs"]


LONGEST = 100
"""Most encoders in a chain."""


class _Chain(Encoder):
    """Encoders in sequence: the first takes the features, the others take the model's width."""

    def __init__(self, steps: Sequence[Encoder]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.dim_in, self.dim = steps[0].dim_in, steps[-1].dim
        self.causal = all(step.causal for step in steps)  # type: ignore[misc]
        self.symbolic = steps[0].symbolic

    def forward(self, tokens: Tokens) -> Tokens:
        for step in self.steps:
            tokens = step(tokens)
        return tokens


def _listed(spec: Spec | Sequence[Spec], where: str) -> list[tuple[Spec, str]]:
    if isinstance(spec, str | Mapping):
        return [(spec, where)]
    if not spec:
        raise ConfigError(f"{where}: an empty list; expected one encoder or more.")
    if len(spec) > LONGEST:
        raise ConfigError(f"{where}: {len(spec):,} encoders in a chain; expected {LONGEST} at most.")
    return [(one, f"{where}[{i}]") for i, one in enumerate(spec)]


def build_encoder(spec: Spec | Sequence[Spec], dim_in: int, dim: int, where: str) -> Encoder:
    """Build the encoder that a recipe names, or a chain of encoders from a list.

    Raises:
        ConfigError: an unknown encoder or option; ``where`` is its place in the recipe, for the message.

    >>> build_encoder(["conv", {"name": "gru", "layers": 2}], 6, 32, "encoders.imu").dim_in
    6
    """
    steps: list[Encoder] = []
    for one, place in _listed(spec, where):
        steps.append(build(Encoder, one, steps[-1].dim if steps else dim_in, dim, where=place))
    return steps[0] if len(steps) == 1 else _Chain(steps)


def encoder_specs(spec: Spec | Sequence[Spec], where: str) -> list[dict[str, object]]:
    """The spec as a list with all defaults filled in, as a saved run keeps it.

    Raises:
        ConfigError: an unknown encoder or option.

    >>> encoder_specs("linear", "encoders.text")
    [{'name': 'linear', 'norm': False, 'dropout': 0.1}]
    """
    return [full_spec(Encoder, one, place) for one, place in _listed(spec, where)]


def resolved_specs(specs: Sequence[Mapping[str, object]], encoder: Encoder) -> list[dict[str, object]]:
    """The `encoder_specs`, with the options that each encoder has `resolved`: no file is needed to rebuild them."""
    steps = cast("Iterable[Encoder]", encoder.steps) if isinstance(encoder, _Chain) else [encoder]
    return [{**spec, **step.resolved()} for spec, step in zip(specs, steps)]
