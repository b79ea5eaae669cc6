"""Pretrained sound encoders of Hugging Face, frozen: wav2vec 2.0, HuBERT, WavLM and similar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, need
from plait.features import Feature
from plait.features.checks import above_zero
from plait.features.pretrained import config_of, find_model, frozen, width_of
from plait.features.sound import Wave, Windows
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["HfSound"]

PART = "hf_sound"


@dataclass(frozen=True)
class _Strides(Windows):
    """The windows of a stack of convolutions, from its kernels and strides in samples."""

    kernels: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    @property
    def step(self) -> int:
        return int(np.prod(self.strides))

    @property
    def size(self) -> int:
        sides = np.cumprod([1, *self.strides[:-1]])
        return 1 + int((sides * (np.array(self.kernels) - 1)).sum())


class HfSound(Feature):
    """Any Hugging Face encoder of waveforms, frozen: wav2vec 2.0, HuBERT, WavLM, data2vec ..., [n, width].

    One row per step of the model's convolutions (mostly 20 ms), at the middle of their receptive field; so `rate` is
    the model's. Sound is resampled to the model's rate. Long sound is processed in pieces: each row is computed from
    its piece of ``piece`` seconds with ``margin`` seconds more on either side, which bounds both memory and
    `receptive_field`. If the model's folder says so (``do_normalize``), each piece is normalised to mean 0 and standard
    deviation 1. A row whose window touches NaN is NaN.

    Args:
        model: a folder, or a name on the hub, such as facebook/wav2vec2-base; weights as safetensors.
        layer: which hidden layer: 0 before the first, -1 the last.
        piece, margin: seconds.
        offline: never use the network.

    Raises:
        ConfigError: the model is not available, or takes no waveforms. MissingExtra: transformers is missing.
    """

    kinds = ("waveform",)

    def __init__(
        self, *, model: str = "", layer: int = -1, piece: float = 20.0, margin: float = 2.0, offline: bool = True
    ) -> None:
        above_zero(PART, piece=piece, margin=margin)
        if not model:
            raise ConfigError(f"{PART}.model: name a folder, or a model on the hub such as facebook/wav2vec2-base.")
        self._model, self._layer, self._piece, self._margin = model, layer, piece, margin
        self._offline, self._lost = offline, 0

    @property
    def receptive_field(self) -> float:
        return self._piece + self._margin + self._front().receptive_field

    @property
    def rate(self) -> Fraction | None:
        return self._front().a_second

    def dim(self, shape: tuple[int, ...]) -> int:
        return width_of(self._folder(), PART)

    def files(self) -> list[Path]:
        return [self._folder()]

    def notes(self) -> dict[str, int]:
        return {"windows in a gap": self._lost} if self._lost else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        front, gaps = self._front(), list[tuple[int, int]]()
        rows = [np.zeros((0, self.dim(())), np.float32)]
        rows += self._rows(front, front.sound(stream, gaps))
        values, clock, self._lost = front.placed(np.concatenate(rows), stream, gaps)
        return values, clock

    def _folder(self) -> Path:
        return find_model(self._model, self._offline, PART)

    def _front(self) -> _Strides:
        return _front_of(self._folder())

    def _rows(self, front: _Strides, sound: Iterator[Wave]) -> Iterator[Wave]:
        """Rows of each piece in turn; only the sound that the next piece needs is kept."""
        a_second = float(front.a_second)
        piece, margin = max(round(self._piece * a_second), 1), round(self._margin * a_second)
        kept, begins, done = np.zeros(0, np.float32), 0, 0  # begins, done: in steps
        for block in sound:
            kept = np.concatenate([kept, block])
            while len(kept) >= (done + piece + margin - begins - 1) * front.step + front.size:
                until = (done + piece + margin - begins - 1) * front.step + front.size
                yield self._encode(kept[:until], front)[done - begins :][:piece]
                done += piece
                before = max(done - margin, 0)
                kept, begins = kept[(before - begins) * front.step :], before
        # The last piece has no margin after it, and may be shorter.
        if (len(kept) - front.size) // front.step >= done - begins:
            yield self._encode(kept, front)[done - begins :]

    def _encode(self, sound: Wave, front: _Strides) -> Wave:
        """Hidden states of a piece of sound, [steps, width]."""
        torch = need("torch", "text", PART)
        folder = self._folder()
        if _extraction(folder).get("do_normalize", False):
            # As transformers' Wav2Vec2FeatureExtractor, constant included.
            sound = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
        with torch.inference_mode():
            found = _loaded(folder)(torch.from_numpy(sound)[None], output_hidden_states=True).hidden_states
        if not -len(found) <= self._layer < len(found):
            raise ConfigError(f"{PART}.layer: got {self._layer}; the model has {len(found) - 1} layers.")
        rows = np.asarray(found[self._layer][0].float().numpy(), np.float32)
        steps = 1 + (len(sound) - front.size) // front.step
        if len(rows) != steps:
            raise ConfigError(f"{PART}.model: {folder} gives {len(rows)} rows for {steps} steps; expected one each.")
        return rows


@lru_cache(maxsize=4)
def _extraction(folder: Path) -> dict[str, Any]:
    """The model's input settings, from its folder."""
    try:
        known = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{PART}.model: {folder}/preprocessor_config.json cannot be read ({error}).") from error
    return known if isinstance(known, dict) else {}


@lru_cache(maxsize=4)
def _front_of(folder: Path) -> _Strides:
    config = config_of(folder, PART)
    kernels, strides = config.get("conv_kernel"), config.get("conv_stride")
    if not (isinstance(kernels, list) and isinstance(strides, list) and kernels and len(kernels) == len(strides)):
        raise ConfigError(
            f"{PART}.model: {folder}/config.json names no conv_kernel and conv_stride; expected an encoder of "
            "waveforms such as wav2vec 2.0, HuBERT or WavLM."
        )
    rate = int(_extraction(folder).get("sampling_rate", 16000))
    # Twice: size and step follow from the kernels, but the base class takes them in seconds.
    found = _Strides(rate, 1.0, 1.0, tuple(kernels), tuple(strides))
    return _Strides(rate, found.size / rate, found.step / rate, tuple(kernels), tuple(strides))


@lru_cache(maxsize=1)
def _loaded(folder: Path) -> Any:
    network = frozen(folder, PART, "an encoder of waveforms", use_safetensors=True)
    if getattr(network, "main_input_name", "") != "input_values":
        raise ConfigError(f"{PART}.model: {folder} takes {network.main_input_name}; expected an encoder of waveforms.")
    return network.eval()
