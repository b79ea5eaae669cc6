"""The model: backbone, heads and what answers beside them, put together; save and load."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from plait.core.atomic import replacing, write_text
from plait.core.errors import ConfigError, DataError, PartNotFound, raise_all
from plait.core.options import Count, option_problems
from plait.core.parts import Spec, find, foreign_code, part_name
from plait.core.safe_yaml import brief
from plait.encoders import Encoder
from plait.encoders.chain import resolved_specs
from plait.fusion import Hybrid
from plait.models.backbone import Backbone, EncoderSpec
from plait.models.ensemble import Encoded, LogitEnsemble, by_company, ensembled
from plait.models.file import FORMAT, Described, read_described
from plait.tasks import Task
from plait.tasks.view import View
from plait.tokens import Instants, Tokens
from plait.tokens.tensors import load_tensors, save_tensors

__all__ = ["FACTORS", "Model"]

FACTORS = ("head_scales", "share", "temperature")


class Model(nn.Module):
    """Features of any of its modalities -> the task's output.

    ``output = weight * joint head(fusion) + sum over the modalities that are there of weight * own head`` (or what else
    the fusion's `aggregate` makes of its heads). Each head's output is multiplied by its ``head_scales``. Where an item
    has no modality at all, the answer is finite: the joint head's bias (without a joint head: zeros).

    A simpler model of the same task may answer beside it, its ``wide`` part (`widen`): the answer is then the weighted
    mean of both, by ``share``. The whole is divided by ``temperature``. Of these two every modality has its own, for
    items that have nothing else; the last is of several. (Balance and temperatures are 1, unless
    `plait.training.temperatures` found better on held-out items.)

    A task that answers at instants is told them: ``at``, with every batch.

    Args:
        dims: feature width by modality; their order is the model's.
        task: what is asked.
        encoders: a spec, or a list of specs, by modality; for one left out, `default_encoder` of 64 rows.
        fusion: spec of the fusion.
        dim: width of all tokens within the model.
        unimodal: weight in the loss of the modalities' own losses, beside 1 for the output's.
        missing: what the fusion gets for a modality that an item lacks: ``none`` (a mask), ``token`` or ``reconstruct``
            (see `plait.tokens.imputer.ModalityImputer`).

    Attributes:
        backbone: all before the heads.
        ensemble: the heads.

    Raises:
        ConfigError: an unknown part or option; own heads that answer and do not learn.
        DataError: no modality, or one without features.

    >>> from plait.tasks.classify import Classify
    >>> model = Model({"imu": 6, "pose": 40}, Classify(["sit", "walk"]), dim=16).eval()
    >>> imu = Tokens(torch.ones(3, 50, 6), torch.arange(50.0).expand(3, 50) / 25, torch.ones(3, 50) > 0)
    >>> {name: tuple(out.shape) for name, out in model({"imu": imu}).items()}
    {'': (3, 2), 'imu': (3, 2)}
    """

    share: Tensor
    temperature: Tensor

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
        self.unimodal, self.task = unimodal, task
        self.backbone = Backbone(dims, encoders or {}, fusion, dim, missing)
        fused = self.backbone.fusion
        if unimodal <= 0 and isinstance(fused, Hybrid) and fused.unimodal_heads != "none":
            raise ConfigError(
                f"model.unimodal: got {unimodal}, but the modalities' own heads answer here (fusion.unimodal_heads: "
                f"{fused.unimodal_heads}) and would learn nothing. Expected a weight above 0, or "
                "fusion.unimodal_heads: none."
            )
        fused.bind(task.width, values=task.values)
        task.bind(self.dims, dim)
        self.ensemble = LogitEnsemble(self.modalities, dim, task, joint=fused.joint)
        self.register_buffer("share", torch.zeros(len(dims) + 1))
        self.register_buffer("temperature", torch.ones(len(dims) + 1))
        self.wide: Model | None = None

    @property
    def dims(self) -> dict[str, int]:
        """Feature width by modality."""
        return self.backbone.dims

    @property
    def modalities(self) -> list[str]:
        """Their names, in order."""
        return self.backbone.modalities

    @property
    def dim(self) -> int:
        """Width of all tokens."""
        return self.backbone.dim

    def factors(self) -> dict[str, object]:
        """How far its heads are trusted, as JSON: ``head_scales``, ``share`` and ``temperature``."""
        return {name: self.factor(name).tolist() for name in FACTORS}

    def factor(self, name: str) -> Tensor:
        """One of `FACTORS`, to be read or written."""
        return self.ensemble.head_scales if name == "head_scales" else self.get_buffer(name)

    def set_factors(self, factors: Mapping[str, object]) -> None:
        """Trust the heads as `factors` of a model with the same heads says.

        Raises:
            DataError: a factor is missing, or is for other heads.
        """
        for name in FACTORS:
            found, own = torch.tensor(factors.get(name, ())), self.factor(name)
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

    def encode(self, batch: Mapping[str, Tokens]) -> Encoded:
        """`Backbone.encode`, and the wide part's."""
        found = Encoded(self.backbone.encode(batch))
        if self.wide is not None:
            found.wide = self.wide.encode(batch)
        return found

    def forward(self, batch: Mapping[str, Tokens], at: Instants | None = None) -> dict[str, Tensor]:
        """{modality: [batch, time, features]} -> {"": the output, modality: its own head's output}.

        Args:
            batch: features.
            at: when answers are wanted, of a task that answers at instants.

        Returns:
            [batch, width] each, with ``at`` [batch, steps, width].
        """
        return self.forward_subset(self.encode(batch), at=at)

    def forward_subset(
        self, encoded: Encoded, subset: Collection[str] | None = None, at: Instants | None = None
    ) -> dict[str, Tensor]:
        """The same, of what `encode` gave: "" for the whole, and each modality's own.

        Args:
            encoded: from `encode`.
            subset: answer as if no other modalities had been there; None for all.
            at: as for `forward`.

        Raises:
            DataError: ``subset`` names a modality that the model does not have.
        """
        deep, wide, own = self.opinions(encoded, subset, at)
        there = self.backbone.there(encoded, subset)
        whole = ensembled(deep, wide, by_company(self.share, there), by_company(self.temperature, there))
        whole = self.ensemble.silenced(whole, at)
        return {"": whole, **{m: out for m, out in own.items() if subset is None or m in subset}}

    def opinions(
        self, encoded: Encoded, subset: Collection[str] | None = None, at: Instants | None = None
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """What the answer is made of: the fusion's aggregate, the wide part's answer, and the own heads' outputs.

        Args:
            encoded, subset, at: as for `forward_subset`.

        Raises:
            DataError: ``subset`` names a modality that the model does not have.
        """
        for m in subset or ():
            self.backbone.index(m)
        chosen = {m: t if subset is None or m in subset else _emptied(t) for m, t in encoded.items()}
        own = self.ensemble.unimodal(chosen, at)
        wide = None
        if self.wide is not None and encoded.wide is not None:
            wide = self.wide.forward_subset(encoded.wide, subset, at)[""]
        return self.aggregate(*self.head_logits(chosen, own, at), self.ensemble.head_scales), wide, own

    def head_logits(
        self, encoded: Mapping[str, Tokens], own: Mapping[str, Tensor], at: Instants | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the fusion aggregates: see `LogitEnsemble.logits`.

        Args:
            encoded: from `encode`.
            own: the modalities' own outputs.
            at: as for `forward`.
        """
        return self.ensemble.logits(self.backbone.fusion, encoded, own, self._joint(encoded, at))

    def aggregate(self, outputs: Tensor, weights: Tensor, scales: Tensor | None = None) -> Tensor:
        """One output of `head_logits`, by the fusion."""
        return self.ensemble.aggregate(self.backbone.fusion, outputs, weights, scales)

    def _joint(self, encoded: Mapping[str, Tokens], at: Instants | None) -> Tensor | None:
        return None if self.ensemble.joint is None else self.ensemble.joint_logits(self.backbone.fuse(encoded), at)

    def view(
        self,
        encoded: Mapping[str, Tokens],
        shown: Mapping[str, Tokens] | None = None,
        part: Mapping[str, Tokens] | None = None,
        at: Instants | None = None,
    ) -> View:
        """The outputs that a task learns from (`plait.tasks.Task.step`).

        Args:
            encoded: from `encode`; the modalities' own heads see all that is there.
            shown: what the fusion gets, of the same modalities: ``encoded`` with some of it hidden. None: ``encoded``.
            part: of the same modalities, for another answer of the fusion; None for none.
            at: as for `forward`.
        """
        own = self.ensemble.unimodal(encoded, at)
        fused = self.fused(encoded if shown is None else shown, own, at)
        joint = None if self.ensemble.joint is None else fused
        whole = self.aggregate(*self.ensemble.logits(self.backbone.fusion, encoded, own, joint))
        teaches = joint is not None and len(self.modalities) > 1
        return View(
            encoded,
            own,
            fused,
            whole,
            partial=None if part is None else self.fused(part, own, at),
            teacher=whole.detach() if teaches else None,
        )

    def fused(self, encoded: Mapping[str, Tokens], own: Mapping[str, Tensor], at: Instants | None = None) -> Tensor:
        """What the fusion says of the modalities together: the joint head's output, or of a late fusion the aggregate.

        Args:
            encoded: from `encode`.
            own: the modalities' own outputs.
            at: as for `forward`.
        """
        joint = self._joint(encoded, at)
        if joint is not None:
            return joint
        return self.aggregate(*self.ensemble.logits(self.backbone.fusion, encoded, own, None))

    def describe(self) -> dict[str, Any]:
        """All that rebuilds it but the weights, as JSON."""
        backbone = self.backbone
        pairs = zip(backbone.encoder_specs.items(), backbone.encoders)
        plain = {
            "format": FORMAT,
            "dims": self.dims,
            "dim": self.dim,
            "unimodal": self.unimodal,
            "missing": backbone.imputer.kind,
            "encoders": {m: resolved_specs(s, cast("Encoder", e)) for (m, s), e in pairs},
            "fusion": backbone.fusion_spec,
            "task": {"name": _task_name(type(self.task)), **self.task.options},
            "task_state": self.task.state(),
            **({} if self.wide is None else {"wide": self.wide.describe()}),
        }
        saved: dict[str, object] = json.loads(json.dumps(plain))  # tuples become lists, as they are once saved
        return saved

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
    except PartNotFound as error:  # nothing is wrong with the file
        raise DataError([f"{path}: {problem}" for problem in error.problems]) from error
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
