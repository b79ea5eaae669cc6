"""Tasks: a task states its problem; it owns heads, loss, decoding and metrics. One file a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.parts import Options, options_of
from plait.examples.data import Asked
from plait.examples.items import Item
from plait.examples.targets import Target
from plait.metrics import Metric
from plait.tasks.answers import Answer
from plait.tasks.timed import padded
from plait.tasks.view import Moment, View
from plait.tokens import Instants, Tokens
from plait.tokens.dropout import modality_dropout

__all__ = ["Task"]

MOST_INSTANTS = 100_000
"""An item: nobody means more, and a batch of it would not fit in memory."""


class Task(nn.Module, ABC):
    """Constructed as ``Cls(targets, *, options)`` from the training targets, which decide its classes or scale.

    The model asks `head` for one head a modality and one for the joint tokens, adds their outputs, and
    leaves everything about the problem to the task.
    """

    main_metric: ClassVar[str]
    """The one metric by which validation selects."""

    higher_is_better: ClassVar[bool] = True

    is_numeric: ClassVar[bool] = False
    """Whether outputs are values in units, so that the mean of two answers is one; if not, logits of classes."""

    asks: ClassVar[Literal["label", "annotations", "nothing"]] = "label"
    """What the target of an item is: its label; all that is annotated within it (`plait.examples.targets.Annotated`),
    on the tier that the option ``target`` names; or nothing (`plait.tasks.pretrain`)."""

    linear: ClassVar[bool] = False
    """Whether its heads are linear maps (`plait.tasks.heads`), and `goals` what these are to give, so that they can be
    solved in closed form."""

    views: int = 1
    """How often a batch is varied and looked at in one step."""

    sees_features: ClassVar[bool] = False
    """Whether `step` wants the features of its views, beside what the model made of them."""

    remembers: bool = False
    """Whether `step` wants to see each batch unvaried too, to remember it."""

    causal: bool = False
    """Whether an answer may depend on nothing that was recorded after its instant."""

    n_outputs: int
    """Numbers in the output, an item or an instant (classes; 1 for a scalar)."""

    @property
    def options(self) -> Options:
        """The options that it was made with, as a saved run keeps them: each is kept under its own name."""
        return {name: getattr(self, name) for name in options_of(type(self))}

    def select_by(self, found: Mapping[str, Metric]) -> None:
        """Let validation select by the first of some metrics, by name."""
        self.main_metric, main = next(iter(found.items()))  # type: ignore[misc]  # of one task, not of its class
        self.higher_is_better, self.bounds = main.higher_is_better, main.bounds  # type: ignore[misc]

    def bind(self, dims: Mapping[str, int], dim: int) -> None:
        """Told once, by the model, before any weights are loaded: widths of the features, and of the tokens."""

    def instants(self, seconds: float) -> NDArray[np.float64] | None:
        """When answers are wanted within so many seconds, in order; None, the default: once an item."""
        return None

    def unasked(self) -> Tensor:
        """The output at an instant at which nothing is asked, [width]; by default zeros."""
        return torch.zeros(self.n_outputs)

    def asked(self, items: Sequence[Item], *, known: bool = True) -> Asked:
        """What is asked of items.

        Args:
            items: with their targets.
            known: whether these are targets; if not, zeros stand for them.

        Raises:
            DataError: a target that the task does not know.
            ConfigError: more than `MOST_INSTANTS` of an item.
        """
        at = self.asked_at(items)  # first, for it refuses what would not fit in memory
        return Asked(self.encode([i.target for i in items]) if known else torch.zeros(len(items)), at)

    def asked_at(self, items: Sequence[Item]) -> Instants | None:
        """When answers of items are wanted, [items, steps]; None: once an item.

        Raises:
            ConfigError: more than `MOST_INSTANTS` of an item.
        """
        times: list[NDArray[np.float64]] = []
        for item in items:
            before, after = item.context
            found = self.instants(item.stop - item.start - before - after)
            if found is None:
                return None
            times.append(before + found)
        steps = max(map(len, times), default=0)
        if steps > MOST_INSTANTS:
            raise ConfigError(f"task: {steps:,} answers are asked of one item; expected a lower rate or shorter items.")
        mask = np.arange(steps) < np.array([len(own) for own in times], np.int64)[:, None]
        return Instants(torch.from_numpy(padded(times, 0.0, np.float32)), torch.from_numpy(mask))

    @abstractmethod
    def head(self, dim: int) -> nn.Module:
        """A new head: Tokens [batch, time, dim] -> [batch, width]; with `Instants` beside them, of a task that has
        any, [batch, steps, width]."""

    @abstractmethod
    def encode(self, targets: list[Target]) -> Tensor:
        """Targets as the loss takes them, [batch, ...].

        Raises:
            DataError: a target that the task does not know.
        """

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss an item, [batch], of output [batch, width] or [batch, steps, width] and encoded targets [batch, ...]."""

    def corrupt(self, tokens: Mapping[str, Tokens], share: float) -> Mapping[str, Tokens]:
        """Features as the encoders get them in training. Default: as they are.

        Args:
            tokens: features by modality.
            share: how often a modality of an item is to be hidden (``augment.modality_dropout``).
        """
        return tokens

    def obscure(self, encoded: Mapping[str, Tokens], share: float) -> Mapping[str, Tokens]:
        """Encoded tokens as the fusion gets them in training. Default: each modality hidden ``share`` of the time."""
        return modality_dropout(encoded, share) if share else encoded

    def step(self, views: Sequence[View], target: Tensor, moment: Moment | None = None) -> dict[str, Float[Tensor, ""]]:
        """What training makes small, by name: each a mean over the items, before any weight that the recipe gives it.

        Every head learns by itself, and not their sum: in a sum a head that has the training items by heart leaves the
        others nothing to learn. ``fused`` is the loss of what the fusion says, ``unimodal`` that of the modalities' own
        heads, ``partial`` that of the fusion's answer from a part of the modalities.

        Two more draw answers to better ones, which get no gradient. ``modality_distillation``: the partial one to that
        from everything (Hinton et al. 2015; from the full to the partial as in Garcia et al. 2018, "Modality
        distillation with multiple stream networks for action recognition", without a network of its own).
        ``self_distillation``: the modalities' own ones to the whole model's, made in the same pass (Lan et al. 2018,
        "Knowledge distillation by on-the-fly native ensemble"); here the pupils see less than their teacher. Of values
        there is none: a target says it all, where a label says nothing of the other classes.

        Args:
            views: of one batch, as many as ``views``.
            target: from `encode`, [batch].
            moment: where the batch stands in the training; None: it is none of its items.
        """
        (view,) = views
        losses = {
            "fused": self.loss(view.fused, target).mean(),
            "unimodal": view.over_modalities(lambda out: self.loss(out, target)),
        }
        if view.partial is not None:
            losses["partial"] = self.loss(view.partial, target).mean()
            losses["modality_distillation"] = self.divergence(view.partial, view.fused.detach()).mean()
        if view.teacher is not None and not self.is_numeric:
            teacher = view.teacher
            losses["self_distillation"] = view.over_modalities(lambda out: self.divergence(out, teacher))
        return losses

    def known(self, target: Tensor) -> Tensor:
        """At which instants the truth is known, [batch, steps], of encoded targets [batch, steps, ...]."""
        return target >= 0

    def goals(self, target: Tensor) -> Tensor:
        """What a linear head is regressed on, [rows, width], of encoded targets [rows, ...]: items, or instants.

        Of classes 1 in the column of the item's class and 0 elsewhere; a task of values gives its standardised targets.
        """
        return F.one_hot(target, self.n_outputs).to(self.prior().dtype)

    def prior(self) -> Tensor:
        """The output of who knows nothing of an item, [width]: of classes the logarithms of their shares, by default
        all alike; of values 0."""
        return torch.zeros(self.n_outputs)

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        """How badly an output, taken at its word, foretells the target, an item, [batch]: what calibration makes small.

        Of classes the negative log-likelihood, without the weights and the smoothing that `loss` may learn by; of
        values, and of answers over time, the `loss`.

        Args:
            output: [batch, width].
            target: encoded targets, [batch].
            doubt: the share of each target that goes to all classes alike.
        """
        if self.is_numeric or output.ndim > 2:
            return self.loss(output, target)
        return F.cross_entropy(output, target, label_smoothing=doubt, reduction="none")

    def divergence(self, output: Tensor, teacher: Tensor) -> Tensor:
        """How far an output is from another's, an item, [batch]: what distillation makes small.

        Of values the mean square of the difference. Of logits the Kullback-Leibler divergence of the probabilities from
        the teacher's (Hinton et al. 2015, "Distilling the knowledge in a neural network", at temperature 1).
        """
        if self.is_numeric:
            return (output - teacher).square().mean(-1)
        found = F.kl_div(output.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="none").sum(-1)
        return found if found.ndim == 1 else found.mean(1)

    @abstractmethod
    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        """What the output says, an answer an item.

        Args:
            output: [batch, width], or [batch, steps, width].
            at: the instants, of a task that answers at instants.
        """

    @abstractmethod
    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Outputs as evaluation takes them: probabilities [items, classes] or values [items, 1]; of a task that answers
        at instants [items, steps, classes], or what it says, padded, [items, longest]."""

    @abstractmethod
    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        """All metrics by name, of `scores` and encoded targets; the main one first."""

    @abstractmethod
    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        """Scores of the best constant answer, learnt from the training targets, for ``count`` items."""

    @abstractmethod
    def state(self) -> Options:
        """What was learnt from the training targets (classes, mean, scale), as JSON; kept with the run."""

    @classmethod
    @abstractmethod
    def restore(cls, state: dict[str, object], **options: object) -> Task:
        """The task again, from `state` and its options."""
