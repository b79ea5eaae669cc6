"""Early fusion, the default: all modalities concatenated on a common time grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Count
from plait.fusion import Hybrid
from plait.tokens import Tokens

__all__ = ["Concat"]


class Concat(Hybrid):
    """Average each modality within the slots of a common time grid, concatenate, and project to ``dim``.

    The grid of an item has ``time_bins`` equal slots from its first to its last observation of any modality. Every
    observation falls into one slot. A flag per modality and slot tells whether there was any observation, so that an
    empty slot differs from a mean of zero.

    Args:
        modalities: their names.
        dim: width of their tokens, and of the result.
        time_bins: number of slots.
        recurrent: whether to add the output of a bidirectional GRU over the slots.
        dropout: share set to 0 after the projection, in training.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: fewer than one slot, a GRU with an odd width, or an unknown ``unimodal_heads``.

    >>> fusion = Concat(["a", "b"], 4, time_bins=3)
    >>> t = Tokens(torch.ones(1, 6, 4), torch.arange(6.0)[None], torch.ones(1, 6) > 0)
    >>> out = fusion({"a": t})
    >>> tuple(out.values.shape), out.mask.tolist()
    ((1, 3, 4), [[True, True, True]])
    """

    family = "early"

    @classmethod
    def at_instants(cls, steps: int) -> dict[str, object]:
        """As many slots as answers, from 24 to 512."""
        return {"time_bins": min(max(steps, 24), 512)}

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        time_bins: Count = 24,
        recurrent: bool = True,
        dropout: float = 0.2,
        unimodal_heads: str = "mean",
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        if time_bins < 1 or (recurrent and dim % 2):
            raise ConfigError(
                f"concat: time_bins {time_bins}, width {dim}; expected 1 slot or more, and an even width."
            )
        self.time_bins = time_bins
        self.project = nn.Linear(len(self.modalities) * (dim + 1), dim)
        self.norm = nn.LayerNorm(dim)
        self.gru = nn.GRU(dim, dim // 2, batch_first=True, bidirectional=True) if recurrent else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = self.complete(tokens)
        start, length = _span(list(parts.values()))
        columns, seen = [], []
        for part in parts.values():
            mean, count = self._slots(part, start, length)
            columns += [mean, (count > 0).to(mean.dtype)]
            seen.append(count[..., 0] > 0)
        mask = torch.stack(seen).any(0)
        x = self.dropout(F.gelu(self.norm(self.project(torch.cat(columns, -1)))))
        x = torch.where(mask[..., None], x, 0.0)
        if self.gru is not None:
            x = x + self.gru(x)[0]
        centre = (torch.arange(self.time_bins, device=x.device, dtype=x.dtype) + 0.5) / self.time_bins
        return Tokens(x, start[:, None] + centre * length[:, None], mask).clean()

    def _slots(self, part: Tokens, start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [batch, steps, dim] and count [batch, steps, 1] of the tokens in each slot."""
        share = (part.times - start[:, None]) / length.clamp(min=1e-6)[:, None]
        # a thousandth of a slot of slack: rounding must not move a time on a border into the slot before
        slot = (share * self.time_bins + 1e-3).floor().clamp(0, self.time_bins - 1)
        inside = (slot[..., None] == torch.arange(self.time_bins, device=slot.device)) & part.mask[..., None]
        # the mean as a product of matrices: scatter-add on a GPU sums in no fixed order
        inside = inside.to(part.values.dtype).transpose(1, 2)
        count = inside.sum(2, keepdim=True)
        return inside @ part.values / count.clamp(min=1), count


def _span(parts: list[Tokens]) -> tuple[Tensor, Tensor]:
    """First time of each row, and the seconds from it to the last time, [batch] each; 0 without observations."""
    times, mask = torch.cat([p.times for p in parts], 1), torch.cat([p.mask for p in parts], 1)
    if times.shape[1] == 0:
        return times.new_zeros(times.shape[0]), times.new_zeros(times.shape[0])
    far = torch.finfo(times.dtype).max
    there = mask.any(1)
    first = torch.where(there, torch.where(mask, times, far).amin(1), 0.0)
    last = torch.where(there, torch.where(mask, times, -far).amax(1), 0.0)
    return first, last - first
