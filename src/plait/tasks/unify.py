"""Answers in language from tokens of any streams: a causal language model reads them, behind light projectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.options import Count, Few, Share, Unit, Weight, Whole
from plait.core.parts import Options, Spec
from plait.examples.items import Item
from plait.examples.targets import Target
from plait.features.pretrained import find_model
from plait.metrics import metrics_for
from plait.metrics.cider import Rarity
from plait.tasks import Task
from plait.tasks.answers import Answer, Reply
from plait.tasks.claims import Claim, about
from plait.tasks.consensus import Neighbours, mean_of, most_agreed
from plait.tasks.language import Adapters, Language, Prompt, Search, tokenizer_of
from plait.tasks.packing import FACTS, Packing
from plait.tasks.references import words_of
from plait.tasks.saliency import saliency, spans_of
from plait.tasks.timed import by_length, named, padded
from plait.tasks.view import Moment, View
from plait.tokens import Instants, Tokens
from plait.tokens.outside import OutsideChanged, expect
from plait.tokens.tokens import cat

__all__ = ["Known", "Unify"]

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands in a true text for a token that no training answer has: nothing that the model could say."""

BATCH = 64
"""Answers that are looked for at once."""

DRAWN_AT = 0.7
"""Temperature of answers that are drawn for neighbours to choose among."""

TOGETHER = 16
"""Answers of similar length that are read at once."""


class Known(NamedTuple):
    """What a saved task knows of its training answers.

    Attributes:
        words: ids of their tokens in the language model's vocabulary, and that of the end.
        longest: tokens of the longest.
        described: the answers' words, where similar training items are asked; else empty.
    """

    words: list[int]
    longest: int
    described: list[str]


class Unify(Task):
    """A text in answer to whatever streams are there, by a causal language model that attends to all their tokens.

    Frozen encoders, a projector per modality and a language model: Tsimpoukelli et al. 2021, "Multimodal few-shot
    learning with frozen language models" (NeurIPS); the projectors, and training in two stages, as in Liu et al. 2023,
    "Visual instruction tuning" (NeurIPS), sections 4.1 and 4.2. In the first stage only the projectors are trained, in
    the second low-rank adapters of the language model too (Hu et al., ICLR 2022). Departures: any number of streams,
    each missing or not; their tokens carry seconds; both stages are one training; one answer per item, no dialogue.

    What is asked is a stream like any other: a question is a text of the recording, with the feature `hf_tokens` and
    the encoder `words`. One model so captions, answers, classifies and transcribes, as the question says. The target is
    a text (or a number, as it is written).

    The output of the head is what the language model reads: ``context_length`` places, each of them absent or not, with
    its seconds and its values. A run holds the projectors and adapters; of the language model it holds the SHA-256.

    Use `fusion: sequence`, and as the model's ``dim`` the width of the language model.

    Args:
        targets: the training answers.
        language: ``gemma3-270m`` (packaged, extra ``language``), a folder, or a name on the hub.
        cue: a text between what is read and the answer.
        context_length: most tokens of all streams together; an item with more is an error.
        tune: ``frozen``: the language model stays as it is; ``lora``: low-rank adapters of its layers are trained.
        rank: rank of the adapters.
        alpha: the adapters' output is multiplied by alpha / rank.
        adapted: endings of the names of the layers with adapters; by default peft's choice.
        projecting: share of the training in which only the projectors are trained.
        beam: answers that beam search keeps; 1: the best token each time (greedy).
        temperature: above 0, tokens are drawn at this temperature, always the same ones.
        neighbours: training items that are asked, by the words of their answers: of the beam's answers and of as many
            drawn ones as ``draws`` says, the one is given that agrees most with theirs (`plait.tasks.consensus`). 0:
            the beam's best. For descriptions, of which many are right.
        draws: answers drawn beside those of the beam, at temperature 0.7, if there are neighbours.
        smoothing: label smoothing of the tokens (Szegedy et al. 2016, section 7).
        evidence: the seconds that an answer rests on: for each of its ``words``, for the ``answer`` as a whole, or
            ``none``. For words it takes a backward pass each.
        lower: whether answers are lower-cased.
        metric: the metric by which validation selects, of texts.
        offline: never ask the network.

    Raises:
        DataError: no training item has an answer.
        ConfigError: the language model is not available, or an option is out of range.
    """

    padding = -1.0
    """Fills a row of `scores` after its end."""

    main_metric = "exact_match"
    higher_is_better = True
    calibrated: ClassVar[bool] = False
    additive: ClassVar[bool] = False

    def __init__(
        self,
        targets: list[Target] | Known,
        *,
        language: str = "gemma3-270m",
        cue: str = "",
        context_length: Count = 96,
        tune: Literal["frozen", "lora"] = "lora",
        rank: Few = 8,
        alpha: float = 16.0,
        adapted: Sequence[str] | None = None,
        projecting: Unit = 0.5,
        beam: Few = 1,
        temperature: Weight = 0.0,
        neighbours: Whole = 0,
        draws: Whole = 16,
        smoothing: Share = 0.0,
        evidence: Literal["words", "answer", "none"] = "words",
        lower: bool = True,
        metric: Spec = "exact_match",
        offline: bool = True,
    ) -> None:
        super().__init__()
        self.language, self.cue, self.context_length = language, cue, context_length
        self.tune, self.offline = tune, offline
        self.rank, self.alpha, self.adapted, self.projecting = rank, alpha, adapted, projecting
        self.beam, self.temperature, self.smoothing, self.lower = beam, temperature, smoothing, lower
        self.evidence, self.metric, self.neighbours, self.draws = evidence, metric, neighbours, draws
        self._check()
        self._metrics = metrics_for("texts", metric, where="unify.metric")
        self.select_by(self._metrics)
        self.tokenizer = tokenizer_of(find_model(language, offline, "unify"), "unify")
        known = targets if isinstance(targets, Known) else self._known(targets)
        self.words, self.longest, self.described = known
        self.rarity = Rarity([[text] for text in self.described]) if self.neighbours else None
        self.alike: Neighbours | None = None
        self._index = {word: i for i, word in enumerate(self.words)}
        adapters = Adapters(rank, alpha, adapted) if tune == "lora" else None
        self.model = Language(language, self.words, cue=cue, adapters=adapters, offline=offline)
        self.n_outputs = context_length * (FACTS + self.model.width)
        room = context_length + self.model.own + self.longest
        if self.model.limit is not None and room > self.model.limit:
            raise ConfigError(
                f"unify.context_length: {context_length} tokens, with cue and answer up to {room}, but {language} has "
                f"{self.model.limit} positions. Lower the context."
            )

    def _check(self) -> None:
        problems = []
        if self.temperature and self.beam > 1:
            problems.append("unify: beam search does not draw. Set temperature to 0, or beam to 1.")
        if self.temperature and self.neighbours:
            problems.append("unify: neighbours choose among the answers of a beam. Set temperature to 0.")
        self.check_options(problems)

    def _known(self, targets: Sequence[Target]) -> Known:
        end = self.tokenizer.eos_token_id
        if end is None:
            raise ConfigError(f"unify.language: the tokenizer of {self.language} has no token for the end of a text.")
        rows = [self._ids(target) for target in targets]
        if not any(rows):
            raise DataError("no training item has an answer. Check target and split.")
        described = [" ".join(words_of(self._text(target))) for target in targets] if self.neighbours else []
        return Known(sorted({end, *(token for row in rows for token in row)}), max(map(len, rows)), described)

    def _text(self, target: Target) -> str:
        if isinstance(target, bool | int | float) and target == target:
            return str(target).lower() if isinstance(target, bool) else f"{target:g}"
        if not isinstance(target, str):
            raise DataError(f"target {target!r} is no text. Give unify texts as targets.")
        text = " ".join(target.split())
        return text.lower() if self.lower else text

    def _ids(self, target: Target) -> list[int]:
        """The tokens of an answer, as they follow a text."""
        text = self._text(target)
        found: list[int] = self.tokenizer(f" {text}", add_special_tokens=False)["input_ids"] if text else []
        return found

    def bind(self, dims: object, dim: int) -> None:
        if dim != self.model.width:
            raise ConfigError(
                f"model.dim: {dim}, but the tokens of {self.language} have width {self.model.width}. Set "
                f"model: {{dim: {self.model.width}}}."
            )
        # Only now, since its buffers have the model's width.
        self.alike = Neighbours(len(self.described), dim, 1) if self.neighbours else None

    def complete(
        self,
        heads: Mapping[str, nn.Module],
        train: Sequence[Mapping[str, Tokens]],
        own: Callable[[], Tensor],
        held_out: tuple[Callable[[], Tensor], Tensor] | None,
    ) -> None:
        """Keep what is read of the training items, to find those that are like a new one."""
        if self.alike is not None:
            read = [cat([tokens.clean() for tokens in batch.values()]) for batch in train]
            self.alike.remember([[mean_of(tokens.values, tokens.mask)] for tokens in read])

    def check_items(self, items: Sequence[Item]) -> None:
        """Refuse training items without an answer, and answers with words that the language model does not have.

        Raises:
            DataError: names the items.
        """
        strange = self.tokenizer.unk_token_id
        empty = [i.id for i in items if not self._ids(i.target)]
        foreign = [i.id for i in items if strange is not None and strange in self._ids(i.target)]
        problems = []
        if empty:
            problems.append(f"{named(empty)}: the answer is empty. Leave these items out, or give them a text.")
        if foreign:
            problems.append(
                f"{named(foreign)}: the answer has words that are not in the vocabulary of {self.language}. Choose a "
                "language model that has them, or correct the texts."
            )
        raise_all(DataError, problems)

    def head(self, dim: int) -> nn.Module:
        return Packing(dim, self.context_length)

    def encode(self, targets: list[Target]) -> Tensor:
        """Numbers of the tokens of each answer, padded with -1, [items, longest].

        Tokens that no training answer has get the number of words: they count as errors and cannot be learnt.
        """
        rows = [[self._index.get(token, len(self.words)) for token in self._ids(t)] for t in targets]
        return torch.from_numpy(padded(rows, -1, np.int64, least=self.longest))

    def step(self, views: Sequence[View], target: Tensor, moment: Moment | None = None) -> dict[str, Tensor]:
        """One loss, the mean over the batch's tokens; adapters rest until ``projecting`` of the training is done."""
        (view,) = views
        self.model.adapting(moment is None or moment.done >= self.projecting)
        # By answer, a word of a long one would count less than a word of a short one, and be learnt later.
        tokens = (target >= 0).sum(1) + 1
        return {"fused": (self.loss(view.fused, target) * tokens).sum() / tokens.sum()}

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean negative log-likelihood of the answer's tokens and its end, [batch]."""
        smoothing = self.smoothing if self.training else 0.0
        each = output.new_zeros(len(target))
        for part, said in by_length(target, TOGETHER):
            each = each.index_copy(0, part, self.model.losses(self._prompt(output[part])[0], said, smoothing).to(each))
        return each

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        return self.loss(output, target)

    def divergence(self, output: Tensor, teacher: Tensor) -> Tensor:
        """Kullback-Leibler divergence from the teacher's probabilities along the teacher's answer; mean over its
        tokens, [batch]."""
        prompt = self._prompt(teacher)[0]
        said = self.model.answer(prompt, self.longest, Search())
        found, wanted = (self.model.logits(p, said).log_softmax(-1) for p in (self._prompt(output)[0], prompt))
        asked = torch.arange(found.shape[1], device=said.device) <= (said >= 0).sum(1, keepdim=True)
        each = F.kl_div(found, wanted, log_target=True, reduction="none").sum(-1)
        return (each * asked).sum(1) / asked.sum(1)

    def _prompt(self, output: Tensor) -> tuple[Prompt, Float[Tensor, "batch places"]]:
        """What the language model reads, and the seconds of its tokens."""
        places = output.unflatten(1, (self.context_length, -1)).to(self.model.ahead.dtype)
        return Prompt(places[..., FACTS:], places[..., 0] < 0.5), places[..., 1]

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Numbers of the tokens of the answers, padded with -1, [items, longest]."""
        rows = [self._chosen(self._prompt(part)[0]) for part in output.split(BATCH)]
        return torch.cat(rows).cpu().numpy().astype(np.float64)

    def quick_scores(self, output: Tensor) -> NDArray[np.float64]:
        """As `scores`, by the likeliest token at each step."""
        rows = [self.model.answer(self._prompt(part)[0], self.longest, Search()) for part in output.split(BATCH)]
        return torch.cat(rows).cpu().numpy().astype(np.float64)

    @torch.no_grad()
    def _chosen(self, prompt: Prompt) -> Int[Tensor, "batch longest"]:
        """The answer to each prompt."""
        search = Search(self.beam, self.temperature)
        if not self.neighbours or self.alike is None or self.rarity is None:
            return self.model.answer(prompt, self.longest, search)
        found = [self.model.answers(prompt, self.longest, search, self.beam)]
        if self.draws:
            found.append(self.model.answers(prompt, self.longest, Search(1, DRAWN_AT), self.draws))
        every = torch.cat(found, 1)
        asked = self.alike.nearest([mean_of(prompt.values, prompt.mask)], self.neighbours)
        best, described = [], [[text] for text in self.described]
        for rows, (near, weights) in zip(every.tolist(), asked):
            said = [" ".join(words_of(self.say([t for t in row if t >= 0]))) for row in rows]
            best.append(most_agreed(said, described, near, weights, self.rarity))
        return every[torch.arange(len(every)), torch.tensor(best)]

    def claims(self, output: Tensor, at: Instants | None = None) -> list[list[Claim]]:
        """The text, and each of its words where there are several. Targets as those of `plait.tasks.caption.Caption`:
        the tokens with the end, and which of them the claim is about, [length, 2]."""
        found = []
        for row in self.scores(output).astype(np.int64).tolist():
            said = [token for token in row if token >= 0]
            tokens, groups = torch.tensor([*said, self.model.end]), self._grouped(said)
            whole = Claim(self.say(said) or "(nothing)", about(tokens, range(len(tokens))))
            words = [Claim(word, about(tokens, own)) for word, own in zip(self.say(said).split(), groups)]
            found.append([whole, *(words if len(words) > 1 else [])])
        return found

    def claimed(self, output: Tensor, target: Tensor) -> Tensor:
        texts, asked = target[..., 0], target[..., 1] > 0
        tokens = torch.where(texts == self.model.end, -1, texts)[:, :-1]
        logs = self.model.logits(self._prompt(output)[0], tokens).log_softmax(-1)
        sure = logs.gather(2, texts.clamp(min=0)[..., None])[..., 0]
        return (sure * asked).sum(1) / asked.sum(1).clamp(min=1)

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        return [answer for part in output.detach().split(BATCH) for answer in self._replies(part)]

    def _replies(self, output: Tensor) -> Iterator[Reply]:
        prompt, seconds = self._prompt(output)
        said = self._chosen(prompt)
        with torch.no_grad():
            logs = self.model.logits(prompt, said).log_softmax(-1)
        sure = logs.gather(2, self.model.wanted(said).clamp(min=0)[..., None])[..., 0].exp()
        found = None if self.evidence == "none" else saliency(self.model, prompt, said, whole=self.evidence == "answer")
        for i, row in enumerate(said.tolist()):
            tokens = [token for token in row if token >= 0]
            spans = [] if found is None else spans_of(found[i, : max(len(tokens), 1)], seconds[i], prompt.mask[i])
            yield self._reply(tokens, sure[i].tolist(), spans)

    def _reply(self, tokens: list[int], sure: list[float], spans: Sequence[tuple[float, float] | None]) -> Reply:
        """Tokens joined to words; a word has the least sure of its tokens, and the evidence of its first."""
        words = self.say(tokens).split()
        told = []
        for word, own in zip(words, self._grouped(tokens)):
            span = spans[min(own[0], len(spans) - 1)] if spans else None
            told.append((word, min(sure[k] for k in own), span))
        return Reply(" ".join(words), float(np.mean(sure[: len(tokens) + 1])), tuple(told))

    def _grouped(self, tokens: Sequence[int]) -> list[list[int]]:
        """The places of each word's tokens."""
        groups: dict[int, list[int]] = {}
        for k in range(len(tokens)):
            groups.setdefault(max(len(self.say(tokens[: k + 1]).split()) - 1, 0), []).append(k)
        return [*groups.values()]

    def say(self, tokens: Sequence[int]) -> str:
        """The text of tokens, by their numbers."""
        known = [self.words[int(token)] for token in tokens if 0 <= token < len(self.words)]
        text = str(self.tokenizer.decode(known, skip_special_tokens=True)).strip()
        return f"{text} {UNKNOWN}".strip() if any(token >= len(self.words) for token in tokens) else text

    def texts(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> list[tuple[str, str]]:
        """The true and the given answer of each item."""
        return [(self.say(true.tolist()), self.say(said.tolist())) for true, said in zip(target, scores)]

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        """The chosen metric, then the standard ones of texts."""
        pairs = self.texts(scores, target)
        true, said = [a for a, _ in pairs], [b for _, b in pairs]
        return {name: metric(true, said) for name, metric in self._metrics.items()}

    def main(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> float:
        pairs = self.texts(scores, target)
        return self._metrics[self.main_metric]([a for a, _ in pairs], [b for _, b in pairs])

    def subsets(self, modalities: Sequence[str]) -> list[tuple[str, ...]]:
        """All modalities, and all but one: an answer has to be looked for anew for each."""
        names = tuple(modalities)
        left = [tuple(m for m in names if m != gone) for gone in names]
        return [*(s for s in left if s), names]

    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        """The most frequent training answer, for every item."""
        rows = Counter(tuple(int(t) for t in row) for row in train)
        # Ties by the tokens themselves, so that the order of the items does not matter.
        best = max(rows, key=lambda row: (rows[row], row))
        return np.broadcast_to(np.array(best, np.float64), (count, len(best))).copy()

    def state(self) -> Options:
        own = {"described": self.described} if self.described else {}
        return {"words": self.words, "longest": self.longest, **own, "sha256": self.model.frozen_digest()}

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Unify:
        described = [str(text) for text in state.get("described", [])]
        known = Known([int(word) for word in state["words"]], int(state["longest"]), described)
        try:
            task = cls(known, **options)
        except ConfigError as error:
            raise OutsideChanged(error.problems) from error
        expect(task.model.digest, str(state["sha256"]), f"unify.language {task.language}")
        return task
