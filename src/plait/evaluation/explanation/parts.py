"""Parts of items in time: the seconds of each modality, in bins, and what the model says without some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from plait.core.errors import DataError
from plait.examples.data import Batch, ItemData
from plait.models.model import Model
from plait.tokens import Tokens

__all__ = ["Answer", "Parts"]


@dataclass(frozen=True)
class Answer:
    """What is explained of each item's answer: the probability of the class that the model names, or its value.

    Attributes:
        model: in evaluation mode.
        chosen: the class that was named, [batch]; None for values.
        whole: the output from all that is there, [batch, width].
    """

    model: Model
    chosen: Int[Tensor, " batch"] | None
    whole: Float[Tensor, "batch width"]

    @classmethod
    def of(cls, model: Model, batch: Batch) -> Answer:
        """The model's answers to a batch.

        Raises:
            DataError: its answers are over time, or neither a class nor a value.
        """
        model.eval()
        with torch.no_grad():
            whole = model(batch.inputs)[""] if batch.at is None else torch.empty(0)
        values = model.task.is_numeric
        if batch.at is not None or whole.ndim != 2 or (values and whole.shape[1] != 1):
            raise DataError("explanations in time are of one class or one value per item.")
        return cls(model, None if values else whole.argmax(1), whole)

    def scalar(self, tokens: Mapping[str, Tokens]) -> Float[Tensor, " batch"]:
        """What attributions add up to: the log-probability of the class, or the value."""
        output: Tensor = self.model(tokens)[""]
        if self.chosen is None:
            return output[:, 0]
        return output.log_softmax(-1).gather(1, self.chosen[:, None])[:, 0]

    def kept(self, tokens: Mapping[str, Tokens]) -> Float[Tensor, " batch"]:
        """How much is left of the answer, 0 to 1: the probability of the class; for a value how near it is."""
        with torch.no_grad():
            if self.chosen is not None:
                return self.scalar(tokens).exp()
            spread = self.whole.std().clamp(min=1e-6) if len(self.whole) > 1 else 1.0
            return (-(self.scalar(tokens) - self.whole[:, 0]).abs() / spread).exp()


class Parts:
    """The items of a batch, each modality divided into bins of equal time.

    Args:
        data: the items.
        batch: some of them.
        bins: parts of each item's time.

    Attributes:
        names: the modalities; part ``k`` of modality ``i`` has the number ``i * bins + k``.
        there: whether a part holds observations, [batch, parts].
    """

    def __init__(self, data: ItemData, batch: Batch, bins: int) -> None:
        self.names, self.bins, self.tokens = list(batch.inputs), bins, batch.inputs
        spans = [data.items[int(i)].stop - data.items[int(i)].start for i in batch.items]
        self.seconds = torch.tensor(spans, dtype=torch.float32)
        self.place = {m: self._places(t) + k * bins for k, (m, t) in enumerate(batch.inputs.items())}
        self.there = self.pooled({m: torch.ones_like(t.times) for m, t in batch.inputs.items()}) > 0

    def _places(self, tokens: Tokens) -> Int[Tensor, "batch time"]:
        """The bin of each observation."""
        # What stands before the item's begin or at its end belongs to the nearest bin.
        share = torch.where(tokens.mask, tokens.times, 0.0) / self.seconds[:, None].clamp(min=1e-6)
        return (share * self.bins).long().clamp(0, self.bins - 1)

    def pooled(self, each: Mapping[str, Float[Tensor, "batch time"]]) -> Float[Tensor, "batch parts"]:
        """Numbers of observations, summed over each part."""
        found = torch.zeros(len(self.seconds), len(self.names) * self.bins)
        for m, values in each.items():
            mask = self.tokens[m].mask
            found.scatter_add_(1, self.place[m], torch.where(mask, values, 0.0))
        return found

    def without(self, gone: Bool[Tensor, "batch parts"]) -> dict[str, Tokens]:
        """The tokens without some parts."""
        return {m: t._replace(mask=t.mask & ~gone.gather(1, self.place[m])) for m, t in self.tokens.items()}

    def span(self, part: int) -> tuple[str, float, float]:
        """Modality, and start and end of a part as shares of the item's time."""
        return self.names[part // self.bins], (part % self.bins) / self.bins, (part % self.bins + 1) / self.bins
