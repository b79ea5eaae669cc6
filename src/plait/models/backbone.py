"""Everything before the heads: standardisation, encoders, fusion."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor, nn

from plait.core.errors import DataError
from plait.core.parts import Spec, build, full_spec
from plait.encoders import Encoder
from plait.encoders.chain import build_encoder, encoder_specs
from plait.examples.units.around import base_of
from plait.fusion import Fusion
from plait.tokens import Tokens
from plait.tokens.budget import Budget
from plait.tokens.imputer import ModalityImputer
from plait.tokens.tokens import finite

__all__ = ["Backbone", "EncoderSpec", "default_encoder"]

EncoderSpec = Spec | Sequence[Spec]


class Backbone(nn.Module):
    """Features of any subset of its modalities -> tokens of each modality, and fused tokens.

    It holds the means and deviations that standardise the features, so raw features are all the input it needs.

    Args:
        dims: feature width by modality; their order is the model's.
        encoders: a spec, or a list of specs, by modality; `default_encoder` of 64 rows for a modality left out.
        fusion: spec of the fusion.
        dim: width of all tokens.
        missing: see `Model`.

    Raises:
        ConfigError: an unknown part or option.
        DataError: no modality, or a modality without features.
    """

    def __init__(
        self, dims: Mapping[str, int], encoders: Mapping[str, EncoderSpec], fusion: Spec, dim: int, missing: str
    ) -> None:
        super().__init__()
        if not dims or min(dims.values()) < 1:
            raise DataError(
                f"modalities with features {dict(dims)}; expected one or more, each with at least one feature."
            )
        self.dims, self.modalities, self.dim = dict(dims), list(dims), dim
        given = {m: encoders.get(m) or default_encoder(64) for m in dims}
        self.encoder_specs = {m: encoder_specs(spec, f"encoders.{m}") for m, spec in given.items()}
        self.fusion_spec = full_spec(Fusion, fusion, "fusion")
        # a list, not a ModuleDict, which refuses names such as "keys" or "a.b": a modality may have any name
        self.encoders = nn.ModuleList(_encoder(given[m], dims[m], dim, f"encoders.{m}") for m in dims)
        with Budget("fusion"):
            self.fusion = build(Fusion, fusion, self.modalities, dim, where="fusion")
        if self.fusion.states:
            for i, m in enumerate(dims):
                self.encoders[i] = self.encoders[self.index(self.source(m))]
                self.encoder_specs[m] = self.encoder_specs[self.source(m)]
        self.imputer = ModalityImputer(len(self.modalities), dim, missing)
        # a plain list: the modules in it must not be registered a second time
        self._frozen: list[nn.Module] = []
        for i, m in enumerate(dims):
            self.register_buffer(f"mean_{i}", torch.zeros(dims[m]))
            self.register_buffer(f"std_{i}", torch.ones(dims[m]))

    def set_scale(self, modality: str, mean: ArrayLike, std: ArrayLike) -> None:
        """Set the mean and deviation that standardise a modality, of the training features, [dim] each.

        A feature that was never observed (nan) or does not vary (deviation 0, or below 1e-6 of its mean) is not scaled.

        Raises:
            DataError: an unknown modality, or a wrong number of features.
        """
        index = self.index(modality)
        centre, spread = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if centre.shape != (self.dims[modality],) or spread.shape != centre.shape:
            raise DataError(
                f"scale of {modality!r}: mean {centre.shape} and std {spread.shape}; "
                f"expected ({self.dims[modality]},) each."
            )
        centre = np.where(np.isfinite(centre), centre, 0.0)
        # a constant feature has a deviation of rounding errors: dividing by it would blow up noise at prediction
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

    def source(self, modality: str) -> str:
        """The modality whose encoder and scale a modality has: for a context and a fusion with states, the one whose
        context it is; else itself."""
        base = base_of(modality)
        return base if self.fusion.states and base in self.dims else modality

    def regions(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of the regions of pictures, of the modalities whose tokens are regions."""
        found = {m: getattr(encoder, "regions", None) for m, encoder in zip(self.modalities, self.encoders)}
        return {m: shape for m, shape in found.items() if shape is not None}

    def symbolic(self, modality: str) -> bool:
        """Whether the modality's encoder reads ids, which have no scale.

        Raises:
            DataError: an unknown modality.
        """
        encoder = self.encoders[self.index(modality)]
        return isinstance(encoder, Encoder) and encoder.symbolic

    def prepare(self, modality: str, tokens: Tokens) -> Tokens:
        """Standardise features: a value that is not finite becomes the mean, a row without any finite value is masked.

        Raises:
            DataError: an unknown modality, or a wrong number of features.
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

        The encoder of a modality without tokens in the whole batch does not run; the result is the same.

        Raises:
            DataError: an empty batch, an unknown modality, or a wrong number of features.
        """
        if not batch:
            raise DataError(f"a batch without any modality; expected one of {self.modalities} or more, even if masked.")
        ready = {m: self.prepare(m, tokens) for m, tokens in batch.items()}
        return {m: self._encode_one(m, ready[m]) for m in self.modalities if m in ready}

    def _encode_one(self, modality: str, tokens: Tokens) -> Tokens:
        # a graph cannot branch on data; there the encoder always runs
        if not torch.compiler.is_compiling() and not bool(tokens.mask.any()):
            values = tokens.values.new_zeros(tokens.values.shape[0], 0, self.dim)
            return Tokens(values, tokens.times[:, :0], tokens.mask[:, :0])
        encoded: Tokens = self.encoders[self.index(modality)](tokens)
        return encoded

    def fuse(self, encoded: Mapping[str, Tokens]) -> Tokens:
        """Fuse the output of `encode`, with stand-ins for missing modalities if the model has them."""
        fused: Tokens = self.fusion(self._completed(encoded))
        return fused

    def flow(self, encoded: Mapping[str, Tokens]) -> dict[str, Tensor] | None:
        """Which share of what `fuse` gives comes from each token by attention (`plait.fusion.Fusion.flow`)."""
        return self.fusion.flow(self._completed(encoded))

    def _completed(self, encoded: Mapping[str, Tokens]) -> dict[str, Tokens]:
        tokens = dict(encoded)
        if self.imputer.kind == "none":
            return tokens
        return dict(zip(self.modalities, self.imputer(list(self.fusion.complete(tokens).values()))))

    def there(
        self, encoded: Mapping[str, Tokens], only: Collection[str] | None = None
    ) -> Bool[Tensor, "modalities batch"]:
        """Which modalities are present and among ``only`` (None: all)."""
        none = torch.zeros_like(next(iter(encoded.values())).present)
        seen = [m for m in self.modalities if m in encoded and (only is None or m in only)]
        return torch.stack([encoded[m].present if m in seen else none for m in self.modalities])

    def auxiliary_losses(
        self, encoded: Mapping[str, Tokens], shown: Mapping[str, Tokens] | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """The auxiliary losses of fusion and imputer, by name: ``fusion``, ``imputer``.

        Args:
            encoded: from `encode`.
            shown: the fusion's input, of the same modalities; None: ``encoded``.
        """
        found = {"fusion": self.fusion.loss(dict(encoded if shown is None else shown))}
        if self.imputer.kind != "none":
            # from ``encoded``, not ``shown``: modalities that dropout hides are targets too
            found["imputer"] = self.imputer.loss(list(self.fusion.complete(dict(encoded)).values()))
        return {name: loss for name, loss in found.items() if loss is not None}

    def index(self, modality: str) -> int:
        """The index of a modality.

        Raises:
            DataError: an unknown modality.
        """
        if modality not in self.dims:
            raise DataError(f"the model has no modality {modality!r}; it has {self.modalities}.")
        return self.modalities.index(modality)

    def freeze(self, parts: Sequence[nn.Module]) -> None:
        """Freeze parts of it, such as encoders or the fusion: training does not change them.

        They stay in evaluation mode while the rest is trained: no dropout, and norms keep their running averages.
        """
        self._frozen = [*parts]
        for part in self._frozen:
            part.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        # train() reaches all submodules, so frozen ones are set back every time
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
) -> list[dict[str, object]]:
    """Specs of the encoder for a stream with typically ``length`` feature rows per item.

    Strided convolutions down to about 14 to 28 tokens (stride 1 if there are no more rows), then a GRU. Beyond a factor
    of 16, strides of 4 keep the number of layers small. Below 2 rows: linear, or a convolutional network for a picture.

    Args:
        length: typical number of rows.
        picture: height, width and channels, if a row is a picture.
        context: seconds of the window that is asked about, and of the context on each side of it; then a `Position`
            encoder comes first.
        steps: instants per item at which answers are wanted; about as many tokens are kept.
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
    # the longest period is 4 times the seen span: its sine still tells both edges apart
    place: list[dict[str, object]] = []
    if context:
        place = [{"name": "position", "periods": [context[0], 4 * (context[0] + 2 * context[1])]}]
    if causal:
        conv: dict[str, object] = {"name": "conv", "strides": strides or [1], "causal": True}
        return [conv, {"name": "gru", "bidirectional": False}]
    return [*place, {"name": "conv", "strides": strides or [1]}, {"name": "gru"}]


def _encoder(spec: EncoderSpec, dim_in: int, dim: int, where: str) -> Encoder:
    with Budget(where):
        return build_encoder(spec, dim_in, dim, where)
