"""Everything before the heads: standardising, encoders, fusion."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor, nn

from plait.core.errors import DataError
from plait.core.parts import Spec, build, full_spec
from plait.encoders import Encoder
from plait.encoders.chain import build_encoder, encoder_specs
from plait.fusion import Fusion
from plait.tokens import Tokens
from plait.tokens.budget import Budget
from plait.tokens.imputer import ModalityImputer
from plait.tokens.tokens import finite

__all__ = ["Backbone", "EncoderSpec", "default_encoder"]

EncoderSpec = Spec | Sequence[Spec]


class Backbone(nn.Module):
    """Features of any of its modalities -> tokens of each, and of all together.

    It holds by what the features are standardised, so that it needs nothing but them.

    Args:
        dims: feature width by modality; their order is the model's.
        encoders: a spec, or a list of specs, by modality; for one left out, `default_encoder` of 64 rows.
        fusion: spec of the fusion.
        dim: width of all tokens.
        missing: see `Model`.

    Raises:
        ConfigError: an unknown part or option.
        DataError: no modality, or one without features.
    """

    def __init__(
        self, dims: Mapping[str, int], encoders: Mapping[str, EncoderSpec], fusion: Spec, dim: int, missing: str
    ) -> None:
        super().__init__()
        if not dims or min(dims.values()) < 1:
            raise DataError(
                f"modalities with features {dict(dims)}; expected one or more, each with a feature or more."
            )
        self.dims, self.modalities, self.dim = dict(dims), list(dims), dim
        given = {m: encoders.get(m) or default_encoder(64) for m in dims}
        self.encoder_specs = {m: encoder_specs(spec, f"encoders.{m}") for m, spec in given.items()}
        self.fusion_spec = full_spec(Fusion, fusion, "fusion")
        # lists, not dicts by name: a modality may be called anything, "keys" or "a.b" too
        self.encoders = nn.ModuleList(_encoder(given[m], dims[m], dim, f"encoders.{m}") for m in dims)
        with Budget("fusion"):
            self.fusion = build(Fusion, fusion, self.modalities, dim, where="fusion")
        self.imputer = ModalityImputer(len(self.modalities), dim, missing)
        self._frozen: list[nn.Module] = []
        for i, m in enumerate(dims):
            self.register_buffer(f"mean_{i}", torch.zeros(dims[m]))
            self.register_buffer(f"std_{i}", torch.ones(dims[m]))

    def set_scale(self, modality: str, mean: ArrayLike, std: ArrayLike) -> None:
        """Set by what a modality is standardised: mean and deviation of the training features, [dim] each.

        A feature never observed (nan) or that does not vary (deviation 0, or below 1e-6 of its mean) is
        shifted only.

        Raises:
            DataError: an unknown modality, or another number of features.
        """
        index = self.index(modality)
        centre, spread = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if centre.shape != (self.dims[modality],) or spread.shape != centre.shape:
            raise DataError(
                f"scale of {modality!r}: mean {centre.shape} and std {spread.shape}; "
                f"expected ({self.dims[modality]},) each."
            )
        centre = np.where(np.isfinite(centre), centre, 0.0)
        varies = np.isfinite(spread) & (spread > 1e-6 * np.abs(centre)) & (spread > 1e-12)
        self.get_buffer(f"mean_{index}").copy_(torch.from_numpy(centre))
        self.get_buffer(f"std_{index}").copy_(torch.from_numpy(np.where(varies, spread, 1.0)))

    def mean(self, modality: str) -> Float[Tensor, " features"]:
        """The means that `set_scale` set, in the features' units.

        Raises:
            DataError: an unknown modality.
        """
        return self.get_buffer(f"mean_{self.index(modality)}")

    def std(self, modality: str) -> Float[Tensor, " features"]:
        """The standard deviations that `set_scale` set, in the features' units.

        Raises:
            DataError: an unknown modality.
        """
        return self.get_buffer(f"std_{self.index(modality)}")

    def prepare(self, modality: str, tokens: Tokens) -> Tokens:
        """Standardised features: a cell that is not finite becomes the mean, a row of such cells is masked.

        Raises:
            DataError: an unknown modality, or another number of features than the model was made for.
        """
        if tokens.dim != self.dims[self.modalities[self.index(modality)]]:
            raise DataError(
                f"{modality!r} has {tokens.dim} features, but the model was made for {self.dims[modality]}. "
                "Prepare it with the features of the model's recipe."
            )
        scaled = (tokens.values - self.mean(modality)) / self.std(modality)
        if finite(tokens.values):
            return tokens.with_values(scaled).clean()
        seen = tokens.values.isfinite()
        return Tokens(torch.where(seen, scaled, 0.0), tokens.times, tokens.mask & seen.any(-1)).clean()

    def encode(self, batch: Mapping[str, Tokens]) -> dict[str, Tokens]:
        """Each modality of the batch through its own encoder: {modality: [batch, time', dim]}.

        A modality without a token in the whole batch is not run through its encoder; the result is the same.

        Raises:
            DataError: an empty batch, an unknown modality, or another number of features.
        """
        if not batch:
            raise DataError(f"a batch without any modality; expected one of {self.modalities} at least, if all masked.")
        ready = {m: self.prepare(m, tokens) for m, tokens in batch.items()}
        return {m: self._encode_one(m, ready[m]) for m in self.modalities if m in ready}

    def _encode_one(self, modality: str, tokens: Tokens) -> Tokens:
        # a graph cannot branch on data; there the encoder always runs
        if not torch.compiler.is_compiling() and not bool(tokens.mask.any()):
            values = tokens.values.new_zeros(len(tokens.values), 0, self.dim)
            return Tokens(values, tokens.times[:, :0], tokens.mask[:, :0])
        encoded: Tokens = self.encoders[self.index(modality)](tokens)
        return encoded

    def fuse(self, encoded: Mapping[str, Tokens]) -> Tokens:
        """Tokens of all modalities together, of what `encode` gave; with stand-ins for missing ones, if wanted."""
        tokens = dict(encoded)
        if self.imputer.kind != "none":
            tokens = dict(zip(self.modalities, self.imputer(list(self.fusion.complete(tokens).values()))))
        fused: Tokens = self.fusion(tokens)
        return fused

    def there(
        self, encoded: Mapping[str, Tokens], only: Collection[str] | None = None
    ) -> Bool[Tensor, "modalities batch"]:
        """Which modalities are there, and among ``only``."""
        none = torch.zeros_like(next(iter(encoded.values())).present)
        seen = [m for m in self.modalities if m in encoded and (only is None or m in only)]
        return torch.stack([encoded[m].present if m in seen else none for m in self.modalities])

    def auxiliary_losses(
        self, encoded: Mapping[str, Tokens], shown: Mapping[str, Tokens] | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """What fusion and imputer ask for themselves, by name: ``fusion``, ``imputer``.

        Args:
            encoded: from `encode`.
            shown: what the fusion gets, of the same modalities; None: ``encoded``.
        """
        found = {"fusion": self.fusion.loss(dict(encoded if shown is None else shown))}
        if self.imputer.kind != "none":
            found["imputer"] = self.imputer.loss(list(self.fusion.complete(dict(encoded)).values()))
        return {name: loss for name, loss in found.items() if loss is not None}

    def index(self, modality: str) -> int:
        """The place of a modality.

        Raises:
            DataError: an unknown modality.
        """
        if modality not in self.dims:
            raise DataError(f"the model knows no modality {modality!r}; it has {self.modalities}.")
        return self.modalities.index(modality)

    def freeze(self, names: Collection[str]) -> None:
        """Train all but the encoders of these modalities (and the fusion, for ""): they stay as they are.

        They answer as in evaluation even while the rest is trained, norms by what they were trained on.
        """
        self._frozen = [self.encoders[self.index(m)] if m else self.fusion for m in names]
        for part in self._frozen:
            part.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self


def default_encoder(
    length: float,
    *,
    picture: Sequence[int] | None = None,
    context: tuple[float, float] | None = None,
    steps: int = 0,
    causal: bool = False,
) -> list[dict[str, Any]]:
    """Specs of the encoder for a stream with typically ``length`` feature rows an item.

    Strided convolutions down to some 16 to 24 tokens (stride 1 if they are no more already), then a GRU;
    beyond 16 fold by strides of 4, so that long streams need no tower of layers. Below 2 rows: linear, or a
    convolutional net for a picture.

    Args:
        length: rows.
        picture: height, width and channels, if a row is a picture.
        context: seconds of the window that is asked about, and of what is seen on both sides of it: then each token is
            told its place first.
        steps: instants an item at which answers are asked; as many tokens are kept.
        causal: whether no token may see a later one.

    >>> default_encoder(75), default_encoder(1)
    ([{'name': 'conv', 'strides': [2, 2]}, {'name': 'gru'}], [{'name': 'linear'}])
    >>> default_encoder(1, picture=(28, 28, 1)), default_encoder(20, context=(60, 300))[0]
    ([{'name': 'cnn', 'shape': [28, 28, 1]}], {'name': 'position', 'periods': [60, 2640]})
    """
    if length < 2:
        return [{"name": "cnn", "shape": list(picture)}] if picture else [{"name": "linear"}]
    halvings = max(0, round(math.log2(length / max(20, steps))))
    fours = min(max(0, halvings - 4), halvings // 2)
    strides = [4] * fours + [2] * (halvings - 2 * fours)
    place = [{"name": "position", "periods": [context[0], 4 * (context[0] + 2 * context[1])]}] if context else []
    if causal:
        conv = {"name": "conv", "strides": strides or [1], "causal": True}
        return [conv, {"name": "gru", "bidirectional": False}]
    return [*place, {"name": "conv", "strides": strides or [1]}, {"name": "gru"}]


def _encoder(spec: EncoderSpec, dim_in: int, dim: int, where: str) -> Encoder:
    with Budget(where):
        return build_encoder(spec, dim_in, dim, where)
