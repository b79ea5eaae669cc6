"""The word embeddings of a language model, for the ids of its tokens: a text as that model reads it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.encoders import Encoder
from plait.encoders.pretrained import made, quiet
from plait.features.pretrained import find_model, frozen
from plait.tokens import Tokens
from plait.tokens.outside import Outside, digest_of, expect

__all__ = ["Words", "scale_of", "word_table"]


class Words(Encoder, Outside):
    """Each id's row in the word table of a language model, frozen, divided by the table's root mean square.

    For a text that the language model of the task `unify` reads beside other streams, such as a question. The width of
    the model's tokens must be that of the table. A saved run holds no table, but its SHA-256.

    Args:
        dim_in: 1: an id per row, from the feature `hf_tokens` of the same model.
        dim: width of the table.
        model: ``gemma3-270m`` (packaged, extra ``language``), a folder, or a name on the hub.
        config: a configuration with a ``model_type``, for a table of random numbers, which is saved with the run.
        sha256: of the table of a saved run.
        offline: never ask the network.

    Raises:
        ConfigError: the rows are no ids, or the table has another width.
        OutsideChanged: the table is not that of the saved run.

    >>> gpt = {"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": 5}
    >>> ids = Tokens(torch.ones(2, 3, 1), torch.zeros(2, 3), torch.ones(2, 3) > 0)
    >>> tuple(Words(1, 8, config=gpt)(ids).values.shape)
    (2, 3, 8)
    """

    causal = True
    trial: ClassVar[tuple[int, dict[str, object]]] = (
        1,
        {"config": {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 9}},
    )

    scale: Tensor

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        model: str = "gemma3-270m",
        config: Mapping[str, object] | None = None,
        sha256: str | None = None,
        offline: bool = True,
    ) -> None:
        super().__init__()
        if dim_in != 1:
            raise ConfigError(f"words: rows have {dim_in} numbers; expected one id each, from the feature hf_tokens.")
        self.dim_in, self.dim, self.symbolic, self.own = dim_in, dim, True, config is not None
        found = (
            table_of(made(config, "words")) if config is not None else word_table(find_model(model, offline, "words"))
        )
        if found.shape[1] != dim:
            raise ConfigError(
                f"words: the table of {model} has width {found.shape[1]}. Set model: {{dim: {found.shape[1]}}}."
            )
        self.sha256 = None if self.own else digest_of({"table": found})
        if self.sha256 is not None and sha256 is not None:
            expect(self.sha256, sha256, f"words.model {model}")
        self.table = nn.Parameter(found, requires_grad=False)
        self.register_buffer("scale", torch.tensor(scale_of(found)))

    def trainable(self) -> set[str]:
        return {"table", "scale"} if self.own else set()

    def resolved(self) -> dict[str, object]:
        return {} if self.own else {"sha256": digest_of({"table": self.table})}

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        ids = tokens.values[..., 0].round().long().clamp(0, len(self.table) - 1)
        return tokens.with_values(self.table[ids].to(tokens.values.dtype) / self.scale).clean()


def scale_of(table: Tensor) -> float:
    """The root mean square of a word table.

    >>> scale_of(torch.full((3, 2), -2.0))
    2.0
    """
    # of the first rows: a table may have a quarter of a million
    return float(table[:5000].float().square().mean().sqrt())


def table_of(model: Any) -> Tensor:
    """The word table of a model as it enters the first layer, [words, width]; some models scale it."""
    words = model.get_input_embeddings()
    with torch.no_grad():
        one = torch.ones(1, dtype=torch.long)
        factor = (words(one).abs().max() / words.weight[1].abs().max().clamp(min=1e-12)).item()
    table: Tensor = words.weight.detach()
    return table * factor if abs(factor - 1) > 1e-6 else table


@lru_cache(maxsize=1)
def word_table(folder: Path) -> Tensor:
    """The word table of the model in a folder. It is read once, and shared by all that ask for it."""
    with quiet():
        model = frozen(folder, "words", "a language model", "AutoModelForCausalLM", use_safetensors=True)
    return table_of(model)
