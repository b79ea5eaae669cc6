"""Search for sequences, one token after another: greedy, by a beam, or by sampling; many items at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.core.errors import ConfigError

__all__ = ["Advance", "Candidate", "State", "beam_search", "sample"]

State = Mapping[str, Tensor]
"""What a decoder keeps from step to step, such as keys and values; rows first in every tensor."""

Advance = Callable[[Tensor, State], tuple[Tensor, Tensor, State]]
"""Latest tokens [rows], state -> logits of the next token [rows, tokens + 1], attention [rows, places], state. Column
0 is the end of a sequence, and its number is the first input (`plait.decoders.autoregressive`)."""

END = 0


class Candidate(NamedTuple):
    """A sequence that a search found.

    Attributes:
        tokens: its tokens, from 1 up, without the end.
        score: what it was ranked by: ``log_prob / (number of tokens, end included) ** length_penalty``.
        log_prob: logarithm of its probability, end included.
        probs: the probability of each token, given those before it.
        attention: of each token to the places of the memory, [tokens, places].
    """

    tokens: tuple[int, ...]
    score: float
    log_prob: float
    probs: tuple[float, ...]
    attention: NDArray[np.float32]


class _Rows(NamedTuple):
    """Unfinished sequences, [rows, ...]: tokens and their logarithms, attention at each, and the sum."""

    tokens: Tensor
    logs: Tensor
    attention: Tensor
    total: Tensor

    def at(self, index: Tensor) -> _Rows:
        return _Rows(*(x[index] for x in self))

    def longer(self, token: Tensor, log: Tensor, attention: Tensor) -> _Rows:
        return _Rows(
            torch.cat([self.tokens, token[:, None]], 1),
            torch.cat([self.logs, log[:, None]], 1),
            attention[:, None] if not self.tokens.shape[1] else torch.cat([self.attention, attention[:, None]], 1),
            self.total + log,
        )

    def candidate(self, row: int, penalty: float) -> Candidate:
        tokens, total = self.tokens[row].tolist(), float(self.total[row])
        ended = bool(tokens) and tokens[-1] == END
        kept = len(tokens) - ended
        return Candidate(
            tuple(tokens[:kept]),
            total / max(len(tokens), 1) ** penalty,
            total,
            tuple(self.logs[row, :kept].exp().tolist()),
            self.attention[row, :kept].float().cpu().numpy(),
        )


@torch.no_grad()
def beam_search(
    advance: Advance, state: State, *, beam: int = 5, longest: int = 40, length_penalty: float = 1.0
) -> list[list[Candidate]]:
    """The best sequences of each item, best first, at most ``beam``; with a beam of 1 the most probable token is taken
    at each step (greedy).

    A sequence leaves the beam where its end is among the ``beam`` best ways to go on. Scores are divided by a power of
    the length (Wu et al. 2016, "Google's neural machine translation system", section 7, with ``length ** alpha`` for
    their ``((5 + length) / 6) ** alpha``). The search of an item stops when no sequence in the beam can be better than
    the worst of ``beam`` finished ones. With a beam as wide as the number of prefixes the result is exact.

    Args:
        advance: one step of the decoder.
        state: before the first token, one row an item.
        beam: sequences kept per item and length.
        longest: most tokens; a sequence that has not ended by then is cut off there.
        length_penalty: the power; 0: plain log probabilities, which favour short sequences.

    Raises:
        ConfigError: a beam or a length below 1.
    """
    if beam < 1 or longest < 1:
        raise ConfigError(f"beam {beam}, longest {longest}; expected 1 or more each.")
    items = len(next(iter(state.values())))
    found: list[list[Candidate]] = [[] for _ in range(items)]
    rows, owner = _started(items), torch.arange(items)
    for step in range(longest):
        last = rows.tokens[:, -1] if step else torch.full((len(owner),), END, dtype=torch.long)
        logits, attention, state = advance(last.to(_device(state)), state)
        logs, looked = logits.double().log_softmax(-1).cpu(), attention.cpu()
        picked = _best(rows.total[:, None] + logs, owner, beam)
        if not len(picked[0]):
            break
        parent, token = picked
        rows = rows.at(parent).longer(token, logs[parent, token], looked[parent])
        owner = owner[parent]
        over = (token == END) | (step + 1 == longest)
        for row in over.nonzero()[:, 0].tolist():
            found[int(owner[row])].append(rows.candidate(row, length_penalty))
        going = ~over & _hopeful(rows, owner, found, beam, longest, length_penalty)
        if not bool(going.any()):
            break
        state = _at(state, parent[going])
        rows, owner = rows.at(going), owner[going]
    return [sorted(own, key=lambda one: -one.score)[:beam] for own in found]


@torch.no_grad()
def sample(
    advance: Advance,
    state: State,
    *,
    count: int = 1,
    temperature: float = 1.0,
    top: float = 1.0,
    longest: int = 40,
    seed: int = 0,
) -> list[list[Candidate]]:
    """Sequences drawn from the decoder, ``count`` per item, in the order in which they were drawn.

    Args:
        advance: one step of the decoder.
        state: before the first token, one row an item.
        count: sequences per item.
        temperature: divides the logits: below 1 the sequences are more alike.
        top: the share of the probability that is drawn from, at each step the likeliest tokens (nucleus sampling,
            Holtzman et al. 2020, "The curious case of neural text degeneration").
        longest: most tokens.
        seed: of the draws. An item's draws do not depend on the other items.

    Raises:
        ConfigError: an option outside its range.
    """
    if count < 1 or longest < 1 or not temperature > 0 or not 0 < top <= 1:
        raise ConfigError(
            f"sample: count {count}, longest {longest}, temperature {temperature}, top {top}; expected 1 or more "
            "each, above 0, and above 0 to 1."
        )
    items = len(next(iter(state.values())))
    # The same numbers for each item, so that its draws do not depend on which others are beside it.
    drawn = np.random.default_rng(seed).random((longest, count))
    owner, which = torch.arange(items).repeat_interleave(count), torch.arange(count).repeat(items)
    rows, state = _started(items).at(owner), _at(state, owner)
    found: list[list[Candidate]] = [[] for _ in range(items)]
    for step in range(longest):
        last = rows.tokens[:, -1] if step else torch.full((len(owner),), END, dtype=torch.long)
        logits, attention, state = advance(last.to(_device(state)), state)
        logs = (logits.double() / temperature).log_softmax(-1).cpu()
        token = _drawn(logs, torch.from_numpy(drawn[step])[which], top)
        own = logits.double().log_softmax(-1).cpu()
        rows = rows.longer(token, own.gather(1, token[:, None])[:, 0], attention.cpu())
        over = (token == END) | (step + 1 == longest)
        for row in over.nonzero()[:, 0].tolist():
            found[int(owner[row])].append(rows.candidate(row, 1.0))
        if bool(over.all()):
            break
        rows, owner, which, state = rows.at(~over), owner[~over], which[~over], _at(state, (~over).nonzero()[:, 0])
    return found


def _started(items: int) -> _Rows:
    none = torch.zeros(items, 0)
    return _Rows(none.long(), none.double(), none[..., None], torch.zeros(items, dtype=torch.float64))


def _device(state: State) -> torch.device:
    return next(iter(state.values())).device


def _at(state: State, index: Tensor) -> State:
    return {name: value[index.to(value.device)] for name, value in state.items()}


def _best(scores: Tensor, owner: Tensor, beam: int) -> tuple[Tensor, Tensor]:
    """Row and token of the ``beam`` best continuations of each item."""
    parents, tokens = [], []
    for item in owner.unique().tolist():
        mine = (owner == item).nonzero()[:, 0]
        own = scores[mine].flatten()
        best = own.topk(min(beam, len(own))).indices
        best = best[own[best] > -math.inf]
        parents.append(mine[best // scores.shape[1]])
        tokens.append(best % scores.shape[1])
    return torch.cat(parents), torch.cat(tokens)


def _hopeful(
    rows: _Rows, owner: Tensor, found: list[list[Candidate]], beam: int, longest: int, penalty: float
) -> Tensor:
    """Whether a sequence may still become one of the best of its item."""
    limits = []
    for own in found:
        scores = sorted((one.score for one in own), reverse=True)
        limits.append(scores[beam - 1] if len(scores) >= beam else -math.inf)
    # The sum only falls; divided by a longer length it may rise, at most to that at the greatest length.
    most = rows.total / max(longest, 1) ** penalty if penalty > 0 else rows.total
    return most > torch.tensor(limits, dtype=torch.float64)[owner]


def _drawn(logs: Tensor, numbers: Tensor, top: float) -> Tensor:
    """A token per row, by inverting the cumulative probabilities of the likeliest tokens."""
    probs, order = logs.exp().sort(stable=True, dim=-1, descending=True)
    before = probs.cumsum(-1) - probs
    kept = torch.where(before < top, probs, 0.0)
    share = kept.cumsum(-1) / kept.sum(-1, keepdim=True)
    place = (share < numbers[:, None]).sum(-1, keepdim=True).clamp(max=int(logs.shape[1]) - 1)
    drawn: Tensor = order.gather(1, place)[:, 0]
    return drawn
