"""Transformers of Hugging Face as encoders of any stream: frozen, with low-rank adapters, or trained whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError, need
from plait.core.options import Count
from plait.core.parts import suggest
from plait.encoders import Encoder
from plait.features.pretrained import find_model, frozen
from plait.tokens import Tokens

__all__ = ["Hf"]

TUNED = ("frozen", "lora", "all")


class Hf(Encoder):
    """A transformer of Hugging Face over the observed tokens: one linear layer in, its layers, one linear layer out.

    Rows of any stream take the place of its word embeddings (``inputs_embeds``); so a network that was trained on one
    kind of data can be tried on another (Lu et al., "Frozen pretrained transformers as universal computation engines",
    AAAI 2022). Any model goes that takes them and gives ``last_hidden_state``: BERT, RoBERTa, DistilBERT, ELECTRA,
    ALBERT, DeBERTa, ModernBERT, GPT-2, the encoders of T5 and BART.

    Time: the model's positions count the observations of an item, from its first; gaps are stepped over and seconds
    pass through unread. Put the encoder `position` before it where they matter.

    All weights are saved with the run, frozen ones too, and the model's configuration with them: a saved run needs
    neither the folder nor the network. Word embeddings and poolers are of no use here and are left out.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        model: ``minilm`` (all-MiniLM-L6-v2, packaged), a folder, or a name on the hub; weights only as safetensors.
        config: a configuration with its ``model_type`` instead: a model with random weights; ``model`` is not read.
        tune: ``frozen``: only the two linear layers learn, and the model never drops out; ``lora``: they, and low-rank
            adapters beside its own layers (Hu et al., ICLR 2022; by peft), which change nothing at first; ``all``.
        rank: of the adapters.
        alpha: their sum is multiplied by alpha / rank.
        targets: endings of the names of the layers that get adapters; by default peft's choice for the kind of model,
            as a rule queries and values.
        checkpointing: keep only each layer's input for the gradient and compute the rest anew: less memory, a third
            more time. Not while frozen.
        dropout: share of the outputs set to 0 in training.
        offline: never ask the network.

    Raises:
        ConfigError: an option out of its range, or a model that is not at hand or does not take embeddings.
        MissingExtra: transformers (extra ``text``) or peft (extra ``adapt``) is not installed.
        DataError: more observations in an item than the model has positions.

    >>> config = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> encoder = Hf(3, 16, config={**config, "intermediate_size": 8})
    >>> tuple(encoder(Tokens(torch.ones(2, 5, 3), torch.zeros(2, 5), torch.ones(2, 5) > 0)).values.shape)
    (2, 5, 16)
    """

    trial: ClassVar[tuple[int, dict[str, object]]] = (
        5,
        {
            "tune": "all",
            "config": {
                "model_type": "bert",
                "hidden_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 8,
                "vocab_size": 8,
                "max_position_embeddings": 32,
            },
        },
    )

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        model: str = "minilm",
        config: Mapping[str, Any] | None = None,
        tune: str = "frozen",
        rank: Count = 8,
        alpha: float = 16.0,
        targets: Sequence[str] | None = None,
        checkpointing: bool = False,
        dropout: float = 0.1,
        offline: bool = True,
    ) -> None:
        super().__init__()
        if tune not in TUNED:
            raise ConfigError(f"hf.tune: got {tune!r}. {suggest(tune, TUNED)}")
        if checkpointing and tune == "frozen":
            raise ConfigError("hf.checkpointing: a frozen model is not checkpointed. Set tune to lora or all.")
        self.dim_in, self.dim = dim_in, dim
        self.frozen = tune == "frozen"
        self.model = _bare(_made(config) if config is not None else _loaded(model, offline))
        self.limit = _positions(self.model)
        enter = self.model.get_input_embeddings().embedding_dim
        hidden, used = _tried(self.model, enter)
        for weight in self.model.parameters():
            weight.requires_grad_(tune == "all" and weight in used)
        if tune == "lora":
            _adapt(self.model, rank, alpha, targets)
        if checkpointing:
            # transformers 5 has given it another name
            new = getattr(self.model, "activation_checkpointing_enable", None)
            (new or self.model.gradient_checkpointing_enable)({"use_reentrant": False})
        self.enter, self.leave = nn.Linear(dim_in, enter), nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def resolved(self) -> dict[str, Any]:
        return {"config": self.model.config.to_dict()}

    def train(self, mode: bool = True) -> Hf:
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        if tokens.mask.shape[1] == 0:
            return tokens.with_values(tokens.values.new_zeros(len(tokens.values), 0, self.dim))
        order = torch.argsort((~tokens.mask).to(torch.uint8), dim=1, stable=True)
        hidden = self._over(torch.gather(tokens.values, 1, _wide(order, tokens.dim)), tokens.mask.sum(1))
        back = torch.argsort(order, dim=1)
        if hidden.shape[1] < back.shape[1]:  # what is cut off is padding
            hidden = nn.functional.pad(hidden, (0, 0, 0, back.shape[1] - hidden.shape[1]))
        values = torch.gather(hidden, 1, _wide(back, hidden.shape[2]))
        return tokens.with_values(self.dropout(self.leave(values))).clean()

    def _over(self, values: Float[Tensor, "batch time dim"], count: Tensor) -> Float[Tensor, "batch places hidden"]:
        """The model over rows whose first ``count`` tokens are observations."""
        if self.limit is not None and values.shape[1] > self.limit:
            if int(count.max()) > self.limit:
                raise DataError(
                    f"hf: {int(count.max())} observations in an item, but the model has {self.limit} positions. Put an "
                    "encoder with strides before it, or cut shorter items."
                )
            values = values[:, : self.limit]
        # an empty row attends to its first place, so that nothing becomes NaN
        seen = torch.arange(values.shape[1], device=values.device) < count.clamp(min=1)[:, None]
        states: Tensor = self.model(inputs_embeds=self.enter(values), attention_mask=seen.long()).last_hidden_state
        return states


def _wide(index: Tensor, width: int) -> Tensor:
    return index[..., None].expand(-1, -1, width)


def _made(config: Mapping[str, Any]) -> Any:
    """A model with random weights."""
    transformers = need("transformers", "text", "hf")
    options = dict(config)
    kind = options.pop("model_type", None)
    if not isinstance(kind, str):
        raise ConfigError(f"hf.config: names no model_type, but {', '.join(options) or 'nothing'}; expected bert, say.")
    try:
        with _quiet():
            return transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **options))
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"hf.config: transformers makes no {kind!r} of it ({str(error).splitlines()[0]}).") from error


def _loaded(model: str, offline: bool) -> Any:
    with _quiet():
        return frozen(find_model(model, offline, "hf"), "hf", "an encoder", use_safetensors=True).float()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' remarks on vocabularies, which play no part here."""
    logs = need("transformers.utils.logging", "text", "hf")
    level = logs.get_verbosity()
    logs.set_verbosity_error()
    try:
        yield
    finally:
        logs.set_verbosity(level)


def _bare(model: Any) -> Any:
    """The model, or its encoder, without the word embeddings and the pooler."""
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    words = model.get_input_embeddings()
    if not isinstance(words, nn.Embedding):
        raise ConfigError(f"hf: {type(model).__name__} has no word embeddings that rows could take the place of.")
    model.set_input_embeddings(nn.Embedding(1, words.embedding_dim))
    model.config.use_cache = False
    if isinstance(getattr(model, "pooler", None), nn.Module):
        model.pooler = None
    return model


def _positions(model: Any) -> int | None:
    """How many observations the model can count, or None where it has no table of positions."""
    found = [getattr(model.config, key, None) for key in ("max_position_embeddings", "n_positions")]
    most = next((n for n in found if isinstance(n, int) and n > 0), None)
    tables = [m for name, m in model.named_modules() if name.endswith("position_embeddings")]
    # RoBERTa and its kin count from behind the place of the padding
    before = [m.padding_idx + 1 for m in tables if getattr(m, "padding_idx", None) is not None]
    return None if most is None else most - max(before, default=0)


def _tried(model: Any, enter: int) -> tuple[int, set[Tensor]]:
    """Width of what the model gives for two tokens, and the weights that have a part in it.

    Raises:
        ConfigError: it does not take embeddings, or gives no states.
    """
    try:
        out = model(inputs_embeds=torch.zeros(1, 2, enter), attention_mask=torch.ones(1, 2, dtype=torch.long))
        hidden = out.last_hidden_state
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"hf: {type(model).__name__} does not run on embeddings ({error}).") from error
    used, seen, todo = set(), set(), [hidden.grad_fn]
    while todo:
        step = todo.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        used |= {step.variable} if hasattr(step, "variable") else set()
        todo += [before for before, _ in step.next_functions]
    return hidden.shape[-1], used


def _adapt(model: Any, rank: int, alpha: float, targets: Sequence[str] | None) -> None:
    """Put low-rank adapters into the model; they alone are left to learn.

    Raises:
        ConfigError: no such layers, or a rank below 1.
    """
    peft = need("peft", "adapt", "hf.tune: lora")
    try:
        plan = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=None if targets is None else list(targets))
        peft.inject_adapter_in_model(plan, model)
    except ValueError as error:
        raise ConfigError(f"hf.tune: lora: {error} Name the layers in targets.") from error
