"""Words or characters in order, by connectionist temporal classification (CTC) and beam search."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import DataError, raise_all
from plait.core.options import Count, Few, Share, Unit, Weight, Whole
from plait.core.parts import Options, Spec
from plait.decoders.attention import AttentionDecoder
from plait.decoders.ctc_decoder import CtcDecoder
from plait.decoders.ctc_loss import ctc_nll
from plait.decoders.ngram import NGram
from plait.examples.items import Item
from plait.examples.targets import Annotated, Target
from plait.metrics import metrics_for
from plait.metrics.functional import Array
from plait.segment.forced import ctc_align
from plait.tasks import Task
from plait.tasks.answers import Answer, Text
from plait.tasks.claims import Claim
from plait.tasks.heads import TimedLinear
from plait.tasks.spelling import KINDS, Subwords, spelling_of
from plait.tasks.timed import Rate, annotated_of, grid, named, padded
from plait.tasks.word_times import frame_targets, word_times
from plait.tokens import Instants

__all__ = ["Transcribe"]

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands in a true text for a token that training lacks: nothing that the model could say."""

CERTAIN = 30.0
"""A logit that is as good as certain: exp(-30) is 1e-13."""

Floats = NDArray[np.float64]

_Step = tuple[int, int, int]
"""A token, its first instant, and the one after its last."""


class Transcribe(Task):
    """The words (or characters) within an item, in order; by CTC, decoded by beam search.

    Graves, Fernández, Gomez & Schmidhuber 2006, "Connectionist temporal classification", ICML: the likelihood of a
    sequence is summed over all its alignments to ``rate`` answers per second, each a token or a blank (section 3.1).
    Decoding: `plait.decoders.prefix_beam`, if asked with an n-gram model of the training texts. Words get the times of
    the best alignment of the decoded text, and their mean probability there as confidence.

    Args:
        targets: what is annotated within the training items: labels of words or sentences, in order of time.
        target: the tier of annotations, or the stream of words.
        rate: answers per second; above the rate of tokens, and twice that if tokens repeat: CTC needs a blank between.
        token: unit of the answer: ``word`` (words of the training items, no others), ``character``, or ``subword``
            (`plait.tasks.spelling.Subwords`).
        subwords: size of the inventory of subwords.
        lower: whether texts are lower-cased.
        ignore: labels that are not words, such as ``sil``.
        attention: share of the decoder by attention (`plait.decoders.attention`) in the loss, the rest is that of CTC
            (Watanabe et al. 2017, equation 13); 0: CTC alone; 1: attention alone, and the beam search is its own;
            between, it ranks what the beam search found, by a share that held-out items choose.
        alignment: weight, relative to CTC, of the cross-entropy at the instants whose word the annotations give: spans
            of one word each, and the gaps between spans; not for characters. With CTC alone each head puts tokens at
            instants of its own choice, and heads that disagree in time cannot be averaged.
        beam: sequences kept by the beam search; 1: the best token at each instant instead (best path, section 3.2).
        ngram: order of the n-gram model of the training texts (`plait.decoders.ngram`), in tokens; 0: none.
        lm_weight: weight of the n-gram model; None: chosen on held-out items, 0.5 where the split has none.
        insertion_bonus: added to a text's score per token; None: chosen likewise, else 0.
        causal: whether an answer sees only what was observed until ``delay`` after its instant.
        delay: seconds, for causal answers: the look-ahead, by which a word is known later.
        smoothing: label smoothing of the words at their instants (Szegedy et al. 2016, section 7).
        dropout: share of the numbers at an instant that a head sets to 0 in training.
        metric: the metric by which validation selects: a `plait.metrics.Metric` of texts, by its name (``wer``,
            ``cer``) or the dotted path of your own.

    Raises:
        DataError: no training item has a token.
        ConfigError: an unknown kind of token, or metric; an n-gram model without a beam, or a delay without ``causal``.

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
        subwords: Count = 100,
        lower: bool = True,
        ignore: Sequence[str] = (),
        attention: Unit = 0.0,
        alignment: Weight = 10.0,
        beam: Few = 10,
        ngram: Whole = 0,
        lm_weight: float | None = None,
        insertion_bonus: float | None = None,
        causal: bool = False,
        delay: Weight = 0.0,
        smoothing: Share = 0.0,
        dropout: Share = 0.2,
        metric: Spec = "wer",
    ) -> None:
        super().__init__()
        self.target, self.rate, self.token, self.lower, self.ignore = target, rate, token, lower, list(ignore)
        self.subwords, self.attention = subwords, attention
        self.beam, self.ngram, self.lm_weight, self.insertion_bonus = beam, ngram, lm_weight, insertion_bonus
        self.causal, self.delay = causal, delay
        self.alignment, self.smoothing, self.dropout, self.metric = alignment, smoothing, dropout, metric
        self._check()
        self._metrics = metrics_for("texts", metric, where="transcribe.metric")
        self.select_by(self._metrics)
        self.spelling = spelling_of(token, [word for t in targets for word in self._said(t)], subwords)
        said = [self._split(t) for t in targets]
        self._set(sorted({token for row in said for token in row}))
        language = None
        if ngram:
            language = NGram.of([[self._index[t] - 1 for t in row] for row in said], len(self.tokens), ngram)
        self._decode_by(language)

    def _decode_by(self, language: NGram | None) -> None:
        size = len(self.tokens)
        self.attends = AttentionDecoder(size, smoothing=self.smoothing) if self.attention else None
        self.decoder = CtcDecoder(
            self.beam,
            language,
            self.lm_weight,
            self.insertion_bonus,
            attention=self.attends,
            attention_weight=self.attention,
        )

    def _check(self) -> None:
        problems = []
        if self.token not in KINDS:
            problems.append(f"transcribe: token {self.token!r}; expected {' or '.join(KINDS)}.")
        if self.beam == 1 and (self.ngram or self.attention):
            problems.append("transcribe: beam 1 has no use for an ngram or for attention. Raise the beam.")
        if self.attention and self.causal:
            problems.append(
                f"transcribe: attention {self.attention}; expected 0 with causal: true, as it sees the whole item."
            )
        if self.attention == 1 and (self.ngram or self.token != "word" or not self.alignment):
            problems.append(
                "transcribe: attention 1 needs token: word and an alignment above 0, which gives times to words, and "
                "has no use for an ngram. Lower attention for a hybrid."
            )
        if self.delay and not self.causal:
            problems.append(f"transcribe: delay {self.delay}; expected 0 unless causal is true.")
        self.check_options(problems)

    @property
    def aligned(self) -> bool:
        """Whether the times of words are learnt."""
        return self.token == "word" and self.alignment > 0

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

    def _said(self, target: Target) -> list[str]:
        return [word for _, _, own in self._spans(target) for word in own]

    def _split(self, target: Target) -> list[str]:
        """The tokens of a target, in order."""
        return self.spelling.split(self._said(target))

    def instants(self, seconds: float) -> NDArray[np.float64]:
        return grid(seconds, self.rate) + self.delay

    def unasked(self) -> Tensor:
        """A blank that is as good as certain: it adds no token and no loss."""
        return F.one_hot(torch.tensor(0), self.n_outputs) * CERTAIN

    def head(self, dim: int) -> nn.Module:
        return TimedLinear(dim, self.n_outputs, self.dropout, causal=self.causal)

    def check_items(self, items: Sequence[Item]) -> None:
        """Refuse training items without a text, or with a text that cannot be learnt.

        Raises:
            DataError: nothing is annotated in an item, or its text has more tokens than the item has answers.
        """
        silent, long = [], []
        for item in items:
            spans, said = annotated_of(item.target).spans, self._split(item.target)
            room = len(self.instants(annotated_of(item.target).seconds))
            needed = len(said) + sum(a == b for a, b in itertools.pairwise(said))
            silent += [] if spans else [item.id]
            long += [f"{item.id} ({needed} for {room})"] if needed > room else []
        problems = []
        if silent:
            problems.append(
                f"{named(silent)}: nothing is annotated on the tier {self.target!r}. Leave these recordings out, or "
                "annotate their silence with a label that transcribe.ignore names."
            )
        if long:
            problems.append(
                f"{named(long)}: more tokens than answers, at {self.rate:g} per second (equal neighbours need one "
                "between them). Raise transcribe.rate, or correct the texts."
            )
        raise_all(DataError, problems)

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
        at = self.instants(annotated_of(target).seconds) - self.delay
        return frame_targets(self._spans(target), at, self._index) if self.aligned else np.full(len(at), -1, np.int64)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """`nll`, and the share ``attention`` of the decoder by attention."""
        found = self.nll(output, target)
        if self.attends is None:
            return found
        return found + self.attention * self.attends.loss(output.log_softmax(-1), target[..., 0])

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        """Negative log-likelihood of the sequence by CTC per token (0 if it is longer than the answers), times ``1 -
        attention``, plus ``alignment`` times that of the tokens at their instants, per instant."""
        found = output.new_zeros(len(output))
        if self.attention < 1:
            found = (1 - self.attention) * self._ctc(output, target[..., 0])
        if not self.alignment:
            return found
        return found + self.alignment * self._at_instants(output, target[..., 1])

    def _at_instants(self, output: Tensor, held: Tensor) -> Tensor:
        """Negative log-likelihood of the tokens at their instants, per instant, [batch]; -1: unknown."""
        held = held[:, : output.shape[1]]
        held = F.pad(held, (0, output.shape[1] - held.shape[1]), value=-1)
        smoothing = self.smoothing if self.training else 0.0
        each = F.cross_entropy(
            output.flatten(0, 1), held.flatten(), ignore_index=-1, label_smoothing=smoothing, reduction="none"
        ).view_as(held)
        return each.sum(1) / (held >= 0).sum(1).clamp(min=1)

    def _ctc(self, output: Tensor, target: Tensor) -> Tensor:
        batch, steps, _ = output.shape
        length = torch.full((batch,), steps, dtype=torch.long, device=output.device)
        return ctc_nll(output.log_softmax(-1), length, target)

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Numbers of the decoded tokens, padded with -1, [items, longest]."""
        return self._padded([self.decoder(logs) for logs in _logs(output)])

    def _padded(self, rows: Sequence[tuple[int, ...]]) -> Floats:
        return padded(rows, self.padding, np.float64, least=1)

    @property
    def postprocessing(self) -> Options:
        """The weights of the language model, of the insertion bonus and of the decoder by attention."""
        return {"weights": list(self.decoder.weights)}

    @postprocessing.setter
    def postprocessing(self, found: Mapping[str, Any]) -> None:
        weight, bonus, attention = map(float, found["weights"])
        self.decoder.weights = weight, bonus, attention

    def fit_postprocessing(self, output: Tensor, target: Tensor, at: Instants | None) -> None:
        """Choose the weights of the decoder that the recipe leaves open."""
        true, sign = target.numpy(), -1 if self.higher_is_better else 1
        self.decoder.tune(list(_logs(output)), lambda said: sign * self.main(self._padded(said), true))

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        return [text for text, _ in self._read(output, at)]

    def claims(self, output: Tensor, at: Instants | None = None) -> list[list[Claim]]:
        """The text, and each of several words: their tokens at the instants of the best alignment; without a word the
        blanks."""
        found = []
        for item, (text, steps) in enumerate(self._read(output, at)):
            nothing = torch.full((output.shape[1], 2), -1)
            words = [nothing.clone() for _ in text.words]
            for target, own in zip(words, steps):
                for token, first, last in own:
                    target[first:last, 1] = token
            asked = nothing[:, 1] < 0 if at is None else at.mask[item]
            nothing[:, 1] = torch.where(asked, 0, -1)
            whole = Claim(str(text), torch.stack(words).amax(0) if words else nothing)
            each = [Claim(str(w), t, (a, b)) for (a, b, w, _), t in zip(text.words, words)]
            found.append(each if len(each) == 1 else [whole, *each])
        return found

    def claimed(self, output: Tensor, target: Tensor) -> Tensor:
        return -self._at_instants(output, target[..., 1])

    def _read(self, output: Tensor, at: Instants | None) -> Iterator[tuple[Text, list[list[_Step]]]]:
        """Of each item its text, and of each word the tokens with their steps."""
        when = torch.zeros(output.shape[:2]) if at is None else at.times - self.delay
        return (self._answer(*row) for row in zip(_logs(output), when.tolist()))

    def _answer(self, logs: Floats, when: list[float]) -> tuple[Text, list[list[_Step]]]:
        """Words with their times: a token lasts from the first to the last instant of its run."""
        tokens = self.decoder(logs)
        run = ctc_align(logs, tokens)
        start, stop, names = run.start.tolist(), run.stop.tolist(), [self.tokens[token - 1] for token in tokens]
        sure = [float(np.exp(logs[lo:hi, token]).mean()) for token, lo, hi in zip(tokens, start, stop)]
        groups = self.spelling.grouped(names)
        runs = [(start[own[0]], stop[own[0]], stop[own[-1]]) for own in groups]
        times = word_times(runs, when, 0.5 / self.rate, onset=self.aligned)
        words = [self.spelling.join([names[i] for i in own]) for own in groups]
        found = [float(np.mean([sure[i] for i in own])) for own in groups]
        text = Text(tuple((*span, word, share) for span, word, share in zip(times, words, found)))
        return text, [[(tokens[k], start[k], stop[k]) for k in own] for own in groups]

    def texts(self, scores: NDArray[np.float64], target: Array) -> list[tuple[str, str]]:
        """The true and the predicted text of each item."""
        return [(self._text(true), self._text(said)) for true, said in zip(target[..., 0], scores)]

    def _text(self, row: NDArray[np.generic]) -> str:
        found = [UNKNOWN if token >= self.n_outputs else self.tokens[int(token) - 1] for token in row if token > 0]
        return self.spelling.join(found)

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
        found: Options = {"tokens": self.tokens, **self.postprocessing}
        if self.decoder.language is not None:
            found["ngram"] = self.decoder.language.to_json()
        if isinstance(self.spelling, Subwords):
            found["merges"] = self.spelling.merges
        return found

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Transcribe:
        # A stand-in target, to be replaced by the saved tokens: any word that `ignore` does not take out.
        word = next(w for w in map(str, itertools.count()) if w not in options.get("ignore", ()))
        task = cls([Annotated(1.0, ((0.0, 1.0, word),))], **options)
        task.spelling = Subwords(state["merges"]) if "merges" in state else task.spelling
        task._set([str(token) for token in state["tokens"]])
        task._decode_by(NGram.from_json(state["ngram"]) if task.ngram else None)
        task.postprocessing = state
        return task


def _logs(output: Tensor) -> Floats:
    """Log probabilities, [items, steps, tokens + 1]."""
    return output.detach().double().log_softmax(-1).cpu().numpy()
