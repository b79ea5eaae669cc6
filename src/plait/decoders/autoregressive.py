"""Decoders that say one token after another, and look at a memory of any length before each."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.decoders.search import State

__all__ = ["DECODERS", "END", "Autoregressive", "Memory", "RecurrentDecoder", "TransformerDecoder", "decoder_of"]

END = 0
"""Column of the end of a sequence; as an input it is the start."""


class Memory(NamedTuple):
    """What a decoder looks at: places in any order and number.

    Attributes:
        values: [batch, places, dim]; finite under the mask too.
        mask: [batch, places], True where there is something; an item may have no place at all.
    """

    values: Float[Tensor, "batch places dim"]
    mask: Bool[Tensor, "batch places"]


class Autoregressive(nn.Module, ABC):
    """p(next token | tokens before it, memory). A last place is learnt, which stands for nothing: an item with an empty
    memory gets a finite answer.

    Tokens are numbered from 1 up to ``tokens``; as an input, any other number is an unknown token.

    Args:
        tokens: their number; column 0 of the outputs is the end.
        dim: width of the memory and of all layers.
        dropout: share of the numbers that is set to 0 in training.
        word_dropout: share of the input tokens that is hidden in training, as unknown ones (Bowman et al. 2016,
            "Generating sentences from a continuous space", section 3.1): the memory must tell more.
    """

    def __init__(self, tokens: int, dim: int, *, dropout: float, word_dropout: float) -> None:
        super().__init__()
        self.tokens, self.dim, self.word_dropout = tokens, dim, word_dropout
        self.embedding = nn.Embedding(tokens + 2, dim)  # the last is that of unknown tokens
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        self.nothing = nn.Parameter(torch.zeros(dim))
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)
        self.bias = nn.Parameter(torch.zeros(tokens + 1))

    @abstractmethod
    def begin(self, memory: Memory) -> State:
        """What `advance` needs before the first token."""

    @abstractmethod
    def advance(self, tokens: Int[Tensor, " rows"], state: State) -> tuple[Tensor, Tensor, State]:
        """One step with what earlier steps have kept: logits of the next token [rows, tokens + 1], its attention to
        the memory [rows, places], and the state after it.

        Args:
            tokens: the latest token of each row; first `END`.
            state: from `begin`, or from the step before.
        """

    def forward(
        self, memory: Memory, tokens: Int[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch after outputs"], Float[Tensor, "batch after places"]]:
        """Logits of the first token and of the one after each of ``tokens``, [batch, length + 1, tokens + 1], and their
        attention to the memory, [batch, length + 1, places].

        Args:
            memory: what is looked at.
            tokens: the true ones; what stands after an end does not matter.
        """
        state, said = self.begin(memory), F.pad(self.hidden(tokens), (1, 0), value=END)
        found = []
        for token in said.unbind(1):
            logits, attention, state = self.advance(token, state)
            found.append((logits, attention))
        every, attentions = zip(*found)
        return torch.stack(every, 1), torch.stack(attentions, 1)

    def nll(
        self, memory: Memory, tokens: Int[Tensor, "batch length"], smoothing: float = 0.0
    ) -> Float[Tensor, " batch"]:
        """Mean negative log-likelihood of the tokens and the end, per text, given those before each.

        Args:
            memory: what is looked at.
            tokens: padded with -1; those that the decoder does not know do not count.
            smoothing: label smoothing.
        """
        logits, _ = self(memory, tokens)
        wanted = F.pad(tokens, (0, 1), value=-1)
        wanted = torch.where(wanted > self.tokens, -1, wanted)
        wanted = wanted.scatter(1, (tokens >= 0).sum(1, keepdim=True), END)
        each = F.cross_entropy(logits.mT, wanted, ignore_index=-1, label_smoothing=smoothing, reduction="none")
        return each.sum(1) / (wanted >= 0).sum(1)

    def hidden(self, tokens: Tensor) -> Tensor:
        """The input tokens, in training some of them as unknown ones."""
        if not self.training or not self.word_dropout:
            return tokens
        return torch.where(torch.rand(tokens.shape, device=tokens.device) < self.word_dropout, -1, tokens)

    def embedded(self, tokens: Tensor) -> Tensor:
        """Embeddings of input tokens."""
        known = (tokens >= END) & (tokens <= self.tokens)
        found: Tensor = self.embedding(torch.where(known, tokens, self.tokens + 1)) * self.dim**0.5
        return found

    def complete(self, memory: Memory) -> Memory:
        """The memory with the place that stands for nothing."""
        nothing = self.nothing.expand(len(memory.mask), 1, -1).to(memory.values)
        values = torch.where(memory.mask[..., None], memory.values, 0.0)
        return Memory(torch.cat([values, nothing], 1), F.pad(memory.mask, (0, 1), value=True))

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits of the tokens. Output and input embeddings are the same (Press & Wolf 2017, "Using the output
        embedding to improve language models")."""
        return F.linear(self.dropout(self.norm(hidden)), self.embedding.weight[: self.tokens + 1], self.bias)


class TransformerDecoder(Autoregressive):
    """The decoder of Vaswani et al. 2017, "Attention is all you need", section 3.1, with pre-norm layers (Xiong et al.
    2020) and sinusoidal positions (section 3.5). Keys and values of earlier tokens are kept from step to step.

    The attention that it tells is the mean over the heads and layers.

    Args:
        layers: of the decoder.
        heads: of each attention; they must divide ``dim``.

    Others: see `Autoregressive`.

    Raises:
        ConfigError: heads that do not divide the width.

    >>> decoder = TransformerDecoder(5, 8, heads=2).eval()
    >>> memory = Memory(torch.randn(2, 7, 8), torch.ones(2, 7) > 0)
    >>> [tuple(x.shape) for x in decoder(memory, torch.tensor([[1, 2], [3, 0]]))]
    [(2, 3, 6), (2, 3, 7)]
    """

    def __init__(
        self,
        tokens: int,
        dim: int,
        *,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__(tokens, dim, dropout=dropout, word_dropout=word_dropout)
        if heads < 1 or dim % heads or dim % 2:
            raise ConfigError(f"{heads} heads at width {dim}; expected an even width that the heads divide.")
        self.layers = nn.ModuleList(_Layer(dim, heads, dropout) for _ in range(layers))

    def begin(self, memory: Memory) -> State:
        whole = self.complete(memory)
        state = {"mask": whole.mask}
        for i, layer in enumerate(self._each()):
            state[f"memory_key_{i}"], state[f"memory_value_{i}"] = layer.look.keys(whole.values)
            none = state[f"memory_key_{i}"][:, :, :0]
            state[f"key_{i}"], state[f"value_{i}"] = none, none
        return state

    def _each(self) -> list[_Layer]:
        return [layer for layer in self.layers if isinstance(layer, _Layer)]

    def advance(self, tokens: Int[Tensor, " rows"], state: State) -> tuple[Tensor, Tensor, State]:
        place = state["key_0"].shape[2]
        x = self._enter(tokens[:, None], place)
        x, attention, state = self._through(x, state, None)
        return self.logits(x[:, 0]), attention[:, 0, :-1], state

    def forward(
        self, memory: Memory, tokens: Int[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch after outputs"], Float[Tensor, "batch after places"]]:
        x = self._enter(F.pad(self.hidden(tokens), (1, 0), value=END), 0)
        length = x.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        x, attention, _ = self._through(x, self.begin(memory), seen)
        return self.logits(x), attention[..., :-1]

    def _enter(self, tokens: Tensor, place: int) -> Tensor:
        x = self.embedded(tokens)
        out: Tensor = self.dropout(x + _sinusoids(place, tokens.shape[1], self.dim).to(x))
        return out

    def _through(self, x: Tensor, state: State, seen: Tensor | None) -> tuple[Tensor, Tensor, State]:
        """All layers; ``seen``: which tokens each may see, [length, length], None for all."""
        after, looked = dict(state), []
        for i, layer in enumerate(self._each()):
            key, value = layer.own.keys(layer.norm(x))
            key, value = torch.cat([state[f"key_{i}"], key], 2), torch.cat([state[f"value_{i}"], value], 2)
            after[f"key_{i}"], after[f"value_{i}"] = key, value
            remembered = state[f"memory_key_{i}"], state[f"memory_value_{i}"]
            x, attention = layer(x, (key, value), seen, remembered, state["mask"])
            looked.append(attention)
        return x, torch.stack(looked).mean(0), after


class _Layer(nn.Module):
    """Attention to the tokens before, attention to the memory, and a feed-forward part."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.own, self.look = _Attention(dim, heads), _Attention(dim, heads)
        self.norm, self.norm_look = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.feed = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim)
        )

    def forward(
        self,
        x: Tensor,
        own: tuple[Tensor, Tensor],
        seen: Tensor | None,
        memory: tuple[Tensor, Tensor],
        mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        met, _ = self.own(self.norm(x), *own, seen)
        x = x + self.dropout(met)
        met, attention = self.look(self.norm_look(x), *memory, mask[:, None, None, :])
        x = x + self.dropout(met)
        return x + self.dropout(self.feed(x)), attention


class _Attention(nn.Module):
    """Attention whose weights are known. Keys and values are [batch, heads, time, width]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.both, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def keys(self, source: Tensor) -> tuple[Tensor, Tensor]:
        key, value = (self._split(part) for part in self.both(source).chunk(2, -1))
        return key, value

    def forward(self, x: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """The output [batch, time, dim] and the mean of the heads' weights [batch, time, keys]."""
        query = self._split(self.query(x))
        score = query @ key.mT / math.sqrt(query.shape[-1])
        weight = (score if seen is None else score.masked_fill(~seen, -torch.inf)).softmax(-1)
        out: Tensor = self.out(rearrange(weight @ value, "b h t d -> b t (h d)"))
        return out, weight.mean(1)

    def _split(self, x: Tensor) -> Tensor:
        return rearrange(x, "b t (h d) -> b h t d", h=self.heads)


class RecurrentDecoder(Autoregressive):
    """An LSTM that looks at the memory before each token: Xu et al. 2015, "Show, attend and tell: neural image caption
    generation with visual attention", section 3.1.2 (soft attention), with the additive scores of Bahdanau et al. 2015.

    Departures: the query is the state after the present token has been read, not before (Anderson et al. 2018,
    "Bottom-up and top-down attention", section 3.2, with one layer); no gate on the context; output and input
    embeddings are the same.

    Args: see `Autoregressive`.

    >>> decoder = RecurrentDecoder(5, 8).eval()
    >>> memory = Memory(torch.randn(2, 7, 8), torch.ones(2, 7) > 0)
    >>> [tuple(x.shape) for x in decoder(memory, torch.tensor([[1, 2], [3, 0]]))]
    [(2, 3, 6), (2, 3, 7)]
    """

    def __init__(self, tokens: int, dim: int, *, dropout: float = 0.1, word_dropout: float = 0.0) -> None:
        super().__init__(tokens, dim, dropout=dropout, word_dropout=word_dropout)
        self.cell = nn.LSTMCell(2 * dim, dim)
        self.start = nn.Linear(dim, 2 * dim)
        self.query, self.key, self.score = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, 1)
        self.join = nn.Linear(2 * dim, dim)

    def begin(self, memory: Memory) -> State:
        """The first state is a function of the mean of the memory (Xu et al., section 3.1.2)."""
        whole = self.complete(memory)
        mean = (whole.values * whole.mask[..., None]).sum(1) / whole.mask.sum(1, keepdim=True)
        hidden, cell = self.start(mean).tanh().chunk(2, -1)
        return {
            "hidden": hidden,
            "cell": cell,
            "context": mean,
            "values": whole.values,
            "keys": self.key(whole.values),
            "mask": whole.mask,
        }

    def advance(self, tokens: Int[Tensor, " rows"], state: State) -> tuple[Tensor, Tensor, State]:
        said = self.dropout(torch.cat([self.embedded(tokens), state["context"]], -1))
        hidden, cell = self.cell(said, (state["hidden"], state["cell"]))
        score = self.score((self.query(hidden)[:, None] + state["keys"]).tanh())[..., 0]
        weight = score.masked_fill(~state["mask"], -torch.inf).softmax(-1)
        context = (weight[:, None] @ state["values"])[:, 0]
        out = self.join(self.dropout(torch.cat([hidden, context], -1))) + hidden
        return self.logits(out), weight[:, :-1], {**state, "hidden": hidden, "cell": cell, "context": context}


DECODERS = {"transformer": TransformerDecoder, "recurrent": RecurrentDecoder}


def decoder_of(kind: str, tokens: int, dim: int, *, layers: int, dropout: float, word_dropout: float) -> Autoregressive:
    """A fresh decoder of a kind in `DECODERS`; ``layers`` of a transformer, whose heads are four where the width allows
    it.

    >>> decoder_of("recurrent", 5, 8, layers=1, dropout=0.1, word_dropout=0.0).tokens
    5
    """
    if kind == "recurrent":
        return RecurrentDecoder(tokens, dim, dropout=dropout, word_dropout=word_dropout)
    heads = next(count for count in (4, 2, 1) if dim % count == 0)
    return TransformerDecoder(tokens, dim, layers=layers, heads=heads, dropout=dropout, word_dropout=word_dropout)


def _sinusoids(place: int, length: int, dim: int) -> Float[Tensor, "length dim"]:
    rate = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000.0) / dim))
    angle = torch.arange(place, place + length)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
