"""Alignments, subtitles, TextGrids, plain text."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus
from plait.importing.folder import import_folder
from plait.readers import open_streams
from plait.readers._webvtt import cues_of
from plait.readers.align import Align
from plait.readers.subtitles import Subtitles
from plait.streams.clock import Spans


def _open(tmp_path, name, text, **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_streams(path, options=options)


def test_align(tmp_path):
    stream = _open(tmp_path, "a.align", "0 25000 sil\n25000 37500 bin\n\n")["words"]
    assert stream.clock == Spans([0, 1], [1, 1.5])
    assert stream.read().tolist() == ["sil", "bin"]
    assert _open(tmp_path, "a.align", "0 2 x", unit_hz=4)["words"].clock.stop == 0.5
    with pytest.raises(ConfigError, match="unit_hz"):
        Align(unit_hz=0)


def test_real_align(real_data):
    path = next((real_data / "grid_s1/align/s1").glob("*.align"))
    stream = Align().open(path)["words"]
    assert len(stream) in (8, 9)
    assert 2.5 < stream.clock.stop < 3.1


SRT = (
    "1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i>\nthere\n\n2\n00:01:03,000 --> 00:01:04,000\n1 < 2 &amp; {\\an8}3\n"
)
VTT = "WEBVTT\n\n00:01.000 --> 00:02.500 align:start\n<v Anna>Hello <00:00:01.500><c.x>there</c>\n"
ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\i1}Hello{\\i0}\\Nthere\n"
    "Comment: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,not said\n"
)


@pytest.mark.parametrize(("name", "text"), [("a.srt", SRT), ("a.vtt", VTT), ("a.ass", ASS), ("a.srt", "\ufeff" + SRT)])
def test_subtitles_without_markup(tmp_path, name, text):
    stream = _open(tmp_path, name, text)["words"]
    assert stream.read()[0] == "Hello there"
    assert (stream.clock.starts[0], stream.clock.stops[0]) == (1.0, 2.5)
    if name == "a.srt":
        assert stream.read().tolist() == ["Hello there", "1 < 2 & 3"]
        assert stream.clock.stop == 64
    else:
        assert len(stream) == 1


def test_subtitles_out_of_order_are_sorted_and_counted(tmp_path, caplog):
    text = "1\n00:00:05,000 --> 00:00:06,000\nlate\n\n2\n00:00:01,000 --> 00:00:02,000\nearly\n"
    assert _open(tmp_path, "a.srt", text)["words"].read().tolist() == ["early", "late"]
    assert "2 subtitles out of order were sorted" in caplog.text


def test_subrip_keeps_what_pysubs2_takes_for_a_tag_or_a_number(tmp_path):
    """Its own clean-up drops a number that is the last line of all, and all between two signs of comparison."""
    text = "1\n00:00:01,000 --> 00:00:02,000\nif a < b and c > d\n\n2\n00:00:03,000 --> 00:00:04,000\nWe count:\n3\n"
    assert _open(tmp_path, "a.srt", text)["words"].read().tolist() == ["if a < b and c > d", "We count: 3"]


def test_subtitles_in_another_encoding(tmp_path):
    latin = SRT.replace("Hello", "Café").encode("latin-1")
    with pytest.raises(DataError, match=r"a\.srt:3: is not utf-8 text .*iconv"):
        _open(tmp_path, "a.srt", latin)
    (tmp_path / "b.srt").write_bytes(latin)
    assert Subtitles(encoding="latin-1").open(tmp_path / "b.srt")["words"].read()[0] == "Café there"


NOTED = """WEBVTT - a title
Kind: captions

STYLE
::cue(b) {
  color: peachpuff;
}

NOTE
Done by Kyle --
for some friends.

1
00:01.000 --> 00:02.500 align:start
<b>Hello</b>
there

NOTE This line may be wrong

second, as its identifier
00:00:03,000 --> 00:00:04.000
Bye
00:00:05.000 --> 00:00:06.000
at once
"""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_identifiers_notes_and_styles_of_webvtt_are_no_text(tmp_path, caplog, end):
    stream = _open(tmp_path, "a.vtt", NOTED.replace("\n", end))["words"]
    assert stream.read().tolist() == ["Hello there", "Bye", "at once"]
    assert stream.clock == Spans([1, 3, 5], [2.5, 4, 6])
    assert caplog.text == ""


def test_what_webvtt_leaves_open_is_told(tmp_path, caplog):
    text = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\nno time\n\n0:0:1.5 --> 0:0:7.23\nHello\n"
    stream = _open(tmp_path, "a.vtt", text)["words"]
    assert (stream.read().tolist(), stream.clock) == (["Hello"], Spans([1.005], [7.023]))
    assert "1 blocks of text without a timing are left out, first in line 4" in caplog.text
    assert "1 timings have fractions of less than three digits, which count milliseconds" in caplog.text
    padded = _open(tmp_path, "a.vtt", "WEBVTT\n\n00:00:01.5 --> 01:00:07.23\nHello\n")["words"]
    assert padded.clock == Spans([1.5], [3607.23])
    assert "which are taken as decimal fractions" in caplog.text
    assert "second 0 is elsewhere in its broadcast (X-TIMESTAMP-MAP" in caplog.text


BLOCKS = st.sampled_from([
    "NOTE", "NOTE a remark", "NOTE\nover\nlines", "STYLE\n::cue(b) {\n  color: red;\n}", "REGION\nid:a\nwidth:40%",
])  # fmt: skip
LINES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda t: "-->" not in t
)


@st.composite
def _cue(draw):
    begin, length = draw(st.integers(0, 400_000_000)), draw(st.integers(0, 9000))
    stamps = [
        f"{t // 3_600_000:02}:{t // 60_000 % 60:02}:{t // 1000 % 60:02}.{t % 1000:03}" for t in (begin, begin + length)
    ]
    if begin + length < 3_600_000 and draw(st.booleans()):
        stamps = [stamp[3:] for stamp in stamps]  # hours may be left out
    name = draw(st.sampled_from(["", "1\n", "the first one\n", "NOTE-book\n"]))
    settings = draw(st.sampled_from(["", " align:start line:0", "\tposition:10%,line-left region:a"]))
    tags = draw(
        st.sampled_from(["{}", "<v Ann>{}", "<v.loud Ann Lee>{}</v>", "<i>{}</i>", "<c.x.y>{}</c> <00:01.000>on"])
    )
    payload = [tags.format(line) for line in draw(st.lists(LINES, max_size=3))]
    return "\n".join([f"{name}{stamps[0]} --> {stamps[1]}{settings}", *payload])


@pytest.mark.slow
@given(blocks=st.lists(BLOCKS | _cue(), max_size=8), end=st.sampled_from(["\n", "\r\n", "\r"]), gap=st.integers(2, 4))
def test_cues_of_webvtt_are_those_of_webvtt_py(blocks, end, gap):
    webvtt = pytest.importorskip("webvtt")
    text = ("\n" * gap).join(["WEBVTT - title\nKind: captions", *blocks, ""])
    found = cues_of(text.replace("\n", end))
    theirs = [(_millis(c.start_time), _millis(c.end_time), c.raw_text) for c in webvtt.from_string(text).captions]
    assert [(round(1000 * a), round(1000 * b), body) for a, b, body in found.rows] == theirs
    assert (found.problems, found.told) == ([], [])


def _millis(stamp):
    return ((stamp.hours * 60 + stamp.minutes) * 60 + stamp.seconds) * 1000 + stamp.milliseconds


def test_a_map_of_times_stands_in_the_header_of_webvtt_only(tmp_path, caplog):
    _open(tmp_path, "a.vtt", "WEBVTT\n00:01.000 --> 00:02.000\nX-TIMESTAMP-MAP=LOCAL\n")
    assert caplog.text == ""


LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "word"
        xmin = 0
        xmax = 2
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.25
            text = "say ""5 and 6"""
        intervals [3]:
            xmin = 1.25
            xmax = 2
            text = "né"
    item [2]:
        class = "TextTier"
        name = "bell"
        xmin = 0
        xmax = 2
        points: size = 1
        points [1]:
            number = 0.75
            mark = "ding"
'''
SHORT = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2\n<exists>\n2\n'
    '"IntervalTier"\n"word"\n0\n2\n3\n0\n0.5\n""\n'
    '0.5\n1.25\n"say ""5 and 6"""\n1.25\n2\n"né"\n"TextTier"\n"bell"\n0\n2\n1\n0.75\n"ding"\n'
)
CHRONOLOGICAL = (
    '"Praat chronological TextGrid text file"\n0 2   ! Time domain.\n2   ! Number of tiers: 2 !\n'
    '"IntervalTier" "word" 0 2\n"TextTier" "bell" 0 2\n\n1 0 0.5\n""\n1 0.5 1.25\n"say ""5 and 6"""\n'
    '2 0.75\n"ding"\n1 1.25 2\n"né"\n'
)
SHORT_NAMED = SHORT.replace('"ooTextFile"\nObject class = "TextGrid"\n', '"ooTextFile short"\n"TextGrid"\n')


@pytest.mark.parametrize("text", [LONG, SHORT, LONG.replace("\n", "\r\n"), SHORT_NAMED, CHRONOLOGICAL])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_textgrids_of_all_forms_and_encodings(tmp_path, text, encoding):
    found = _open(tmp_path, "a.TextGrid", text.encode(encoding))
    assert found["word"].read().tolist() == ['say "5 and 6"', "né"]
    assert found["word"].clock == Spans([0.5, 1.25], [1.25, 2])
    assert found["bell"].clock == Spans([0.75], [0.75])


def test_plain(tmp_path):
    stream = _open(tmp_path, "a.txt", "Rather good.\n")["text"]
    assert (stream.kind, stream.read().tolist(), stream.clock) == ("words", ["Rather good."], Spans([0], [0]))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.align", "", r"a\.align: has no lines"),
        ("a.align", "0 1 sil\n1 x bin\n2\n", r"a\.align:2: got '1 x bin'.*\n.*a\.align:3: got '2'"),
        ("a.align", "5 6 a\n0 1 b\n", r"a\.align: starts go backwards"),
        ("a.align", "5 nan a\n", r"a\.align: interval 0"),
        ("a.srt", "", r"a\.srt: has no subtitles"),
        ("a.srt", SRT.replace("00:01:03,000", "00:01:05,000"), r"subtitle 2 runs from 65\.000 to 64\.000 s"),
        ("a.srt", SRT.replace("00:01:03,000", "one minute"), r"a\.srt:7: 2 timing lines but 1 subtitles understood"),
        (
            "a.vtt",
            VTT.replace("00:02.500", "2.500"),
            r"a\.vtt:3: got '00:01\.000 --> 2\.500.*Correct the timing line\.",
        ),
        ("a.vtt", VTT.replace("00:02.500", "00:00.500"), r"subtitle 1 runs from 1\.000 to 0\.500 s"),
        ("a.vtt", VTT.replace("WEBVTT\n\n", ""), r"a\.vtt:1: does not begin with WEBVTT.*name it \.srt\."),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n<b></b>\n", r"a\.vtt: has no subtitles with text"),
        ("a.vtt", "WEBVTT\n", r"a\.vtt: has no subtitles"),
        ("a.TextGrid", LONG[:500], r"a\.TextGrid:\d+: .*cut short"),
        ("a.TextGrid", LONG.replace("<exists>", "<exi>"), r"a\.TextGrid:6: got <exi>; expected <exists> or <absent>"),
        ("a.TextGrid", LONG[: LONG.index("<")] + "<absent>", r"a\.TextGrid: has no tiers\. Annotate it"),
        ("a.TextGrid", CHRONOLOGICAL[:-6], r"a\.TextGrid:13: .*where a label should stand; it is cut short"),
        (
            "a.TextGrid",
            CHRONOLOGICAL.rpartition("1 1.25")[0],
            r"intervals of 'word' end at 1\.25, not at 2\.0 s; the file",
        ),
        ("a.TextGrid", CHRONOLOGICAL.replace("2 0.75", "3 0.75"), r"a\.TextGrid:11: got the tier 3; expected 1 to 2"),
        (
            "a.TextGrid",
            LONG.replace('""5 and 6""', '"5 and 6"'),
            r"a\.TextGrid:22: '5' stands behind a closing quote; exp",
        ),
        ("a.TextGrid", LONG.replace("xmax = 1.25", "xmax = 0.25"), r"an interval runs from 0\.5 to 0\.25"),
        ("a.TextGrid", LONG.replace('"TextTier"', '"Tier"'), r"tier class 'Tier'"),
        ("a.txt", b"\xff\xffx\x00", r"a\.txt:1: is not utf-8 text"),
    ],
)
def test_bad_texts_say_where_and_what_to_do(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        _open(tmp_path, name, text)


def _binary(tiers):
    """Praat's binary form, of (class, name, rows)."""
    data = b"ooBinaryFile\x08TextGrid" + struct.pack(">2d?i", 0, 2, True, len(tiers))
    for kind, name, rows in tiers:
        data += struct.pack(">B", len(kind)) + kind.encode() + struct.pack(">h", len(name)) + name.encode()
        data += struct.pack(">2di", 0, 2, len(rows))
        for *times, text in rows:
            data += struct.pack(f">{len(times)}d", *times)
            wide = text.encode("utf-16-be")
            data += (
                struct.pack(">h", len(text)) + text.encode()
                if text.isascii()
                else struct.pack(">hH", -1, len(text)) + wide
            )
    return data


TIERS = [("IntervalTier", "word", [(0, 0.5, ""), (0.5, 1.25, 'say "5 and 6"'), (1.25, 2, "né")]),
         ("TextTier", "bell", [(0.75, "ding")])]  # fmt: skip


def test_binary_textgrids(tmp_path):
    found = _open(tmp_path, "a.TextGrid", _binary(TIERS))
    assert found["word"].read().tolist() == ['say "5 and 6"', "né"]
    assert found["word"].clock == Spans([0.5, 1.25], [1.25, 2])
    assert found["bell"].clock == Spans([0.75], [0.75])
    with pytest.raises(DataError, match=r"a\.TextGrid: byte \d+: .*Open it in Praat"):
        _open(tmp_path, "a.TextGrid", _binary(TIERS)[:-3])
    with pytest.raises(DataError, match="tier class 'Tier'"):
        _open(tmp_path, "a.TextGrid", _binary([("Tier", "x", [])]))


def test_textgrids_of_pympi_and_in_another_encoding(tmp_path):
    praat = pytest.importorskip("pympi.Praat")
    for mode in ("normal", "short", "binary"):
        grid = praat.TextGrid(xmin=0, xmax=3)
        tier = grid.add_tier("wörter")
        tier.add_interval(0.5, 1.5, "naïve")
        tier.add_interval(2, 2.75, "two words")
        grid.to_file(str(tmp_path / f"{mode}.TextGrid"), codec="utf-8" if mode != "binary" else "latin-1", mode=mode)
        stream = open_streams(tmp_path / f"{mode}.TextGrid")["wörter"]
        assert (stream.read().tolist(), stream.clock) == (["naïve", "two words"], Spans([0.5, 2], [1.5, 2.75]))
    latin = _open(tmp_path, "a.TextGrid", LONG.encode("latin-1"), encoding="latin-1")
    assert latin["word"].read()[1] == "né"


def test_a_tier_becomes_annotations_when_asked_for(tmp_path):
    (tmp_path / "talk01.TextGrid").write_text(LONG)
    (tmp_path / "talk01.imu.csv").write_text("t,x\n0,1\n1,2\n")
    report = import_folder(tmp_path, options={"streams": {"bell": {"tier": True, "rename": "rings", "offset": 0.25}}})
    assert report.labels["tiers"]["rings"]["n"] == 1
    recording = Corpus(tmp_path / "manifest.jsonl")["talk01"]
    assert sorted(recording.streams) == ["imu", "word"]
    assert [(a.start, a.stop, a.label) for a in recording.annotations] == [(1.0, 1.0, "ding")]
    refused = import_folder(tmp_path, options={"streams": {"word": {"tier": True, "part": "word"}}}, overwrite=True)
    assert refused.recordings == 1
