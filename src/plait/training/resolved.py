"""What a recipe resolves to on its corpus or resolved to in a run: stream, feature and encoder per modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from plait.core.errors import PlaitError
from plait.core.parts import Options, Spec, build, find
from plait.encoders.chain import encoder_specs
from plait.models.backbone import EncoderSpec
from plait.recipe import quick_recipe
from plait.store.stepped import build_feature
from plait.tasks import Task
from plait.training.build import chosen_encoder, resolved_fusion, widens
from plait.training.experiment import Experiment
from plait.training.plans import plan_of
from plait.training.run import Run

__all__ = ["resolved", "resolved_lines", "resolved_run"]

PROBE = 10.0
"""Seconds of the first recording whose features are computed, to see their rate and width."""

LATER = "chosen when the features are prepared"


def resolved(experiment: Experiment) -> dict[str, object]:
    """What is known before preparation; widths, rates and encoders come from a piece of one recording.

    Args:
        experiment: a recipe with its corpus.

    Returns:
        ``modalities`` (by name ``stream``, ``feature``, ``rate`` of its rows in Hz, ``dim``, ``encoder``), ``fusion``,
        ``heads`` and ``wide`` (each modality's encoder in the quick model that answers beside the deep heads; empty
        without a quick model); None for what is not known yet.
    """
    recipe = experiment.recipe
    modalities: dict[str, Options] = {}
    for m, stream in experiment.streams.items():
        rate, dim = _seen(experiment, m)
        modalities[m] = {
            "stream": stream,
            "feature": experiment.features[m],
            "rate": rate,
            "dim": dim,
            "encoder": _encoder(experiment, m, plan_of(recipe, m).encoder, rate, dim),
        }
    return {
        "modalities": modalities,
        "fusion": resolved_fusion(recipe.fusion, _steps(experiment)),
        "heads": _heads(modalities, recipe.model),
        "wide": _wide(experiment, modalities),
    }


def _wide(experiment: Experiment, modalities: Mapping[str, Options]) -> Options | None:
    """The quick model's encoders, if it answers beside the deep heads; None if that is not known yet."""
    quick = replace(experiment, recipe=quick_recipe(experiment.recipe))
    if any(own["rate"] is None or own["dim"] is None for own in modalities.values()) or not experiment.items.items:
        return None
    asked = {
        "linear": find(Task, experiment.task, "task")[0].linear,
        "longest": max(_length(experiment, own["rate"]) for own in modalities.values()),
        "columns": max(own["dim"] for own in modalities.values()),
    }
    if not widens(experiment.recipe, **asked):
        return {}
    return {m: _encoder(quick, m, None, own["rate"], own["dim"]) for m, own in modalities.items()}


def resolved_run(run: Run) -> dict[str, object]:
    """The same for a run, from its first finished model; until there is one, encoders and widths are None.

    Raises:
        DataError: the model is damaged. ConfigError: it names code from outside, which the run may not import.
    """
    saved: Options = run.model(run.finished[0]).describe() if run.finished else {}
    modalities = {
        m: {
            "stream": stream,
            "feature": run.info.features[m],
            "rate": None,
            "dim": saved.get("dims", {}).get(m),
            "encoder": saved.get("encoders", {}).get(m),
        }
        for m, stream in run.info.modalities.items()
    }
    fusion = saved.get("fusion", run.recipe.fusion)
    return {
        "modalities": modalities,
        "fusion": fusion,
        "heads": _heads(modalities, saved or run.recipe.model),
        "wide": saved.get("wide", {}).get("encoders", {}) if saved else None,
    }


def _heads(modalities: Mapping[str, object], options: Mapping[str, object]) -> list[str]:
    alone = list(modalities) if options.get("unimodal_weight", True) and len(modalities) > 1 else []
    return [*alone, "all together"]


def _seen(experiment: Experiment, modality: str) -> tuple[float | None, int | None]:
    """Rows per second and columns of a modality's features, from the first recording that has its stream."""
    feature = build_feature(experiment.features[modality], f"streams.{modality}.feature")
    for recording in experiment.corpus:
        if experiment.streams[modality] in recording.streams:
            try:
                # A piece from the start, cut lazily: a whole film would take minutes.
                stream = recording.streams[experiment.streams[modality]]
                piece = stream.cut(stream.clock.start, min(stream.clock.stop, stream.clock.start + PROBE))
                values, clock = experiment.shape(modality, feature(piece))
            except PlaitError:
                return None, None
            seconds = clock.stop - clock.start
            return (len(values) / seconds if seconds > 0 else None), int(np.prod(values.shape[1:]))
    return None, None


def _encoder(
    experiment: Experiment, modality: str, given: EncoderSpec | None, rate: float | None, dim: int | None
) -> list[dict[str, object]] | None:
    where = f"streams.{modality}.encoder"
    if given is None:
        if rate is None or dim is None or not experiment.items.items:
            return None
        given = chosen_encoder(experiment, modality, dim, _length(experiment, rate), _steps(experiment))
    return encoder_specs(given, where)


def _steps(experiment: Experiment) -> int:
    """Number of asked instants of the longest item; 0 if each item has one answer."""
    items = experiment.items.items
    if not items or experiment.unit.get("asks") != "annotations":
        return 0
    task = build(Task, experiment.task, [i.target for i in items], where="task")
    return task.asked([max(items, key=lambda i: i.stop - i.start)], known=False).steps


def _length(experiment: Experiment, rate: float) -> float:
    """Rows of a typical item."""
    return rate * float(np.median([i.stop - i.start for i in experiment.items.items]))


def resolved_lines(found: Options) -> list[str]:
    """Lines of text for people, a few per modality.

    >>> hand = {"stream": "imu", "feature": "raw", "rate": 50.0, "dim": 6, "encoder": [{"name": "gru", "layers": 1}]}
    >>> wide = {"hand": [{"name": "mini_rocket", "length": 100}]}
    >>> found = {"modalities": {"hand": hand}, "fusion": "late", "heads": ["all together"], "wide": wide}
    >>> for line in resolved_lines(found): print(line)
    hand: of the stream imu
      feature: raw; 50 rows per second, 6 columns
      encoder: gru(layers=1)
    fusion: late
    heads: all together
    beside them, wide: hand by mini_rocket(length=100)
    """
    lines = []
    for m, own in found["modalities"].items():
        rows = [f"{own['rate']:.4g} rows per second"] if own["rate"] else []
        rows += [f"{own['dim']} column{'s' * (own['dim'] != 1)}"] if own["dim"] else []
        encoder = " > ".join(map(_call, own["encoder"])) if own["encoder"] else LATER
        feature = "; ".join([_call(own["feature"]), *([", ".join(rows)] if rows else [])])
        lines += [f"{m}: of the stream {own['stream']}", f"  feature: {feature}", f"  encoder: {encoder}"]
    lines += [f"fusion: {_call(found['fusion'])}", f"heads: {', '.join(found['heads'])}"]
    wide = found["wide"]
    told = [f"{m} by {' > '.join(map(_call, specs))}" for m, specs in (wide or {}).items()]
    return [*lines, f"beside them, wide: {'; '.join(told) or (LATER if wide is None else 'nothing')}"]


def _call(spec: Spec) -> str:
    """A part and its options, written as a call."""
    if not isinstance(spec, Mapping):
        return str(spec)
    options = ", ".join(f"{k}={v}" for k, v in spec.items() if k != "name")
    return f"{spec['name']}({options})" if options else str(spec["name"])
