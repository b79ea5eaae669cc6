"""Encoders one after the other, as a recipe's list gives them."""

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
"""Encoders in a row."""


class _Chain(Encoder):
    """Encoders in a row: the first takes the features, each next one the model's width."""

    def __init__(self, steps: Sequence[Encoder]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.dim_in, self.dim = steps[0].dim_in, steps[-1].dim
        self.causal = all(step.causal for step in steps)  # type: ignore[misc]

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
        raise ConfigError(f"{where}: {len(spec):,} encoders in a row; expected {LONGEST} at most.")
    return [(one, f"{where}[{i}]") for i, one in enumerate(spec)]


def build_encoder(spec: Spec | Sequence[Spec], dim_in: int, dim: int, where: str) -> Encoder:
    """The encoder that a recipe names, or a chain of them if it gives a list.

    Raises:
        ConfigError: no such encoder or option; ``where`` says at which place of the recipe.

    >>> build_encoder(["conv", {"name": "gru", "layers": 2}], 6, 32, "encoders.imu").dim_in
    6
    """
    steps: list[Encoder] = []
    for one, place in _listed(spec, where):
        steps.append(build(Encoder, one, steps[-1].dim if steps else dim_in, dim, where=place))
    return steps[0] if len(steps) == 1 else _Chain(steps)


def encoder_specs(spec: Spec | Sequence[Spec], where: str) -> list[dict[str, object]]:
    """The same as a list with every default written out, as a saved run keeps it.

    Raises:
        ConfigError: no such encoder or option.

    >>> encoder_specs("linear", "encoders.text")
    [{'name': 'linear', 'norm': False, 'dropout': 0.1}]
    """
    return [full_spec(Encoder, one, place) for one, place in _listed(spec, where)]


def resolved_specs(specs: Sequence[Mapping[str, object]], encoder: Encoder) -> list[dict[str, object]]:
    """What `encoder_specs` gave, with what each encoder has `resolved`, so that no file is needed to build it again."""
    steps = cast("Iterable[Encoder]", encoder.steps) if isinstance(encoder, _Chain) else [encoder]
    return [{**spec, **step.resolved()} for spec, step in zip(specs, steps)]
