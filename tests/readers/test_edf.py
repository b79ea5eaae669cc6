"""EDF, EDF+ and BDF: against files of two independent writers, and by hand."""

from __future__ import annotations

import datetime
import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.readers import open_streams
from plait.readers.edf import Edf
from plait.streams.clock import Grid, Spans, Ticks

pyedflib = pytest.importorskip("pyedflib")


def _header(label, rate, digital=32767, physical=200.0):
    return {"label": label, "dimension": "uV", "sample_frequency": rate, "physical_max": physical,
            "physical_min": -physical, "digital_max": digital, "digital_min": -digital - 1,
            "transducer": "", "prefilter": ""}  # fmt: skip


@pytest.fixture(params=["edf", "bdf"])
def recorded(request, tmp_path):
    """A file that pyedflib wrote: two channels at 200 Hz, one at 25 Hz, two annotations."""
    path = tmp_path / f"night.{request.param}"
    kind, top = (pyedflib.FILETYPE_EDFPLUS, 2**15) if request.param == "edf" else (pyedflib.FILETYPE_BDFPLUS, 2**23)
    rng = np.random.default_rng(0)
    signals = [rng.uniform(-150, 150, 200 * 7), rng.uniform(-150, 150, 200 * 7), rng.uniform(-90, 90, 25 * 7)]
    with pyedflib.EdfWriter(str(path), 3, file_type=kind) as out:
        out.setSignalHeaders([_header("Fp1", 200, top - 1), _header("Fp2", 200, top - 1), _header("Resp", 25, top - 1)])
        out.setStartdatetime(datetime.datetime(2026, 3, 2, 22, 15, 30))
        out.writeSamples(signals)
        out.writeAnnotation(1.25, 0.5, "blink")
        out.writeAnnotation(6.0, -1, "lights on é")
    return path


def test_values_and_annotations_are_those_of_pyedflib(recorded):
    found = open_streams(recorded)
    assert sorted(found) == ["annotations", "signals_200hz", "signals_25hz"]
    fast, slow = found["signals_200hz"], found["signals_25hz"]
    assert (fast.channels, fast.clock, slow.clock) == (("Fp1", "Fp2"), Grid(0, 200, 1400), Grid(0, 25, 175))
    with pyedflib.EdfReader(str(recorded)) as other:
        for k in range(2):
            assert np.abs(fast.read()[:, k] - other.readSignal(k)).max() < 1e-11
        assert np.abs(slow.read()[:, 0] - other.readSignal(2)).max() < 1e-11
        starts, lengths, texts = other.readAnnotations()
    notes = found["annotations"]
    assert notes.clock == Spans(starts, starts + np.maximum(lengths, 0))
    assert notes.read().tolist() == list(texts) == ["blink", "lights on é"]


def test_parts_are_read_where_they_are_asked_for(recorded):
    stream = open_streams(recorded)["signals_200hz"]
    whole = stream.read()
    assert np.array_equal(stream.cut(1.995, 4.3).read(), whole[399:860])
    assert np.array_equal(np.concatenate([b.read() for b in stream.blocks(37)]), whole)


def test_dates_channels_and_one_stream_a_channel(recorded):
    found = Edf(channels=["Resp", "Fp2"], by="channel", dated=True).open(recorded)
    assert sorted(found) == ["Fp2", "Resp", "annotations"]
    begun = datetime.datetime(2026, 3, 2, 22, 15, 30, tzinfo=datetime.UTC).timestamp()
    assert found["Resp"].clock == Grid(begun, 25, 175)
    assert found["annotations"].clock.start == begun + 1.25


def test_edfio_s_files_too(tmp_path):
    edfio = pytest.importorskip("edfio")
    values = np.random.default_rng(1).normal(0, 20, 256 * 4)
    path = tmp_path / "a.edf"
    edfio.Edf([edfio.EdfSignal(values, 256, label="ECG")], annotations=[edfio.EdfAnnotation(0.5, None, "R")]).write(
        path
    )
    found = open_streams(path)
    assert np.array_equal(found["signals"].read()[:, 0], edfio.read_edf(path).signals[0].data)
    assert (found["annotations"].clock.start, found["annotations"].read().tolist()) == (0.5, ["R"])


def test_files_of_pyedflib_s_own_tests():
    """EDF+ and BDF+ of several rates and durations of a record, names in UTF-8, onsets below a second."""
    files = sorted({p.name: p for p in Path(pyedflib.__file__).parent.rglob("*.[eb]df")}.values())
    if not files:
        pytest.skip("pyedflib is installed without its test data")
    compared = 0
    for path in files:
        found = Edf(by="channel").open(path)
        with pyedflib.EdfReader(str(path)) as other:
            labels = [label for label in other.getSignalLabels() if "Annotations" not in label]
            for k, label in enumerate(labels):
                stream = found[label]
                assert np.allclose(stream.read()[:, 0], other.readSignal(k), rtol=0, atol=1e-9)
                assert float(stream.clock.rate) == pytest.approx(other.getSampleFrequency(k))
                compared += 1
            starts, _, texts = other.readAnnotations()
        if len(texts):
            first = stream.clock.start  # pyedflib counts from the first sample, not from the header's full second
            assert np.allclose(found["annotations"].clock.starts - first, starts, atol=1e-6)
            assert found["annotations"].read().tolist() == list(texts)
    assert compared > 10


def _file(path, kind="", onsets=(0, 1, 2), duration="1", records=None, samples=4, fields=None):
    """By the specification, field by field: one channel ``x`` of 1, 2, 3 ... and annotations."""
    plus = kind.startswith("EDF+")
    labels = ["x", "EDF Annotations"] if plus else ["x"]
    counts = [samples, 20][: len(labels)]
    own = {"pmin": "-10", "pmax": "10", "dmin": "-1000", "dmax": "1000", **(fields or {})}
    n = str(len(onsets) if records is None else records)
    head = [("0", 8), ("", 80), ("", 80), ("02.03.26", 8), ("10.00.00", 8), (str(256 * (1 + len(labels))), 8),
            (kind, 44), (n, 8), (duration, 8), (str(len(labels)), 4), *((label, 16) for label in labels)]  # fmt: skip
    for width, texts in ((80, "  "), (8, "  ")):
        head += [(texts[0], width)] * len(labels)
    for name in ("pmin", "pmax", "dmin", "dmax"):
        head += [(own[name], 8), ("1" if name.endswith("max") else "-1", 8)][: len(labels)]
    head += [("", 80)] * len(labels) + [(str(c), 8) for c in counts] + [("", 32)] * len(labels)
    data = b"".join(text.encode().ljust(size) for text, size in head)
    for i, onset in enumerate(onsets):
        data += np.arange(i * samples + 1, (i + 1) * samples + 1).astype("<i2").tobytes()
        if plus:
            data += f"+{onset}\x14\x14\0".encode().ljust(40, b"\0")
    path.write_bytes(data)
    return path


def test_a_file_with_gaps_has_ticks(tmp_path):
    stream = open_streams(_file(tmp_path / "a.edf", "EDF+D", (0.5, 1.5, 7.25)))["signals"]
    assert stream.clock == Ticks([0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.25, 7.25, 7.5, 7.75, 8])
    assert stream.read()[:3, 0] == pytest.approx([0.01, 0.02, 0.03])
    regular = open_streams(_file(tmp_path / "b.edf", "EDF+D", (0.5, 1.5, 2.5)))["signals"]
    assert regular.clock == Grid(0.5, 4, 12)


def test_rates_are_exact_and_an_unknown_number_of_records_is_counted(tmp_path):
    path = _file(tmp_path / "a.edf", duration="0.3", records=-1, samples=5)
    assert open_streams(path)["signals"].clock == Grid(0, Fraction(50, 3), 15)


def test_bytes_behind_the_last_record_are_told(tmp_path, caplog):
    path = _file(tmp_path / "a.edf", records=2)
    with caplog.at_level(logging.WARNING, "plait"):
        assert len(open_streams(path)["signals"]) == 8
    assert "8 bytes after the last record are left out" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"records": 5}, r"a\.edf: holds 3 of the 5 records that its header promises\. It is cut short"),
        ({"duration": "0"}, "records have no duration"),
        ({"duration": "soon"}, "the duration of a record is 'soon'"),
        ({"fields": {"pmax": "-10"}}, "channel 'x' has no scale"),
        ({"fields": {"dmin": "x", "pmin": "y"}}, "(?s)physical_min of 'x' is 'y'.*digital_min of 'x' is 'x'"),
        ({"kind": "EDF+D", "onsets": (2, 1)}, "go backwards"),
        ({"kind": "EDF+C", "onsets": ("x",)}, "record 0 has an annotation at b'\\+x'; expected seconds"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        open_streams(_file(tmp_path / "a.edf", **options))


def test_what_is_not_there(tmp_path, recorded):
    with pytest.raises(DataError, match=r"has no channel 'Fp3'\. Did you mean 'Fp2'"):
        Edf(channels=["Fp3"]).open(recorded)
    with pytest.raises(ConfigError, match=r"edf\.by"):
        Edf(by="sensor")
    (tmp_path / "b.edf").write_text("1,2\n" * 200)
    with pytest.raises(DataError, match="is no EDF or BDF file"):
        open_streams(tmp_path / "b.edf")


@pytest.mark.slow
def test_a_long_file_is_read_in_constant_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "long.edf"
    _file(path, onsets=range(2), samples=2000)
    block = path.read_bytes()[-4000:]
    head = path.read_bytes()[:512]
    path.write_bytes(head[:236] + b"4000    " + head[244:] + block * 4000)
    stream = open_streams(path)["signals"]
    assert len(stream) == 8_000_000
    tracemalloc.start()
    total = sum(float(b.read().sum()) for b in stream.blocks(20_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == pytest.approx(4000 * stream[:2000].read().sum())
    assert peak < 3e6  # the file has 16 MB
