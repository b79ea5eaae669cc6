"""Transcription: what a saved task is restored from."""

from __future__ import annotations

import pytest

from plait.examples.targets import Annotated
from plait.tasks.transcribe import Transcribe


@pytest.mark.parametrize("ignored", ["x", "0"])
def test_it_is_restored_whatever_labels_it_ignores(ignored: str) -> None:
    said = Annotated(1.0, ((0.0, 0.5, "good"), (0.5, 1.0, ignored)))
    task = Transcribe([said], target="words", ignore=[ignored])
    assert Transcribe.restore(task.state(), **task.options).tokens == task.tokens == ["good"]
