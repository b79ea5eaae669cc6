"""Features of real files; skipped without PLAIT_DATA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plait.features.image import Dct, Frames
from plait.features.motion import Motion
from plait.features.pitch import Pitch
from plait.features.prosody import COLUMNS, Prosody
from plait.features.series import Statistics
from plait.features.spectral import LogMel
from plait.readers import open_streams
from plait.streams.clock import Ticks
from plait.streams.stream import Stream


def only(streams: dict[str, Stream], kind: str) -> Stream:
    (stream,) = [s for s in streams.values() if s.kind == kind]
    return stream


def test_a_grid_clip(real_data: Path) -> None:
    streams = open_streams(real_data / "grid_s1" / "s1" / "bbaf4p.mp4")
    picture, sound = only(streams, "frames"), only(streams, "waveform")
    for feature, width in ((Frames(), 768), (Dct(deltas=True), 88), (Motion(), 48)):
        values, clock = feature(picture)
        assert values.shape[1] == width
        assert np.isfinite(values).all()
        assert 2.9 < clock.stop < 3.1
    values, clock = LogMel()(sound)
    assert values.shape == (296, 40)
    assert 2.9 < clock.stop < 3.0
    assert values.std() > 2


def test_wrist_sensors(real_data: Path) -> None:
    streams = open_streams(real_data / "stress_predict" / "Raw_data" / "S02")
    feature = Statistics(window=60, hop=30)
    tried = 0
    for stream in streams.values():
        if stream.kind != "series":
            continue
        values, clock = feature(stream)
        assert values.shape == (len(clock), feature.dim(stream.source.shape))
        empty = np.isnan(values).all(1)
        assert np.isfinite(values[~empty]).all()
        assert not empty.any() or isinstance(stream.clock, Ticks)
        tried += 1
    assert tried >= 5


@pytest.mark.parametrize("name", ["test.wav", "test.avi"])
def test_sound_of_containers(real_data: Path, name: str) -> None:
    values, clock = LogMel()(only(open_streams(real_data / "sample_videos" / name), "waveform"))
    assert np.isfinite(values).all()
    assert 6.4 < clock.stop < 6.7


def test_voices_of_read_sentences(real_data: Path) -> None:
    """Voice is where words are, not where the transcript has silence; and so are the syllables."""
    syllables, voiced = [], {True: [], False: []}
    for clip in sorted((real_data / "grid_s1" / "s1").glob("*.mp4"))[::120]:
        sound = only(open_streams(clip), "waveform")
        rows = (real_data / "grid_s1" / "align" / "s1" / f"{clip.stem}.align").read_text().split("\n")
        words = [(int(a) / 25000, int(b) / 25000, word == "sil") for a, b, word in map(str.split, filter(None, rows))]
        values, clock = Pitch()(sound)
        for start, stop, silent in words:
            inside = (clock.times > start + 0.08 * silent) & (clock.times < stop - 0.08 * silent)
            voiced[silent] += (~np.isnan(values[inside, 0])).tolist()
        rate = Prosody(span=60)(sound)[0][0, COLUMNS.index("speaking rate")]
        syllables.append(rate * (len(sound) / float(sound.clock.rate) - 0.07))
    assert np.mean(voiced[True]) < 0.03
    assert np.mean(voiced[False]) > 0.6
    assert 5.5 < np.mean(syllables) < 8  # six words, a few of two syllables
