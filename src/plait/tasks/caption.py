"""A sentence about each item, by a decoder that looks at the tokens of all modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import DataError, raise_all
from plait.core.options import Count, Few, Positive, Share, Whole
from plait.core.parts import Options, Spec
from plait.decoders.autoregressive import END, Memory, decoder_of
from plait.decoders.search import Candidate, beam_search, sample
from plait.examples.items import Item
from plait.examples.targets import Annotated, Target
from plait.metrics import metrics_for
from plait.metrics.functional import Array
from plait.tasks import Task
from plait.tasks.against_references import AgainstReferences
from plait.tasks.answers import Answer
from plait.tasks.claims import Claim, about
from plait.tasks.consensus import Neighbours, mean_of, most_agreed
from plait.tasks.evidence import Caption as Answered
from plait.tasks.evidence import Layout, caption_of
from plait.tasks.heads import Places as PlacesHead
from plait.tasks.in_order import InOrder
from plait.tasks.places import HEADING, Places, empty_place, from_sources, places_of
from plait.tasks.references import SEPARATOR, Vocabulary, rows_of, words_of
from plait.tasks.spelling import KINDS, spelling_of
from plait.tasks.timed import annotated_of, by_length, named, padded
from plait.tasks.view import Moment, View
from plait.tokens import Instants, Tokens

__all__ = ["Caption"]

TOGETHER = 64
"""Texts that go through the decoder at once."""

ALPHA = 0.7
"""Power of the length by which scores of the beam are divided."""


class Caption(Task):
    """A sentence about each item: an encoder-decoder with attention over the tokens of all modalities and the fusion.

    The encoders' tokens (frames, regions of pictures, spans of a sensor ...) are what the decoder attends to, each with
    its second and stream, so any subset of the modalities answers, and each word tells where it looked. Xu et al. 2015
    ("Show, attend and tell") for pictures and Yao et al. 2015 ("Describing videos by exploiting temporal structure")
    for frames, with a recurrent or a Transformer decoder (`plait.decoders.autoregressive`).

    Every annotation within an item is one true text; several are several people's. Training uses all of them, or
    ``references`` of them drawn in each step.

    Args:
        targets: what is annotated within the training items.
        target: the tier of the texts.
        decoder: ``transformer`` or ``recurrent``.
        width: width of the decoder.
        layers: of a transformer.
        token: unit of the answer: ``word``, ``character`` (for scripts without spaces) or ``subword``.
        subwords: size of the inventory of subwords.
        least: how often a word must occur in the training texts to be said.
        lower: whether texts are lower-cased.
        punctuation: whether signs belong to the words; if not, they are left out of texts and references.
        references: texts of an item in one training step; 0: all.
        beam: sequences kept by the beam search; 1: the likeliest word at each step.
        neighbours: training items that are asked, by the words of their texts: of the beam's texts and of as many drawn
            ones as ``draws`` says, the answer is the one that agrees most with theirs (`plait.tasks.consensus`). 0: the
            beam's best. For small corpora, where the likeliest text is often a dull one.
        draws: texts drawn beside those of the beam, if there are neighbours.
        temperature: of the draws.
        ctc: share of connectionist temporal classification in the loss and in the choice of an answer (Watanabe et al.
            2017, equations 13 and 14, the answers of the beam scored anew), over the places of each source in the order
            of time; for texts that tell what happens in its order. 0: none.
        smoothing: label smoothing.
        dropout: share of the numbers set to 0 in training, of the tokens and within the decoder.
        word_dropout: share of the words before that the decoder does not see in training.
        metric: the metric by which validation selects: a `plait.metrics.Metric` of references (``cider``, ``bleu4``,
            ``rouge_l``, ``any_match``), or the dotted path of your own.

    Raises:
        DataError: no word occurs often enough.
        ConfigError: an option outside its range.

    >>> texts = Annotated(1.0, ((0.0, 1.0, "A dog runs ."), (0.0, 1.0, "The dog")))
    >>> task = Caption([texts], target="caption", least=1)
    >>> task.words.tokens, task.encode([texts]).tolist()
    (['a', 'dog', 'runs', 'the'], [[1, 2, 3, 0, 4, 2, 0]])
    """

    padding = -1.0
    """Fills a row of `scores` after its end."""

    asks = "annotations"
    gathers = True
    additive = False

    def __init__(
        self,
        targets: list[Target],
        *,
        target: str,
        decoder: Literal["transformer", "recurrent"] = "transformer",
        width: Count = 128,
        layers: Few = 2,
        token: str = "word",
        subwords: Count = 400,
        least: Count = 2,
        lower: bool = True,
        punctuation: bool = False,
        references: Whole = 0,
        beam: Few = 4,
        neighbours: Whole = 0,
        draws: Whole = 16,
        temperature: Positive = 0.7,
        ctc: Share = 0.0,
        smoothing: Share = 0.1,
        dropout: Share = 0.2,
        word_dropout: Share = 0.1,
        metric: Spec = "cider",
    ) -> None:
        super().__init__()
        self.target, self.decoder, self.width, self.layers = target, decoder, width, layers
        self.token, self.subwords, self.least = token, subwords, least
        self.lower, self.punctuation, self.references = lower, punctuation, references
        self.beam, self.neighbours, self.draws, self.temperature = beam, neighbours, draws, temperature
        self.smoothing, self.dropout, self.word_dropout, self.metric = smoothing, dropout, word_dropout, metric
        self.ctc = ctc
        self._check()
        metrics = metrics_for("references", metric, where="caption.metric")
        self.select_by(metrics)
        self.described = [[" ".join(words) for words in self._said(t)] for t in targets]
        self.words, self.longest = self._learnt()
        self.judge = AgainstReferences(self.words, metrics, self.described)
        self.n_outputs = HEADING + width
        self.reader = decoder_of(
            decoder, len(self.words), width, layers=layers, dropout=dropout, word_dropout=word_dropout
        )
        self.in_order = InOrder(width, len(self.words)) if ctc else None
        self.sources, self._regions = [""], dict[str, tuple[int, int]]()
        self.alike: Neighbours | None = None

    def _check(self) -> None:
        problems = []
        if self.token not in KINDS:
            problems.append(f"caption: token {self.token!r}; expected {' or '.join(KINDS)}.")
        self.check_options(problems)

    def _learnt(self) -> tuple[Vocabulary, int]:
        """The words of the training texts, and the most tokens of an answer."""
        texts = [text.split() for own in self.described for text in own]
        spelling = spelling_of(self.token, [word for text in texts for word in text], self.subwords)
        split = [spelling.split(text) for text in texts]
        return Vocabulary(split, spelling, self.least), max(map(len, split), default=1) + 1

    def bind(self, dims: Mapping[str, int], dim: int) -> None:
        self.sources = [*dims, ""]
        # Only now, since its buffers have a row per stream.
        self.alike = Neighbours(len(self.described), self.width, len(dims)) if self.neighbours else None

    def complete(
        self,
        heads: Mapping[str, nn.Module],
        train: Sequence[Mapping[str, Tokens]],
        own: Callable[[], Tensor],
        held_out: tuple[Callable[[], Tensor], Tensor] | None,
    ) -> None:
        """Keep what is read of the training items, to find those that are like a new one."""
        if self.alike is not None:
            read = [[places_of(head(batch[m])) for m, head in heads.items()] for batch in train]
            self.alike.remember([[mean_of(own.memory.values, own.mask) for own in row] for row in read])

    def locate(self, regions: Mapping[str, tuple[int, int]]) -> None:
        self._regions = dict(regions)

    def _said(self, target: Target) -> list[list[str]]:
        """The words of each true text; texts without a word are left out."""
        spans = sorted(annotated_of(target).spans, key=lambda span: span[:2])
        found = [words_of(str(label), lower=self.lower, punctuation=self.punctuation) for _, _, label in spans]
        return [words for words in found if words]

    def check_items(self, items: Sequence[Item]) -> None:
        """Refuse training items that nobody described.

        Raises:
            DataError: names the items without a text, and those whose texts have no words.
        """
        silent = [i.id for i in items if not annotated_of(i.target).spans]
        empty = [i.id for i in items if annotated_of(i.target).spans and not self._said(i.target)]
        problems = []
        if silent:
            problems.append(
                f"{named(silent)}: nothing is annotated on the tier {self.target!r}. Leave these out, or describe them."
            )
        if empty:
            problems.append(
                f"{named(empty)}: the texts on the tier {self.target!r} have no words (no letter or digit). Correct "
                "them, or set caption.punctuation: true."
            )
        raise_all(DataError, problems)

    def head(self, dim: int) -> nn.Module:
        return PlacesHead(dim, self.width, self.dropout)

    def gather(self, parts: Mapping[str, Tensor]) -> Tensor:
        return from_sources(parts, self.sources)

    def unasked(self) -> Tensor:
        """A place where there is nothing."""
        return empty_place(self.width)

    def encode(self, targets: list[Target]) -> Tensor:
        """Numbers of the tokens of all texts of an item, each followed by `SEPARATOR`; -1 after them, [items, longest].

        Tokens that cannot be said have numbers above those of the words (`plait.tasks.references.Vocabulary`).
        """
        rows = [
            [n for words in self._said(t) for n in (*self.words.numbers(self.words.spelling.split(words)), SEPARATOR)]
            for t in targets
        ]
        return torch.from_numpy(padded(rows, -1, np.int64, least=1))

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return self.nll(output, target, self.smoothing if self.training else 0.0)

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        """Negative log-likelihood per token, the end included, the mean over the texts of an item."""
        texts, owner = rows_of(target, self.references if self.training else 0)
        places = places_of(output.to(self.reader.bias))
        memory = places.memory
        each = memory.values.new_zeros(len(texts))
        for part, own in by_length(texts, TOGETHER):
            seen = Memory(memory.values[owner[part]], memory.mask[owner[part]])
            found = self.reader.nll(seen, own, doubt)
            if self.in_order is not None:
                found = (1 - self.ctc) * found + self.ctc * self.in_order.nll(places, own, owner[part])
            each = each.index_copy(0, part, found)
        count = torch.bincount(owner, minlength=len(target)).clamp(min=1)
        return torch.zeros_like(count, dtype=each.dtype).index_add(0, owner, each) / count

    def step(self, views: Sequence[View], target: Tensor, moment: Moment | None = None) -> dict[str, Float[Tensor, ""]]:
        """``fused``: the loss of what all modalities and the fusion give; ``partial``: of a part of them. Modalities
        have no losses of their own: ``augment.modality_dropout`` hides others. There is no distillation: words are
        compared with texts of people only."""
        (view,) = views
        losses = {"fused": self.loss(view.fused, target).mean()}
        if view.partial is not None:
            losses["partial"] = self.loss(view.partial, target).mean()
        return losses

    @torch.no_grad()
    def divergence(self, output: Tensor, teacher: Tensor) -> Tensor:
        """Kullback-Leibler divergence of the words from a teacher's, the mean over the teacher's likeliest text."""
        each, asked = self._apart(output, teacher, [own[0] for own in self._search(teacher, 1)])
        return (each * asked).sum(1) / asked.sum(1)

    @torch.no_grad()
    def part_moved(self, output: Tensor, whole: Tensor, which: Tensor) -> Tensor:
        """The divergence at the tokens of one word."""
        said = self.chosen(whole)
        each, _ = self._apart(output, whole, said)
        groups = [self.words.spelling.grouped(self.words.names(one.tokens)) for one in said]
        places = [own[k] if k < len(own) else [0] for own, k in zip(groups, which.tolist())]
        return torch.stack([row[own].mean() for row, own in zip(each, places)])

    def claims(self, output: Tensor, at: Instants | None = None) -> list[list[Claim]]:
        """The text, and each of its words. Targets are the tokens with the end, and which of them the claim is about,
        [length, 2]."""
        found = []
        for one in self.chosen(output):
            names = self.words.names(one.tokens)
            groups = self.words.spelling.grouped(names)
            said = [self.words.spelling.join([names[i] for i in own]) for own in groups]
            tokens = torch.tensor([*one.tokens, END])
            parts = [(" ".join(said), [*range(len(tokens))]), *zip(said, groups)]
            found.append([Claim(text or "(nothing)", about(tokens, own)) for text, own in parts])
        return found

    def claimed(self, output: Tensor, target: Tensor) -> Tensor:
        texts, asked = target[..., 0], target[..., 1] > 0
        tokens = torch.where(texts > END, texts, -1)[:, :-1]
        logits, _ = self.reader(places_of(output.to(self.reader.bias)).memory, tokens)
        sure: Tensor = logits.log_softmax(-1).gather(2, texts.clamp(min=0)[..., None])[..., 0]
        return (sure * asked).sum(1) / asked.sum(1).clamp(min=1)

    def _apart(self, output: Tensor, teacher: Tensor, said: Sequence[Candidate]) -> tuple[Tensor, Tensor]:
        """The divergence at each token of some texts, and which tokens there are, the end included, [batch, length]."""
        rows = padded([one.tokens for one in said], -1, np.int64)
        texts = torch.from_numpy(rows).to(output.device).reshape(len(said), -1)
        memories = (places_of(x.to(self.reader.bias)).memory for x in (output, teacher))
        one, other = (self.reader(memory, texts)[0].log_softmax(-1) for memory in memories)
        each = F.kl_div(one, other, log_target=True, reduction="none").sum(-1)
        return each, F.pad(texts >= 0, (1, 0), value=True)

    def _search(self, output: Tensor, beam: int) -> list[list[Candidate]]:
        state = self.reader.begin(places_of(output.to(self.reader.bias)).memory)
        return beam_search(self.reader.advance, state, beam=beam, longest=self.longest, length_penalty=ALPHA)

    @torch.no_grad()
    def chosen(self, output: Tensor) -> list[Candidate]:
        """The answer of each item, with its attention to the places."""
        found, places = self._search(output, self.beam), places_of(output.to(self.reader.bias))
        if self.in_order is not None:
            found = [self._ordered(self.in_order, own, places, i) for i, own in enumerate(found)]
        if self.alike is None:
            return [own[0] for own in found]
        if self.draws:
            state, heat = self.reader.begin(places.memory), self.temperature
            drawn = sample(self.reader.advance, state, count=self.draws, temperature=heat, longest=self.longest)
            found = [[*own, *more] for own, more in zip(found, drawn)]
        streams = range(len(self.sources) - 1)
        means = [mean_of(places.memory.values, places.mask & (places.sources == k)) for k in streams]
        asked = self.alike.nearest(means, self.neighbours)
        return [self._agreed(own, *near) for own, near in zip(found, asked)]

    def _ordered(self, in_order: InOrder, found: list[Candidate], places: Places, item: int) -> list[Candidate]:
        """The candidates in the order of their likelihood by the decoder and by `InOrder`."""
        rows = torch.from_numpy(padded([one.tokens for one in found], -1, np.int64, least=1)).to(places.times.device)
        told = in_order.nll(places, rows, torch.full((len(found),), item, device=rows.device)).tolist()
        # 0 stands for a text that is longer than there are places
        logs = [-loss * max(1, len(one.tokens)) if loss else -np.inf for loss, one in zip(told, found)]
        joint = [(1 - self.ctc) * one.log_prob + self.ctc * log for log, one in zip(logs, found)]
        return [found[i] for i in np.argsort(-np.array(joint), kind="stable")]

    def _agreed(self, found: list[Candidate], near: NDArray[np.int64], weights: NDArray[np.float64]) -> Candidate:
        """The candidate that agrees most with the texts of similar items."""
        said = [self.words.text(one.tokens) for one in found]
        return found[most_agreed(said, self.described, near, weights, self.judge.rarity)]

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Numbers of the answer's tokens, padded with -1, [items, longest]."""
        return padded([one.tokens for one in self.chosen(output)], self.padding, np.float64, least=1)

    def quick_scores(self, output: Tensor) -> NDArray[np.float64]:
        """As `scores`, by the likeliest token at each step."""
        with torch.no_grad():
            return padded([own[0].tokens for own in self._search(output, 1)], self.padding, np.float64, least=1)

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        places = places_of(output.detach())
        return [self._answer(one, places, i) for i, one in enumerate(self.chosen(output))]

    def _answer(self, one: Candidate, places: Places, item: int) -> Answered:
        """Words with their evidence; a word of several tokens has their mean attention."""
        layout = Layout(
            places.times[item].double().cpu().numpy(),
            [self.sources[min(max(k, 0), len(self.sources) - 1)] for k in places.sources[item].tolist()],
            places.mask[item].cpu().numpy(),
            self._regions,
        )
        names = self.words.names(one.tokens)
        groups = self.words.spelling.grouped(names)
        said = [self.words.spelling.join([names[i] for i in own]) for own in groups]
        return caption_of(said, groups, one.probs, one.attention, layout)

    def texts(self, scores: NDArray[np.float64], target: Array) -> list[tuple[str, str]]:
        """The true texts, joined, and the answer of each item."""
        return self.judge.texts(scores, target)

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        """The chosen metric, then the standard ones of references, and ``novelty``."""
        return self.judge.metrics(scores, target)

    def main(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> float:
        return self.judge.main(scores, target)

    def scorer(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> Callable[[NDArray[np.intp]], float]:
        """The main metric of some items, by their indices."""
        return self.judge.scorer(scores, target)

    def each(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> NDArray[np.float64]:
        """The main metric of each item, beside the others."""
        return self.judge.each(scores, target)

    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        """The most typical training text, for every item."""
        return self.judge.baseline(train, count)

    def state(self) -> Options:
        return {"texts": self.described}  # all else follows from them

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Caption:
        known = [Annotated(1.0, tuple((0.0, 1.0, text) for text in own)) for own in state["texts"]]
        return cls(list(known), **options)
