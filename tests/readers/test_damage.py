"""Damage in the middle of a film or of sound is a hole, counted and told of; the rest is as in the whole file."""

from __future__ import annotations

import json
import pickle
from functools import cache

import numpy as np
import pytest

from plait.align.join import join
from plait.core.errors import ConfigError, DataError
from plait.features.flow import OpticalFlow
from plait.features.image import Dct, Frames
from plait.features.motion import Motion
from plait.quality.check import check_corpus
from plait.quality.deep import deep_check
from plait.readers import _damage
from plait.readers._damage import Damage
from plait.readers.media import Media
from plait.streams.pictures import read_grey
from plait.streams.stream import Stream
from plait.transforms.crop import Crop

FILMS = [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.mpg", "mpeg1video")]
ALL = [*FILMS, pytest.param(("a.webm", "libvpx"), marks=pytest.mark.slow)]  # its encoder takes 20 s
SOUNDS = [("a.m4a", "aac"), ("a.mkv", "aac"), ("a.aac", "aac"), ("a.mp3", "libmp3lame"), ("a.ogg", "flac"),
          ("a.mkv", "flac")]  # fmt: skip


def _packets(path, kind):
    """(pts, place in the file, size, whether a key frame) of each packet."""
    import av

    with av.open(str(path)) as container:
        track = container.streams.get(**{kind: 0})[0]
        return [(p.pts, p.pos, p.size, p.is_keyframe) for p in container.demux(track) if p.size]


def _spoil(path, packet, seed=0, share=0.05, skip=20):
    """Flip bytes of one packet, past its first ones."""
    _, place, size, _ = packet
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for at in rng.integers(place + min(skip, size // 2), place + size, max(round(share * size), 4)):
        data[at] ^= int(rng.integers(1, 256))
    path.write_bytes(data)


@pytest.fixture(scope="module")
def films(tmp_path_factory, encode):
    """200 moving pictures with a key frame every 10: whole, and with one packet in the middle damaged."""
    folder = tmp_path_factory.mktemp("films")

    @cache
    def make(name, codec):
        path = folder / f"{codec}{name}"
        encode(path, video=codec, audio=None, seconds=8, gop=10, level=lambda i: 40 + 2 * (i % 80), size=(192, 128))
        bad = folder / f"bad{path.name}"
        bad.write_bytes(path.read_bytes())
        packets = _packets(path, "video")
        largest = max(range(81, 120), key=lambda i: packets[i][2] if packets[i][1] and not packets[i][3] else 0)
        few = codec == "mpeg1video"  # much damage there hides packets from the demuxer
        _spoil(bad, packets[largest], share=0.02 if few else 0.5, skip=30 if few else 4)
        return path, bad

    return make


@pytest.mark.parametrize("film", ALL)
def test_one_bad_frame_is_a_hole_up_to_the_next_key_frame(film, films, caplog):
    whole, bad = (Media(max_corrupt_share=0.1).open(path)["video"] for path in films(*film))
    good, got, mask = whole.read(), bad.read(), bad.mask()
    assert bad.clock == whole.clock
    assert 1 <= (~mask).sum() <= 12
    first, last = np.flatnonzero(~mask)[[0, -1]]
    assert 70 < first <= last < 130
    assert not got[~mask].any()
    assert np.array_equal(got[mask], good[mask])
    assert whole.mask().all()
    assert len([r for r in caplog.records if "do not decode" in r.message]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("film", ALL)
def test_holes_are_the_same_however_they_are_read(film, films):
    path = films(*film)[1]
    stream = Media(max_corrupt_share=0.1).open(path)["video"]
    values, mask = stream.read(), stream.mask()
    hole = int(np.argmin(mask))
    rng = np.random.default_rng(1)
    windows = [(hole, hole + 1), (hole - 1, hole), (hole - 3, hole + 2), (hole + 1, hole + 30)]
    windows += [tuple(sorted(rng.integers(0, 201, 2).tolist())) for _ in range(10)]
    for lo, hi in windows:
        for part in (stream[lo:hi], Media(max_corrupt_share=0.1).open(path)["video"][lo:hi]):
            assert np.array_equal(part.mask(), mask[lo:hi])
            assert np.array_equal(part.read(), values[lo:hi])
    blocks = list(pickle.loads(pickle.dumps(stream)).blocks(7))
    assert np.array_equal(np.concatenate([b.read() for b in blocks]), values)
    assert np.array_equal(read_grey(stream[mask.argmin() :][:1]), np.zeros((1, 128, 192), np.uint8))


def test_more_than_the_share_is_an_error_that_names_the_option(films):
    path = films(*FILMS[0])[1]
    with pytest.raises(DataError, match=r"of 200 are lost; expected at most a share of 0\.001 .max_corrupt_share"):
        Media(max_corrupt_share=0.001).open(path)["video"].read()
    with pytest.raises(ConfigError, match=r"max_corrupt_share: got 1\.5"):
        Media(max_corrupt_share=1.5)


def test_a_damaged_key_frame_is_looked_for_once(films, tmp_path, monkeypatch):
    from plait.readers._cursor import Cursor

    path = tmp_path / "a.mkv"
    path.write_bytes(films("a.mkv", "libx264")[0].read_bytes())
    packets = _packets(path, "video")
    key = next(i for i, p in enumerate(packets) if i > 90 and p[3])
    _spoil(path, packets[key], share=0.8, skip=4)
    stream = Media(max_corrupt_share=0.1).open(path)["video"]
    starts = []
    monkeypatch.setattr(Cursor, "start", lambda self, pts=None, s=Cursor.start: (starts.append(pts), s(self, pts)))
    lo = int(np.searchsorted([p[0] for p in packets], packets[key][0]))
    assert not stream[lo + 2 : lo + 4].mask().any()
    for _ in range(3):
        assert not stream[lo + 2 : lo + 4].mask().any()
        stream[lo + 2 : lo + 4].read()
    assert starts.count(None) <= 1
    monkeypatch.undo()
    assert np.array_equal(stream.mask(), Media(max_corrupt_share=0.1).open(path)["video"].mask())


@pytest.mark.slow
@pytest.mark.parametrize(
    "feature", [Frames(), Dct(deltas=True), Motion(), OpticalFlow(), Frames(rate=12.5, grey=False)]
)
def test_features_of_lost_pictures_are_not_observed(feature, films):
    whole, bad = (Media(max_corrupt_share=0.1).open(path)["video"] for path in films(*FILMS[0]))
    want, got = feature(whole)[0], feature(bad)[0]
    gone = np.isnan(got).all(1)
    assert 1 <= gone.sum() <= 13
    same = ~np.isnan(got).any(1)
    same[np.flatnonzero(gone)[-1] + 1] = False  # a difference that has nothing before it
    assert np.array_equal(got[same], want[same])


def test_steps_and_joins_keep_the_mask(films):
    bad = Media(max_corrupt_share=0.1).open(films(*FILMS[0])[1])["video"]
    mask = bad.mask()
    cropped = Crop(box=[0.25, 0.25, 0.5, 0.5])(bad)
    assert np.array_equal(cropped.mask(), mask)
    numbers = Stream.of(np.zeros(200), rate=25)
    small = Media(width=6, grey=True, max_corrupt_share=0.1).open(films(*FILMS[0])[1])["video"]
    for how in ("nearest", "mean"):
        joined = join(numbers, small, how, max_gap=0.01)
        assert np.array_equal(joined.mask.reshape(200, -1).all(1), mask)
        assert not joined.values[~joined.mask].any()


def test_check_tells_of_holes_with_their_times(films, tmp_path):
    path = films(*FILMS[0])[1]
    (tmp_path / "a.mp4").write_bytes(path.read_bytes())
    entry = {"path": "a.mp4", "part": "video", "options": {"max_corrupt_share": 0.1}}
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "a", "streams": {"film": entry}}))
    report = check_corpus(tmp_path / "m.jsonl", deep=True)
    lost = np.flatnonzero(~Media(max_corrupt_share=0.1).open(path)["video"].mask())
    assert report.problems == []
    (warning,) = [w for w in report.warnings if "decode" in w]
    assert f"{len(lost)} of 200 pictures do not decode: not observed." in warning
    assert f"from {lost[0] / 25:.3f} to {(lost[-1] + 1) / 25:.3f} s" in warning


@pytest.mark.slow
@pytest.mark.parametrize(("name", "codec"), SOUNDS)
def test_damaged_sound_is_nan_and_all_else_in_its_place(name, codec, tmp_path, encode):
    path = tmp_path / name
    encode(path, video=None, audio=codec, rate=16000, seconds=20, at=15.0)
    want = Media().open(path)["audio"].read()
    packets = _packets(path, "audio")
    _spoil(path, packets[len(packets) // 2], share=1.0, skip=6)
    stream = Media().open(path)["audio"]
    got = stream.read()
    gone = np.isnan(got[:, 0])
    assert abs(len(got) - len(want)) <= (0 if name in ("a.m4a", "a.mkv") else 1152)
    assert gone.sum() <= (5 if name == "a.ogg" else 2) * 4608
    last, now = (int(np.flatnonzero(np.abs(np.nan_to_num(x[:, 0])) > 0.25)[-1]) for x in (want, got))
    assert abs(now - last) <= (0 if name in ("a.m4a", "a.mkv") else 1152)
    assert np.allclose(got[:140_000], want[:140_000], atol=0.02)


def test_much_lost_sound_is_an_error_and_nan_where_that_is_wanted(tmp_path, encode):
    path = tmp_path / "a.m4a"
    encode(path, video=None, audio="aac", rate=16000, seconds=10)
    packets = _packets(path, "audio")
    for i in range(40, 70):
        _spoil(path, packets[i], seed=i, share=1.0, skip=0)
    with pytest.raises(DataError, match=r"samples of sound do not decode.*max_corrupt_share"):
        Media(max_corrupt_share=0.0).open(path)["audio"].read()
    stream = Media(max_corrupt_share=1.0).open(path)["audio"]
    values = stream.read()
    gone = np.isnan(values[:, 0])
    assert 0 < gone.sum() <= 40 * 1024
    problems, warnings = deep_check(stream)
    assert not problems
    assert "Nothing is known from" in warnings[0]


def test_an_open_group_loses_what_leans_on_it_and_no_more():
    """Decoded 0 3 1 2 | 6 4 5 | 9: picture 6 is a key frame, 4 and 5 lean on it and on 3."""
    shown = np.arange(8)
    order = np.array([0, 2, 3, 1, 5, 6, 4, 7])  # the packet of each picture shown
    film = Damage(order, np.array([1, 0, 0, 0, 0, 0, 1, 1], bool))
    film.add(3)
    assert shown[film.lost].tolist() == [1, 2, 3, 4, 5]
    assert film.count == 5


def test_a_warning_is_told_once(films, caplog):
    _damage.tell_once.cache_clear()
    for _ in range(3):
        Media(max_corrupt_share=0.1).open(films(*FILMS[0])[1])["video"].read()
    assert len([r for r in caplog.records if "do not decode" in r.message]) == 1
