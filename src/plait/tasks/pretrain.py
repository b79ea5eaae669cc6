"""Pre-training without labels: encoders and fusion learn from the streams alone, to be fine-tuned on a task later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError
from plait.core.options import Count, Few
from plait.core.parts import Options
from plait.examples.targets import Target
from plait.multiview.contrastive import CONTRASTS, LEARNT, Contrast
from plait.multiview.masked import Reconstruct, hide_spans
from plait.multiview.memory import Memory
from plait.tasks import Task
from plait.tasks.answers import Answer, Embedding
from plait.tasks.view import Moment, View
from plait.tokens import Instants, Tokens, cat, masked_mean_max
from plait.tokens.dropout import Shares, modality_dropout

__all__ = ["Pretrain"]


class Pretrain(Task):
    """Contrastive and masked pre-training of any set of streams, with any of them missing; no labels are read.

    Each step makes ``views`` copies of a batch; each is augmented (the recipe's ``augment``) and has other spans
    hidden. The loss is ``contrastive`` times the mean contrast over all pairs of embeddings of an item (one per
    modality and one of the whole model, for each copy; see `plait.multiview.contrastive.Contrast`), plus ``masked``
    times the error of reconstructing the hidden spans from the encoded rest of all modalities (see
    `plait.multiview.masked.Reconstruct`). So the fusion learns from the contrast alone. A modality that
    ``augment.modality_dropout`` hides must be reconstructed from the others altogether. Contrast and reconstruction
    together as in Huang et al. 2023 ("Contrastive masked autoencoders are stronger vision learners"), over modalities
    as in Gong et al. 2023 ("Contrastive audio-visual masked autoencoder"), with whatever encoders the recipe names
    instead of their transformers.

    Its runs answer `plait predict` with embeddings. Another recipe fine-tunes such a run with ``model: {from: RUN}``.

    Args:
        targets: the items' groups (the corpus's ``group``, such as the person), which `plait.examples.items` gives
            instead of labels; used by ``within`` and ``neighbours`` only.
        projection_dim: width of the embeddings.
        contrast: ``info_nce``, ``sigmoid``, ``cca`` or ``none``.
        temperature: initial temperature of the contrast.
        contrastive: weight of the contrast.
        masked: weight of the reconstruction; 0 leaves it out.
        mask_ratio: share of each modality's time that is hidden.
        mask_span: length of one hidden span, as a share of the item's length.
        views: copies of each item in a step.
        dropout: share of the pooled numbers that a projection sets to 0 in training.
        within: whether an item is contrasted only with items of its own group.
        neighbours: the share of the training after which an item and the nearest item of each other group count as the
            same (see `plait.multiview.memory.Memory`); None: never. Not with ``cca`` and ``none``.

    Raises:
        ConfigError: an option outside its range, or nothing to learn from.
        DataError: ``within`` or ``neighbours`` is set, but each item is its own group, or all are one group.

    >>> task = Pretrain([], projection_dim=8)
    >>> task.decode(torch.ones(1, 8))[0].embedding[:2]
    [0.3535533845424652, 0.3535533845424652]
    """

    main_metric = "loss"
    higher_is_better = False
    is_numeric = True
    asks = "nothing"
    sees_features = True
    scored = False

    def __init__(
        self,
        targets: list[Target],
        *,
        projection_dim: Count = 64,
        contrast: str = "info_nce",
        temperature: float = 0.1,
        contrastive: float = 1.0,
        masked: float = 1.0,
        mask_ratio: float = 0.5,
        mask_span: float = 0.1,
        views: Few = 2,
        dropout: float = 0.0,
        within: bool = False,
        neighbours: float | None = None,
    ) -> None:
        super().__init__()
        shares = {"mask_ratio": mask_ratio, "mask_span": mask_span, "dropout": dropout}
        _check(projection_dim, views, shares, contrastive, masked)
        if contrast not in CONTRASTS or not (contrastive * (contrast != "none") or masked):
            raise ConfigError(
                f"pretrain: contrast {contrast!r} of weight {contrastive}, masked {masked}; expected one of "
                f"{', '.join(CONTRASTS)}, and one weight above 0."
            )
        self.n_outputs = self.projection_dim = projection_dim
        self.contrast, self.temperature, self.contrastive = contrast, temperature, contrastive
        self.masked, self.mask_ratio, self.mask_span = masked, mask_ratio, mask_span
        self.views, self.dropout = views, dropout
        self.within, self.neighbours, self.remembers = within, neighbours, neighbours is not None
        self.compare = Contrast(contrast, temperature, within=within)
        self.memory: Memory | None = None
        self._groups = self.encode(targets)
        if neighbours is not None and (contrast not in LEARNT or not 0 <= neighbours <= 1):
            raise ConfigError(
                f"pretrain: neighbours from {neighbours} of the training on with contrast {contrast!r}; "
                f"expected 0 to 1, and {' or '.join(LEARNT)}."
            )
        if within or neighbours is not None:
            _check_groups(targets)
        self.ask: Reconstruct | None = None

    def bind(self, dims: Mapping[str, int], dim: int) -> None:
        # Only now, since their weights and buffers have the model's widths.
        self.ask = Reconstruct(dims, dim) if self.masked else None
        self._spaces = [*dims, ""]
        self.memory = Memory(self._groups, len(self._spaces), self.n_outputs) if self.neighbours is not None else None

    def head(self, dim: int) -> nn.Module:
        return _Projection(dim, self.n_outputs, self.dropout)

    def corrupt(self, tokens: Mapping[str, Tokens], share: Shares) -> Mapping[str, Tokens]:
        return hide_spans(modality_dropout(tokens, share) if share else tokens, self.mask_ratio, self.mask_span)

    def obscure(self, encoded: Mapping[str, Tokens], share: Shares) -> Mapping[str, Tokens]:
        return encoded  # `corrupt` has hidden parts from the encoders already

    def step(
        self, views: Sequence[View], target: Tensor | None, moment: Moment | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """``contrast`` and ``reconstruction``, as the options weigh them.

        Args:
            views: augmented copies of one batch, with the same items in the same rows.
            target: group numbers of the items, from `encode`, [batch]; None: all items are one group.
            moment: position of the batch in the training; None: no training items, which have no neighbours.
        """
        same = None if moment is None else self._neighbours(moment)
        embeddings, there, told = list[Tensor](), list[Tensor](), list[Tensor]()
        for view in views:
            own, present = _embedded(view)
            embeddings, there = embeddings + own, there + present
            if self.ask is not None:
                told.append(self.ask(view.features, view.shown, cat([*view.encoded.values()])))
        losses = {"contrast": self.contrastive * self.compare(embeddings, torch.stack(there, 1), target, same)}
        if told:
            losses["reconstruction"] = self.masked * torch.stack(told).mean()
        return losses

    def _neighbours(self, moment: Moment) -> Tensor | None:
        """Store the batch without augmentation in the memory, then give which of its items count as the same."""
        if self.memory is None or self.neighbours is None or moment.plain is None:
            return None
        embeddings, there = _embedded(moment.plain)
        spaces = [self._spaces.index(name) for name in (*moment.plain.encoded, "")]
        self.memory.keep(spaces, moment.items, torch.stack(embeddings), torch.stack(there))
        # Stored from the first step on: neighbours are sought among all training items once they count.
        return self.memory.neighbours(moment.items) if moment.done >= self.neighbours else None

    def encode(self, targets: list[Target]) -> Tensor:
        """Group numbers, from 0 up in order of appearance, [items]."""
        numbers: dict[Target, int] = {}
        return torch.tensor([numbers.setdefault(t, len(numbers)) for t in targets], dtype=torch.long)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        _nothing()

    def decode(self, output: Tensor, at: Instants | None = None) -> list[Answer]:
        return [Embedding(row.tolist()) for row in self.scores(output)]

    def scores(self, output: Tensor) -> NDArray[np.float64]:
        """Embeddings of length 1, [items, width]."""
        return nn.functional.normalize(output.detach(), dim=-1).cpu().numpy().astype(np.float64)

    def metrics(self, scores: NDArray[np.float64], target: NDArray[np.generic]) -> dict[str, float]:
        _nothing()

    def baseline(self, train: NDArray[np.generic], count: int) -> NDArray[np.float64]:
        _nothing()

    def state(self) -> Options:
        # Groups are needed again only for the memory's buffers.
        return {"groups": self._groups.tolist()} if self.neighbours is not None else {}

    @classmethod
    def restore(cls, state: Options, **options: Any) -> Pretrain:
        return cls(state.get("groups", []), **options)


def _embedded(view: View) -> tuple[list[Tensor], list[Tensor]]:
    """Embeddings of each modality and of the whole, [batch, width] each, and which items have these modalities."""
    there = [tokens.present for tokens in view.encoded.values()]
    return [*(view.unimodal[m] for m in view.encoded), view.whole], [*there, torch.stack(there).any(0)]


class _Projection(nn.Module):
    """Tokens to an embedding: mean and maximum, one hidden layer (SimCLR's projection head); fine-tuning drops it."""

    def __init__(self, dim: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, width)
        )

    def forward(self, tokens: Tokens) -> Tensor:
        """[batch, time, dim] -> [batch, width]."""
        out: Tensor = self.layers(masked_mean_max(tokens))
        return out


def _nothing() -> NoReturn:
    raise ConfigError(
        "a pre-trained run has no answers that could be scored. Fine-tune it: a recipe with a task of its own "
        "and model: {from: RUN}."
    )


def _check_groups(groups: Sequence[Target]) -> None:
    count = len(set(groups))
    if groups and not 1 < count < len(groups):
        raise DataError(
            f"pretrain: {len(groups)} training items are of {count} group{'' if count == 1 else 's'}; within and "
            "neighbours expect two or more groups with several items each. Give the corpus groups (group: '{person}' "
            "in its import), or leave them out."
        )


def _check(projection_dim: int, views: int, shares: Mapping[str, float], *weights: float) -> None:
    fits = all(0 <= v < 1 for v in shares.values()) and shares["mask_span"] > 0
    if projection_dim < 1 or views < 1 or not fits or min(weights) < 0:
        raise ConfigError(
            f"pretrain: projection_dim {projection_dim}, views {views}, {dict(shares)}, weights {list(weights)}; "
            "expected projection_dim and views of 1 or more, shares of 0 or more and below 1 (mask_span above 0), and "
            "weights of 0 or more."
        )
