"""Markdown for a pull request: tables hold, and names are shown as they are."""

from __future__ import annotations

import re

import pytest

from plait.evaluation.summary import summarise
from plait.report.markdown import as_markdown, escaped, table

EVIL = "a|b <b>c</b> `d` *e* [f](g) @h #1\nnext"


def unescaped(cell: str) -> str:
    """What a reader of the rendered page sees."""
    plain = re.sub(r"\\([\\`*_\[\]|~$])", r"\1", cell).replace("\N{WORD JOINER}", "")
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def test_a_name_is_shown_as_it_is_on_one_line():
    text = escaped(EVIL)
    assert unescaped(text) == EVIL.replace("\n", " ")
    assert not re.search(r"(?<!\\)[|`*\[]|<|[@#]\w|\n", text)


def test_a_table_has_as_many_cells_in_each_row():
    lines = table(["one", "two"], [[EVIL, "1"], ["", "2"]], bold=[1]).splitlines()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [3, 3, 3, 3]
    assert lines[1] == "|---|--:|"
    assert lines[3] == "|  | **2** |"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_evaluation_in_short(count, make_replicates, classify):
    names = [f"m{i}|<i>" for i in range(count)]
    made = make_replicates(names, seeds=2 if count < 5 else 1, n=40)
    found = summarise(classify(["x", "y", "z"]), made, about={"run": EVIL, "target": "mood"})
    found["unfinished"] = ["seed9"]
    text = as_markdown(found)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert len(rows) == 2 + (2**count - 1) + 1
    assert "> - Not fully trained, and left out: seed9." in text
    assert ("<details>" in text) == (count == 5)
    assert "<i>" not in text
    assert "constant answer" in rows[-1]
