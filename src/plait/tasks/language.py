"""A causal language model that continues a prompt of tokens of any kind: frozen, or with low-rank adapters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from plait.core.errors import ConfigError, need
from plait.encoders.pretrained import adapt, quiet
from plait.encoders.words import scale_of, table_of
from plait.features.pretrained import find_model, frozen
from plait.tokens.outside import Outside, digest_of

__all__ = ["Adapters", "Language", "Prompt", "Search", "tokenizer_of"]

NOTHING = -100
"""Target of a place that has none, as torch's cross-entropy has it."""


class Adapters(NamedTuple):
    """Low-rank adapters: their rank, the factor alpha / rank, and the layers (None: peft's choice)."""

    rank: int
    alpha: float
    layers: Sequence[str] | None


class Search(NamedTuple):
    """How an answer is looked for.

    Attributes:
        beam: answers kept at each token; 1: the best token each time.
        temperature: 0: the best; above: tokens are drawn, at this temperature.
    """

    beam: int = 1
    temperature: float = 0.0


class Prompt(NamedTuple):
    """What is read before an answer.

    Attributes:
        values: [batch, places, width], in units of the word table's root mean square.
        mask: [batch, places], which of them are there.
    """

    values: Float[Tensor, "batch places width"]
    mask: Bool[Tensor, "batch places"]


def tokenizer_of(folder: Path, where: str) -> Any:
    """The tokenizer of the model in a folder."""
    return frozen(folder, where, "a tokenizer", "AutoTokenizer")


class Language(Outside):
    """A causal language model over the tokens that occur in the answers, with the word table trimmed to them.

    A prompt is read behind the token of the begin (if the model has one), and ``cue`` follows it. Positions count what
    is there, so padding changes nothing. Only adapters are trained; all else stays as it was, in evaluation mode.

    Args:
        model: a packaged model, a folder, or a name on the hub.
        words: ids, in the model's vocabulary, of the tokens that it may say.
        cue: a text between prompt and answer.
        adapters: low-rank adapters of its layers; None: it is frozen.
        offline: never ask the network.

    Raises:
        ConfigError: the model is not available, or is no causal language model.
    """

    def __init__(
        self, model: str, words: Sequence[int], *, cue: str = "", adapters: Adapters | None = None, offline: bool = True
    ) -> None:
        super().__init__()
        folder = find_model(model, offline, "unify")
        tokenizer = tokenizer_of(folder, "unify")
        self.words, self._trained = [*words], set[str]()
        with quiet():
            lm = frozen(folder, "unify", "a language model", "AutoModelForCausalLM", use_safetensors=True)
        lm = lm.float().requires_grad_(False).eval()
        table, begin = table_of(lm), tokenizer.bos_token_id
        self.scale = scale_of(table)
        ahead = [] if begin is None else [begin]
        after = tokenizer(cue, add_special_tokens=False)["input_ids"] if cue else []
        self.ahead, self.after = (nn.Parameter(table[ids].clone(), requires_grad=False) for ids in (ahead, after))
        self.limit = getattr(lm.config, "max_position_embeddings", None)
        self.end = self.words.index(tokenizer.eos_token_id)
        _trim(lm, self.words)
        self.lm = lm
        self.digest = digest_of(self.held())
        self.adapted = adapters is not None
        if adapters is not None:
            adapt(lm, adapters.rank, adapters.alpha, adapters.layers, "unify")
        self._trained = {name for name, weight in self.named_parameters() if weight.requires_grad}

    @property
    def width(self) -> int:
        """Numbers per token."""
        return int(self.ahead.shape[1])

    @property
    def own(self) -> int:
        """Places that the begin and the cue take."""
        return len(self.ahead) + len(self.after)

    def trainable(self) -> set[str]:
        return self._trained

    def adapting(self, on: bool) -> None:
        """Let training change the adapters, or leave them as they are."""
        for name, weight in self.named_parameters():
            if name in self._trained:
                weight.requires_grad_(on)

    def frozen_digest(self) -> str:
        """SHA-256 of all that is frozen, as it is now; of the weights as they were loaded it is ``digest``."""
        return digest_of({name: value for name, value in self.held().items() if name not in self._trained})

    def train(self, mode: bool = True) -> Language:
        super().train(mode)
        self.lm.eval()  # a frozen model has no dropout; adapters have none either
        return self

    def logits(self, prompt: Prompt, answer: Int[Tensor, "batch length"]) -> Float[Tensor, "batch after words"]:
        """Logits of the first token of an answer, and of the one after each of its tokens, [batch, length + 1, words].

        Args:
            prompt: what is read first.
            answer: indices into ``words``; others (such as -1 behind the end) count nothing.
        """
        values, mask = self._before(prompt)
        known = (answer >= 0) & (answer < len(self.words))
        said = self.lm.get_input_embeddings()(torch.where(known, answer, self.end))
        mask = torch.cat([mask, known], 1)
        length = values.shape[1]
        found = self._run(torch.cat([values, said], 1), mask)
        return found[:, length - 1 :]

    def _run(self, values: Tensor, mask: Tensor) -> Tensor:
        places = (mask.long().cumsum(1) - 1).clamp(min=0)
        found: Tensor = self.lm(inputs_embeds=values, attention_mask=mask.long(), position_ids=places).logits
        return found

    def _before(self, prompt: Prompt) -> tuple[Tensor, Tensor]:
        """The prompt with begin and cue; what is there stands at the right."""
        rows = len(prompt.values)
        ahead, after = (x.expand(rows, -1, -1).to(prompt.values) for x in (self.ahead, self.after))
        values = torch.cat([ahead, prompt.values * self.scale, after], 1)
        own = [prompt.mask.new_ones(rows, x.shape[1]) for x in (ahead, after)]
        mask = torch.cat([own[0], prompt.mask, own[1]], 1)
        if not self.own:  # a prompt must have something: nothing at all is one place of zeros
            values, mask = F.pad(values, (0, 0, 1, 0)), F.pad(mask, (1, 0), value=True)
        order = mask.to(torch.uint8).argsort(dim=1, stable=True)
        longest = int(mask.sum(1).max()) if rows else 0
        order = order[:, order.shape[1] - longest :]
        return values.gather(1, order[..., None].expand(-1, -1, values.shape[2])), mask.gather(1, order)

    def losses(self, prompt: Prompt, answer: Int[Tensor, "batch length"], smoothing: float = 0.0) -> Tensor:
        """Mean negative log-likelihood of an answer's tokens and of its end, [batch]; unknown tokens are left out."""
        wanted = self.wanted(answer)
        found = self.logits(prompt, answer)
        each = F.cross_entropy(found.mT, wanted, ignore_index=NOTHING, label_smoothing=smoothing, reduction="none")
        return each.sum(1) / (wanted != NOTHING).sum(1).clamp(min=1)

    def wanted(self, answer: Int[Tensor, "batch length"]) -> Int[Tensor, "batch after"]:
        """The tokens that `logits` should give: those of the answer, and the end."""
        count = (answer >= 0).sum(1, keepdim=True)
        wanted = F.pad(torch.where((answer >= 0) & (answer < len(self.words)), answer, NOTHING), (0, 1), value=NOTHING)
        return wanted.scatter(1, count, self.end)

    def answer(self, prompt: Prompt, longest: int, search: Search) -> Int[Tensor, "batch longest"]:
        """An answer to each prompt, padded with -1; keys and values of what was read are kept from token to token.

        Args:
            prompt: what is read first.
            longest: most tokens.
            search: how it is looked for.
        """
        found: Tensor = self.answers(prompt, longest, search, 1)[:, 0]
        return found

    def answers(self, prompt: Prompt, longest: int, search: Search, count: int) -> Int[Tensor, "batch count longest"]:
        """Several answers to each prompt: the best of the beam, or as many drawn; other arguments as for `answer`."""
        values, mask = self._before(prompt)
        chosen = self._config(longest, search, count)
        with torch.no_grad(), _seeded(search.temperature > 0), quiet():
            found = self.lm.generate(inputs_embeds=values, attention_mask=mask.long(), generation_config=chosen)
        found = F.pad(found, (0, longest - found.shape[1]), value=self.end)
        ended = (found == self.end).long().cumsum(1) > 0
        several: Tensor = torch.where(ended, -1, found).unflatten(0, (-1, count))
        return several

    def _config(self, longest: int, search: Search, count: int) -> Any:
        transformers = need("transformers", "text", "unify")
        drawn = {"do_sample": True, "temperature": search.temperature} if search.temperature > 0 else {}
        return transformers.GenerationConfig(
            max_new_tokens=longest,
            num_beams=search.beam,
            num_return_sequences=count,
            use_cache=True,
            eos_token_id=self.end,
            pad_token_id=self.end,
            **{"do_sample": False, **drawn},
        )


@contextmanager
def _seeded(on: bool) -> Iterator[None]:
    """The same draws each time, which change no others."""
    if not on:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _trim(lm: Any, words: Sequence[int]) -> None:
    """Keep only the rows of these words, in the table and in the output."""
    rows, inner, out = torch.tensor([*words]), lm.get_input_embeddings(), lm.get_output_embeddings()
    if not isinstance(inner, nn.Embedding) or not isinstance(out, nn.Linear):
        raise ConfigError(f"unify.language: {type(lm).__name__} has no word table and output that could be trimmed.")
    tied = out.weight is inner.weight
    inner.weight = nn.Parameter(inner.weight[rows].clone(), requires_grad=False)
    out.weight = inner.weight if tied else nn.Parameter(out.weight[rows].clone(), requires_grad=False)
    if out.bias is not None:
        out.bias = nn.Parameter(out.bias[rows].clone(), requires_grad=False)
    inner.num_embeddings = out.out_features = lm.config.vocab_size = len(rows)
    inner.padding_idx = None
