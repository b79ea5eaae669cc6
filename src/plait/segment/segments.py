"""Shots, speech and words of a whole corpus, each from the streams that the caller names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from plait.core.errors import ConfigError
from plait.corpus.corpus import Corpus
from plait.features.pretrained import find_model
from plait.segment.ctc import word_times
from plait.segment.segment import ANNOTATOR, Segmenter, SegmentReport, annotate, shots, speech
from plait.segment.speech import METHODS
from plait.streams.recording import Annotation, Recording

__all__ = ["segment"]

Found = tuple[list[Annotation], dict[str, int]]


def segment(
    corpus: Corpus,
    *,
    shots: str | None = None,
    scenes: bool = False,
    least: float = 0.35,
    speech: str | None = None,
    method: str = "energy",
    words: tuple[str, str] | None = None,
    model: str | None = None,
    workers: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> SegmentReport:
    """Find shots, speech and words in every recording; nothing is written (see `plait.segment.segment.write_segments`).

    Args:
        corpus: the recordings.
        shots: the stream of pictures for shot detection (tiers ``shot`` and ``transition``).
        scenes: also group shots into scenes (tier ``scene``).
        least: least dissimilarity of shots, see `plait.segment.shots.find_boundaries`.
        speech: the stream of sound for speech detection (tier ``speech``).
        method: see `plait.segment.speech.speech_probability`.
        words: the streams of sound and of the text to be aligned with it (tier ``word``).
        model: for words: see `plait.segment.ctc.word_times`.
        workers, progress: see `plait.segment.segment.annotate`.

    Raises:
        ConfigError: nothing is requested, no recording has the stream, or the model is not available.
        MissingExtra: the method or the model needs a package that is not installed.
    """
    makers: dict[str, tuple[Sequence[str], Segmenter]] = {}
    if shots is not None:
        makers["shots"] = ((shots,), partial(_shots, stream=shots, least=least, scenes=scenes))
    if speech is not None:
        if method not in METHODS:
            raise ConfigError(f"speech.method: there is no method {method!r}. There is: {', '.join(METHODS)}.")
        makers["speech"] = ((speech,), partial(_speech, stream=speech, method=method))
    if words is not None:
        if not model:
            raise ConfigError("words: a CTC model is needed: name its folder, or a model of the hub on this machine.")
        # Before any worker starts: a missing model is told once, not once per recording.
        find_model(model, True, "words")
        makers["words"] = (words, partial(_words, streams=words, model=model))
    if not makers:
        raise ConfigError("nothing to segment: name a stream for shots, for speech, or two for words.")
    return annotate(corpus, makers, workers=workers, progress=progress)


def _shots(recording: Recording, stream: str, least: float, scenes: bool) -> Found:
    return shots(recording.streams[stream], least=least, scenes=scenes), {}


def _speech(recording: Recording, stream: str, method: str) -> Found:
    return speech(recording.streams[stream], method=method), {}


def _words(recording: Recording, streams: tuple[str, str], model: str) -> Found:
    sound, text = (recording.streams[name] for name in streams)
    found = word_times(sound, text, model=model)
    times = zip(found.start.round(6).tolist(), found.stop.round(6).tolist(), found.words)
    return [Annotation(a, b, word, "word", ANNOTATOR) for a, b, word in times], found.notes
