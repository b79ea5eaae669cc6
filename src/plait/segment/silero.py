"""Silero's voice activity network in NumPy, with its packaged weights, without torch and without a graph runtime."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import MissingExtra

__all__ = ["RATE", "STEP", "Silero"]

Array = NDArray[np.float32]

RATE = 16000
"""Sampling rate of the network, Hz."""

STEP = 512
"""Samples per decision; the network also sees the 64 before them, and has a memory."""

_CONTEXT, _FFT, _HOP = 64, 256, 128


_FILE = "data/silero_vad_16k_op15.onnx"


@lru_cache(maxsize=1)
def _weights() -> dict[str, Array]:
    """The network's weights by name, from the package's ONNX file."""
    # `find_spec` does not import the package, which would import torch.
    found = importlib.util.find_spec("silero_vad")
    path = Path(found.origin).parent / _FILE if found and found.origin else None
    if path is None or not path.is_file():
        raise MissingExtra(
            "speech by silero needs the package 'silero-vad' (6 or newer), which is not installed. "
            "Install it with: pip install 'plait[offline-models]'"
        )
    # onnx.proto: field 7 of ModelProto is the graph, field 5 of GraphProto its initializers.
    graph = next(_bytes(value) for number, value in _fields(memoryview(path.read_bytes())) if number == 7)
    return dict(_tensor(_bytes(value)) for number, value in _fields(graph) if number == 5)


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a protocol buffer (https://protobuf.dev/programming-guides/encoding)."""
    i = 0
    while i < len(view):
        key, i = _varint(view, i)
        # The low three bits are the wire type: 0 a varint, 1 eight bytes, 2 a length and its bytes, 5 four bytes.
        if key & 7 == 0:
            number, i = _varint(view, i)
            yield key >> 3, number
            continue
        length, i = _varint(view, i) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], i)
        yield key >> 3, view[i : i + length]
        i += length


def _varint(view: memoryview, i: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (view[i] & 127) << shift
        if view[i] < 128:
            return value, i + 1
        i, shift = i + 1, shift + 7


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def _tensor(message: memoryview) -> tuple[str, Array]:
    """Name and numbers of an ONNX TensorProto of 32-bit floats (fields 1: sizes, 8: name, 9: the bytes)."""
    fields = list(_fields(message))
    sizes = [value for number, value in fields if number == 1 and isinstance(value, int)]
    named = {number: _bytes(value) for number, value in fields if number in (8, 9)}
    return bytes(named[8]).decode(), np.frombuffer(named[9], "<f4").reshape(sizes)


class Silero:
    """The network with its memory; it takes sound piece by piece.

    The 16 kHz network of silero-vad 6 (Silero Team, https://github.com/snakers4/silero-vad, MIT): a short-time
    spectrum, four convolutions, an LSTM and one output. It agrees with the package's ONNX file to 1e-4.

    Raises:
        MissingExtra: the package with the weights is not installed.
    """

    def __init__(self) -> None:
        self._w = _weights()
        self._context = np.zeros(_CONTEXT, np.float32)
        self._state = (np.zeros(128, np.float32), np.zeros(128, np.float32))

    def __call__(self, sound: Array) -> Array:
        """Probabilities of speech, one per `STEP` samples of sound [n * STEP] at `RATE`; the state is kept."""
        whole = np.concatenate([self._context, sound.astype(np.float32, copy=False)])
        self._context = whole[len(whole) - _CONTEXT :]
        windows = np.lib.stride_tricks.sliding_window_view(whole, _CONTEXT + STEP)[::STEP]
        out = [self._remember(self._see(windows[i : i + 256])) for i in range(0, len(windows), 256)]
        return np.concatenate([np.zeros(0, np.float32), *out])

    def _see(self, windows: Array) -> Array:
        """Windows [n, 576] to the inputs of the LSTM, [n, 128]."""
        w = self._w
        padded = np.pad(windows, ((0, 0), (0, _CONTEXT)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT, axis=1)[:, ::_HOP]
        parts = frames @ w["model.stft.forward_basis_buffer"][:, 0].T
        half = _FFT // 2 + 1
        x = np.sqrt(parts[..., :half] ** 2 + parts[..., half:] ** 2).swapaxes(1, 2)
        for i, stride in enumerate((1, 2, 2, 1)):
            layer = f"model.encoder.{i}.reparam_conv"
            x = np.maximum(_convolved(x, w[f"{layer}.weight"], w[f"{layer}.bias"], stride), 0)
        return np.asarray(x[..., 0])

    def _remember(self, seen: Array) -> Array:
        w, (h, c) = self._w, self._state
        fed = (
            seen @ w["model.decoder.rnn.weight_ih"].T + w["model.decoder.rnn.bias_ih"] + w["model.decoder.rnn.bias_hh"]
        )
        # Contiguous, because the loop below multiplies by it once per window.
        again = np.ascontiguousarray(w["model.decoder.rnn.weight_hh"].T)
        last, bias = w["model.decoder.decoder.2.weight"][0, :, 0], float(w["model.decoder.decoder.2.bias"][0])
        out = np.empty(len(seen), np.float32)
        for n, gates in enumerate(fed):
            i, f, g, o = (gates + h @ again).reshape(4, 128)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
            out[n] = _sigmoid(np.maximum(h, 0) @ last + bias)
        self._state = (h, c)
        return out


def _convolved(x: Array, weight: Array, bias: Array, stride: int) -> Array:
    """A convolution of width 3 over the last axis of [n, channels, time], padded with zeros."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    taps = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=2)[:, :, ::stride]
    return np.asarray(np.einsum("nctk,ock->not", taps, weight, optimize=True) + bias[:, None])


def _sigmoid(x: Array) -> Array:
    # Clipped, for exp of a large number overflows with a warning.
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))), np.float32)
