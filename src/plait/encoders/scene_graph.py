"""Scene graphs: objects seen at the same instant exchange messages and become one token."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from plait.core.errors import ConfigError, DataError
from plait.core.options import Few
from plait.encoders import Encoder
from plait.tokens import Tokens

__all__ = ["GraphAttention", "SceneGraph"]


class SceneGraph(Encoder):
    """Rows at one instant are the objects of one scene; each scene becomes one token.

    Layers of graph attention (`GraphAttention`) pass messages among the objects of a scene, each with a residual link
    and a layer norm. Then mean and maximum over the objects go through one linear layer. A masked row is no object. The
    token takes the place of its scene's first object and the time of its last; the places of the other objects are
    masked. Rows must be in order of time. Memory grows with the number of rows times ``objects``.

    Args:
        dim_in: width of the rows: the features of an object, with or without its box.
        dim: width of the outgoing tokens.
        box: the first of the four columns of the object's box (centre x and y, width, height), in any unit; attention
            then also depends on the difference of two boxes. None: no boxes.
        objects: most rows of a scene, from its first to its last.
        within: objects at most this many seconds apart belong to one scene; scenes must be further apart.
        layers: rounds of messages.
        heads: attention heads; a divisor of ``dim``.
        dropout: share set to 0 after each round, in training.

    Raises:
        ConfigError: an option out of range.
        DataError: a scene has more rows than ``objects``.

    >>> times = torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.5]])  # three objects, then two
    >>> out = SceneGraph(6, 8, box=0)(Tokens(torch.randn(1, 5, 6), times, torch.ones(1, 5) > 0))
    >>> out.mask.tolist(), out.times.tolist()
    ([[True, False, False, True, False]], [[0.0, 0.0, 0.0, 0.5, 0.0]])
    """

    causal = True
    trial: ClassVar[tuple[int, dict[str, object]]] = (5, {"box": 1, "objects": 4})

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        box: int | None = None,
        objects: Few = 16,
        within: float = 1e-3,
        layers: Few = 2,
        heads: Few = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if box is not None and not 0 <= box <= dim_in - 4:
            raise ConfigError(f"scene_graph.box: got {box}; expected the first of four of {dim_in} columns, from 0.")
        if min(objects, layers, heads) < 1 or dim % heads or within <= 0:
            raise ConfigError(
                f"scene_graph: {objects} objects within {within} s, {layers} layers, {heads} heads of width {dim}; "
                "expected 1 or more of each, a time above 0, and heads that divide the width."
            )
        self.dim_in, self.dim, self.box, self.objects, self.within = dim_in, dim, box, objects, within
        self.enter = nn.Linear(dim_in, dim)
        self.rounds = nn.ModuleList(GraphAttention(dim, dim, heads, places=box is not None) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(layers))
        self.leave = nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        if tokens.mask.shape[1] == 0:
            return tokens.with_values(tokens.values.new_zeros(tokens.values.shape[0], 0, self.dim))
        together = self.together(tokens)
        apart = None if self.box is None else self._apart(tokens.values[..., self.box : self.box + 4])
        x = self.enter(tokens.values)
        for talk, norm in zip(self.rounds, self.norms):
            x = norm(x + self.dropout(talk(x, together, apart)))
        return self._scenes(tokens, x, together)

    def together(self, tokens: Tokens) -> Bool[Tensor, "batch time near"]:
        """Whether each of the rows near a row (see `near`) belongs to the same scene.

        Raises:
            DataError: a scene reaches beyond the near rows.
        """
        times, seen = (near(x[..., None], self.objects)[..., 0] for x in (tokens.times, tokens.mask))
        same = (times - tokens.times[..., None]).abs() <= self.within
        same = same & seen & tokens.mask[..., None]
        # the outermost near rows are `objects` rows away: a match there is one object too many
        if not torch.compiler.is_compiling() and bool((same[..., 0] | same[..., -1]).any()):
            raise DataError(
                f"scene_graph: more than {self.objects} rows at one instant. Set objects to the most per scene."
            )
        return same

    def _apart(self, box: Float[Tensor, "batch time 4"]) -> Float[Tensor, "batch time near 4"]:
        return near(box, self.objects) - box[..., None, :]

    def _scenes(self, tokens: Tokens, x: Float[Tensor, "batch time dim"], together: Tensor) -> Tokens:
        """One token per scene, in the place of its first object."""
        others = near(x, self.objects)
        there = together[..., None]
        mean = torch.where(there, others, 0.0).sum(2) / there.sum(2).clamp(min=1)
        low = torch.finfo(x.dtype).min
        highest = torch.where(tokens.mask[..., None], torch.where(there, others, low).amax(2), 0.0)
        times = near(tokens.times[..., None], self.objects)[..., 0]
        last = torch.where(together, times, low).amax(2)
        # a scene's first object: no earlier row belongs to the same scene
        first = tokens.mask & ~together[..., : self.objects].any(2)
        return Tokens(self.leave(torch.cat([mean, highest], -1)), torch.where(first, last, 0.0), first).clean()


def near(x: Shaped[Tensor, "batch time dim"], radius: int) -> Shaped[Tensor, "batch time near dim"]:
    """For each row: the ``radius`` rows before it, itself, and the ``radius`` after it; zeros beyond the ends.

    >>> near(torch.tensor([[[1.0], [2.0], [3.0]]]), 1)[..., 0].tolist()
    [[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 0.0]]]
    """
    padded = F.pad(x, (0, 0, radius, radius))
    # one lookup: in an exported graph each slice would be several nodes
    place = torch.arange(x.shape[1], device=x.device)[:, None] + torch.arange(2 * radius + 1, device=x.device)
    found: Tensor = padded.index_select(1, place.flatten()).unflatten(1, place.shape)
    return found


class GraphAttention(nn.Module):
    """Graph attention: Velickovic et al., ICLR 2018, eq. 1 to 5, with several heads side by side.

    ``e = leaky_relu(a . [W h_i, W h_j])`` (slope 0.2), softmax over the neighbours j of i (including i), and
    ``h_i' = sum over j of attention * W h_j``. Departures: no ELU; and for objects with boxes, a learned function of
    their difference, ``v . relu(U (box_j - box_i))``, is added to e, after Hu et al., "Relation networks for object
    detection", CVPR 2018 (they use logarithms of ratios of the boxes, which standardised features do not allow).

    The input is the rows, which of the rows near each (see `near`) are its neighbours, and the differences of boxes.

    Args:
        width_in, width: width of the objects before and after.
        heads: attention heads; each gives ``width / heads`` channels.
        places: whether differences of boxes are given.
    """

    def __init__(self, width_in: int, width: int, heads: int, *, places: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(width_in, width, bias=False)
        bound = (width // heads) ** -0.5
        self.own, self.theirs = (
            nn.Parameter(torch.empty(heads, width // heads).uniform_(-bound, bound)) for _ in range(2)
        )
        self.places = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, heads, bias=False)) if places else None

    def forward(
        self,
        x: Float[Tensor, "batch time width_in"],
        together: Bool[Tensor, "batch time near"],
        apart: Float[Tensor, "batch time near 4"] | None = None,
    ) -> Float[Tensor, "batch time width"]:
        x = self.linear(x)
        own = rearrange(x, "b t (h d) -> b t h d", h=self.heads)
        theirs = rearrange(near(x, together.shape[2] // 2), "b t n (h d) -> b t n h d", h=self.heads)
        # the two halves of a, applied apart: pairs need not be concatenated
        e = F.leaky_relu((own * self.own).sum(-1)[:, :, None] + (theirs * self.theirs).sum(-1), 0.2)
        if self.places is not None:
            e = e + self.places(apart)
        # a masked row has no neighbours: it gets the plain mean of the near rows, and is masked later
        weight = torch.where(together[..., None], e, torch.finfo(e.dtype).min).softmax(2)
        return rearrange((weight[..., None] * theirs).sum(2), "b t h d -> b t (h d)")
