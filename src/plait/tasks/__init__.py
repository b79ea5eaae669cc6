"""Tasks: a task defines its problem and owns heads, loss, decoding and metrics. One file per task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, raise_all
from plait.core.options import option_problems
from plait.core.parts import Options, options_of, part_name
from plait.examples.data import Asked
from plait.examples.items import Item
from plait.examples.targets import Target
from plait.metrics import Metric
from plait.tasks.answers import Answer
from plait.tasks.claims import Claim
from plait.tasks.timed import padded
from plait.tasks.view import Moment, View
from plait.tokens import Instants, Tokens
from plait.tokens.dropout import Shares, modality_dropout

__all__ = ["Task"]

MOST_INSTANTS = 100_000
"""Most instants per item; more is surely a mistake, and a batch of it would not fit in memory."""


class Task(nn.Module, ABC):
    """Constructed as ``Cls(targets, *, options)`` from the training targets, which decide its classes or scale.

    The model asks `head` for one head per modality and one for the joint tokens, and adds their outputs. Everything
    else about the problem is the task's.
    """

    main_metric: ClassVar[str]
    """The metric by which validation selects."""

    higher_is_better: ClassVar[bool] = True

    is_numeric: ClassVar[bool] = False
    """Whether outputs are values, whose mean is a value too; if not, they are logits of classes."""

    asks: ClassVar[Literal["label", "several", "annotations", "relations", "future", "nothing"]] = "label"
    """What the target of an item is: its label; several labels (`plait.examples.targets.Named`), by the names in the
    option ``tasks``; everything annotated within it (`plait.examples.targets.Annotated`) on the tier of the option
    ``target``; the relations annotated there between the objects of the stream `looks_at`
    (`plait.examples.scenes.Scene`); what the streams of `looks_ahead` do after it (`plait.examples.future.Future`); or
    nothing (`plait.tasks.pretrain`)."""

    rests_on: ClassVar[Literal["times", "objects", "query"]] = "times"
    """What the deletion test (`plait.evaluation.deletion`) removes: what was observed at the times of an answer's
    parts, of the objects of a relation, or in the seconds that are most like a query."""

    by_row: ClassVar[bool] = False
    """Whether answers are read from the tokens of single rows, so that the default encoder must keep every row."""

    linear: ClassVar[bool] = False
    """Whether its heads are linear maps (`plait.tasks.heads`) with the targets `goals`, so that they can be solved in
    closed form."""

    cross_fits: ClassVar[bool] = False
    """Whether, in a fold without a validation part, all training groups decide what only held-out items can: one
    held-out model for each quarter of them, instead of one model and one quarter."""

    calibrated: ClassVar[bool] = True
    """Whether temperatures of its outputs are fitted on held-out items (``train.temperature_scaling``)."""

    additive: ClassVar[bool] = True
    """Whether outputs are numbers that can be added up over heads, as logits and values; not what a decoder reads, nor
    the embeddings of two sides."""

    gathers: ClassVar[bool] = False
    """Whether what the heads give is to be read, place by place: outputs [batch, places, width], as many places as
    there are tokens, put one after another (`gather`) where those of other tasks are added."""

    views: int = 1
    """How often a batch is augmented and encoded in one step."""

    sees_features: bool = False
    """Whether `step` needs the features of its views, besides the model's outputs."""

    remembers: bool = False
    """Whether `step` needs each batch without augmentation too, to remember it."""

    momentum: float = 0.0
    """How much of a slowly moving copy of the model stays in each step; above 0, `Moment.plain` is that copy's view."""

    causal: bool = False
    """Whether an answer may depend only on what was recorded until its instant."""

    alone: ClassVar[bool] = False
    """Whether each modality must answer alone, so that fusions with a joint head are refused."""

    scored: ClassVar[bool] = True
    """Whether its answers can be scored; if not, its runs are only there to be fine-tuned."""

    symbolic: Sequence[str] = ()
    """The model's modalities that are ids, not measurements. Set by the model before `bind`."""

    n_outputs: int
    """Numbers in the output per item or instant (classes; 1 for a scalar)."""

    @property
    def options(self) -> Options:
        """The options that it was made with, as a saved run keeps them; each is an attribute of the same name."""
        return {name: getattr(self, name) for name in options_of(type(self))}

    def check_options(self, problems: Iterable[str] = ()) -> None:
        """Refuse options outside the bounds that their types declare (`plait.core.options`), with further problems.

        Raises:
            ConfigError: names all of them.
        """
        raise_all(ConfigError, [*option_problems(type(self), self.options, part_name(type(self))), *problems])

    def select_by(self, found: Mapping[str, Metric]) -> None:
        """Let validation select by the first of these metrics."""
        self.main_metric, main = next(iter(found.items()))  # type: ignore[misc]  # of one task, not of its class
        self.higher_is_better, self.bounds = main.higher_is_better, main.bounds  # type: ignore[misc]

    def bind(self, dims: Mapping[str, int], dim: int) -> None:
        """Called once by the model, before weights are loaded, with the widths of the features and of the tokens."""

    def locate(self, regions: Mapping[str, tuple[int, int]]) -> None:
        """Called once by the model: rows and columns of the regions that the tokens of some modalities stand for
        (`plait.encoders.Encoder.regions`). Default: it does not matter."""

    def part_moved(self, output: Tensor, whole: Tensor, which: Tensor) -> Tensor:
        """How far a part of each answer moves from one output to another, [batch], where there is one answer
        per item, of which parts have times. Default: how far the whole answer moves.

        Args:
            output: without some evidence.
            whole: with all of it; the answers are its own.
            which: the number of the part (a word), [batch].
        """
        return self.divergence(output, whole)

    def gather(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Heads' outputs as one, of a task that ``gathers``; by modality, and under "" that of the fusion."""
        return torch.cat([*parts.values()], 1)

    def joined(self, outputs: Sequence[Tensor]) -> Tensor:
        """Outputs of several batches as one; fewer places than others' are filled up as `unasked` says."""
        if not self.gathers:
            return torch.cat([*outputs])
        most = max(output.shape[1] for output in outputs)
        rest = [self.unasked().to(o).expand(len(o), most - o.shape[1], -1) for o in outputs]
        return torch.cat([torch.cat(pair, 1) for pair in zip(outputs, rest)])

    @classmethod
    def looks_ahead(cls, options: Mapping[str, object]) -> tuple[list[str], float]:
        """For tasks that ask for the future: the streams, and how many seconds after an item, from its options.

        Raises:
            ConfigError: the options name neither.
        """
        raise NotImplementedError

    @classmethod
    def looks_at(cls, options: Mapping[str, object]) -> str:
        """For tasks that ask for relations: the stream of objects, from its options.

        Raises:
            ConfigError: the options name none.
        """
        raise NotImplementedError

    def subsets(self, modalities: Sequence[str]) -> list[tuple[str, ...]]:
        """The subsets of the modalities that evaluation scores, all of them among these; empty, the default: every one.

        For a task whose answers are so large that those of every subset would not fit in memory.
        """
        return []

    def answer(self, ask: Callable[[Collection[str] | None], Tensor], subset: Collection[str] | None) -> Tensor:
        """The output that is scored for a subset of the modalities, [batch, ...]. Default: the model's own.

        Args:
            ask: the model's output from some modalities; None: from all.
            subset: the modalities; None: all.
        """
        return ask(subset)

    def begin(self, heads: Mapping[str, nn.Module], train: Sequence[Mapping[str, Tokens]]) -> None:
        """What heads fix before training by gradient. Default: nothing.

        Args:
            heads: each modality's own.
            train: training items, encoded by the untrained model, in batches.
        """

    def complete(
        self,
        heads: Mapping[str, nn.Module],
        train: Sequence[Mapping[str, Tokens]],
        own: Callable[[], Tensor],
        held_out: tuple[Callable[[], Tensor], Tensor] | None,
    ) -> None:
        """What heads solve in closed form, once training by gradient is over. Default: nothing.

        Args:
            heads: each modality's own.
            train: encoded training items, in batches.
            own: makes the outputs of the training items (see `answer`), with the heads as they are then.
            held_out: the same for the validation items, and their encoded targets; None: there are none.
        """

    def instants(self, seconds: float) -> NDArray[np.float64] | None:
        """The instants in ``seconds`` at which answers are wanted, in order; None, the default: one answer per item."""
        return None

    def unasked(self) -> Tensor:
        """The output at an instant that is not asked, [width]; by default zeros."""
        return torch.zeros(self.n_outputs)

    def asked(self, items: Sequence[Item], *, known: bool = True) -> Asked:
        """The encoded targets and the instants of items.

        Args:
            items: with their targets.
            known: whether the items have targets; if not, zeros replace them.

        Raises:
            DataError: a target that the task does not know.
            ConfigError: an item has more than `MOST_INSTANTS`.
        """
        at = self.asked_at(items)  # first: it refuses items that would not fit in memory
        return Asked(self.encode([i.target for i in items]) if known else torch.zeros(len(items)), at)

    def asked_at(self, items: Sequence[Item]) -> Instants | None:
        """The instants at which answers are wanted, [items, steps]; None: one answer per item.

        Raises:
            ConfigError: an item has more than `MOST_INSTANTS`.
        """
        times: list[NDArray[np.float64]] = []
        for item in items:
            before, after = item.context
            found = self.instants(item.stop - item.start - before - after)
            if found is None:
                return None
            # The item's time begins with its context, which is looked at but not asked about.
            times.append(before + found)
        steps = max(map(len, times), default=0)
        if steps > MOST_INSTANTS:
            raise ConfigError(f"task: {steps:,} answers are asked of one item; expected a lower rate or shorter items.")
        mask = np.arange(steps) < np.array([len(own) for own in times], np.int64)[:, None]
        return Instants(torch.from_numpy(padded(times, 0.0, np.float32)), torch.from_numpy(mask))

    def check_items(self, items: Sequence[Item]) -> None:
        """Refuse items that the task cannot be trained on; called before training. Default: none.

        Raises:
            DataError: names the items.
        """

    @abstractmethod
    def head(self, dim: int) -> nn.Module:
        """A new head: Tokens [batch, time, dim] -> [batch, width]; in a task with `instants`: Tokens and
        `Instants` -> [batch, steps, width]."""

    @abstractmethod
    def encode(self, targets: list[Target]) -> Tensor:
        """Targets as the loss takes them, [batch, ...].

        Raises:
            DataError: a target that the task does not know.
        """

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss per item, [batch], from output [batch, width] or [batch, steps, width] and targets [batch, ...]."""

    def corrupt(self, tokens: Mapping[str, Tokens], share: Shares) -> Mapping[str, Tokens]:
        """Features as the encoders get them in training. Default: unchanged.

        Args:
            tokens: features by modality.
            share: probability of hiding a modality of an item (``augment.modality_dropout``), of all or by name.
        """
        return tokens

    def obscure(self, encoded: Mapping[str, Tokens], share: Shares) -> Mapping[str, Tokens]:
        """Encoded tokens as the fusion gets them in training. Default: hide modalities with probability ``share``."""
        return modality_dropout(encoded, share) if share else encoded

    def step(self, views: Sequence[View], target: Tensor, moment: Moment | None = None) -> dict[str, Float[Tensor, ""]]:
        """The losses of a training step, by name: each a mean over the items, before the recipe's weights.

        Each head has its own loss, instead of one loss for their sum: in a sum, a head that overfits leaves the others
        no gradient. ``fused`` is the loss of the fusion's answer, ``unimodal`` that of the modalities' own heads,
        ``partial`` that of the fusion's answer from a part of the modalities.

        Two more losses pull answers towards better ones, which get no gradient. ``modality_distillation``: the partial
        answer towards the one from all modalities (Hinton et al. 2015; from full to partial as in Garcia et al. 2018,
        "Modality distillation with multiple stream networks for action recognition", without a separate network).
        ``self_distillation``: the modalities' own answers towards the whole model's in the same pass (Lan et al. 2018,
        "Knowledge distillation by on-the-fly native ensemble"); here the students see less than their teacher. Tasks of
        values do not have it: their targets are complete, while a label says nothing of the other classes.

        Args:
            views: views of one batch, as many as the attribute ``views``.
            target: from `encode`, [batch].
            moment: position of the batch in the training; None: it holds no training items.
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
        """Whether the truth is known at each instant, [batch, steps], from encoded targets [batch, steps, ...]."""
        return target >= 0

    def goals(self, target: Tensor) -> Tensor:
        """Regression targets of a linear head, [rows, width], from encoded targets [rows, ...].

        Rows are items or instants. For classes they are one-hot; a task of values gives its standardised targets.
        """
        return F.one_hot(target, self.n_outputs).to(self.prior().dtype)

    def prior(self) -> Tensor:
        """The output when nothing is known of an item, [width]: for classes the logarithms of their shares, by default
        equal; for values 0."""
        return torch.zeros(self.n_outputs)

    def nll(self, output: Tensor, target: Tensor, doubt: float = 0.0) -> Tensor:
        """The loss that calibration minimises, per item, [batch].

        For classes the negative log-likelihood, without the class weights and the smoothing of `loss`; for values, and
        for answers over time, `loss` itself.

        Args:
            output: [batch, width].
            target: encoded targets, [batch].
            doubt: label smoothing: the share of each target that is spread over all classes.
        """
        if self.is_numeric or output.ndim > 2:
            return self.loss(output, target)
        return F.cross_entropy(output, target, label_smoothing=doubt, reduction="none")

    def divergence(self, output: Tensor, teacher: Tensor) -> Tensor:
        """How far an output is from a teacher's, per item, [batch]: the loss that distillation minimises.

        For values the mean squared difference. For logits the Kullback-Leibler divergence of the probabilities from the
        teacher's (Hinton et al. 2015, "Distilling the knowledge in a neural network", at temperature 1).
        """
        if self.is_numeric:
            return (output - teacher).square().mean(-1)
        found = F.kl_div(output.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="none").sum(-1)
        return found if found.ndim == 1 else found.mean(1)

    @property
    def postprocessing(self) -> Options:
        """What `fit_postprocessing` chose, as JSON; kept in `state` or as weights. It can be set."""
        return {}

    @postprocessing.setter
    def postprocessing(self, found: Mapping[str, object]) -> None: ...

    def fit_postprocessing(self, output: Tensor, target: Tensor, at: Instants | None) -> None:
        """Choose what only held-out items can decide, after training and calibration. Default: nothing to choose.

        Args:
            output: calibrated outputs: of the items from each modality alone, one after another, and from all of them.
            target: encoded targets, [items, ...], as often.
            at: as for `decode`.
        """

    def postprocess(
        self, output: Tensor, there: Tensor, at: Instants | None, own: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """An output of the whole model, as `scores` and `decode` take it. Default: unchanged.

        Args:
            output: [batch, ...].
            there: which modalities each item has, [modalities, batch], in the model's order.
            at: as for `decode`.
            own: outputs of the modalities' own heads.
        """
        return output

    @abstractmethod
    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        """The answers of an output, one per item.

        Args:
            output: [batch, width], or [batch, steps, width].
            at: the instants, if the task answers at instants.
        """

    def claims(self, output: Tensor, at: Instants | None = None) -> list[list[Claim]]:
        """What of each item's answer can be explained by itself; nothing, where that means nothing.

        Default: the value; the class; the classes at all instants together.

        Args:
            output, at: as for `decode`.
        """
        answers = [str(answer) for answer in self.decode(output, at)]
        if self.is_numeric:
            return [[Claim(answer, torch.tensor(0), unit=1.0)] for answer in answers]
        named = torch.from_numpy(self.scores(output).argmax(-1))
        named = named if at is None else named.masked_fill(~at.mask, -1)
        return [[Claim(answer, own)] for answer, own in zip(answers, named)]

    def claimed(self, output: Tensor, target: Tensor) -> Float[Tensor, " batch"]:
        """How strongly an output holds a claim of each item: its log-probability, the mean over instants or tokens; of
        a value the value itself.

        Args:
            output: from any part of what was recorded.
            target: of the claims (`plait.tasks.claims.stacked`), which were made from all of it.
        """
        return output.flatten(1).mean(1) if self.is_numeric else -self.nll(output, target)

    @abstractmethod
    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Outputs as evaluation takes them: probabilities [items, classes] or values [items, 1]; for a task with
        instants [items, steps, classes], or its token numbers, padded, [items, longest]."""

    def readable(self, output: Tensor) -> Tensor:
        """What `legend` explains: an output as numbers that need no task to be read. Default: unchanged."""
        return output

    def legend(self) -> Options:
        """How the numbers of `readable` become an answer, as JSON, for an exported model (`plait_lite`); empty, the
        default: only the task can decode them. Its ``kind`` is ``classes``, ``value``, ``spans`` or ``several``."""
        return {}

    def quick_scores(self, output: Tensor) -> NDArray[np.float64]:
        """As `scores`, for the validation after an epoch: a cheaper search may do. Default: `scores`."""
        return self.scores(output)

    @abstractmethod
    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        """All metrics by name, from `scores` and encoded targets; the main one first."""

    def main(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> float:
        """The main metric alone, of `scores` and encoded targets: an interval asks for it once per group and subset."""
        return self.metrics(scores, target)[self.main_metric]

    @abstractmethod
    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        """Scores of the best constant answer by the training targets, for ``count`` items."""

    @abstractmethod
    def state(self) -> Options:
        """What was learnt from the training targets (classes, mean, scale), as JSON; saved with the run."""

    @classmethod
    @abstractmethod
    def restore(cls, state: dict[str, object], **options: object) -> Task:
        """Rebuild a task from its `state` and options."""
