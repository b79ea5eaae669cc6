"""The laws over every step, noise, augmentation and export format, and classes that break each of them.

Those of features run in tests/features/test_declared.py, on the streams that each is for.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
import torch

from plait.augmentations import Augmentation
from plait.augmentations.gaussian_noise import GaussianNoise
from plait.augmentations.random_gain import RandomGain
from plait.core.errors import DataError
from plait.core.parts import parts
from plait.corpus.corpus import Corpus, RecordingEntry, StreamEntry, write_manifest
from plait.features.series import Series
from plait.interchange import Format
from plait.interchange.textgrid import Textgrid
from plait.interchange.webdataset import Webdataset
from plait.streams.stream import ArraySource, Stream
from plait.testing import LawBroken, check_augmentation, check_feature, check_format, check_noise, check_step
from plait.testing.streams import made_stream
from plait.transforms import Step
from plait.transforms.hampel import Hampel
from plait.transforms.noise import Noise
from plait.transforms.noise.coloured import White
from plait.transforms.noise.lost import Dropout

FILM = made_stream("frames")
GPS = replace(Stream.of(np.cumsum(np.full((50, 2), 1e-5), 0) + 50, rate=1), channels=("lat", "lon"))
BODY = Stream.of(np.random.default_rng(0).normal(size=(60, 20, 3)), rate=30)

STEPS = {
    "crop": ([FILM], {"box": [0.1, 0.1, 0.5, 0.5]}),
    "keypoints": ([FILM], {"of": "face"}),
    "metres": ([GPS], {"origin": [50.0, 50.0]}),
    "register": ([FILM], {"matrix": [[1, 0, 1], [0, 1, 2], [0, 0, 1]]}),
    "skeleton": ([BODY], {"layout": "kinect20"}),
}
"""Steps that need an option, or a stream of some sort; those that look for faces are tried on faces elsewhere."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "keypoints" else name
        for name in sorted({*parts(Step)} - {"face", "mouth"})
    ],
)
def test_every_step_keeps_the_laws(name: str) -> None:
    if name == "keypoints":  # its nets are tried in tests/transforms/test_keypoints.py
        pytest.importorskip("ai_edge_litert", reason="the extra keypoints is not installed")
        if find_spec("mediapipe") is None:
            pytest.skip("the models are not installed")
    streams, options = STEPS.get(name, ([], {}))
    check_step(parts(Step)[name], *streams, **options)


@pytest.mark.parametrize("name", parts(Noise))
def test_every_noise_keeps_the_laws(name: str) -> None:
    check_noise(parts(Noise)[name], *([made_stream("waveform")] if name == "hum" else []))


@pytest.mark.parametrize("name", parts(Augmentation))
def test_every_augmentation_keeps_the_laws(name: str) -> None:
    check_augmentation(parts(Augmentation)[name])


@pytest.mark.parametrize("name", parts(Format))
def test_every_format_keeps_the_laws(name: str, tmp_path: Path) -> None:
    cls, corpus = parts(Format)[name], None
    if name == "hf_datasets":
        pytest.importorskip("pyarrow")
    if name == "lhotse":  # it points at files of sound
        scipy.io.wavfile.write(tmp_path / "a.wav", 800, np.zeros(800, np.int16))
        write_manifest(tmp_path / "m.jsonl", [RecordingEntry(id="a", streams={"mic": StreamEntry(path="a.wav")})])
        corpus = Corpus(tmp_path / "m.jsonl")
    check_format(cls, corpus)


class Greedy(Hampel):
    kinds = ("series", "pose")

    def apply(self, stream):
        return replace(stream, source=ArraySource(stream.read() - stream.read().sum(0)), first=0)


class ByBlock(Hampel):
    def apply(self, stream):
        return replace(stream, source=_Centred(stream), first=0)


class _Centred:
    def __init__(self, stream):
        self.stream, self.shape = stream, stream.source.shape

    def read(self, lo, hi):
        values = self.stream[lo:hi].read()
        return values - (values.mean(0) if len(values) else 0)


class Overwrites(Hampel):
    def apply(self, stream):
        values = stream.read()
        values += 1
        return replace(stream, source=ArraySource(values.copy()), first=0)


class Counted(Hampel):
    def notes(self):
        return {"outliers": 0}


class Anything(Hampel):
    def __call__(self, stream):
        return stream


@pytest.mark.parametrize(
    ("cls", "law"),
    [
        (Greedy, "receptive field"),
        (ByBlock, "pieces"),
        (Overwrites, "inputs"),
        (Counted, "notes"),
        (Anything, "kinds"),
    ],
)
def test_each_law_of_steps_can_be_broken(cls, law):
    with pytest.raises(LawBroken) as error:
        check_step(cls, made_stream("series"))
    assert error.value.law == law


class Unseeded(White):
    def apply(self, stream, level, seed, others):
        return super().apply(stream, level, id(self), others)


class Eager(White):
    def apply(self, stream, level, seed, others):
        stream.read()
        return super().apply(stream, level, seed, others)


class Lax(White):
    def check(self, level, where):
        pass


class Turned(White):
    rising = True


class Fills(Dropout):
    def apply(self, stream, level, seed, others):
        made = super().apply(stream, level, seed, others)
        return replace(made, source=_Filled(made.source))


class _Filled:
    def __init__(self, inner):
        self.inner, self.shape = inner, inner.shape

    def read(self, lo, hi):
        return np.nan_to_num(self.inner.read(lo, hi), nan=9.0)


@pytest.mark.parametrize(
    ("cls", "law"),
    [(Unseeded, "seeds"), (Eager, "laziness"), (Lax, "levels"), (Turned, "harm"), (Fills, "gaps")],
)
def test_each_law_of_noises_can_be_broken(cls, law):
    with pytest.raises(LawBroken) as error:
        check_noise(cls, made_stream("series"))
    assert error.value.law == law


class Spreads(RandomGain):
    def __call__(self, batch, setting):
        return {m: t.with_values(t.values * (1 + t.values.mean())) for m, t in super().__call__(batch, setting).items()}


class InPlace(RandomGain):
    def __call__(self, batch, setting):
        return {m: t.with_values(t.values.mul_(torch.rand(len(t.mask), 1, 1))) for m, t in batch.items()}


class Constant(RandomGain):
    def __call__(self, batch, setting):
        return dict(batch)


class Loses(GaussianNoise):
    def __call__(self, batch, setting):
        return {"fast": super().__call__(batch, setting)["fast"]}


@pytest.mark.parametrize(
    ("cls", "law"), [(Spreads, "masks"), (InPlace, "inputs"), (Constant, "draws"), (Loses, "shape")]
)
def test_each_law_of_augmentations_can_be_broken(cls, law):
    with pytest.raises(LawBroken) as error:
        check_augmentation(cls)
    assert error.value.law == law


class AllOfIt(Series):
    def compute(self, stream):
        values, clock = super().compute(stream)
        return values - values[-1:], clock


class Double(Series):
    def compute(self, stream):
        values, clock = super().compute(stream)
        return values.astype(float), clock


class Late(Series):
    def compute(self, stream):
        values, clock = super().compute(stream)
        return values + np.float32(clock.start), clock


@pytest.mark.parametrize(("cls", "law"), [(AllOfIt, "receptive field"), (Double, "shape"), (Late, "times")])
def test_each_law_of_features_can_be_broken(cls, law):
    with pytest.raises(LawBroken) as error:
        check_feature(cls)
    assert error.value.law == law


class Silent(Textgrid):
    def write(self, corpus, found, out, moved):
        super().write(corpus, found, out, moved)
        moved.notes.clear()


class Skips(Textgrid):
    def write(self, corpus, found, out, moved):
        next(found)
        out.mkdir()


class Forgets(Webdataset):
    def write(self, corpus, found, out, moved):
        super().write(corpus, (replace(sample, labels={}) for sample in found), out, moved)


class Trusting(Webdataset):
    def read(self, path, out, moved):
        try:
            super().read(path, out, moved)
        except DataError as error:
            raise ValueError from error


@pytest.mark.parametrize(
    ("cls", "law"), [(Silent, "counts"), (Skips, "writing"), (Forgets, "reading"), (Trusting, "damage")]
)
def test_each_law_of_formats_can_be_broken(cls, law):
    with pytest.raises(LawBroken) as error:
        check_format(cls)
    assert error.value.law == law
