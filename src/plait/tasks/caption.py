"""A sentence about each item, by a decoder that looks at the tokens of all modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated as Typed
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.options import Count, Few, Whole
from plait.core.parts import Options, Spec
from plait.decoders.autoregressive import DECODERS, END, Autoregressive, Memory
from plait.decoders.search import Candidate, beam_search, sample
from plait.examples.items import Item
from plait.examples.targets import Annotated, Target
from plait.metrics import metrics_for
from plait.metrics.cider import Rarity
from plait.metrics.functional import Array
from plait.tasks import Task
from plait.tasks.answers import Answer
from plait.tasks.consensus import agreement, most_typical
from plait.tasks.evidence import Caption as Answered
from plait.tasks.evidence import Layout, evidence_of, key_times
from plait.tasks.heads import Places as PlacesHead
from plait.tasks.places import HEADING, Places, empty_place, from_sources, places_of
from plait.tasks.references import SEPARATOR, Vocabulary, rows_of, words_of
from plait.tasks.spelling import KINDS, Subwords, spelling_of
from plait.tasks.timed import annotated_of, padded
from plait.tasks.view import Moment, View
from plait.tokens import Instants

__all__ = ["Caption"]

Share = Typed[float, Field(ge=0, lt=1)]

ALPHA = 0.7
"""Power of the length by which scores of the beam are divided."""

NAMED = 5
"""Items that an error names; of the others it gives the number."""


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
        draws: with more than 0, as many texts are drawn beside those of the beam, and the answer is the candidate on
            which the drawn ones agree most (minimum Bayes risk by CIDEr); with 0 the beam's best.
        temperature: of the draws.
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
        draws: Whole = 0,
        temperature: float = 0.7,
        smoothing: Share = 0.1,
        dropout: Share = 0.2,
        word_dropout: Share = 0.1,
        metric: Spec = "cider",
    ) -> None:
        super().__init__()
        self.target, self.decoder, self.width, self.layers = target, decoder, width, layers
        self.token, self.subwords, self.least = token, subwords, least
        self.lower, self.punctuation, self.references = lower, punctuation, references
        self.beam, self.draws, self.temperature = beam, draws, temperature
        self.smoothing, self.dropout, self.word_dropout, self.metric = smoothing, dropout, word_dropout, metric
        self._check()
        self._metrics = metrics_for("references", metric, where="caption.metric")
        self.select_by(self._metrics)
        self.known = [[" ".join(words) for words in self._said(t)] for t in targets]
        self._learn()
        self.n_outputs = HEADING + width
        self.reader = self._decoder()
        self.sources: list[str] = [""]
        self._regions: dict[str, tuple[int, int]] = {}

    def _check(self) -> None:
        problems = []
        if self.token not in KINDS:
            problems.append(f"caption: token {self.token!r}; expected {' or '.join(KINDS)}.")
        if self.decoder not in DECODERS:
            problems.append(f"caption: decoder {self.decoder!r}; expected {' or '.join(DECODERS)}.")
        if not self.temperature > 0:
            problems.append(f"caption: temperature {self.temperature}; expected a number above 0.")
        raise_all(ConfigError, problems)

    def _learn(self) -> None:
        """Words, rarity and longest text of the training texts."""
        texts = [text.split() for own in self.known for text in own]
        spelling = spelling_of(self.token, [word for text in texts for word in text], self.subwords)
        split = [spelling.split(text) for text in texts]
        self.words = Vocabulary(split, spelling, self.least)
        self.longest = max(map(len, split), default=1) + 1
        self.rarity = Rarity(self.known)
        self.novel = {text for own in self.known for text in own}

    def _decoder(self) -> Autoregressive:
        shared = {"dropout": self.dropout, "word_dropout": self.word_dropout}
        if self.decoder == "transformer":
            heads = next(h for h in (4, 2, 1) if self.width % h == 0)
            return DECODERS["transformer"](len(self.words), self.width, layers=self.layers, heads=heads, **shared)
        return DECODERS["recurrent"](len(self.words), self.width, **shared)

    def bind(self, dims: Mapping[str, int], dim: int) -> None:
        self.sources = [*dims, ""]

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
                f"{_named(silent)}: nothing is annotated on the tier {self.target!r}. Leave these out, or describe "
                "them."
            )
        if empty:
            problems.append(
                f"{_named(empty)}: the texts on the tier {self.target!r} have no words (no letter or digit). Correct "
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
        """Negative log-likelihood per token, the end included, the mean over the texts of an item."""
        return self._nll(output, target, self.smoothing if self.training else 0.0)

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        return self._nll(output, target, 0.0)

    def _nll(self, output: Tensor, target: Tensor, smoothing: float) -> Tensor:
        texts, owner = rows_of(target, self.references if self.training else 0)
        memory = places_of(output.to(self.reader.bias)).memory
        logits, _ = self.reader(Memory(memory.values[owner], memory.mask[owner]), texts)
        wanted = self._wanted(texts)
        each = F.cross_entropy(logits.mT, wanted, ignore_index=-1, label_smoothing=smoothing, reduction="none")
        each = each.sum(1) / (wanted >= 0).sum(1).clamp(min=1)
        count = torch.bincount(owner, minlength=len(target)).clamp(min=1)
        return torch.zeros_like(count, dtype=each.dtype).index_add(0, owner, each) / count

    def _wanted(self, texts: Tensor) -> Tensor:
        """The next token at each step; -1 after the end, and for those that cannot be said."""
        wanted = F.pad(texts, (0, 1), value=-1)
        wanted = torch.where(wanted > len(self.words), -1, wanted)
        return wanted.scatter(1, (texts >= 0).sum(1, keepdim=True), END)

    def step(self, views: Sequence[View], target: Tensor, moment: Moment | None = None) -> dict[str, Float[Tensor, ""]]:
        """``fused``: the loss of what all modalities and the fusion give; ``unimodal``: of each modality alone;
        ``partial``: of a part of them. There is no distillation: words are compared with texts of people only."""
        (view,) = views
        losses = {"fused": self.loss(view.fused, target).mean()}
        if len(view.unimodal) > 1:
            losses["unimodal"] = view.over_modalities(lambda out: self.loss(out, target))
        if view.partial is not None:
            losses["partial"] = self.loss(view.partial, target).mean()
        return losses

    @torch.no_grad()
    def divergence(self, output: Tensor, teacher: Tensor) -> Tensor:
        """Kullback-Leibler divergence of the words from a teacher's, the mean over the teacher's likeliest text."""
        said = [rows[0].tokens for rows in self._search(teacher, 1)]
        texts = torch.from_numpy(padded(said, -1, np.int64)).to(output.device).reshape(len(said), -1)
        one, other = (
            self.reader(places_of(x.to(self.reader.bias)).memory, texts)[0].log_softmax(-1) for x in (output, teacher)
        )
        asked = F.pad(texts >= 0, (1, 0), value=True)
        each = F.kl_div(one, other, log_target=True, reduction="none").sum(-1)
        return (each * asked).sum(1) / asked.sum(1)

    def _search(self, output: Tensor, beam: int) -> list[list[Candidate]]:
        state = self.reader.begin(places_of(output.to(self.reader.bias)).memory)
        return beam_search(self.reader.advance, state, beam=beam, longest=self.longest, length_penalty=ALPHA)

    @torch.no_grad()
    def chosen(self, output: Tensor) -> list[Candidate]:
        """The answer of each item, with its attention to the places."""
        found = self._search(output, self.beam)
        if not self.draws:
            return [own[0] for own in found]
        state = self.reader.begin(places_of(output.to(self.reader.bias)).memory)
        drawn = sample(self.reader.advance, state, count=self.draws, temperature=self.temperature, longest=self.longest)
        return [self._agreed(*pair) for pair in zip(found, drawn)]

    def _agreed(self, found: list[Candidate], drawn: list[Candidate]) -> Candidate:
        others = [self.words.text(one.tokens) for one in drawn]
        every = [*found, *drawn]
        shared = agreement([self.words.text(one.tokens) for one in every], others, self.rarity)
        return every[int(shared.argmax())]

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Numbers of the answer's tokens, padded with -1, [items, longest]."""
        return self._padded([one.tokens for one in self.chosen(output)])

    def quick_scores(self, output: Tensor) -> NDArray[np.float64]:
        """As `scores`, by the likeliest token at each step."""
        with torch.no_grad():
            return self._padded([own[0].tokens for own in self._search(output, 1)])

    def _padded(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        return padded(rows, self.padding, np.float64, least=1)

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        places = places_of(output)
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
        looked = [one.attention[own].mean(0) for own in groups]
        found = [evidence_of(attention, layout) for attention in looked]
        said = [self.words.spelling.join([names[i] for i in own]) for own in groups]
        sure = [float(np.mean([one.probs[i] for i in own])) for own in groups]
        return Answered(
            tuple((e.start, e.stop, word, p) for e, word, p in zip(found, said, sure)),
            tuple(e.source for e in found),
            tuple(e.box for e in found),
            key_times(np.array(looked).reshape(len(looked), len(layout.times)), layout),
        )

    def texts(self, scores: NDArray[np.float64], target: Array) -> list[tuple[str, str]]:
        """The true texts, joined, and the answer of each item."""
        return [(" | ".join(self.words.texts(true)), self.words.text(said)) for true, said in zip(target, scores)]

    def _pairs(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> tuple[list[list[str]], list[str]]:
        kept = [i for i, row in enumerate(target) if bool((row > 0).any())]
        return [self.words.texts(target[i]) for i in kept], [self.words.text(scores[i]) for i in kept]

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        """The chosen metric, then the standard ones of references; and ``novelty``, the share of the answers that are
        none of the training texts. Items without a true text do not count."""
        true, said = self._pairs(scores, target)
        new = [text not in self.novel for text in said]
        found = {name: metric(true, said) for name, metric in self._metrics.items()}
        return {**found, "novelty": float(np.mean(new)) if new else float("nan")}

    def main(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> float:
        return self._metrics[self.main_metric](*self._pairs(scores, target))

    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        """The most typical training text, for every item: the one that agrees most with the others."""
        texts = [text for row in train for text in self.words.texts(row)]
        best = most_typical(texts, self.rarity)
        numbers = self.words.numbers(self.words.spelling.split(best.split()))
        return np.broadcast_to(np.array(numbers or [-1], np.float64), (count, max(len(numbers), 1))).copy()

    def state(self) -> Options:
        found: Options = {"texts": self.known}
        if isinstance(self.words.spelling, Subwords):
            found["merges"] = self.words.spelling.merges
        return found

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Caption:
        known = [Annotated(1.0, tuple((0.0, 1.0, text) for text in own)) for own in state["texts"]]
        return cls(list(known), **options)


def _named(ids: Sequence[str]) -> str:
    more = len(ids) - NAMED
    return ", ".join(ids[:NAMED]) + (f" and {more} more" if more > 0 else "")
