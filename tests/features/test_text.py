from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import ConfigError, DataError
from plait.features.text import HashedText, WordVectors, words_of
from plait.streams.stream import Stream


def words(*texts: str) -> Stream:
    at = np.arange(float(len(texts)))
    return Stream.of(np.array(texts, object), spans=(at, at + 1))


def test_hash_is_stable_across_processes() -> None:
    """Python's own hash is not; a cached feature must be."""
    here, _ = HashedText(dim=16)(words("bin blue at f two now"))
    code = (
        "import numpy as np; from plait.features.text import HashedText; from plait.streams.stream import Stream;"
        "print(HashedText(dim=16)(Stream.of(['bin blue at f two now'], spans=([0],[1])))[0].tolist())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(here.tolist())
    assert here[0, :4].tolist() == pytest.approx(HashedText(dim=16)(words("BIN blue at f two now"))[0][0, :4].tolist())


@given(st.text(max_size=40))
def test_any_text_has_length_1_or_0(text: str) -> None:
    values, _ = HashedText(dim=64)(words(text))
    length = float(np.linalg.norm(values))
    assert length == pytest.approx(1, abs=1e-5) or length == 0


def test_letters_bring_forms_together_and_words_do_not() -> None:
    with_letters, _ = HashedText(dim=4096)(words("stopping", "stopped", "orange"))
    alone, _ = HashedText(dim=4096, letters=0)(words("stopping", "stopped", "orange"))
    assert with_letters[0] @ with_letters[1] > 0.4 > 0.1 > abs(with_letters[0] @ with_letters[2])
    assert alone[0] @ alone[1] == 0


def test_empty_texts_are_counted() -> None:
    feature = HashedText()
    feature(words("", "  ", "a"))
    assert feature.notes() == {"texts without words": 2}


def test_words() -> None:
    assert words_of("It’s 3 o'clock — NOW!") == ["it’s", "3", "o'clock", "—", "now", "!"]
    assert words_of("Bin", lower=False) == ["Bin"]


def test_nothing_to_count_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing would be counted"):
        HashedText(words=False, letters=0)


def test_numbers_are_no_texts() -> None:
    with pytest.raises(DataError, match="expected texts"):
        HashedText()(Stream.of(np.zeros(3), rate=1, kind="words"))


@pytest.mark.parametrize("head", ["", "3 2\n"])
def test_word_vectors_are_averaged_and_unknown_words_counted(tmp_path: Path, head: str) -> None:
    path = tmp_path / "v.txt"
    path.write_text(head + "bin 1 2\nblue 3 4\nnew york 5 6\n", encoding="utf-8")
    feature = WordVectors(path=str(path))
    assert feature.dim(()) == 2
    values, _ = feature(words("Bin blue!", "bin qqq", "qqq"))
    assert values.tolist() == [[2, 3], [1, 2], [0, 0]]
    assert feature.notes() == {"words with a vector": 3, "words without a vector": 2}
    assert feature.files() == [path]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("bin 1 2\n")
    assert WordVectors(path=str(path))(words("bin"))[0].tolist() == [[1, 2]]
    path.write_text("bin 1 2 3\n")
    assert WordVectors(path=str(path))(words("bin"))[0].tolist() == [[1, 2, 3]]


def test_bad_lines_are_told_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("bin 1 2\nblue 3\nat x 2\nf 1 nan\n" + "q\n" * 20)
    with pytest.raises(DataError) as caught:
        WordVectors(path=str(path)).dim(())
    text = str(caught.value)
    assert "v.txt:2: 1 numbers after the word; expected 2" in text
    assert "v.txt:3: could not convert string to float: 'x'" in text
    assert "v.txt:4: a number is not finite" in text
    assert "and 13 more such lines" in text


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "v.txt"
    path.write_text(content)
    with pytest.raises(DataError, match="holds no word vectors"):
        WordVectors(path=str(path)).dim(())


def test_no_file() -> None:
    with pytest.raises(ConfigError, match="is no file"):
        WordVectors(path="nowhere.txt")
