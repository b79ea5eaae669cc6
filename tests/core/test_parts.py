from __future__ import annotations

from abc import ABC, abstractmethod

import pytest

import plait
from plait.core.errors import ConfigError, MissingExtra, need
from plait.core.parts import build, find, full_spec, part_name, parts, suggest
from plait.features import Feature
from plait.readers import Reader


def test_parts_are_found_without_being_registered() -> None:
    assert {"media", "table", "subtitles", "e4", "array", "image"} <= set(parts(Reader))
    assert all(not name.startswith("_") for name in parts(Reader))


def test_unknown_parts_and_options_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"streams.a: there is no feature 'logmel'. Did you mean 'log_mel'"):
        find(Feature, "logmel", "streams.a")
    with pytest.raises(ConfigError) as caught:
        find(Feature, {"name": "log_mel", "mel": 3, "hopp": 1}, "streams.a")
    assert "Did you mean 'mels'?" in caught.value.problems[0]
    assert "Did you mean 'hop'?" in caught.value.problems[1]
    with pytest.raises(ConfigError, match="expected a name"):
        find(Feature, {"mels": 3}, "streams.a")


@pytest.mark.parametrize(
    "name", ["no.such.Thing", "plait.features.Feature", "plait.core.errors.DataError", "json.dumps"]
)
def test_a_dotted_name_must_be_a_concrete_subclass(name: str) -> None:
    with pytest.raises(ConfigError, match="x: "):
        find(Feature, name, "x")


def test_a_dotted_name_builds() -> None:
    feature = build(Feature, {"name": "plait.features.spectral.LogMel", "mels": 20}, where="x")
    assert feature.dim((1,)) == 20


def test_a_full_spec_holds_every_default() -> None:
    full = full_spec(Feature, {"name": "log_mel", "mels": 20}, "x")
    assert full["mels"] == 20
    assert {"hop", "window", "rate"} <= set(full)
    assert build(Feature, full, where="x").dim((1,)) == 20


def test_names_and_suggestions() -> None:
    class HfText(ABC):
        @abstractmethod
        def nothing(self) -> None: ...

    assert part_name(HfText) == "hf_text"
    assert suggest("zzz", ["a", "b"]) == "There is: a, b."
    assert suggest("reach", ["receptive_field", "width"]) == "It is called 'receptive_field' now."
    assert suggest("reach", ["beach", "width"]) == "Did you mean 'beach'?"


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'plait\[text\]'"):
        need("no_such_package_at_all", "text", "reading")


def test_every_public_name_is_there() -> None:
    assert len(plait.__all__) < 38
    for name in plait.__all__:
        thing = getattr(plait, name)
        assert thing.__doc__, name
    with pytest.raises(AttributeError, match="nothing"):
        plait.nothing  # noqa: B018
