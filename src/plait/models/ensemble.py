"""Combining the outputs of several heads, and of two models, per item or at instants."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.fusion import Fusion
from plait.tasks import Task
from plait.tasks.heads import PooledLinear, StateHead
from plait.tokens import Instants, Tokens

__all__ = ["Encoded", "LogitEnsemble", "by_company", "ensembled"]


class Encoded(dict[str, Tokens]):
    """Tokens by modality, from the encoders.

    Attributes:
        wide: the same from the model's wide part; None if it has none.
        own: the outputs of the modalities' own heads, of what is there and of nothing, where they are kept for several
            subsets (`plait.models.model.Model.kept`).
    """

    wide: Encoded | None = None
    own: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None


class LogitEnsemble(nn.Module):
    """A head per modality, one for the fused tokens, and a scale for the output of each.

    Outputs are [batch, width], or [batch, steps, width] for tasks that answer at instants. The fusion gives the weights
    per item; all instants of an item have the same weights.

    Args:
        modalities: in the model's order; each with the modality whose head it has, usually itself.
        dim: width of the tokens.
        task: makes the heads.
        joint: whether to make a head for the fused tokens.
        states: width of the states by which a modality with another one's head answers (`StateHead`).

    Raises:
        ConfigError: states in a task that answers at instants.
    """

    head_scales: Tensor

    def __init__(self, modalities: Mapping[str, str], dim: int, task: Task, *, joint: bool, states: int = 0) -> None:
        super().__init__()
        self.modalities, self.unasked = list(modalities), task.unasked
        own = {m: task.head(dim) for m, source in modalities.items() if m == source}
        every = {m: own[m] if m in own else _state_head(m, own[s], task, states) for m, s in modalities.items()}
        self.heads = nn.ModuleList(every.values())
        self.joint = task.head(dim) if joint else None
        self.register_buffer("head_scales", torch.ones(len(modalities) + joint))

    def unimodal(self, encoded: Mapping[str, Tokens], at: Instants | None = None) -> dict[str, Tensor]:
        """The output of each modality's own head."""
        return {m: self._ask(self.heads[self.modalities.index(m)], t, at) for m, t in encoded.items()}

    def logits(
        self, fusion: Fusion, encoded: Mapping[str, Tokens], own: Mapping[str, Tensor], joint: Tensor | None
    ) -> tuple[Tensor, Float[Tensor, "heads batch"]]:
        """The input of the fusion's `aggregate`: the heads' outputs, [heads, batch, ...], and their weights.

        The order is that of the modalities in the model, then the joint head if there is one. A modality left out of
        ``encoded`` has weight 0.

        Args:
            fusion: gives the weights.
            encoded: tokens by modality.
            own: outputs of the modalities' own heads.
            joint: output of the joint head, if there is one.
        """
        some = next(iter(own.values()))
        none, silent = torch.zeros_like(some), some.new_zeros(some.shape[0])
        outputs, by_name = [own.get(m, none) for m in self.modalities], fusion.weights(dict(encoded))
        weights = [by_name.get(m, silent) for m in self.modalities]
        if joint is not None:
            outputs.append(joint)
            weights.append(fusion.joint_weight(dict(encoded)))
        return torch.stack(outputs), torch.stack(weights)

    def joint_logits(self, fused: Tokens, at: Instants | None) -> Tensor | None:
        """The joint head's output for fused tokens; None without a joint head."""
        return None if self.joint is None else self._ask(self.joint, fused, at)

    def aggregate(
        self, fusion: Fusion, outputs: Tensor, weights: Float[Tensor, "heads batch"], scales: Tensor | None = None
    ) -> Tensor:
        """Aggregate the heads' outputs to one, [batch, ...], by the fusion.

        Args:
            fusion: aggregates.
            outputs, weights: from `logits`.
            scales: factors of the heads' outputs, [heads], applied first; None: 1.
        """
        heads, batch, *steps, width = outputs.shape
        # every instant becomes an item, so that a fusion needs no form of its own for them
        rows = outputs.reshape(heads, -1, width)
        rows = rows if scales is None else scales[:, None, None] * rows
        if steps:
            weights = weights[..., None].expand(-1, -1, steps[0]).flatten(1)
        return fusion.aggregate(rows, weights).reshape(batch, *steps, width)

    def _ask(self, head: nn.Module, tokens: Tokens, at: Instants | None) -> Tensor:
        return head(tokens) if at is None else self.silenced(head(tokens, at), at)

    def silenced(self, output: Tensor, at: Instants | None) -> Tensor:
        """``output`` with `Task.unasked` at instants where no answer is wanted."""
        if at is None:
            return output
        return torch.where(at.mask[..., None], output, self.unasked().to(output))


def _state_head(modality: str, head: nn.Module, task: Task, width: int) -> StateHead:
    if not isinstance(head, PooledLinear):
        raise ConfigError("fusion: speaker_states needs a task with one answer per item, such as classify or regress.")
    return StateHead(head, task.n_outputs, width, numeric=task.is_numeric, later=modality.endswith(".after"))


def by_company(
    numbers: Float[Tensor, " modalities_and_all"], there: Bool[Tensor, "modalities batch"]
) -> Float[Tensor, "batch 1"]:
    """One number per item: that of its modality if only one is present, else (several or none) the last number.

    >>> there = torch.tensor([[True, True], [True, False]])
    >>> by_company(torch.tensor([1.0, 2.0, 3.0]), there)[:, 0].tolist()
    [3.0, 1.0]
    """
    alone = (there * numbers[:-1, None]).sum(0)
    return torch.where(there.sum(0) == 1, alone, numbers[-1])[:, None]


def ensembled(
    deep: Float[Tensor, "batch *steps width"],
    wide: Float[Tensor, "batch *steps width"] | None,
    share: Float[Tensor, "batch 1"] | Float[Tensor, ""],
    temperature: Float[Tensor, "batch 1"] | Float[Tensor, ""],
) -> Float[Tensor, "batch *steps width"]:
    """The weighted mean of two models' answers, divided by a temperature.

    The mean is less confident than each of the two, so the temperature is for the mean, not for one of them.

    >>> deep, wide, one = torch.zeros(1, 1), torch.full((1, 1), 8.0), torch.ones(1, 1)
    >>> ensembled(deep, wide, one / 4, one / 2).item()
    4.0
    """
    if deep.ndim > 2 and share.ndim:
        share, temperature = share[..., None], temperature[..., None]
    return (deep if wide is None else torch.lerp(deep, wide, share)) / temperature
