"""A chain of encoders, as a list in a recipe gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from torch import nn

from plait.core.errors import ConfigError, gathering, raise_all
from plait.core.parts import Spec, build, full_spec
from plait.core.safe_yaml import brief
from plait.encoders import Encoder
from plait.tokens import Tokens
from plait.tokens.stepwise import InTurn, Stepwise

__all__ = ["build_encoder", "encoder_specs", "resolved_specs", "steps_of"]


LONGEST = 100
"""Most encoders in a chain."""

WIDEST = 1 << 20
"""Largest width of a step."""


class _Chain(InTurn, Encoder):
    """Encoders in sequence: the first takes the features, each other what the one before it gives."""

    def __init__(self, steps: Sequence[Encoder]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.dim_in, self.dim = steps[0].dim_in, steps[-1].dim
        self.causal = all(step.causal for step in steps)  # type: ignore[misc]
        self.symbolic = steps[0].symbolic

    @property
    def links(self) -> Sequence[Stepwise]:
        return steps_of(self)

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


def _own_dim(spec: Spec, where: str) -> tuple[Spec, dict[str, object]]:
    """A spec without the width of its step, ``dim``, and that width if it has one.

    Raises:
        ConfigError: it is no whole number from 1 up.
    """
    if isinstance(spec, str) or "dim" not in spec:
        return spec, {}
    dim = spec["dim"]
    if not isinstance(dim, int) or isinstance(dim, bool) or not 1 <= dim <= WIDEST:
        raise ConfigError(f"{where}.dim: got {brief(dim)}; expected a whole number from 1 to {WIDEST:,}.")
    return {key: value for key, value in spec.items() if key != "dim"}, {"dim": dim}


def build_encoder(spec: Spec | Sequence[Spec], dim_in: int, dim: int, where: str) -> Encoder:
    """Build the encoder that a recipe names, or a chain of encoders from a list.

    A step of a chain may have a width of its own (``dim``); the last has the model's.

    Raises:
        ConfigError: an unknown encoder or option, or the last one has another width; ``where`` is its place in the
            recipe, for the message.

    >>> build_encoder([{"name": "conv", "dim": 8}, {"name": "gru", "layers": 2}], 6, 32, "encoders.imu").dim_in
    6
    """
    steps: list[Encoder] = []
    for one, place in _listed(spec, where):
        bare, own = _own_dim(one, place)
        steps.append(build(Encoder, bare, steps[-1].dim if steps else dim_in, own.get("dim", dim), where=place))
    if own.get("dim", dim) != dim:
        raise ConfigError(
            f"{place}.dim: {own['dim']}, but the model's is {dim}. Leave it out, or put a projector behind."
        )
    return steps[0] if len(steps) == 1 else _Chain(steps)


def encoder_specs(spec: Spec | Sequence[Spec], where: str) -> list[dict[str, object]]:
    """The spec as a list with all defaults filled in, as a saved run keeps it.

    Raises:
        ConfigError: unknown encoders or options, all at once.

    >>> encoder_specs("linear", "encoders.text")
    [{'name': 'linear', 'norm': False, 'dropout': 0.1}]
    """
    found, problems = list[dict[str, object]](), list[str]()
    for one, place in _listed(spec, where):
        with gathering(problems):
            bare, own = _own_dim(one, place)
            found.append({**full_spec(Encoder, bare, place), **own})
    raise_all(ConfigError, problems)
    return found


def resolved_specs(specs: Sequence[Mapping[str, object]], encoder: Encoder) -> list[dict[str, object]]:
    """The `encoder_specs`, with the options that each encoder has `resolved`: no file is needed to rebuild them."""
    return [{**spec, **step.resolved()} for spec, step in zip(specs, steps_of(encoder))]


def steps_of(encoder: Encoder) -> list[Encoder]:
    """The encoders of a chain; of any other that encoder."""
    return [*cast("Iterable[Encoder]", encoder.steps)] if isinstance(encoder, _Chain) else [encoder]
