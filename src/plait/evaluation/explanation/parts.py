"""What is explained, and of which parts of items: the seconds of each modality in bins, or objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from plait.core.errors import DataError
from plait.examples.data import Batch, ItemData
from plait.models.model import Model
from plait.tasks.claims import Claim, stacked
from plait.tokens import Instants, Pairs, Tokens

__all__ = ["Answer", "Parts", "claims_of"]


@dataclass(frozen=True)
class Answer:
    """What is explained: a claim of each item's answer (`plait.tasks.Task.claims`), such as its class or a word.

    Attributes:
        model: in evaluation mode.
        target: of the claims, [batch, ...].
        values: which claims are values, and not log-probabilities, [batch].
        at: the instants that are asked.
        whole: how strongly the claims are held with all that is there, [batch].
    """

    model: Model
    target: Tensor
    values: Bool[Tensor, " batch"]
    at: Instants | None
    whole: Float[Tensor, " batch"]

    @classmethod
    def of(cls, model: Model, batch: Batch, claims: Sequence[Claim] | None = None) -> Answer:
        """One claim of each item.

        Args:
            model: answers.
            batch: items.
            claims: of each item one; by default the first of its answer.

        Raises:
            DataError: an answer claims nothing.
        """
        model.eval()
        with torch.no_grad():
            if claims is None:
                every = claims_of(model, batch)
                if not all(every):
                    raise DataError(f"{every.index([])}: the answer to this item of the batch claims nothing.")
                claims = [own[0] for own in every]
            target, values = stacked(claims), torch.tensor([claim.unit is not None for claim in claims])
            found = cls(model, target, values, batch.at, torch.zeros(len(target)))
            return replace(found, whole=found.scalar(batch.inputs))

    @property
    def chosen(self) -> Int[Tensor, " batch"] | None:
        """The class that was named of each item; None if there is no such."""
        return None if self.at is not None or self.target.ndim > 1 or self.values.any() else self.target

    def output(self, tokens: Mapping[str, Tokens]) -> Tensor:
        """The model's output from some tokens of the items."""
        return self.model.answer(self.model.encode(tokens), None, self.at)

    def scalar(self, tokens: Mapping[str, Tokens]) -> Float[Tensor, " batch"]:
        """What attributions add up to: how strongly the claims are held (`plait.tasks.Task.claimed`)."""
        found: Tensor = self.model.task.claimed(self.output(tokens), self.target)
        return found

    def kept(self, tokens: Mapping[str, Tokens]) -> Float[Tensor, " batch"]:
        """How much is left of the claims, 0 to 1: their probability (its geometric mean over instants or tokens); for a
        value how near it is, in deviations of the values of the batch."""
        with torch.no_grad():
            now = self.scalar(tokens)
            spread = self.whole.std().clamp(min=1e-6) if len(self.whole) > 1 else 1.0
            return torch.where(self.values, -(now - self.whole).abs() / spread, now).exp()

    def repeated(self, times: int) -> Answer:
        """The same items several times."""
        index = torch.arange(len(self.whole)).repeat(times)
        at = None if self.at is None else self.at.of(index)
        return Answer(self.model, self.target[index], self.values[index], at, self.whole[index])


def claims_of(model: Model, batch: Batch) -> list[list[Claim]]:
    """The claims of the model's answers to a batch.

    Raises:
        DataError: its answers are not to be scored, such as embeddings.
    """
    if not model.task.scored:
        raise DataError("embeddings of a pre-trained run claim nothing that could be explained. Fine-tune it first.")
    with torch.no_grad():
        return model.task.claims(model.answer(model.encode(batch.inputs), None, batch.at), batch.at)


class Parts:
    """The items of a batch, each modality divided into bins of equal time; where answers are about objects, into these.

    Args:
        data: the items.
        batch: some of them.
        bins: parts of each item's time.

    Attributes:
        names: the modalities; part ``k`` of modality ``i`` has the number ``i * bins + k``.
        bins: parts of each modality: of time, or as many as an item has objects.
        objects: of each item its objects; None where parts are of time.
        there: whether a part holds observations, [batch, parts].
    """

    def __init__(self, data: ItemData, batch: Batch, bins: int) -> None:
        self.names, self.bins, self.tokens = list(batch.inputs), bins, batch.inputs
        spans = [data.items[int(i)].stop - data.items[int(i)].start for i in batch.items]
        self.seconds = torch.tensor(spans, dtype=torch.float32)
        pairs = None if batch.at is None else batch.at.pairs
        self.objects = None if pairs is None else [[f"{kind} {name}" for name, kind in own] for own in pairs.objects]
        if self.objects is not None:
            self.bins = max(1, *map(len, self.objects))
        self.place = {
            m: self._bins(t, k) if pairs is None else self._of_objects(pairs, t, k)
            for k, (m, t) in enumerate(batch.inputs.items())
        }
        self.there = self.pooled({m: torch.ones_like(t.times) for m, t in batch.inputs.items()}) > 0

    def _bins(self, tokens: Tokens, modality: int) -> Int[Tensor, "batch time"]:
        """The part of each observation."""
        # What stands before the item's begin or at its end belongs to the nearest bin.
        share = torch.where(tokens.mask, tokens.times, 0.0) / self.seconds[:, None].clamp(min=1e-6)
        return (share * self.bins).long().clamp(0, self.bins - 1) + modality * self.bins

    def _of_objects(self, pairs: Pairs, tokens: Tokens, modality: int) -> Int[Tensor, "batch time"]:
        """The part of each row: its object. Rows of none that is asked about belong to no part, and always stay."""
        size, none = tokens.mask.shape[1], len(self.names) * self.bins
        rows = pairs.rows.transpose(2, 3).flatten(1)
        owner = pairs.which[..., None].expand(*pairs.which.shape, pairs.rows.shape[2]).flatten(1)
        row = torch.where((rows >= 0) & (rows < size), rows, size)
        found = torch.full((len(rows), size + 1), none).scatter(1, row, owner + modality * self.bins)
        return found[:, :size]

    def pooled(self, each: Mapping[str, Float[Tensor, "batch _"]]) -> Float[Tensor, "batch parts"]:
        """Numbers of observations, summed over each part."""
        found = torch.zeros(len(self.seconds), len(self.names) * self.bins + 1)
        for m, values in each.items():
            mask = self.tokens[m].mask
            found.scatter_add_(1, self.place[m], torch.where(mask, values, 0.0))
        return found[:, :-1]

    def without(self, gone: Bool[Tensor, "batch parts"]) -> dict[str, Tokens]:
        """The tokens without some parts."""
        gone = torch.nn.functional.pad(gone, (0, 1))
        return {m: t._replace(mask=t.mask & ~gone.gather(1, self.place[m])) for m, t in self.tokens.items()}

    def span(self, part: int) -> tuple[str, float, float]:
        """Modality, and start and end of a part as shares of the item's time."""
        return self.names[part // self.bins], (part % self.bins) / self.bins, (part % self.bins + 1) / self.bins
