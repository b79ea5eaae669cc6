"""Word times: forced alignment of a text with its sound by a CTC model of Hugging Face, from a folder or the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError, need
from plait.features.hearing import HfSound, _extraction, _Strides
from plait.features.pretrained import config_of, find_model, frozen
from plait.segment.forced import align_words
from plait.streams.clock import Spans
from plait.streams.stream import Stream

__all__ = ["WordTimes", "letter_probabilities", "word_times"]

PART = "words"

PAD = 1.0
"""Seconds by which a sentence may extend beyond its given span."""

UNSURE = -2.0
"""Mean log probability per frame below which a word was probably not said there."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class WordTimes:
    """Words with their times, in the order of the text.

    Attributes:
        words: as the text writes them.
        start, stop: [n], seconds.
        score: [n], mean log probability per frame.
        notes: counts of what was left out or is doubtful.
    """

    words: tuple[str, ...]
    start: Array
    stop: Array
    score: Array
    notes: dict[str, int]


class _Letters(HfSound):
    """Log probabilities of a model's letters, [n, letters], in the pieces of `HfSound`."""

    def dim(self, shape: tuple[int, ...]) -> int:
        size = config_of(self._folder(), PART).get("vocab_size")
        return size if isinstance(size, int) else 0

    def _encode(self, sound: NDArray[np.float32], front: _Strides) -> NDArray[np.float32]:
        torch = need("torch", "text", PART)
        folder = self._folder()
        if _extraction(folder).get("do_normalize", False):
            # As transformers' Wav2Vec2FeatureExtractor, constant included.
            sound = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
        with torch.inference_mode():
            logits = _model(folder)(torch.from_numpy(sound)[None]).logits[0]
        return np.asarray(logits.float().log_softmax(-1).numpy(), np.float32)


@lru_cache(maxsize=1)
def _model(folder: Path) -> Any:
    network = frozen(folder, PART, "a CTC model", "AutoModelForCTC", use_safetensors=True)
    if getattr(network, "main_input_name", "") != "input_values":
        raise ConfigError(f"{PART}.model: {folder} takes {network.main_input_name}; expected a model of waveforms.")
    return network.eval()


@lru_cache(maxsize=1)
def _tokenizer(folder: Path) -> Any:
    return frozen(folder, PART, "a tokenizer", "AutoTokenizer")


def letter_probabilities(sound: Stream, *, model: str, offline: bool = True) -> tuple[NDArray[np.float32], Array]:
    """Log probabilities of the model's letters, [frames, letters], and the frames' edges in seconds, [frames + 1].

    Args:
        sound: a waveform; it is resampled to the model's rate.
        model: a folder, or a name on the hub, such as facebook/wav2vec2-base-960h; weights as safetensors.
        offline: never use the network.

    Raises:
        ConfigError: the model is not available, or is no CTC model of waveforms. MissingExtra: transformers is missing.
        DataError: the stream is not sound.
    """
    values, clock = _Letters(model=model, offline=offline)(sound)
    middles = clock.times
    if len(middles) < 2:
        raise DataError(f"{sound.where or 'stream'}: is too short for {model}.")
    step = float(np.median(np.diff(middles)))
    return values, np.append(middles - step / 2, middles[-1] + step / 2)


def word_times(sound: Stream, text: Stream, *, model: str, offline: bool = True) -> WordTimes:
    """When each word of a text is said: the most probable path of the model through exactly this text.

    A sentence with a start and a stop is aligned within `PAD` seconds of them, a text without them with the whole
    sound. Characters without a letter in the model are left out. Words without any letter left are counted, and so are
    words with a score below `UNSURE`.

    Args:
        sound: a waveform.
        text: a stream of words: a whole text, or sentences with their spans, on the same time line.
        model, offline: see `letter_probabilities`.

    Raises:
        As `letter_probabilities`; DataError: the text has more letters than its sound can hold.
    """
    if text.kind != "words":
        raise DataError(f"{text.where or 'stream'}: the text is {text.kind}; expected words.")
    folder = find_model(model, offline, PART)
    logs, edges = letter_probabilities(sound, model=model, offline=offline)
    logs = np.where(np.isfinite(logs), logs, -np.log(logs.shape[1])).astype(np.float32)  # gaps: all letters equal
    found: list[tuple[str, float, float, float]] = []
    silent = problems = 0
    for words, start, stop in _sentences(text):
        spelt = [(word, _letters_of(word, folder)) for word in words]
        known = [(word, own) for word, own in spelt if own]
        silent += len(spelt) - len(known)
        lo, hi = np.searchsorted(edges, [start, stop])
        lo, hi = max(int(lo) - 1, 0), min(int(hi), len(logs))
        if not known or hi <= lo:
            problems += len(known)
            continue
        blank, gap = _signs(folder)
        own = align_words(logs[lo:hi], [letters for _, letters in known], blank=blank, gap=gap)
        times = zip(known, edges[own.start + lo], edges[own.stop + lo], own.score)
        found += [(word, float(a), float(b), float(s)) for (word, _), a, b, s in times]
    if not found:
        raise DataError(f"{text.where or 'stream'}: no word of the text can be said by {model}'s letters.")
    names, starts, stops, scores = zip(*found)
    counts = {
        "words without a letter that the model knows": silent,
        "words outside the sound": problems,
        "words hardly said there": int((np.array(scores) < UNSURE).sum()),
    }
    return WordTimes(
        names, np.array(starts), np.array(stops), np.array(scores), {what: n for what, n in counts.items() if n}
    )


def _sentences(text: Stream) -> list[tuple[list[str], float, float]]:
    """Words, and the span in which they are aligned."""
    values, clock = [str(v) for v in text.read()], text.clock
    timed = isinstance(clock, Spans) and bool((clock.stops > clock.starts).all())
    if isinstance(clock, Spans) and timed:
        spans = zip(values, clock.starts.tolist(), clock.stops.tolist())
        return [(value.split(), start - PAD, stop + PAD) for value, start, stop in spans]
    return [([word for value in values for word in value.split()], -np.inf, np.inf)]


def _letters_of(word: str, folder: Path) -> list[int]:
    """The model's letters of a word, in the case that it knows; unknown characters are left out."""
    tokenizer = _tokenizer(folder)
    unknown = {tokenizer.unk_token_id, *_signs(folder)}
    best: Sequence[int] = []
    # Most CTC vocabularies are of one case, and tokenizers do not convert.
    for form in (word, word.upper(), word.lower()):
        own = [i for i in tokenizer(form, add_special_tokens=False)["input_ids"] if i not in unknown]
        best = own if len(own) > len(best) else best
    return list(best)


def _signs(folder: Path) -> tuple[int, int | None]:
    """The blank, and the delimiter between words."""
    tokenizer = _tokenizer(folder)
    blank = config_of(folder, PART).get("pad_token_id")
    blank = tokenizer.pad_token_id if blank is None else blank
    if not isinstance(blank, int):
        raise ConfigError(f"{PART}.model: {folder} names no pad token, which is a CTC model's blank.")
    between = getattr(tokenizer, "word_delimiter_token_id", None)
    return blank, between if isinstance(between, int) and between != tokenizer.unk_token_id else None
