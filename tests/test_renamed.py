"""A name of before is refused, and the one of now told."""

from __future__ import annotations

import pytest

from plait.core.errors import ConfigError
from plait.core.parts import find, full_spec
from plait.features import Feature
from plait.fusion import Fusion
from plait.recipe import parse_recipe
from plait.training.full import full_recipe


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [
        ("train", "balance", "temperature_scaling"),
        ("train", "teach", "self_distillation"),
        ("train", "distil", "modality_distillation"),
        ("train", "modulate", "ogm_ge"),
        ("streams.imu", "steps", "preprocess"),
        ("streams.imu", "scale", "normalization_groups"),
        ("streams.imu", "level", "normalization"),
    ],
)
def test_a_key_of_before_is_refused_and_the_one_of_now_told(section: str, old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=rf"{section}\.{old}: there is no such key\. It is called '{new}' now\."):
        parse_recipe("{corpus: m, task: classify, streams: {imu: {}}}", [f"{section}.{old}=1"])


@pytest.mark.parametrize(("old", "new"), [("steps", "time_bins"), ("own", "unimodal_heads")])
def test_so_is_an_option_of_before(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"It is called '{new}' now"):
        full_spec(Fusion, {"name": "concat", old: 1}, "fusion")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("warp", "crop_resize"),
        ("scale", "random_gain"),
        ("jitter", "gaussian_noise"),
        ("drop", "modality_dropout"),
    ],
)
def test_so_is_an_augmentation_of_before(old: str, new: str) -> None:
    recipe = parse_recipe("{corpus: m, task: classify}", [f"augment.{old}=0.1"])
    with pytest.raises(
        ConfigError, match=rf"augment\.{old}: there is no such augmentation\. It is called '{new}' now\."
    ):
        full_recipe(recipe)


@pytest.mark.parametrize(("old", "new"), [("heart", "hrv"), ("skin_conductance", "eda")])
def test_so_is_a_feature_of_before(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=rf"streams.a: there is no feature '{old}'\. It is called '{new}' now\."):
        find(Feature, old, "streams.a")
