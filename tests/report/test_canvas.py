"""Marks and the texts that they show under the pointer."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from plait.report.canvas import hover, svg

EVIL = "a\"b'c<script>&amp; 日本 \ud800 \x00"


def titles(html: str) -> list[str]:
    return re.findall(r"<(\w+)[^<]*><title>([^<]*)</title>", html)


def test_each_mark_has_its_own_text_and_what_is_not_drawn_has_none() -> None:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        (line,) = axes.plot([0, 1, 2], [1, np.nan, 2], marker="o")
        hover(line, ["first", None, "third"], "line")
        hover(axes.scatter([0, 1], [0, 1], s=[10, 40]), ["small", "large"])
        hover(axes.add_patch(Rectangle((0, 0), 1, 1)), [EVIL])

    found = svg("x", (3, 2), draw)
    marks = {text: tag for tag, text in titles(found)}
    evil = "a&quot;b&#x27;c&lt;script&gt;&amp;amp; 日本 \ufffd \ufffd"
    assert marks == {"line, first": "use", "line, third": "use", "small": "path", "large": "path", evil: "g"}
    below = found.split("</svg>")[1]
    assert "<b>line</b> first · third" in below
    assert "<script" not in found
    assert not re.search(r"id=.\[", found)


@pytest.mark.parametrize("listed", [True, False])
def test_texts_stand_below_only_where_asked_for(listed: bool) -> None:
    def draw(figure: Figure) -> None:
        hover(figure.subplots().plot([0, 1], [0, 1], marker="o")[0], ["a", "b"])

    assert ("<details" in svg("x", (2, 2), draw, listed=listed)) == listed
    assert "<details" not in svg("x", (2, 2), lambda figure: figure.subplots() and None)
