"""Options of parts against the types that signatures declare, for every kind of part at once."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
import torch
from pydantic import Field

from plait.catalogue import SORTS, base_of
from plait.core.errors import ConfigError
from plait.core.options import Count, Few, expected, option_problems
from plait.core.parts import build, find, parts
from plait.encoders import Encoder
from plait.fusion import Fusion
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tokens.budget import Budget

if TYPE_CHECKING:
    from decimal import Decimal

WRONG: dict[str, list[Any]] = {
    "int": ["7", 1.5, True, [1], {"a": 1}],
    "float": ["fast", True, [1.0], float("inf")],
    "str": [1, True, ["x"], {"a": 1}],
    "bool": ["yes", 1, []],
}


@pytest.mark.parametrize("sort", sorted(SORTS))
def test_no_part_takes_an_option_of_a_wrong_type(sort: str) -> None:
    base = base_of(sort)
    tried = 0
    for name, cls in parts(base).items():
        for option in inspect.signature(cls).parameters.values():
            if option.kind is not inspect.Parameter.KEYWORD_ONLY:
                continue
            for value in WRONG.get(str(option.annotation), [object()]):
                with pytest.raises(ConfigError, match=rf"here.{option.name}: got .*; expected "):
                    find(base, {"name": name, option.name: value}, "here")
                tried += 1
    assert tried > 0


@pytest.mark.parametrize("sort", sorted(SORTS))
def test_what_is_written_out_is_taken_back(sort: str) -> None:
    base = base_of(sort)
    for name, cls in parts(base).items():
        given = {
            p.name: list(p.default) if isinstance(p.default, tuple) else p.default
            for p in inspect.signature(cls).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is not inspect.Parameter.empty
        }
        assert find(base, {"name": name, **given}, "here")[1] == given


class Mine(Encoder):
    """As a user would write one."""

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        layers: Few = 1,
        share: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        pair: tuple[float, float] = (0.5, 1.0),
        kind: Literal["a", "b"] = "a",
        sizes: Sequence[Count] | None = None,
        more: Mapping[str, Any] | None = None,
        unknown: Decimal | None = None,
        bare=None,  # type: ignore[no-untyped-def]  # without an annotation there is nothing to check
    ) -> None:
        super().__init__()
        raise KeyError("mine")

    def forward(self, tokens: Any) -> Any:
        return tokens


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"layers": 0}, "m.layers: got 0; expected a whole number from 1 to 1,000."),
        ({"share": 1}, "m.share: got 1; expected a number above 0 up to, but not including, 1."),
        ({"pair": [1, 2, 3]}, "m.pair: got [1, 2, 3]; expected a list of 2 (each a number)."),
        ({"kind": "c"}, "m.kind: got 'c'; expected one of a, b."),
        ({"sizes": [1, -1]}, "m.sizes: got [1, -1]; expected a list (each a whole number from 1 to 10,000) or null."),
        ({"sizes": "12"}, "m.sizes: got '12'; expected a list (each a whole number from 1 to 10,000) or null."),
        ({"more": [1]}, "m.more: got [1]; expected a mapping or null."),
        ({"unknown": object, "bare": object, "none": 1}, None),
        ({"pair": [1, 2], "sizes": [3], "more": {"a": 1}, "kind": "b"}, None),
    ],
)
def test_what_is_expected_is_said(options: dict[str, Any], told: str | None) -> None:
    assert option_problems(Mine, options, "m") == ([told] if told else [])


def test_all_problems_come_at_once_and_are_short() -> None:
    with pytest.raises(ConfigError) as error:
        find(Encoder, {"name": "conv", "kernel": "x" * 10_000, "norm": 5, "stride": 1}, "streams.imu.encoder")
    assert len(error.value.problems) == 3
    assert len(str(error.value)) < 600


def test_whatever_a_part_raises_is_told_as_its_options() -> None:
    with pytest.raises(ConfigError, match=r"m: mine does not take .* \('mine'\)"):
        build(Encoder, f"{Mine.__module__}.Mine", 3, 8, where="m")


def test_words() -> None:
    assert expected(int | str | None) == "a whole number, a text or null"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dim": -1}, "model.dim: got -1"),
        ({"dim": 10**9}, "model.dim"),
        ({"dim": "wide"}, "model.dim"),
        ({"missing": 3}, "model.missing"),
        ({"encoders": {"a": ["linear"] * 200}}, "encoders.a: .*200.*100"),
        ({"encoders": {"a": {"name": "conv", "kernel": 1000}}, "dim": 10_000}, "encoders.a: would hold"),
        ({"encoders": {"a": {"name": "transformer", "layers": 10**9}}}, "encoders.a.layers"),
        ({"fusion": {"name": "latents", "latents": 10**12}}, "fusion.latents"),
    ],
)
def test_no_model_beyond_all_measure(options: dict[str, Any], told: str) -> None:
    begun = time.process_time()
    with pytest.raises(ConfigError, match=told):
        Model({"a": 4}, Classify(["x", "y"]), **options)
    assert time.process_time() - begun < 5


@pytest.mark.slow
def test_many_small_tensors_are_too_many_too() -> None:
    def make() -> None:
        with Budget("here"):
            for _ in range(200_000):
                torch.zeros(1)

    with pytest.raises(ConfigError, match="here: would make more than 100,000 tensors"):
        make()


@pytest.mark.parametrize("name", sorted(parts(Fusion)))
def test_every_fusion_is_made_within_the_budget(name: str) -> None:
    Model({"a": 4, "b": 3}, Classify(["x", "y"]), fusion=name, dim=16)
