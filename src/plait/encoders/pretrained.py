"""Hugging Face transformers as encoders of any stream: frozen, with low-rank adapters, or fully trained."""

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

__all__ = ["Hf", "adapt", "made", "quiet"]

TUNED = ("frozen", "lora", "all")


class Hf(Encoder):
    """A Hugging Face transformer over the observed tokens: one linear layer in, its layers, one linear layer out.

    Rows of any stream replace its word embeddings (``inputs_embeds``), so a network trained on one kind of data can be
    tried on another (Lu et al., "Frozen pretrained transformers as universal computation engines", AAAI 2022). Any
    model works that accepts ``inputs_embeds`` and returns ``last_hidden_state``: BERT, RoBERTa, DistilBERT, ELECTRA,
    ALBERT, DeBERTa, ModernBERT, GPT-2, the encoders of T5 and BART.

    Time: the model's positions count the observations of an item; gaps are skipped and seconds are ignored. Put the
    encoder `position` before it where seconds matter.

    All weights, frozen ones too, and the model's configuration are saved with the run: a saved run needs neither the
    folder nor the network. Poolers are not used and not kept; word embeddings are only kept for ``ids``.

    Args:
        dim_in: width of the incoming tokens; 1 for ``ids``.
        dim: width of the outgoing tokens.
        model: ``minilm`` (all-MiniLM-L6-v2, packaged), a folder, or a name on the hub; weights only as safetensors.
        config: a configuration with a ``model_type``, for a model with random weights; ``model`` is then ignored.
        ids: the rows are ids of the model's own vocabulary (feature `hf_tokens`), one per token: its word embeddings,
            which stay as they are, replace the linear layer in.
        layers: layers side by side, in place of the last one alone: 0 is the first one's input, -1 the last.
        tune: ``frozen``: only the two linear layers are trained, and the model has no dropout; ``lora``: also low-rank
            adapters of its layers (Hu et al., ICLR 2022; by peft), which start at zero; ``all``: everything.
        rank: rank of the adapters.
        alpha: the adapters' output is multiplied by alpha / rank.
        targets: endings of the names of the layers that get adapters; by default peft's choice for the kind of model,
            usually queries and values.
        checkpointing: keep only each layer's input for the gradient and recompute the rest: less memory, a third more
            time. Not for ``frozen``.
        dropout: share of the outputs set to 0 in training.
        offline: never ask the network.

    Raises:
        ConfigError: an option out of range, or a model that is not available or does not accept embeddings.
        MissingExtra: transformers (extra ``text``) or peft (extra ``adapt``) is not installed.
        DataError: an item has more observations than the model has positions.

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
        config: Mapping[str, object] | None = None,
        ids: bool = False,
        layers: Sequence[int] | None = None,
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
        if ids and dim_in != 1:
            raise ConfigError(f"hf.ids: rows have {dim_in} numbers; expected one id each, from the feature hf_tokens.")
        self.dim_in, self.dim, self.symbolic = dim_in, dim, ids
        self.frozen, self.layers = tune == "frozen", layers
        whole = made(config) if config is not None else _loaded(model, offline)
        words = whole.get_input_embeddings()
        self.model = _bare(whole)
        self.limit = _positions(self.model)
        hidden, used = _tried(self.model, words.embedding_dim, layers)
        for weight in self.model.parameters():
            # an unused weight would count as trained and never get a gradient
            weight.requires_grad_(tune == "all" and weight in used)
        if tune == "lora":
            adapt(self.model, rank, alpha, targets)
        if checkpointing:
            # renamed in transformers 5
            new = getattr(self.model, "activation_checkpointing_enable", None)
            (new or self.model.gradient_checkpointing_enable)({"use_reentrant": False})
        self.enter = words.requires_grad_(False) if ids else nn.Linear(dim_in, words.embedding_dim)
        self.leave = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def resolved(self) -> dict[str, object]:
        return {"config": self.model.config.to_dict()}

    def train(self, mode: bool = True) -> Hf:
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        if tokens.mask.shape[1] == 0:
            return tokens.with_values(tokens.values.new_zeros(tokens.values.shape[0], 0, self.dim))
        # observations first: the model's positions then count them, and padding can be cut off
        order = torch.argsort((~tokens.mask).to(torch.uint8), dim=1, stable=True)
        hidden = self._over(torch.gather(tokens.values, 1, _wide(order, tokens.dim)), tokens.mask.sum(1))
        back = torch.argsort(order, dim=1)
        if torch.compiler.is_compiling() or hidden.shape[1] < back.shape[1]:  # `_over` has cut off padding
            hidden = nn.functional.pad(hidden, (0, 0, 0, back.shape[1] - hidden.shape[1]))
        values = torch.gather(hidden, 1, _wide(back, hidden.shape[2]))
        return tokens.with_values(self.dropout(self.leave(values))).clean()

    def _over(self, values: Float[Tensor, "batch time dim"], count: Tensor) -> Float[Tensor, "batch places hidden"]:
        """Run the model on rows whose first ``count`` tokens are observations."""
        # a graph cannot look at the count: there what is beyond the limit is cut off
        if self.limit is not None and torch.compiler.is_compiling():
            values = values[:, : self.limit]
        elif self.limit is not None and values.shape[1] > self.limit:
            if int(count.max()) > self.limit:
                raise DataError(
                    f"hf: {int(count.max())} observations in an item, but the model has {self.limit} positions. Put an "
                    "encoder with strides before it, or cut shorter items."
                )
            values = values[:, : self.limit]
        # an empty row attends to its first place, so that nothing becomes NaN
        seen = torch.arange(values.shape[1], device=values.device) < count.clamp(min=1)[:, None]
        return _states(self.model, self._entered(values), seen.long(), self.layers)

    def _entered(self, values: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time words"]:
        if isinstance(self.enter, nn.Embedding):
            # padding holds zeros, which any vocabulary has
            values = values[..., 0].round().long().clamp(0, self.enter.num_embeddings - 1)
        entered: Tensor = self.enter(values)
        return entered


def _states(model: Any, entered: Tensor, seen: Tensor, layers: Sequence[int] | None) -> Tensor:
    """The model's hidden states, [batch, time, width of all layers]."""
    if layers is None:
        last: Tensor = model(inputs_embeds=entered, attention_mask=seen).last_hidden_state
        return last
    every = model(inputs_embeds=entered, attention_mask=seen, output_hidden_states=True).hidden_states
    absent = [layer for layer in layers if not -len(every) <= layer < len(every)]
    if absent or not layers:
        raise ConfigError(f"hf.layers: got {list(layers)}; expected numbers from {-len(every)} to {len(every) - 1}.")
    return torch.cat([every[layer] for layer in layers], -1)


def _wide(index: Tensor, width: int) -> Tensor:
    return index[..., None].expand(-1, -1, width)


def made(config: Mapping[str, object], part: str = "hf") -> Any:
    """A model with random weights, from its configuration; ``part``: who asks, for messages."""
    transformers = need("transformers", "text", part)
    options = dict(config)
    kind = options.pop("model_type", None)
    if not isinstance(kind, str):
        given = ", ".join(options) or "nothing"
        raise ConfigError(f"{part}.config: has no model_type, but {given}; expected a model_type, such as bert.")
    try:
        with quiet():
            return transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **options))
    except (ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{part}.config: transformers cannot make a {kind!r} from it ({reason}).") from error


def _loaded(model: str, offline: bool) -> Any:
    with quiet():
        return frozen(find_model(model, offline, "hf"), "hf", "an encoder", use_safetensors=True).float()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' bars, and its warnings about vocabularies, which are not used here."""
    logs = need("transformers.utils.logging", "text", "hf")
    level, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(level)
        if bars:
            logs.enable_progress_bar()


def _bare(model: Any) -> Any:
    """The model, or its encoder, without the word embeddings and the pooler."""
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    words = model.get_input_embeddings()
    if not isinstance(words, nn.Embedding):
        raise ConfigError(f"hf: {type(model).__name__} has no word embeddings that rows could replace.")
    # a table of one row: some models look at the table's size or device, but no word is ever looked up
    model.set_input_embeddings(nn.Embedding(1, words.embedding_dim))
    # cached keys serve generation only, and cost memory
    model.config.use_cache = False
    if isinstance(getattr(model, "pooler", None), nn.Module):
        model.pooler = None
    return model


def _positions(model: Any) -> int | None:
    """The largest number of observations that the model has positions for; None without a position table."""
    found = [getattr(model.config, key, None) for key in ("max_position_embeddings", "n_positions")]
    most = next((n for n in found if isinstance(n, int) and n > 0), None)
    tables = [m for name, m in model.named_modules() if name.endswith("position_embeddings")]
    # RoBERTa and related models count positions from padding_idx + 1
    before = [m.padding_idx + 1 for m in tables if getattr(m, "padding_idx", None) is not None]
    return None if most is None else most - max(before, default=0)


def _tried(model: Any, enter: int, layers: Sequence[int] | None) -> tuple[int, set[Tensor]]:
    """The width of the model's output for two tokens, and the weights that contribute to it.

    Raises:
        ConfigError: the model does not accept embeddings, or returns no hidden states.
    """
    try:
        hidden = _states(model, torch.zeros(1, 2, enter), torch.ones(1, 2, dtype=torch.long), layers)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"hf: {type(model).__name__} does not run on embeddings ({error}).") from error
    # autograd's graph names the weights that a forward pass has used; modules do not tell
    used, seen, todo = set(), set(), [hidden.grad_fn]
    while todo:
        step = todo.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        used |= {step.variable} if hasattr(step, "variable") else set()
        todo += [before for before, _ in step.next_functions]
    return hidden.shape[-1], used


def adapt(model: Any, rank: int, alpha: float, targets: Sequence[str] | None, part: str = "hf") -> None:
    """Put low-rank adapters into the model; only they are trained.

    Raises:
        ConfigError: unknown layers, or a rank below 1.
    """
    peft = need("peft", "adapt", f"{part}.tune: lora")
    try:
        plan = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=None if targets is None else list(targets))
        peft.inject_adapter_in_model(plan, model)
    except ValueError as error:
        raise ConfigError(f"{part}.tune: lora: {error} Name the layers in targets.") from error
