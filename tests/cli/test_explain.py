"""`plait explain`: what is refused before a run is opened."""

from __future__ import annotations

from plait.cli import main


def test_a_claim_is_about_a_corpus_and_not_about_files(tmp_path, capsys) -> None:
    assert main(["explain", str(tmp_path), "talk.mp4", "--adjust", "age"]) != 0
    assert "--adjust: a claim is about a corpus" in capsys.readouterr().err
