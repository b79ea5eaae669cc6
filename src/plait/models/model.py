"""The model: backbone, heads, wide part; save and load."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from plait.core.atomic import replacing, write_text
from plait.core.errors import ConfigError, DataError, MissingExtra, PartNotFound, raise_all
from plait.core.options import Count, option_problems
from plait.core.parts import Spec, find, foreign_code, part_name
from plait.core.safe_yaml import brief
from plait.encoders import Encoder
from plait.encoders.chain import resolved_specs
from plait.fusion import Hybrid
from plait.models.backbone import Backbone, EncoderSpec
from plait.models.conformal import Calibrated, read_calibrated
from plait.models.ensemble import Encoded, LogitEnsemble, by_company, ensembled
from plait.models.file import FORMAT, Described, read_described
from plait.packing.file import read_weights
from plait.tasks import Task
from plait.tasks.view import View
from plait.tokens import Instants, Tokens
from plait.tokens.outside import OutsideChanged
from plait.tokens.tensors import save_tensors

__all__ = ["FACTORS", "Model", "remade"]

FACTORS = ("head_scales", "wide_weight", "temperature")


class Model(nn.Module):
    """Features of any subset of its modalities -> the task's output.

    ``output = weight * joint head(fusion) + sum over the present modalities of weight * own head``, unless the fusion
    overrides `aggregate`. Each head's output is multiplied by its ``head_scales``. For an item without any modality the
    answer is finite: the joint head's bias (without a joint head: zeros).

    A simpler model of the same task may be added as the ``wide`` part (`widen`): the answer is then the weighted mean
    of both, by ``wide_weight``. The result is divided by ``temperature``. Both have one value per modality, for items
    with only that modality, and a last value for items with several. (Scales and temperatures are 1, unless
    `plait.training.temperatures` found better values on held-out items.)

    A task that answers at instants needs them with every batch, as ``at``.

    Args:
        dims: feature width by modality; their order is the model's.
        task: the task.
        encoders: a spec, or a list of specs, by modality; `default_encoder` of 64 rows for a modality left out.
        fusion: spec of the fusion.
        dim: width of all tokens within the model.
        unimodal_weight: weight of the unimodal heads' losses, relative to 1 for the loss of the output.
        missing: the fusion's input for a missing modality: ``none`` (a mask), ``token`` or ``reconstruct`` (see
            `plait.tokens.imputer.ModalityImputer`).

    Attributes:
        backbone: everything before the heads.
        ensemble: the heads.
        conformal: thresholds of sets of classes or intervals of values, by subset of the modalities; empty where no
            held-out items decided them (`plait.training.thresholds`).

    Raises:
        ConfigError: an unknown part or option, or unimodal heads that answer but are not trained.
        DataError: no modality, or a modality without features.

    >>> from plait.tasks.classify import Classify
    >>> model = Model({"imu": 6, "pose": 40}, Classify(["sit", "walk"]), dim=16).eval()
    >>> imu = Tokens(torch.ones(3, 50, 6), torch.arange(50.0).expand(3, 50) / 25, torch.ones(3, 50) > 0)
    >>> {name: tuple(out.shape) for name, out in model({"imu": imu}).items()}
    {'': (3, 2), 'imu': (3, 2)}
    """

    wide_weight: Tensor
    temperature: Tensor

    def __init__(
        self,
        dims: Mapping[str, int],
        task: Task,
        *,
        encoders: Mapping[str, EncoderSpec] | None = None,
        fusion: Spec = "concat",
        dim: Count = 128,
        unimodal_weight: float = 1.0,
        missing: str = "none",
    ) -> None:
        super().__init__()
        given = {"dim": dim, "unimodal_weight": unimodal_weight, "missing": missing}
        raise_all(ConfigError, option_problems(Model, given, "model"))
        self.unimodal_weight, self.task = unimodal_weight, task
        self.backbone = Backbone(dims, encoders or {}, fusion, dim, missing)
        fused = self.backbone.fusion
        if unimodal_weight <= 0 and isinstance(fused, Hybrid) and fused.unimodal_heads != "none":
            raise ConfigError(
                f"model.unimodal_weight: got {unimodal_weight}, but the modalities' own heads answer here "
                f"(fusion.unimodal_heads: {fused.unimodal_heads}) and would learn nothing. Expected a weight above 0, "
                "or fusion.unimodal_heads: none."
            )
        # bind before any weights are loaded: some fusions and tasks only now know the size of their parameters
        if task.alone and fused.joint:
            raise ConfigError(
                f"fusion: {part_name(type(fused))} has a joint head, but {_task_name(type(task))} compares what each "
                "modality says alone. Set fusion: late."
            )
        fused.bind(task.n_outputs, is_numeric=task.is_numeric)
        task.symbolic = [m for m in dims if self.backbone.symbolic(m)]
        task.bind(self.dims, dim)
        task.locate(self.backbone.regions())
        sources = {m: self.backbone.source(m) for m in self.modalities}
        self.ensemble = LogitEnsemble(sources, dim, task, joint=fused.joint, states=fused.states)
        self.register_buffer("wide_weight", torch.zeros(len(dims) + 1))
        self.register_buffer("temperature", torch.ones(len(dims) + 1))
        self.wide: Model | None = None
        self.conformal: tuple[Calibrated, ...] = ()

    @property
    def dims(self) -> dict[str, int]:
        """Feature width by modality."""
        return self.backbone.dims

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities, in order."""
        return self.backbone.modalities

    @property
    def dim(self) -> int:
        """Width of all tokens."""
        return self.backbone.dim

    def factors(self) -> dict[str, object]:
        """What held-out items decided, as JSON: ``head_scales``, ``wide_weight``, ``temperature``, the task's
        ``postprocessing``, and ``conformal``."""
        return {
            **{name: self.factor(name).tolist() for name in FACTORS},
            "postprocessing": self.task.postprocessing,
            "conformal": [one.model_dump() for one in self.conformal],
        }

    def factor(self, name: str) -> Tensor:
        """The buffer of one of `FACTORS`, to read or write."""
        return self.ensemble.head_scales if name == "head_scales" else self.get_buffer(name)

    def set_factors(self, factors: Mapping[str, object]) -> None:
        """Set what held-out items decide, from `factors` of a model with the same heads and task.

        Raises:
            DataError: a factor is missing, or its size is wrong.
        """
        chosen = factors.get("postprocessing")
        if not isinstance(chosen, Mapping):
            raise DataError(f"factors: postprocessing is {chosen!r}; expected a mapping.")
        self.task.postprocessing = dict(chosen)
        for name in FACTORS:
            found, own = torch.tensor(factors.get(name, ())), self.factor(name)
            if found.shape != own.shape or not found.isfinite().all():
                raise DataError(f"factors: {name} is {factors.get(name)!r}; expected finite numbers {list(own.shape)}.")
            own.copy_(found)
        # a run that is older than thresholds has none
        self.conformal = tuple(read_calibrated(factors.get("conformal", [])))

    def calibration_of(self, subset: Collection[str]) -> Calibrated | None:
        """The thresholds of answers from a subset of the modalities; None: none are kept."""
        return next((one for one in self.conformal if set(one.modalities) == set(subset)), None)

    def widen(self, wide: Model, share: float = 0.5) -> None:
        """Add another model as the wide part.

        Wide and deep, as in Cheng et al. 2016, "Wide & deep learning for recommender systems"; but here the two are
        trained separately, and held-out items decide their weights (`plait.training.temperatures`).

        Args:
            wide: a model of the same task and modalities.
            share: weight of its answer in the mean, whatever modalities are present.

        Raises:
            DataError: it has other modalities, or its answers have another width.
        """
        if (wide.dims, wide.task.n_outputs) != (self.dims, self.task.n_outputs):
            mine, its = (f"{model.dims} and {model.task.n_outputs} outputs" for model in (self, wide))
            raise DataError(f"the wide part has {its}; expected {mine}, as the model that it is added to.")
        self.wide = wide
        self.wide_weight.fill_(share)

    def encode(self, batch: Mapping[str, Tokens]) -> Encoded:
        """`Backbone.encode`, of this model and of its wide part."""
        found = Encoded(self.backbone.encode(batch))
        if self.wide is not None:
            found.wide = self.wide.encode(batch)
        return found

    def forward(self, batch: Mapping[str, Tokens], at: Instants | None = None) -> dict[str, Tensor]:
        """{modality: [batch, time, features]} -> {"": the output, modality: its own head's output}.

        Args:
            batch: features.
            at: instants at which answers are wanted, for a task that answers at instants.

        Returns:
            [batch, width] each; [batch, steps, width] with ``at``.
        """
        return self.forward_subset(self.encode(batch), at=at)

    def forward_subset(
        self, encoded: Encoded, subset: Collection[str] | None = None, at: Instants | None = None
    ) -> dict[str, Tensor]:
        """As `forward`, from the output of `encode` and with a subset of the modalities.

        Args:
            encoded: from `encode`.
            subset: answer as if all other modalities were missing; None for all.
            at: as for `forward`.

        Raises:
            DataError: ``subset`` names a modality that the model does not have.
        """
        deep, wide, own = self.opinions(encoded, subset, at)
        there = self.backbone.there(encoded, subset)
        whole = ensembled(deep, wide, by_company(self.wide_weight, there), by_company(self.temperature, there))
        whole = self.ensemble.silenced(self.task.postprocess(whole, there, at, own), at)
        return {"": whole, **{m: out for m, out in own.items() if subset is None or m in subset}}

    @torch.no_grad()
    def kept(self, encoded: Encoded, at: Instants | None = None) -> Encoded:
        """``encoded`` with the outputs of the own heads, so that they are not computed anew for each of many subsets.

        Args:
            encoded: from `encode`.
            at: as for `forward`; `forward_subset` is to be called with the same.
        """
        found = Encoded(encoded)
        found.own = (
            self.ensemble.unimodal(encoded, at),
            self.ensemble.unimodal({m: t.emptied() for m, t in encoded.items()}, at),
        )
        found.wide = encoded.wide if self.wide is None or encoded.wide is None else self.wide.kept(encoded.wide, at)
        return found

    def answer(self, encoded: Encoded, subset: Collection[str] | None = None, at: Instants | None = None) -> Tensor:
        """The output that is scored (`Task.answer`): that of `forward_subset`, unless the task says otherwise.

        Args:
            encoded, subset, at: as for `forward_subset`.
        """
        return self.task.answer(lambda some: self.forward_subset(encoded, some, at)[""], subset)

    def opinions(
        self, encoded: Encoded, subset: Collection[str] | None = None, at: Instants | None = None
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """The parts of the answer: the fusion's aggregate, the wide part's answer, and the own heads' outputs.

        Args:
            encoded, subset, at: as for `forward_subset`.

        Raises:
            DataError: ``subset`` names a modality that the model does not have.
        """
        for m in subset or ():
            self.backbone.index(m)
        # emptied and not left out: every modality keeps its place among the outputs
        chosen = {m: t if subset is None or m in subset else t.emptied() for m, t in encoded.items()}
        if encoded.own is None:
            own = self.ensemble.unimodal(chosen, at)
        else:
            own = {m: encoded.own[subset is not None and m not in subset][m] for m in encoded}
        wide = None
        if self.wide is not None and encoded.wide is not None:
            wide = self.wide.forward_subset(encoded.wide, subset, at)[""]
        if self.task.gathers:
            return self._gathered(chosen, own, at), wide, own
        return self.aggregate(*self.head_logits(chosen, own, at), self.ensemble.head_scales), wide, own

    def _gathered(self, encoded: Mapping[str, Tokens], own: Mapping[str, Tensor], at: Instants | None) -> Tensor:
        joint = self._joint(encoded, at)
        return self.task.gather({**own, **({} if joint is None else {"": joint})})

    def head_logits(
        self, encoded: Mapping[str, Tokens], own: Mapping[str, Tensor], at: Instants | None = None
    ) -> tuple[Tensor, Tensor]:
        """The input of the fusion's `aggregate`: see `LogitEnsemble.logits`.

        Args:
            encoded: from `encode`.
            own: the modalities' own outputs.
            at: as for `forward`.
        """
        return self.ensemble.logits(self.backbone.fusion, encoded, own, self._joint(encoded, at))

    def aggregate(self, outputs: Tensor, weights: Tensor, scales: Tensor | None = None) -> Tensor:
        """Aggregate the output of `head_logits` by the fusion."""
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
        """The outputs that a task is trained on (`plait.tasks.Task.step`).

        Args:
            encoded: from `encode`; the modalities' own heads see all of it.
            shown: the fusion's input: ``encoded`` with some modalities hidden. None: ``encoded``.
            part: input for a second answer of the fusion, of the same modalities; None for no second answer.
            at: as for `forward`.
        """
        own = self.ensemble.unimodal(encoded, at)
        fused = self.fused(encoded if shown is None else shown, own, at)
        if self.task.gathers:
            return View(encoded, own, fused, fused, partial=None if part is None else self.fused(part, own, at))
        joint = None if self.ensemble.joint is None else fused
        whole = self.aggregate(*self.ensemble.logits(self.backbone.fusion, encoded, own, joint))
        # with one modality, or without a joint head, the whole knows no more than what would learn from it
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
        """The fusion's output for all modalities: the joint head's output or, for a late fusion, the aggregate.

        Args:
            encoded: from `encode`.
            own: the modalities' own outputs.
            at: as for `forward`.
        """
        if self.task.gathers:
            return self._gathered(encoded, self.ensemble.unimodal(encoded, at), at)
        joint = self._joint(encoded, at)
        if joint is not None:
            return joint
        return self.aggregate(*self.ensemble.logits(self.backbone.fusion, encoded, own, None))

    def describe(self) -> dict[str, Any]:
        """Everything needed to rebuild the model except the weights, as JSON."""
        backbone = self.backbone
        pairs = zip(backbone.encoder_specs.items(), backbone.encoders)
        plain = {
            "format": FORMAT,
            "dims": self.dims,
            "dim": self.dim,
            "unimodal_weight": self.unimodal_weight,
            "missing": backbone.imputer.kind,
            "encoders": {m: resolved_specs(s, cast("Encoder", e)) for (m, s), e in pairs},
            "fusion": backbone.fusion_spec,
            "task": {"name": _task_name(type(self.task)), **self.task.options},
            "task_state": self.task.state(),
            **({} if self.wide is None else {"wide": self.wide.describe()}),
            **({"conformal": [one.model_dump() for one in self.conformal]} if self.conformal else {}),
        }
        saved: dict[str, object] = json.loads(json.dumps(plain))  # tuples become lists, as in a saved file
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
        # clones: safetensors refuses tensors that share memory (tied weights, views)
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
        """The model that `save` or `plait.compression.compress` wrote, in evaluation mode.

        Args:
            folder: that `save` wrote to.
            allow_code: whether it may name classes from outside plait. Their modules are imported, which runs their
                code: allow it only for models from people you trust.

        Raises:
            DataError: files are missing, garbled, foreign, or do not belong together; a weight is NaN or infinite.
        """
        folder = Path(folder)
        path = folder / "model.safetensors"
        try:
            with foreign_code(allow_code):
                model = _rebuilt(folder / "model.json")
                model.load_state_dict(read_weights(path, model.state_dict()))
        except (OSError, RuntimeError) as error:  # torch's RuntimeError: other names or shapes of weights
            reason = error.strerror if isinstance(error, OSError) else brief(error, 300).splitlines()[0]
            raise DataError(
                f"{path}: not the weights of the model beside it ({reason}). Fit again or copy both files."
            ) from error
        model._check_finite(path)
        return model.eval()


def _task_name(cls: type[Task]) -> str:
    return part_name(cls) if cls.__module__.startswith("plait.tasks.") else f"{cls.__module__}.{cls.__qualname__}"


def _rebuilt(path: Path) -> Model:
    """The model that a ``model.json`` describes, with fresh weights."""
    saved = read_described(path)
    try:
        return remade(saved)
    except MemoryError:
        raise
    except (PartNotFound, MissingExtra, OutsideChanged) as error:  # the file is sound: what it names is not there
        raise DataError([f"{path}: {problem}" for problem in error.problems]) from error
    except Exception as error:  # a part may raise anything for options and state that it cannot use
        reason = brief(error, 300) or type(error).__name__
        raise DataError(f"{path}: garbled or from another version ({reason}). Fit again.") from error


def remade(saved: Described) -> Model:
    """The model of `Model.describe`, with fresh weights."""
    cls, options = find(Task, saved.task, "task")
    task = cls.restore(saved.task_state, **options)
    chosen = {k: getattr(saved, k) for k in ("encoders", "fusion", "dim", "unimodal_weight", "missing")}
    model = Model(saved.dims, task, **chosen)
    if saved.wide is not None:
        model.widen(remade(saved.wide))
    model.conformal = tuple(saved.conformal)
    return model
