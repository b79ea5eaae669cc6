from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.features.text import HashedText, words_of
from plait.features.word_vectors import WordVectors
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


def test_ngrams_tell_order_and_stop_words_are_left_out(tmp_path: Path) -> None:
    pairs = HashedText(dim=4096, letters=0, ngrams=2)
    both, _ = pairs(words("not good but fine", "good but not fine"))
    assert both[0] @ both[1] < 0.9
    once, _ = HashedText(dim=4096, letters=0)(words("not good but fine", "good but not fine"))
    assert once[0] @ once[1] == pytest.approx(1)
    bare, _ = HashedText(dim=256, stop="english")(words("the stadium", "stadium"))
    np.testing.assert_array_equal(bare[0], bare[1])
    (tmp_path / "stop.txt").write_text("Stadium\n")
    own = HashedText(stop=str(tmp_path / "stop.txt"))
    assert float(np.abs(own(words("stadium"))[0]).sum()) == 0
    assert own.files() == [tmp_path / "stop.txt"]
    with pytest.raises(ConfigError, match="neither 'english' nor a file"):
        HashedText(stop="klingon")


def test_packed_and_binary_word_vectors_are_the_same(tmp_path: Path) -> None:
    rows = {"bin": [1.0, 2.5], "blue": [3.0, -4.0], "straße": [0.5, 0.25]}
    plain = "".join(f"{w} {a} {b}\n" for w, (a, b) in rows.items())
    (tmp_path / "v.txt").write_text(plain, encoding="utf-8")
    with gzip.open(tmp_path / "v.txt.gz", "wt", encoding="utf-8") as out:
        out.write(plain)
    body = b"".join(w.encode() + b" " + np.array(v, "<f4").tobytes() + b"\n" for w, v in rows.items())
    (tmp_path / "v.bin").write_bytes(b"3 2\n" + body)
    texts = words("bin blue", "blue the straße")
    wanted, _ = WordVectors(path=str(tmp_path / "v.txt"), lower=False)(texts)
    assert wanted[0].tolist() == [2.0, -0.75]
    for name in ("v.txt.gz", "v.bin"):
        np.testing.assert_array_equal(WordVectors(path=str(tmp_path / name), lower=False)(texts)[0], wanted)
    stopped = WordVectors(path=str(tmp_path / "v.txt"), stop="english")
    stopped(texts)
    assert stopped.notes()["words without a vector"] == 1  # "strasse"; "the" is left out


def test_a_cut_binary_file(tmp_path: Path) -> None:
    (tmp_path / "v.bin").write_bytes(b"2 3\nbin " + b"\0" * 12 + b"blue " + b"\0" * 4)
    with pytest.raises(DataError, match="ends in word 2 of 2"):
        WordVectors(path=str(tmp_path / "v.bin")).dim(())
    (tmp_path / "v.bin").write_bytes(b"bin 1 2\n")
    with pytest.raises(DataError, match="expected word2vec's line of counts"):
        WordVectors(path=str(tmp_path / "v.bin")).dim(())
    (tmp_path / "v.txt.gz").write_bytes(b"\x1f\x8b\x08 not really")
    with pytest.raises(DataError, match="cannot be read"):
        WordVectors(path=str(tmp_path / "v.txt.gz")).dim(())
