"""ELAN: documents by an independent writer, and the ways in which annotations get their times."""

from __future__ import annotations

import logging

import pytest

from plait.core.errors import DataError
from plait.readers import open_streams
from plait.readers.elan import Elan
from plait.streams.clock import Spans


def _document(slots, tiers, header=""):
    """An EAF of time slots and of tiers of (id, slots or parent, text[, previous])."""
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT FORMAT="3.0">\n<HEADER {header}/>\n<TIME_ORDER>'
    )
    for key, value in slots.items():
        text += f'<TIME_SLOT TIME_SLOT_ID="{key}"' + (f' TIME_VALUE="{value}"' if value is not None else "") + "/>"
    text += "</TIME_ORDER>\n"
    for name, notes in tiers.items():
        text += f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="x">\n'
        for key, place, value, *previous in notes:
            if isinstance(place, tuple):
                kind, at = "ALIGNABLE", f'TIME_SLOT_REF1="{place[0]}" TIME_SLOT_REF2="{place[1]}"'
            else:
                kind, at = "REF", f'ANNOTATION_REF="{place}"' + "".join(f' PREVIOUS_ANNOTATION="{p}"' for p in previous)
            text += f'<ANNOTATION><{kind}_ANNOTATION ANNOTATION_ID="{key}" {at}>'
            text += f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></{kind}_ANNOTATION></ANNOTATION>\n"
        text += "</TIER>\n"
    return text + "</ANNOTATION_DOCUMENT>\n"


def _open(tmp_path, text, **options):
    path = tmp_path / "a.eaf"
    path.write_text(text, encoding="utf-8")
    return open_streams(path, options=options)


def test_what_pympi_wrote_comes_back(tmp_path, caplog):
    pympi = pytest.importorskip("pympi")
    eaf = pympi.Elan.Eaf()
    eaf.remove_tier("default")
    eaf.add_linguistic_type("gloss", "Symbolic_Association", timealignable=False)
    eaf.add_linguistic_type("parts", "Symbolic_Subdivision", timealignable=False)
    eaf.add_tier("said")
    eaf.add_tier("meaning", ling="gloss", parent="said")
    eaf.add_tier("nothing")
    rows = [(2000, 2600, "gut & schön"), (0, 1500, "hallo"), (1500, 1500 + 333, "")]
    for start, stop, text in rows:
        eaf.add_annotation("said", start, stop, text)
    eaf.add_ref_annotation("meaning", "said", 100, "hello")
    path = tmp_path / "talk.eaf"
    eaf.to_file(str(path))
    with caplog.at_level(logging.INFO, "plait"):
        found = open_streams(path)
    assert sorted(found) == ["meaning", "said"]
    assert "tiers without annotations are left out: nothing" in caplog.text
    want = sorted(pympi.Elan.Eaf(str(path)).get_annotation_data_for_tier("said"))
    assert found["said"].clock == Spans([a / 1000 for a, _, _ in want], [b / 1000 for _, b, _ in want])
    assert found["said"].read().tolist() == [text for _, _, text in want]
    assert found["meaning"].clock == Spans([0], [1.5])
    assert found["meaning"].read().tolist() == ["hello"]


def test_times_of_annotations_that_have_none(tmp_path):
    """Time subdivisions with slots in between, symbolic subdivisions in order, associations of those."""
    found = _open(
        tmp_path,
        _document(
            {"s1": 1000, "s2": None, "s3": None, "s4": 4000, "s5": 6000},
            {
                "gloss": [("g1", "p2", "G")],
                "parts": [("p2", "u2", "second", "p1"), ("p1", "u2", "first"), ("p3", "u2", "third", "p2")],
                "words": [("w1", ("s1", "s2"), "a"), ("w2", ("s2", "s3"), "b"), ("w3", ("s3", "s4"), "c")],
                "turns": [("u1", ("s1", "s4"), "abc"), ("u2", ("s4", "s5"), "def")],
                "speaker": [("k1", "u2", "Anna")],
            },
        ),
    )
    assert found["words"].clock == Spans([1, 2, 3], [2, 3, 4])
    assert found["parts"].read().tolist() == ["first", "second", "third"]
    assert found["parts"].clock.starts.tolist() == pytest.approx([4, 4 + 2 / 3, 4 + 4 / 3])
    assert found["gloss"].clock.start == pytest.approx(4 + 2 / 3)
    assert (found["speaker"].clock, found["speaker"].read().tolist()) == (Spans([4], [6]), ["Anna"])


def test_other_units_chosen_tiers_and_media_that_begin_elsewhere(tmp_path, caplog):
    text = _document(
        {"a": 25, "b": 50}, {"x": [("1", ("a", "b"), "hi")], "y": [("2", ("a", "b"), "ho")]}, 'TIME_UNITS="PAL-frames"'
    )
    found = _open(tmp_path, text, tiers=["y"])
    assert (list(found), found["y"].clock) == (["y"], Spans([1], [2]))
    media = '<MEDIA_DESCRIPTOR MEDIA_URL="b.mp4" TIME_ORIGIN="4200"/>'
    _open(tmp_path, text.replace("<TIME_ORDER>", media + "<TIME_ORDER>"))
    assert "second 0 of the annotations is at 4200 ms of b.mp4" in caplog.text


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>\n<ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>'
FETCH = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<ANNOTATION_DOCUMENT>&a;</ANNOTATION_DOCUMENT>'
ONE = {"a": 0, "b": 1000}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"a\.eaf:1: defines entities"),
        (FETCH, r"a\.eaf:1: defines entities"),
        ("<a>" * 200, "nested deeper than 100"),
        ("<gpx/>", "its root is 'gpx'"),
        (_document(ONE, {"x": [("1", ("a", "b"), "hi")]})[:300], r"a\.eaf:\d+: is no well-formed XML"),
        (_document(ONE, {"x": [("1", ("a", "c"), "hi")]}), r"annotation '1' at \('a', 'c'\) runs from 0.0 to None s"),
        (_document(ONE, {"x": [("1", ("b", "a"), "hi")]}), "runs from 1.0 to 0.0 s"),
        (_document({"a": "x"}, {}), "time slot 'a' is at 'x'; expected a number"),
        (_document(ONE, {"x": [("1", "9", "hi")]}), "annotation '1' refers to '9', which leads nowhere"),
        (_document(ONE, {"x": [("1", "2", "hi"), ("2", "1", "ho")]}), "(?s)'1' refers to '2'.*'2' refers to '1'"),
        (_document(ONE, {"x": [("1", ("a", "b"), "hi")] * 2}), "2 annotations have the id '1'"),
        (_document(ONE, {}, 'TIME_UNITS="weeks"'), "times are in 'weeks'"),
    ],
)
def test_bad_documents_say_what_is_wrong(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        _open(tmp_path, text)


def test_a_tier_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"has no tier 'word'\. Did you mean 'words'"):
        _open(tmp_path, _document(ONE, {"words": []}), tiers=["word"])
    assert Elan().claims(tmp_path / "A.EAF")
