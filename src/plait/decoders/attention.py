"""A decoder by attention: each token from those before it and from the outputs at all instants."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.decoders.prefix_beam import Hypothesis

__all__ = ["AttentionDecoder"]

END = 0
"""Column of the end of the sequence; as an input it is the start."""

LEAST = -10.0
"""Logarithms of probabilities are clipped here: what is less likely is all the same."""


class AttentionDecoder(nn.Module):
    """A Transformer decoder over the outputs of CTC: p(next token | tokens before it, outputs).

    The second half of the hybrid of Watanabe et al. 2017, "Hybrid CTC/attention architecture for end-to-end speech
    recognition", with the decoder of Vaswani et al. 2017, "Attention is all you need", section 3.1. Departure: what it
    attends to are the logarithms of CTC's probabilities instead of hidden states, so one decoder reads the answers of
    every head, of any subset of modalities and of their ensemble. To the score of an instant it adds ``log(1 -
    p(blank))``: instants where nothing is said count nothing, and padding neither.

    Args:
        tokens: their number; column 0 of inputs is the blank, and of outputs the end.
        dim: width of the layers.
        layers: of the decoder.
        heads: of each attention.
        dropout: within the layers.
        smoothing: label smoothing of `loss` in training.

    >>> decoder = AttentionDecoder(5).eval()
    >>> heard = torch.randn(2, 20, 6).log_softmax(-1)
    >>> tuple(decoder(heard, torch.tensor([[1, 2], [3, -1]])).shape), decoder.loss(heard, torch.ones(2, 3).long()).shape
    ((2, 3, 6), torch.Size([2]))
    """

    def __init__(
        self,
        tokens: int,
        *,
        dim: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.2,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.dim, self.smoothing = dim, smoothing
        self.heard = nn.Sequential(nn.Linear(tokens + 1, dim), nn.LayerNorm(dim))
        self.nothing = nn.Parameter(torch.zeros(dim))
        self.embedding = nn.Embedding(tokens + 1, dim)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerDecoderLayer(dim, heads, 4 * dim, dropout, batch_first=True, norm_first=True)
        self.layers = nn.TransformerDecoder(layer, layers, nn.LayerNorm(dim))
        self.out = nn.Linear(dim, tokens + 1)

    def forward(
        self, log_probs: Float[Tensor, "batch steps outputs"], tokens: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch after outputs"]:
        """Logits of the first token, and of the one after each of ``tokens``, [batch, length + 1, tokens + 1].

        Args:
            log_probs: of the blank and the tokens at each instant; instants not asked are a sure blank.
            tokens: from 1 on; others (such as -1 after the end) stand for nothing.
        """
        memory, bias = self._memory(log_probs.to(self.out.weight))  # calibration asks in double precision
        known = (tokens > 0) & (tokens < self.out.out_features)
        said = self.embedding(torch.where(known, tokens, END)) * known[..., None]
        start = self.embedding(tokens.new_full((len(tokens), 1), END))
        said = torch.cat([start, said], 1)
        length = said.shape[1]
        ahead = torch.full((length, length), -math.inf, device=said.device).triu(1).to(said)
        said = self.dropout(said + self._positions(length).to(said))
        hidden = self.layers(said, memory, tgt_mask=ahead, memory_key_padding_mask=bias, tgt_is_causal=True)
        found: Tensor = self.out(hidden)
        return found

    def _memory(self, log_probs: Tensor) -> tuple[Float[Tensor, "batch places dim"], Float[Tensor, "batch places"]]:
        """What is attended to, and what is added to its scores; a last place stands for nothing at all."""
        heard = self.heard(log_probs.clamp(min=LEAST))
        heard = heard + self._positions(heard.shape[1]).to(heard)
        nothing = self.nothing.expand(len(heard), 1, -1)
        said = torch.log1p(-log_probs[..., 0].exp().clamp(max=1 - 1e-6))
        # A sure blank (and so padding) is far below the place that stands for nothing, even where all are blanks.
        said = torch.where(log_probs[..., 0] > -1e-6, -1e4, said)
        return torch.cat([heard, nothing], 1), F.pad(said, (0, 1))

    def _positions(self, length: int) -> Float[Tensor, "length dim"]:
        """Sinusoids (Vaswani et al. 2017, section 3.5)."""
        rate = torch.exp(torch.arange(0, self.dim, 2) * (-math.log(10_000.0) / self.dim))
        angle = torch.arange(length)[:, None] * rate
        return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)

    def loss(
        self, log_probs: Float[Tensor, "batch steps outputs"], tokens: Int[Tensor, "batch length"]
    ) -> Float[Tensor, " batch"]:
        """Mean negative log-likelihood of the tokens and the end, per item, given those before each.

        Args:
            log_probs, tokens: as for `forward`, all tokens of an item before the others.
        """
        logits = self(log_probs, tokens)
        wanted = F.pad(tokens, (0, 1), value=-1)
        after = torch.zeros_like(wanted).scatter(1, (tokens >= 0).sum(1, keepdim=True), 1).bool()
        wanted = torch.where(after, END, torch.where(wanted < self.out.out_features, wanted, -1))
        doubt = self.smoothing if self.training else 0.0
        each = F.cross_entropy(logits.mT, wanted, ignore_index=-1, label_smoothing=doubt, reduction="none")
        return each.sum(1) / (wanted >= 0).sum(1)

    @torch.no_grad()
    def score(self, log_probs: NDArray[np.float64], sequences: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Logarithm of the probability of each sequence, with its end.

        Args:
            log_probs: [steps, tokens + 1].
            sequences: tokens, from 1 on.
        """
        longest = max(map(len, sequences), default=0)
        rows = torch.tensor([[*s, *[-1] * (longest - len(s))] for s in sequences], dtype=torch.long)
        logs = self(self._rows(log_probs, len(rows)), rows).log_softmax(-1)
        ends = torch.tensor([len(s) for s in sequences])
        wanted = torch.cat([rows, rows.new_full((len(rows), 1), -1)], 1).clamp(min=END)
        place = torch.arange(longest + 1)
        picked = logs.gather(2, wanted.to(logs.device)[..., None])[..., 0].cpu()
        return np.asarray((picked * (place <= ends[:, None])).sum(1), np.float64)

    @torch.no_grad()
    def search(self, log_probs: NDArray[np.float64], *, beam: int, insertion_bonus: float = 0.0) -> list[Hypothesis]:
        """The best sequences by the decoder alone, best first; no longer than there are steps.

        Args:
            log_probs: [steps, tokens + 1].
            beam: sequences kept at each length.
            insertion_bonus: added for each token.
        """
        alive: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
        ended: list[Hypothesis] = []
        for _ in range(len(log_probs) + 1):
            rows = torch.tensor([prefix for prefix, _ in alive], dtype=torch.long).reshape(len(alive), -1)
            logs = self(self._rows(log_probs, len(rows)), rows)[:, -1].log_softmax(-1).double().cpu().numpy()
            before = np.array([score for _, score in alive])
            for (prefix, score), end in zip(alive, logs[:, END].tolist()):
                ended.append(Hypothesis(prefix, score + end, score + end - insertion_bonus * len(prefix)))
            longer = before[:, None] + logs[:, 1:] + insertion_bonus
            order = np.argsort(-longer.ravel(), kind="stable")[:beam]
            alive = [((*alive[i // longer.shape[1]][0], int(i % longer.shape[1]) + 1), longer.flat[i]) for i in order]
            ended = sorted(ended, key=lambda found: -found.score)[:beam]
            left = (len(log_probs) - len(rows[0])) * max(insertion_bonus, 0.0)
            if alive[0][1] + left <= ended[0].score:
                break  # every longer sequence is less likely
        return ended

    def _rows(self, log_probs: NDArray[np.float64], count: int) -> Float[Tensor, "batch steps outputs"]:
        return torch.from_numpy(log_probs).to(self.out.weight).expand(count, -1, -1)
