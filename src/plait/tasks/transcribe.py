"""Words or characters in order, learnt without their times by connectionist temporal classification (CTC)."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError
from plait.core.parts import Options, Spec
from plait.examples.targets import Annotated, Target
from plait.metrics import metrics_for
from plait.metrics.functional import Array
from plait.tasks import Task
from plait.tasks.answers import Answer, Text
from plait.tasks.heads import TimedLinear
from plait.tasks.timed import Rate, annotated_of, grid, padded
from plait.tokens import Instants

__all__ = ["Transcribe"]

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands in a true text for a token that training lacks: nothing that the model could say."""

CERTAIN = 30.0
"""A logit that is as good as certain: exp(-30) is 1e-13."""

KINDS = ("word", "character")


class Transcribe(Task):
    """The words (or characters) within an item, in order; by CTC, decoded greedily.

    Graves, Fernández, Gomez & Schmidhuber 2006, "Connectionist temporal classification", ICML: the likelihood of a
    sequence is summed over all its alignments to ``rate`` answers per second, each a token or a blank (section 3.1);
    decoding takes the best token at each instant, and drops repetitions and blanks (best path, section 3.2).

    Args:
        targets: what is annotated within the training items: labels of words or sentences, in order of time.
        target: the tier of annotations, or the stream of words.
        rate: answers per second; above the rate of tokens, and twice that if tokens repeat: CTC needs a blank between.
        token: unit of the answer: ``word`` (words of the training items, no others) or ``character``.
        lower: whether texts are lower-cased.
        ignore: labels that are not words, such as ``sil``.
        alignment: weight, relative to CTC, of the cross-entropy at the instants whose word the annotations give: spans
            of one word each, and the gaps between spans; not for characters. With CTC alone each head puts tokens at
            instants of its own choice, and heads that disagree in time cannot be averaged.
        dropout: share of the numbers at an instant that a head sets to 0 in training.
        metric: the metric by which validation selects: a `plait.metrics.Metric` of texts, by its name (``wer``,
            ``cer``) or the dotted path of your own.

    Raises:
        DataError: no training item has a token.
        ConfigError: an unknown kind of token, or metric.

    >>> task = Transcribe([Annotated(1.0, ((0.1, 0.4, "Good"), (0.5, 0.9, "day")))], target="words")
    >>> task.tokens, task.encode([Annotated(1.0, ((0.1, 0.9, "good good"),))])[:, :3, 0].tolist()
    (['day', 'good'], [[2, 2, -1]])
    """

    padding = -1.0
    """Fills a row of `scores` after its end."""

    main_metric = "wer"
    higher_is_better = False
    asks = "annotations"

    def __init__(
        self,
        targets: list[Target],
        *,
        target: str,
        rate: Rate = 25.0,
        token: str = "word",
        lower: bool = True,
        ignore: Sequence[str] = (),
        alignment: float = 10.0,
        dropout: float = 0.2,
        metric: Spec = "wer",
    ) -> None:
        super().__init__()
        if token not in KINDS:
            raise ConfigError(f"transcribe: token {token!r}; expected {' or '.join(KINDS)}.")
        if not 0 <= alignment < math.inf or not 0 <= dropout < 1:
            raise ConfigError(
                f"transcribe: alignment {alignment}, dropout {dropout}; expected 0 or more, and dropout below 1."
            )
        self.target, self.rate, self.token, self.lower, self.ignore = target, rate, token, lower, list(ignore)
        self.alignment, self.dropout, self.metric = alignment, dropout, metric
        self._metrics = metrics_for("texts", metric, where="transcribe.metric")
        self.select_by(self._metrics)
        said = [self._split(t) for t in targets]
        self._set(sorted({token for row in said for token in row}))

    def _set(self, tokens: list[str]) -> None:
        if not tokens:
            raise DataError(f"no training item says anything on the tier {self.target!r}. Check target and split.")
        self.tokens, self.n_outputs = tokens, len(tokens) + 1
        self._index = {token: i for i, token in enumerate(tokens, 1)}  # 0 is the blank

    def _spans(self, target: Target) -> list[tuple[float, float, list[str]]]:
        """Start, stop and tokens of each annotation, in order of time."""
        spans = sorted((s for s in annotated_of(target).spans if str(s[2]) not in self.ignore), key=lambda s: s[:2])
        return [(start, stop, self._words(str(label))) for start, stop, label in spans]

    def _words(self, text: str) -> list[str]:
        return (text.lower() if self.lower else text).split()

    def _split(self, target: Target) -> list[str]:
        """The tokens of a target, in order."""
        words = [word for _, _, own in self._spans(target) for word in own]
        return words if self.token == "word" else list(" ".join(words))

    def instants(self, seconds: float) -> NDArray[np.float64]:
        return grid(seconds, self.rate)

    def unasked(self) -> Tensor:
        """A blank that is as good as certain: it adds no token and no loss."""
        return F.one_hot(torch.tensor(0), self.n_outputs) * CERTAIN

    def head(self, dim: int) -> nn.Module:
        return TimedLinear(dim, self.n_outputs, self.dropout)

    def encode(self, targets: list[Target]) -> Tensor:
        """Numbers of the tokens, from 1 up, and the number of the token at each instant (0: none; -1: unknown), both
        padded with -1, [items, longest, 2].

        Tokens that no training item has get the number ``n_outputs``: they count as errors and cannot be learnt.
        """
        rows = [[self._index.get(token, self.n_outputs) for token in self._split(t)] for t in targets]
        when = [self._aligned(t) for t in targets]
        longest = max([*map(len, rows), *map(len, when)], default=0)
        both = [padded(own, -1, np.int64, least=longest) for own in (rows, when)]
        return torch.from_numpy(np.stack(both, -1))

    def _aligned(self, target: Target) -> NDArray[np.int64]:
        """The word at each instant, [steps]; unknown (-1) for characters."""
        at = self.instants(annotated_of(target).seconds)
        if self.token != "word":
            return np.full(len(at), -1, np.int64)
        held = np.zeros(len(at), np.int64)
        for start, stop, words in self._spans(target):
            inside = (at >= start) & (at < stop)
            token = self._index.get(words[0], -1) if len(words) == 1 else -1
            held[inside] = np.where(held[inside] == 0, token, -1)  # two words at once: unknown
        return held

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Negative log-likelihood of the sequence per token (0 if it is longer than the answers), plus ``alignment``
        times that of the tokens at their instants, per instant."""
        found = self._ctc(output, target[..., 0])
        if not self.alignment:
            return found
        held = target[:, : output.shape[1], 1]
        held = F.pad(held, (0, output.shape[1] - held.shape[1]), value=-1)
        each = F.cross_entropy(output.flatten(0, 1), held.flatten(), ignore_index=-1, reduction="none").view_as(held)
        return found + self.alignment * each.sum(1) / (held >= 0).sum(1).clamp(min=1)

    def _ctc(self, output: Tensor, target: Tensor) -> Tensor:
        batch, steps, _ = output.shape
        known = (target > 0) & (target < self.n_outputs)
        count = known.sum(1)
        # ctc_loss reads the first `count` targets of a row, so tokens that cannot be learnt move behind the others.
        order = (~known).long().argsort(dim=1, stable=True)
        wanted = torch.where(known, target, 0).gather(1, order)
        length = torch.full((batch,), steps, dtype=torch.long, device=output.device)
        found = F.ctc_loss(
            output.log_softmax(-1).transpose(0, 1), wanted, length, count, reduction="none", zero_infinity=True
        )
        # Per token, so that long items do not outweigh short ones.
        return found / count.clamp(min=1)

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Numbers of the decoded tokens, padded with -1, [items, longest]."""
        rows = [[token for token, _, _ in _best_path(row)] for row in output.detach().argmax(-1).tolist()]
        return padded(rows, self.padding, np.float64, least=1)

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        sure, best = output.detach().softmax(-1).max(-1)
        when = torch.zeros(best.shape) if at is None else at.times
        return [self._answer(*row) for row in zip(best.tolist(), sure.tolist(), when.tolist())]

    def _answer(self, best: list[int], sure: list[float], when: list[float]) -> Text:
        """Words with their times: a token lasts from the first to the last instant of its run."""
        half = 0.5 / self.rate
        found = [
            (max(when[lo] - half, 0.0), when[hi - 1] + half, self.tokens[token - 1], float(np.mean(sure[lo:hi])))
            for token, lo, hi in _best_path(best)
        ]
        if self.token == "character":
            found = [_joined(list(own)) for space, own in itertools.groupby(found, lambda t: t[2] == " ") if not space]
        return Text(tuple((round(a, 6), round(b, 6), word, p) for a, b, word, p in found))

    def texts(self, scores: NDArray[np.float64], target: Array) -> list[tuple[str, str]]:
        """The true and the predicted text of each item."""
        return [(self._text(true), self._text(said)) for true, said in zip(target[..., 0], scores)]

    def _text(self, row: NDArray[np.generic]) -> str:
        found = [UNKNOWN if token >= self.n_outputs else self.tokens[int(token) - 1] for token in row if token > 0]
        return (" " if self.token == "word" else "").join(found)

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        """The chosen metric, then the standard ones of texts."""
        pairs = self.texts(scores, target)
        true, said = [a for a, _ in pairs], [b for _, b in pairs]
        return {name: metric(true, said) for name, metric in self._metrics.items()}

    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        """The most frequent sequence of training, for every item."""
        rows = Counter(tuple(int(t) for t in row if t > 0) for row in train[..., 0])
        # Ties by the tokens themselves, so that the order of the items does not matter.
        best = max(rows, key=lambda row: (rows[row], row), default=())
        return np.broadcast_to(np.array(best or (-1,), np.float64), (count, max(len(best), 1))).copy()

    def state(self) -> Options:
        return {"tokens": self.tokens}

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Transcribe:
        # A stand-in target, to be replaced by the saved tokens: any word that `ignore` does not take out.
        word = next(w for w in map(str, itertools.count()) if w not in options.get("ignore", ()))
        task = cls([Annotated(1.0, ((0.0, 1.0, word),))], **options)
        task._set([str(token) for token in state["tokens"]])
        return task


def _best_path(best: list[int]) -> list[tuple[int, int, int]]:
    """Token, first instant and one past the last of each run that is not blank.

    >>> _best_path([0, 3, 3, 0, 3, 1])
    [(3, 1, 3), (3, 4, 5), (1, 5, 6)]
    """
    edges = [0, *(i for i in range(1, len(best)) if best[i] != best[i - 1]), len(best)]
    return [(best[a], a, b) for a, b in itertools.pairwise(edges) if a < b and best[a]]


def _joined(characters: list[tuple[float, float, str, float]]) -> tuple[float, float, str, float]:
    starts, stops, letters, sure = zip(*characters)
    return starts[0], stops[-1], "".join(letters), float(np.mean(sure))
