"""The model: standardising, encoders, fusion and the task's heads, put together; save and load."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor, nn

from plait.core.atomic import replacing, write_text
from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.options import Count, option_problems
from plait.core.parts import Spec, build, find, foreign_code, full_spec, part_name
from plait.core.safe_yaml import brief
from plait.encoders import Encoder
from plait.encoders.chain import build_encoder, encoder_specs, resolved_specs
from plait.fusion import Fusion, Hybrid
from plait.models.ensemble import Encoded, by_company, ensembled
from plait.models.file import FORMAT, Described, read_described
from plait.tasks import Task
from plait.tasks.view import View
from plait.tokens import Tokens
from plait.tokens.budget import Budget
from plait.tokens.imputer import ModalityImputer
from plait.tokens.tensors import load_tensors, save_tensors
from plait.tokens.tokens import finite

__all__ = ["FACTORS", "Model", "default_encoder"]

FACTORS = ("head_scales", "share", "temperature")

EncoderSpec = Spec | Sequence[Spec]


class Model(nn.Module):
    """Features of any of its modalities -> the task's output.

    ``output = weight * joint head(fusion) + sum over the modalities that are there of weight * own head`` (or what else
    the fusion's `aggregate` makes of its heads). Each head's output is multiplied by its ``head_scales``. Where an item
    has no modality at all, the answer is finite: the joint head's bias (without a joint head: zeros).

    A simpler model of the same task may answer beside it, its ``wide`` part (`widen`): the answer is then the weighted
    mean of both, by ``share``. The whole is divided by ``temperature``. Of these two every modality has its own, for
    items that have nothing else; the last is of several. (Balance and temperatures are 1, unless
    `plait.training.temperatures` found better on held-out items.)

    Args:
        dims: feature width by modality; their order is the model's.
        task: what is asked.
        encoders: a spec, or a list of specs, by modality; for one left out, `default_encoder` of 64 rows.
        fusion: spec of the fusion.
        dim: width of all tokens within the model.
        unimodal: weight in the loss of the modalities' own losses, beside 1 for the output's.
        missing: what the fusion gets for a modality that an item lacks: ``none`` (a mask), ``token`` or ``reconstruct``
            (see `plait.tokens.imputer.ModalityImputer`).

    Raises:
        ConfigError: an unknown part or option; own heads that answer and do not learn.
        DataError: no modality, or one without features.

    >>> from plait.tasks.classify import Classify
    >>> model = Model({"imu": 6, "pose": 40}, Classify(["sit", "walk"]), dim=16).eval()
    >>> imu = Tokens(torch.ones(3, 50, 6), torch.arange(50.0).expand(3, 50) / 25, torch.ones(3, 50) > 0)
    >>> {name: tuple(out.shape) for name, out in model({"imu": imu}).items()}
    {'': (3, 2), 'imu': (3, 2)}
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        task: Task,
        *,
        encoders: Mapping[str, EncoderSpec] | None = None,
        fusion: Spec = "concat",
        dim: Count = 128,
        unimodal: float = 1.0,
        missing: str = "none",
    ) -> None:
        super().__init__()
        raise_all(ConfigError, option_problems(Model, {"dim": dim, "unimodal": unimodal, "missing": missing}, "model"))
        _check_dims(dims)
        self.dims, self.modalities, self.dim, self.unimodal = dict(dims), list(dims), dim, unimodal
        given = {m: (encoders or {}).get(m) or default_encoder(64) for m in dims}
        self.encoder_specs = {m: encoder_specs(spec, f"encoders.{m}") for m, spec in given.items()}
        self.fusion_spec = full_spec(Fusion, fusion, "fusion")
        self.task = task
        # lists, not dicts by name: a modality may be called anything, "keys" or "a.b" too
        self.encoders = nn.ModuleList(_encoder(given[m], dims[m], dim, f"encoders.{m}") for m in dims)
        with Budget("fusion"):
            self.fusion = build(Fusion, fusion, self.modalities, dim, where="fusion")
        if unimodal <= 0 and isinstance(self.fusion, Hybrid) and self.fusion.unimodal_heads != "none":
            raise ConfigError(
                f"model.unimodal: got {unimodal}, but the modalities' own heads answer here (fusion.unimodal_heads: "
                f"{self.fusion.unimodal_heads}) and would learn nothing. Expected a weight above 0, or "
                "fusion.unimodal_heads: none."
            )
        self.fusion.bind(task.width, values=task.values)
        task.bind(self.dims, dim)
        self.imputer = ModalityImputer(len(self.modalities), dim, missing)
        self.heads = nn.ModuleList(task.head(dim) for _ in dims)
        self.joint = task.head(dim) if self.fusion.joint else None
        self._frozen: list[nn.Module] = []
        self.register_buffer("head_scales", torch.ones(len(dims) + (self.joint is not None)))
        self.register_buffer("share", torch.zeros(len(dims) + 1))
        self.register_buffer("temperature", torch.ones(len(dims) + 1))
        self.wide: Model | None = None
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
        index = self._index(modality)
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

    def factors(self) -> dict[str, Any]:
        """How far its heads are trusted, as JSON: ``head_scales``, ``share`` and ``temperature``."""
        return {name: self.get_buffer(name).tolist() for name in FACTORS}

    def set_factors(self, factors: Mapping[str, Any]) -> None:
        """Trust the heads as `factors` of a model with the same heads says.

        Raises:
            DataError: a factor is missing, or is for other heads.
        """
        for name in FACTORS:
            found, own = torch.tensor(factors.get(name, ())), self.get_buffer(name)
            if found.shape != own.shape or not found.isfinite().all():
                raise DataError(f"factors: {name} is {factors.get(name)!r}; expected finite numbers {list(own.shape)}.")
            own.copy_(found)

    def widen(self, wide: Model, share: float = 0.5) -> None:
        """Let another model answer beside this one.

        Wide and deep, as in Cheng et al. 2016, "Wide & deep learning for recommender systems"; but here the two are
        trained apart, and what each is worth is told by held-out items (`plait.training.temperatures`).

        Args:
            wide: of the same task and modalities.
            share: of its answer in the sum, whatever modalities are there.

        Raises:
            DataError: it is of other modalities, or its answers are of another width.
        """
        if (wide.dims, wide.task.width) != (self.dims, self.task.width):
            mine, its = (f"{model.dims} and {model.task.width} outputs" for model in (self, wide))
            raise DataError(f"the wide part has {its}; expected {mine}, as the model that it is to answer beside.")
        self.wide = wide
        self.share.fill_(share)

    def spread(self, modality: str) -> Float[Tensor, " features"]:
        """The standard deviations that `set_scale` set, in the features' units.

        Raises:
            DataError: an unknown modality.
        """
        return self.get_buffer(f"std_{self._index(modality)}")

    def prepare(self, modality: str, tokens: Tokens) -> Tokens:
        """Standardised features: a cell that is not finite becomes the mean, a row of such cells is masked.

        Raises:
            DataError: an unknown modality, or another number of features than the model was made for.
        """
        index = self._index(modality)
        if tokens.dim != self.dims[modality]:
            raise DataError(
                f"{modality!r} has {tokens.dim} features, but the model was made for {self.dims[modality]}. "
                "Prepare it with the features of the model's recipe."
            )
        if finite(tokens.values):
            return tokens.with_values(self._scaled(index, tokens.values)).clean()
        seen = tokens.values.isfinite()
        values = self._scaled(index, tokens.values)
        return Tokens(torch.where(seen, values, 0.0), tokens.times, tokens.mask & seen.any(-1)).clean()

    def _scaled(self, index: int, values: Tensor) -> Tensor:
        return (values - self.get_buffer(f"mean_{index}")) / self.get_buffer(f"std_{index}")

    def encode(self, batch: Mapping[str, Tokens]) -> Encoded:
        """Each modality of the batch through its own encoder: {modality: [batch, time', dim]}; and the wide part's.

        A modality without a token in the whole batch is not run through its encoder; the result is the same.

        Raises:
            DataError: an empty batch, an unknown modality, or another number of features.
        """
        if not batch:
            raise DataError(f"a batch without any modality; expected one of {self.modalities} at least, if all masked.")
        ready = {m: self.prepare(m, tokens) for m, tokens in batch.items()}
        found = Encoded({m: self._encode_one(m, ready[m]) for m in self.modalities if m in ready})
        if self.wide is not None:
            found.wide = self.wide.encode(batch)
        return found

    def _encode_one(self, modality: str, tokens: Tokens) -> Tokens:
        # a graph cannot branch on data; there the encoder always runs
        if not torch.compiler.is_compiling() and not bool(tokens.mask.any()):
            values = tokens.values.new_zeros(len(tokens.values), 0, self.dim)
            return Tokens(values, tokens.times[:, :0], tokens.mask[:, :0])
        return self.encoders[self._index(modality)](tokens)

    def combine(self, encoded: Encoded, only: Collection[str] | None = None) -> dict[str, Tensor]:
        """Outputs of what `encode` gave: "" for the whole, and each modality's own, [batch, width] each.

        Args:
            encoded: from `encode`.
            only: answer as if no other modalities had been there; None for all.

        Raises:
            DataError: ``only`` names a modality that the model does not have.
        """
        deep, wide, own = self.opinions(encoded, only)
        there = self.there(encoded, only)
        whole = ensembled(deep, wide, by_company(self.share, there), by_company(self.temperature, there))
        return {"": whole, **{m: out for m, out in own.items() if only is None or m in only}}

    def opinions(
        self, encoded: Encoded, only: Collection[str] | None = None
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch width"] | None, dict[str, Tensor]]:
        """What `combine` makes its answer of: the fusion's mix, the wide part's answer, and the own heads' outputs.

        Args:
            encoded, only: as for `combine`.

        Raises:
            DataError: ``only`` names a modality that the model does not have.
        """
        for m in only or ():
            self._index(m)
        chosen = {m: t if only is None or m in only else _emptied(t) for m, t in encoded.items()}
        own = self.unimodal_logits(chosen)
        outputs, weights = self.head_logits(chosen, own)
        beside = self.wide is not None and encoded.wide is not None
        wide = self.wide.combine(encoded.wide, only)[""] if beside else None
        return self.fusion.aggregate(self.head_scales[:, None, None] * outputs, weights), wide, own

    def there(
        self, encoded: Mapping[str, Tokens], only: Collection[str] | None = None
    ) -> Bool[Tensor, "modalities batch"]:
        """Which modalities are there, and among ``only``."""
        none = torch.zeros_like(next(iter(encoded.values())).present)
        seen = [m for m in self.modalities if m in encoded and (only is None or m in only)]
        return torch.stack([encoded[m].present if m in seen else none for m in self.modalities])

    def unimodal_logits(self, encoded: Mapping[str, Tokens]) -> dict[str, Float[Tensor, "batch width"]]:
        """The modalities' own outputs, of what `encode` gave."""
        return {m: self.heads[self._index(m)](t) for m, t in encoded.items()}

    def head_logits(
        self, encoded: Mapping[str, Tokens], own: Mapping[str, Tensor], joint: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the fusion mixes: its heads' outputs [heads, batch, width], and their weights [heads, batch].

        The heads are the modalities', in the model's order, then the joint one if there is one. A modality left out
        of ``encoded`` has weight 0.

        Args:
            encoded: from `encode`.
            own: the modalities' own outputs.
            joint: the joint head's output, where it is known already.
        """
        tokens, none = dict(encoded), torch.zeros_like(next(iter(own.values())))
        outputs, by_name = [own.get(m, none) for m in self.modalities], self.fusion.weights(tokens)
        weights = [by_name.get(m, none[:, 0]) for m in self.modalities]
        if self.joint is not None:
            outputs.append(self.joint(self.fusion(self._filled(tokens))) if joint is None else joint)
            weights.append(self.fusion.joint_weight(tokens))
        return torch.stack(outputs), torch.stack(weights)

    def _filled(self, tokens: dict[str, Tokens]) -> dict[str, Tokens]:
        """What the fusion sees: with stand-ins, if they are wanted."""
        if self.imputer.kind == "none":
            return tokens
        return dict(zip(self.modalities, self.imputer(list(self.fusion.complete(tokens).values()))))

    def forward(self, batch: Mapping[str, Tokens]) -> dict[str, Float[Tensor, "batch width"]]:
        """{modality: [batch, time, features]} -> {"": the output, modality: its own head's output}."""
        return self.combine(self.encode(batch))

    def view(
        self,
        encoded: Mapping[str, Tokens],
        shown: Mapping[str, Tokens] | None = None,
        part: Mapping[str, Tokens] | None = None,
    ) -> View:
        """The outputs that a task learns from (`plait.tasks.Task.step`).

        Args:
            encoded: from `encode`; the modalities' own heads see all that is there.
            shown: what the fusion gets, of the same modalities: ``encoded`` with some of it hidden. None: ``encoded``.
            part: of the same modalities, for another answer of the fusion; None for none.
        """
        unimodal = self.unimodal_logits(encoded)
        fused = self.fused(encoded if shown is None else shown, unimodal)
        whole = self.fusion.aggregate(*self.head_logits(encoded, unimodal, None if self.joint is None else fused))
        teaches = self.joint is not None and len(self.modalities) > 1
        return View(
            encoded,
            unimodal,
            fused,
            whole,
            partial=None if part is None else self.fused(part, unimodal),
            teacher=whole.detach() if teaches else None,
        )

    def auxiliary_losses(
        self, encoded: Mapping[str, Tokens], shown: Mapping[str, Tokens] | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """What fusion and imputer ask for themselves, by name: ``fusion``, ``imputer``; arguments as for `view`."""
        found = {"fusion": self.fusion.loss(dict(encoded if shown is None else shown))}
        if self.imputer.kind != "none":
            found["imputer"] = self.imputer.loss(list(self.fusion.complete(dict(encoded)).values()))
        return {name: loss for name, loss in found.items() if loss is not None}

    def fused(
        self, encoded: Mapping[str, Tokens], own: Mapping[str, Float[Tensor, "batch width"]]
    ) -> Float[Tensor, "batch width"]:
        """What the fusion says of the modalities together: the joint head's output, or of a late fusion the mix.

        Args:
            encoded: from `encode`.
            own: the modalities' own outputs.
        """
        outputs, weights = self.head_logits(encoded, own)
        return self.fusion.aggregate(outputs, weights) if self.joint is None else outputs[-1]

    def _index(self, modality: str) -> int:
        if modality not in self.dims:
            raise DataError(f"the model knows no modality {modality!r}; it has {self.modalities}.")
        return self.modalities.index(modality)

    def freeze(self, names: Collection[str]) -> None:
        """Train all but the encoders of these modalities (and the fusion, for ""): they stay as they are.

        They answer as in evaluation even while the rest is trained, norms by what they were trained on.
        """
        self._frozen = [self.encoders[self._index(m)] if m else self.fusion for m in names]
        for part in self._frozen:
            part.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Model:
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def describe(self) -> dict[str, Any]:
        """All that rebuilds it but the weights, as JSON."""
        plain = {
            "format": FORMAT,
            "dims": self.dims,
            "dim": self.dim,
            "unimodal": self.unimodal,
            "missing": self.imputer.kind,
            "encoders": {m: resolved_specs(s, e) for (m, s), e in zip(self.encoder_specs.items(), self.encoders)},
            "fusion": self.fusion_spec,
            "task": {"name": _task_name(type(self.task)), **self.task.options},
            "task_state": self.task.state(),
            **({} if self.wide is None else {"wide": self.wide.describe()}),
        }
        return json.loads(json.dumps(plain))  # tuples become lists, as they are once saved

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json`` (specs, task and its state); nothing pickled.

        Raises:
            DataError: a weight is NaN or infinite.
            OSError: the folder is not writable, or the disk is full.
        """
        folder = Path(folder)
        self._check_finite(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # clones: safetensors refuses tensors that share memory
        weights = {name: value.detach().cpu().contiguous().clone() for name, value in self.state_dict().items()}
        with replacing(folder / "model.safetensors", durable=True) as part:
            save_tensors(weights, part)
        text = json.dumps(self.describe(), ensure_ascii=False, indent=1, allow_nan=False)
        write_text(folder / "model.json", text, durable=True)

    def _check_finite(self, where: Path) -> None:
        wrong = [name for name, value in self.state_dict().items() if not bool(value.isfinite().all())]
        if wrong:
            raise DataError(
                f"{where}: {len(wrong)} weights of the model are NaN or infinite, such as {wrong[0]}; it would answer "
                "NaN. Fit again, with a lower train.lr."
            )

    @classmethod
    def load(cls, folder: str | Path, *, allow_code: bool = False) -> Model:
        """The model that `save` wrote, in evaluation mode.

        Args:
            folder: that `save` wrote to.
            allow_code: whether it may name classes from outside plait, whose modules are then imported, which runs
                them: only for models from people whom you trust.

        Raises:
            DataError: files missing, garbled, foreign, or not belonging together; a weight is NaN or infinite.
        """
        folder = Path(folder)
        with foreign_code(allow_code):
            model = _rebuilt(folder / "model.json")
        path = folder / "model.safetensors"
        try:
            model.load_state_dict(load_tensors(path))
        except (OSError, RuntimeError) as error:  # RuntimeError: other names or shapes
            reason = error.strerror if isinstance(error, OSError) else brief(error, 300).splitlines()[0]
            raise DataError(
                f"{path}: not the weights of the model beside it ({reason}). Fit again or copy both files."
            ) from error
        model._check_finite(path)
        return model.eval()


def default_encoder(
    length: float, *, picture: Sequence[int] | None = None, context: tuple[float, float] | None = None
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

    >>> default_encoder(75), default_encoder(1)
    ([{'name': 'conv', 'strides': [2, 2]}, {'name': 'gru'}], [{'name': 'linear'}])
    >>> default_encoder(1, picture=(28, 28, 1)), default_encoder(20, context=(60, 300))[0]
    ([{'name': 'cnn', 'shape': [28, 28, 1]}], {'name': 'position', 'periods': [60, 2640]})
    """
    if length < 2:
        return [{"name": "cnn", "shape": list(picture)}] if picture else [{"name": "linear"}]
    halvings = max(0, round(math.log2(length / 20)))
    fours = min(max(0, halvings - 4), halvings // 2)
    strides = [4] * fours + [2] * (halvings - 2 * fours)
    place = [{"name": "position", "periods": [context[0], 4 * (context[0] + 2 * context[1])]}] if context else []
    return [*place, {"name": "conv", "strides": strides or [1]}, {"name": "gru"}]


def _encoder(spec: EncoderSpec, dim_in: int, dim: int, where: str) -> Encoder:
    with Budget(where):
        return build_encoder(spec, dim_in, dim, where)


def _check_dims(dims: Mapping[str, int]) -> None:
    if not dims or min(dims.values()) < 1:
        raise DataError(f"modalities with features {dict(dims)}; expected one or more, each with a feature or more.")


def _emptied(tokens: Tokens) -> Tokens:
    return Tokens(tokens.values[:, :0], tokens.times[:, :0], tokens.mask[:, :0])


def _task_name(cls: type[Task]) -> str:
    return part_name(cls) if cls.__module__.startswith("plait.tasks.") else f"{cls.__module__}.{cls.__qualname__}"


def _rebuilt(path: Path) -> Model:
    """The model that a ``model.json`` describes, with fresh weights."""
    saved = read_described(path)
    try:
        return _remade(saved)
    except MemoryError:
        raise
    except Exception as error:  # what is left to be wrong is what a part makes of its own options and state
        reason = brief(error, 300) or type(error).__name__
        raise DataError(f"{path}: garbled or from another version ({reason}). Fit again.") from error


def _remade(saved: Described) -> Model:
    """The model of `Model.describe`, with fresh weights."""
    cls, options = find(Task, saved.task, "task")
    task = cls.restore(saved.task_state, **options)
    chosen = {k: getattr(saved, k) for k in ("encoders", "fusion", "dim", "unimodal", "missing")}
    model = Model(saved.dims, task, **chosen)
    if saved.wide is not None:
        model.widen(_remade(saved.wide))
    return model
