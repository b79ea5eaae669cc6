from __future__ import annotations

import pytest

from plait.progress import bar


def test_a_bar_leaves_nothing_behind_and_another_may_follow(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("first") as first, bar("second") as second:
        assert first
        assert second
        for i in range(4):
            first(i, 3, "x")
        for i in range(3):
            second(i, 3)
    assert capsys.readouterr().out == ""


def test_an_error_within_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), bar("work"):
        raise KeyboardInterrupt
