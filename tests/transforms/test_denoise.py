"""Denoising: noise goes, speech stays, in pieces as at once, and the gates are those of noisereduce."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import fftconvolve

from plait.core.errors import ConfigError, DataError
from plait.readers import open_streams
from plait.streams.stream import ArraySource, Stream
from plait.transforms import _gains, apply_steps, denoise
from plait.transforms.denoise import METHODS, Denoise
from plait.transforms.noise import add_noise

RATE = 8000


def voice(seconds: float = 3.0, seed: int = 0) -> Any:
    """Something like speech: a buzz in syllables."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 130 * k * t + rng.uniform(0, 6)) / k for k in range(1, 20))
    return 0.1 * buzz * (np.sin(2 * np.pi * 1.5 * t + rng.uniform(0, 6)) > 0)


def sound(values: Any) -> Stream:
    return Stream.of(np.asarray(values, np.float32), rate=RATE, kind="waveform")


def ratio(made: Any, clean: Any) -> float:
    part = (made @ clean) / (clean @ clean) * clean
    return float(10 * np.log10((part @ part) / ((made - part) ** 2).sum()))


def run(stream: Stream, **options: Any) -> Any:
    return apply_steps(stream, [{"name": "denoise", **options}]).read()[:, 0].astype(np.float64)


@pytest.mark.parametrize("options", [{}, {"method": "wiener"}, {"method": "gate", "noise": [0.0, 0.5]}])
def test_steady_noise_goes_and_the_voice_stays(options: dict[str, Any]) -> None:
    clean = voice()
    clean[: RATE // 2] = 0
    for kind, level, least in (("white", 0.0, 3.0), ("white", 5.0, 2.0), ("pink", 5.0, 0.5)):
        noisy = add_noise(sound(clean), kind, level, 1)
        assert ratio(run(noisy, **options), clean) > level + least
    assert ratio(run(add_noise(sound(clean), "white", 40.0, 1)), clean) > 15


@pytest.mark.parametrize("method", METHODS)
def test_in_pieces_as_at_once_and_seams_are_not_heard(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = add_noise(sound(voice(7)), "white", 10.0, 1)
    monkeypatch.setattr(denoise, "CHUNK", 3.0)
    made = Denoise(method=method)(noisy)
    whole = made.read()
    assert whole.shape == (len(noisy), 1)
    assert whole.dtype == np.float32
    assert np.array_equal(np.concatenate([b.read() for b in made.blocks(10_007)]), whole)
    assert np.array_equal(made[20_000:51_000].read(), whole[20_000:51_000])
    assert made[5:5].read().shape == (0, 1)
    monkeypatch.setattr(denoise, "CHUNK", 100.0)
    once = Denoise(method=method)(noisy).read()
    assert ((whole - once) ** 2).mean() < 1e-4 * (once**2).mean()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["om_lsa", "wiener", "drifting_gate"])
def test_it_sees_no_further_than_it_declares(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoise, "CHUNK", 1.0)
    monkeypatch.setattr(_gains.DriftingGate, "before", 1.0)
    monkeypatch.setattr(_gains.DriftingGate, "after", 1.0)
    step = Denoise(method=method)
    noisy = add_noise(sound(voice(6)), "white", 10.0, 1)
    whole, other = step(noisy).read(), np.random.default_rng(0).normal(size=(6 * RATE, 1)).astype(np.float32)
    assert step.causal
    for row in (1_000, 41_001):
        near = np.abs(np.arange(6 * RATE) - row) / RATE <= step.receptive_field
        changed = replace(noisy, source=ArraySource(np.where(near[:, None], noisy.read(), other)))
        np.testing.assert_allclose(step(changed).read()[row], whole[row], atol=1e-6)


def test_there_and_back_is_the_identity() -> None:
    x = np.random.default_rng(0).normal(size=5003)
    for window, overlap in ((0.032, 2), (0.064, 4), (0.0301, 2)):
        spectra = denoise._Spectra.of(RATE, window, overlap)
        np.testing.assert_allclose(spectra.changed(x, lambda power: np.ones(power.shape)), x, atol=1e-9)  # type: ignore[arg-type]


@pytest.mark.parametrize("stationary", [True, False])
def test_the_gates_are_those_of_noisereduce(stationary: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the mask smoothed over zeros beyond the borders of the spectrum, as there; that is the one departure."""
    gates = pytest.importorskip("noisereduce.spectralgate")
    options: dict[str, Any] = {"chunk_size": 600_000, "padding": 160_000, "n_fft": 1024, "time_constant_s": 2.0}
    options |= {"win_length": None, "hop_length": None, "freq_mask_smooth_hz": 500, "time_mask_smooth_ms": 50}
    options |= {"prop_decrease": 1.0, "tmp_folder": None, "use_tqdm": False, "n_jobs": 1}
    noisy = add_noise(Stream.of(np.repeat(voice(3), 2), rate=16000, kind="waveform"), "white", 8.0, 1)
    x = noisy.read()[:, 0].astype(np.float64)
    if stationary:
        own: dict[str, Any] = {"y_noise": None, "n_std_thresh_stationary": 1.5, "clip_noise_stationary": True}
        theirs = gates.SpectralGateStationary(x, 16000, **own, **options)
    else:
        own = {"thresh_n_mult_nonstationary": 2, "sigmoid_slope_nonstationary": 10}
        theirs = gates.SpectralGateNonStationary(x, 16000, **own, **options)

    def smooth(self: Any, mask: Any) -> Any:
        triangles = [np.concatenate([np.arange(1, n + 1), np.arange(n + 1, 0, -1)]) / (n + 1) ** 2 for n in (3, 16)]
        return fftconvolve(mask, np.outer(*triangles), mode="same")

    monkeypatch.setattr(_gains._Gate, "smooth", smooth)
    made = Denoise(method="gate" if stationary else "drifting_gate")(noisy)
    if stationary:
        thresholds = theirs.noise_thresh + 20 * np.log10(512)  # scipy divides by the window's sum
        assert np.abs(made.source.thresholds[0] - thresholds).mean() < 0.3  # type: ignore[attr-defined]
        made.source.thresholds = thresholds[None]  # type: ignore[attr-defined]
    off = (made.read()[:, 0] - theirs.get_traces())[2048:-2048]  # there frames of zeros stand before and after
    assert np.sqrt((off**2).mean()) < (1e-5 if stationary else 0.02) * x.std()


def test_a_gate_that_is_told_where_noise_alone_is_heard_may_be_causal() -> None:
    assert Denoise(method="gate", noise=(0.0, 0.5)).causal
    assert not Denoise(method="gate").causal
    with pytest.raises(DataError, match="outside the sound"):
        run(sound(voice()), method="gate", noise=[5.0, 6.0])


def test_channels_gaps_and_whole_numbers() -> None:
    one, two = (add_noise(sound(voice(seed=s)), "white", 5.0, s).read()[:, 0] for s in (0, 1))
    both = run(sound(np.stack([one, two], 1)))
    np.testing.assert_allclose(both, run(sound(one)), atol=1e-6)
    gappy = one.copy()
    gappy[9000:9100] = np.nan
    assert np.array_equal(np.isnan(run(sound(gappy))), np.isnan(gappy))
    whole = Stream.of((one * 2**15).astype(np.int16)[:, None], rate=RATE, kind="waveform")
    np.testing.assert_allclose(run(whole), run(sound(one)), atol=2e-3)
    assert run(sound(one)[:0]).shape == (0,)
    assert np.isfinite(run(sound(one)[:7])).all()
    assert (run(sound(np.zeros(4000))) == 0).all()


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match="om_lsa, wiener, gate") as caught:
        Denoise(method="magic", floor=3, window=-1)
    assert len(caught.value.problems) == 3
    with pytest.raises(ConfigError, match="method: gate"):
        Denoise(noise=(0, 1))
    with pytest.raises(DataError, match="expected a regular rate"):
        Denoise()(Stream.of(np.zeros(4), times=np.arange(4), kind="waveform"))
    with pytest.raises(DataError, match="longer window"):
        Denoise()(Stream.of(np.zeros(4), rate=100, kind="waveform"))
    with pytest.raises(DataError, match="infinite"):
        Denoise()(sound(np.full(4000, np.inf))).read()


@pytest.mark.slow
def test_real_speech_gains_more_than_with_noisereduce(real_data: Path) -> None:
    reduce_noise = pytest.importorskip("noisereduce").reduce_noise
    files = sorted((real_data / "grid_s1" / "s1").glob("*.mp4"))[7::200]
    ours, theirs = [], []
    for i, file in enumerate(files):
        clip = next(s for s in open_streams(file).values() if s.kind == "waveform")
        clean = clip.read()[:, 0].astype(np.float64)
        for level in (0.0, 10.0):
            noisy = add_noise(clip, "white", level, i)
            values = noisy.read()[:, 0].astype(np.float64)
            ours.append(ratio(run(noisy), clean) - ratio(values, clean))
            theirs.append(ratio(reduce_noise(y=values, sr=16000, stationary=True), clean) - ratio(values, clean))
    assert np.mean(ours) > 4
    assert np.mean(ours) > np.mean(theirs) + 1
