"""The ids of a pretrained model's tokens: for encoders that train the model itself, in part or whole."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.features import Feature
from plait.features.checks import above_zero, place_of
from plait.features.pretrained import find_model, frozen
from plait.streams.clock import Clock, Spans, ends_of
from plait.streams.stream import Stream

__all__ = ["HfTokens"]


@lru_cache(maxsize=2)
def _tokenizer(folder: Path) -> Any:
    return frozen(folder, "hf_tokens", "a tokenizer", "AutoTokenizer")


class HfTokens(Feature):
    """The ids of a text's tokens in the vocabulary of a Hugging Face model, special ones included, [tokens, 1].

    For the encoder `hf` with ``ids: true``, or `words`, which give each id its word embedding. Each token has the
    interval of its whole text, and keeps its place within it.

    Args:
        model: ``minilm`` (all-MiniLM-L6-v2, packaged), a folder, or a name on the hub: that of the encoder.
        max_length: most tokens per text, including special tokens; texts that are cut are counted.
        special: whether special tokens, such as those of a text's begin and end, are among them.
        offline: never use the network.

    Raises:
        ConfigError: the model is not available.
        MissingExtra: transformers is not installed.
    """

    kinds = ("words",)
    symbolic = True

    def __init__(
        self, *, model: str = "minilm", max_length: int = 256, special: bool = True, offline: bool = True
    ) -> None:
        above_zero("hf_tokens", max_length=max_length)
        self._special = special
        self._model, self._max_length, self._offline, self._cut = model, max_length, offline, 0

    def dim(self, shape: tuple[int, ...]) -> int:
        return 1

    def files(self) -> list[Path]:
        return [find_model(self._model, self._offline, "hf_tokens")]

    def notes(self) -> dict[str, int]:
        return {"texts cut at max_length": self._cut} if self._cut else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        values, self._cut = stream.read(), 0
        if values.dtype.kind not in "UO":
            raise DataError(f"{place_of(stream)}: values of type {values.dtype}; expected texts.")
        texts = [str(v) for v in values]
        if not texts:
            return np.zeros((0, 1), np.float32), stream.clock
        tokenizer = _tokenizer(find_model(self._model, self._offline, "hf_tokens"))
        plain = {"add_special_tokens": self._special}
        found = tokenizer(texts, truncation=True, max_length=self._max_length, **plain)["input_ids"]
        # once more without a limit, only to count the texts that it cuts
        self._cut = sum(len(ids) > self._max_length for ids in tokenizer(texts, verbose=False, **plain)["input_ids"])
        clock = stream.clock
        starts, stops = ends_of(clock)
        text = np.repeat(np.arange(len(texts)), [len(ids) for ids in found])
        # float32 holds whole numbers up to 16 million
        return np.concatenate(found).astype(np.float32)[:, None], Spans(starts[text], stops[text])
