"""The JSON of an evaluation: its keys and types, its version, and how it is read back.

An `Evaluation` is a dictionary with known keys, the same in memory, in ``evaluation.json`` and in ``--json``.
`docs/evaluation.schema.json` is made of these classes: ``python docs/pictures/evaluation_schema.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, NotRequired, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from plait.core.errors import DataError
from plait.core.safe_yaml import brief

__all__ = [
    "VERSION",
    "Evaluation",
    "MetricRow",
    "SubsetRow",
    "evaluation_schema",
    "read_evaluation",
    "read_versioned",
    "to_json",
]

T = TypeVar("T")
__all__ += [
    "Bin",
    "ClassRow",
    "DataFacts",
    "Ends",
    "Example",
    "FoldFacts",
    "IntervalFacts",
    "IntervalRow",
    "MissingRow",
    "NoiseRow",
]
__all__ += ["Deletion", "Size", "TaskFacts", "told"]

VERSION = 1
"""The version of the JSON's form; it rises when a key is removed or changes its meaning."""

# A misspelt key must not pass for one that is missing.
_known = with_config(ConfigDict(extra="forbid"))


class Ends(TypedDict):
    """The ends of any interval; None, and a ``reason``, where there is none."""

    low: float | None
    high: float | None
    reason: str


@_known
class IntervalRow(TypedDict):
    """``low`` and ``high`` of a 95 % interval over groups; None, and a ``reason``, where there is none."""

    low: float | None
    high: float | None
    groups: int
    reason: str


@_known
class IntervalFacts(TypedDict):
    """How intervals were computed."""

    method: str
    level: float
    groups: int
    left_out_in_turn: int
    degrees_of_freedom: float | None
    fewest_groups: int


@_known
class TaskFacts(TypedDict):
    """The task: its name, label or tier, unit, main metric and its direction; the classes, where there are any.

    ``rate``: answers per second, of a task that answers over time. ``lead``: of several targets the one whose classes
    or values are told. ``ranks``: whether the metric depends on how many items are compared with each other.
    """

    name: str
    target: str
    unit: str
    metric: str
    higher_is_better: bool
    classes: list[str] | None
    rate: NotRequired[float]
    lead: NotRequired[str]
    ranks: NotRequired[bool]


@_known
class MetricRow(TypedDict):
    """A metric over seeds; None where it is not defined, ``sd`` also where there is one seed."""

    mean: float | None
    sd: float | None
    per_seed: list[float | None]


@_known
class SubsetRow(TypedDict):
    """One model's answers with some of its modalities; ``answered``: items that have at least one of them."""

    modalities: list[str]
    answered: int
    metrics: dict[str, MetricRow]
    interval: IntervalRow


@_known
class Baseline(TypedDict):
    """Metrics of the best constant answer."""

    metrics: dict[str, float | None]


@_known
class BestSingle(TypedDict):
    """The best modality alone, and its value."""

    modality: str
    value: float | None


@_known
class Contribution(TypedDict):
    """How much better all modalities are than all but one, and the modality's Shapley value; above 0 is better.

    Shapley values add up to the gain of all modalities over the constant answer.
    """

    modality: str
    gain: float | None
    interval: IntervalRow
    shapley: NotRequired[float | None]
    shapley_interval: NotRequired[IntervalRow]


@_known
class Interaction(TypedDict):
    """How much more two modalities bring together than each alone; above 0: synergy, below 0: redundancy."""

    modalities: list[str]
    value: float | None
    interval: IntervalRow


@_known
class Bits(TypedDict):
    """Bits of information, and as many as are found of shuffled classes."""

    bits: float | None
    null: float | None
    interval: IntervalRow


@_known
class Information(TypedDict):
    """What two modalities tell about the class, in bits: each alone, both together, and how these are shared."""

    modalities: list[str]
    first: float | None
    second: float | None
    both: float | None
    redundancy: Bits
    unique_first: Bits
    unique_second: Bits
    synergy: Bits


@_known
class PermutationRow(TypedDict):
    """How much worse answers get when a modality is that of another item: ``drop``, above 0 is worse.

    ``sd``: over permutations.
    """

    modality: str
    drop: float | None
    sd: float | None
    interval: IntervalRow


@_known
class Additive(TypedDict):
    """The model against its additive projection (EMAP) on the same items; ``gain``: how much better the model is.

    ``non_additive``: of the variance of the model's outputs, what no sum over modalities gives.
    """

    items: int
    model: float | None
    projection: float | None
    gain: float | None
    interval: IntervalRow
    non_additive: float | None


class Dependence(TypedDict):
    """What items with exchanged modalities show of the model."""

    permutation: list[PermutationRow]
    additive: NotRequired[Additive]


@_known
class ShareRow(TypedDict):
    """Mean Shapley shares over the items of a class or a group, or those of one item; by modality."""

    name: str
    items: int
    group: NotRequired[str]
    values: list[float | None]


@_known
class ItemShares(TypedDict):
    """Shapley shares of the value of single items, in a ``unit``, by modality; ``more``: items that are not listed."""

    unit: str
    modalities: list[str]
    mean: list[float | None]
    per_class: list[ShareRow]
    per_group: list[ShareRow]
    items: list[ShareRow]
    more: int


@_known
class Gain(TypedDict):
    """How much better than a constant answer; above 0 is better."""

    gain: float | None
    interval: IntervalRow


class GainFacts(TypedDict):
    """How much better all modalities are than the best single one; None where there is one modality only."""

    best_single: BestSingle | None
    gain_over_best_single: float | None
    gain_interval: IntervalRow | None


@_known
class GroupRow(TypedDict):
    """The main metric on one group alone."""

    group: str
    items: int
    value: float | None


@_known
class SliceRow(TypedDict):
    """A part of the items and the rest of them: the main metric of both, the interval of their difference, and the
    p-value, alone and corrected for the number of parts; None where too few groups tell it."""

    name: str
    part: str
    items: int
    groups: int
    value: float
    rest: float
    interval: IntervalRow
    p: float | None
    p_corrected: float | None


# Written as a call, since "class" is a keyword.
ClassRow = TypedDict(
    "ClassRow",
    {"class": str, "items": int, "recall": float | None, "precision": float | None, "f1": float | None},
)
"""One class; None where it does not occur."""


@_known
class Confusion(TypedDict):
    """Counts over all seeds: rows are truths, columns answers."""

    classes: list[str]
    counts: list[list[int]]


@_known
class Bin(TypedDict):
    """Items whose confidence is above ``low`` and at most ``high``."""

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int


@_known
class Calibration(TypedDict):
    """Bins of confidence, and the expected calibration error; beside it that of a perfectly calibrated model of as
    many items: its mean, and the value that 95 % of such models stay below. Log-loss in nats, and Brier score."""

    bins: list[Bin]
    ece: float | None
    ece_by_chance: NotRequired[float | None]
    ece_bound: NotRequired[float | None]
    log_loss: NotRequired[float | None]
    brier: NotRequired[float | None]


@_known
class Abstention(TypedDict):
    """Share of wrong answers among the surest ones; areas under the curve: of the model, at best, and by chance."""

    coverage: list[float]
    risk: list[float]
    area: float
    best: float
    chance: float


@_known
class WorstGroup(TypedDict):
    """The group whose truths the sets hold least often."""

    group: str
    coverage: float


@_known
class ConformalGroups(TypedDict):
    """Coverage of each group by a threshold from all others: no promise, since groups are not exchangeable."""

    groups: int
    coverage: float
    sd: float | None
    worst: WorstGroup


@_known
class KeptThresholds(TypedDict):
    """The thresholds that the run keeps for its answers, on the test items: ``coverage`` and mean ``size`` of the sets
    or intervals (None: infinite); ``items`` and ``groups`` that decided them, of the first replicate."""

    items: int
    groups: int
    coverage: float
    size: float | None


@_known
class Conformal(TypedDict):
    """Conformal sets of classes (``size``: mean number) or intervals of values (``size``: their width).

    ``coverage``: mean over ``draws`` halves; ``single``: of the first; ``band``: where 95 % of single ones lie.
    """

    level: float
    kind: Literal["sets", "intervals"]
    size: float | None
    draws: int
    coverage: float
    single: float
    band: list[float]
    by_group: NotRequired[ConformalGroups]
    kept: NotRequired[KeptThresholds]


@_known
class Scatter(TypedDict):
    """Truths and answers of the first seed."""

    target: list[float]
    predicted: list[float]


@_known
class Example(TypedDict):
    """A single answer, if answers are neither classes nor values."""

    item: str
    value: float | None
    truth: str | None
    answer: str | None


@_known
class NoiseRow(TypedDict):
    """The main metric of a subset while one modality is noisy."""

    modality: str
    kind: str
    axis: str
    rising: bool
    level: float
    subset: list[str]
    value: float | None
    sd: float | None


@_known
class MissingRow(TypedDict):
    """The main metric while a share of all streams is hidden."""

    share: float
    value: float | None
    sd: float | None


@_known
class SingleCurve(TypedDict):
    """The best single stream, and its values."""

    modality: str
    values: list[float]


@_known
class CorruptionCurve(TypedDict):
    """The main metric over levels of damage to a modality ("": to all); ``area``: its mean over the levels.

    ``stage``: what is damaged, ``features`` or the raw ``signal``. ``levels``: that of no damage first (null where it
    has no number), the others mild first; ``seeds``: of their draws (`plait.evaluation.robustness`).
    ``late``: of the mean of the modalities' own heads; ``gain_over_late``: of the area, above 0 is better; ``p``: of
    that gain, two-sided, None where it cannot be told; ``p_corrected``: for the number of curves (Holm).
    """

    modality: str
    kind: str
    axis: str
    stage: NotRequired[Literal["features", "signal"]]
    levels: list[float | None]
    seeds: NotRequired[list[int]]
    values: list[float]
    area: float
    late: NotRequired[list[float]]
    gain_over_late: NotRequired[float]
    interval: NotRequired[IntervalRow]
    p: NotRequired[float | None]
    p_corrected: NotRequired[float]
    single: NotRequired[SingleCurve]


@_known
class RefusedNoise(TypedDict):
    """A noise that could not be made on a modality's stream, and why."""

    modality: str
    kind: str
    reason: str


@_known
class Robustness(TypedDict):
    """The main metric with noise, with missing streams and with damage, nothing retrained."""

    noise: list[NoiseRow]
    missing: list[MissingRow]
    corruptions: NotRequired[list[CorruptionCurve]]
    refused: NotRequired[list[RefusedNoise]]


@_known
class Deletion(TypedDict):
    """How far answers move without the evidence at their own time, and without as much elsewhere."""

    answers: int
    inside: float
    elsewhere: float
    ratio: float | None
    interval: IntervalRow


@_known
class Faithfulness(TypedDict):
    """An attribution method: what is left of the answer while parts in time are hidden (lower is better) and shown.

    ``random``: in random orders; ``foreign``: in the order of the method on a model with random weights. ``better``:
    share of the items whose deletion is better than random. The gains are intervals of how much better than random.
    """

    method: str
    items: int
    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    foreign_deletion: float
    better: float
    deletion_gain: IntervalRow
    insertion_gain: IntervalRow
    foreign_gain: IntervalRow


@_known
class SwapRow(TypedDict):
    """A stream swapped for that of another recording: share of the items for which the model then names another class.

    ``two_sample``: how well swapped items can be told from real ones; .5: not at all.
    """

    modality: str
    condition: str
    items: int
    changed: float
    interval: IntervalRow
    two_sample: float


@_known
class ShortcutRow(TypedDict):
    """A nuisance: whether it predicts the class (``predicts``: gain in accuracy), and whether the model uses it
    (``used``: correlation within classes); p-values corrected for the number of nuisances."""

    name: str
    predicts: float
    predicts_p: float
    used: float
    used_p: float
    alarm: bool


@_known
class WorldClaim(TypedDict):
    """An effect in the world of a treatment on an outcome, both named by the user, as all that is adjusted for.

    ``left_out``: items of which something is not known. ``p``: of the effect, two-sided. ``propensity``: least and
    most; ``outside``: share of the items beyond .05 to .95; ``effective_items``: what the weights of the treated and
    the others are worth. ``placebo_alarms``: how often treatments that were exchanged at random have an effect at 5 %.
    ``within_groups``: the effect within groups; ``within_p``: whether what groups share acts on both.
    ``control_effect``, ``control_p``: of the negative control. ``e_value``: how strong something unmeasured must be.
    """

    verdict: Literal["effect", "no effect found", "cannot be told"]
    reason: str
    treatment: str
    outcome: str
    adjust: list[str]
    items: NotRequired[int]
    left_out: NotRequired[int]
    unadjusted: NotRequired[float]
    effect: NotRequired[float]
    interval: NotRequired[IntervalRow]
    p: NotRequired[float | None]
    propensity: NotRequired[list[float]]
    outside: NotRequired[float]
    effective_items: NotRequired[list[float]]
    placebo_mean: NotRequired[float]
    placebo_alarms: NotRequired[float]
    within_groups: NotRequired[float]
    within_p: NotRequired[float | None]
    control_effect: NotRequired[float]
    control_p: NotRequired[float | None]
    e_value: NotRequired[float | None]
    e_value_interval: NotRequired[float | None]


@_known
class InvariantRow(TypedDict):
    """A subset of modalities (none: the constant answer): whether its errors are the same in all environments."""

    modalities: list[str]
    p: float
    p_corrected: float
    accepted: bool


@_known
class Invariance(TypedDict):
    """Whether errors have the same distribution in all environments: the values of a fact, or the groups.

    ``sizes``: items of each environment that is compared. ``invariant``: modalities that are in every accepted subset.
    ``reason``: why it cannot be told; empty where it can.
    """

    environments: str
    sizes: dict[str, int]
    subsets: list[InvariantRow]
    invariant: list[str]
    reason: str


@_known
class DataFacts(TypedDict):
    """Items that were not used, by reason, and how often each stream is missing."""

    dropped: dict[str, int]
    missing_streams: dict[str, int]
    recordings: NotRequired[int]
    new: NotRequired[int]


@_known
class Size(TypedDict):
    """How many items of how many groups; None where it is not known."""

    items: int
    groups: int | None


@_known
class FoldFacts(TypedDict):
    """Sizes of a fold's parts; ``seen``: how many test groups were in training or validation."""

    name: str
    train: Size
    valid: Size | None
    test: Size
    seen: int | None


@_known
class Parts(TypedDict):
    """The folds, and whether the corpus names groups."""

    folds: list[FoldFacts]
    named_groups: bool


@with_config(ConfigDict(extra="allow"))
class Curve(TypedDict):
    """The epochs of a replicate; other columns of its log are lists beside these, those of a modality as
    ``NAME.modality`` (`plait.training.monitor`)."""

    replicate: NotRequired[str]
    epoch: NotRequired[list[float | None]]
    train_loss: NotRequired[list[float | None]]
    valid: NotRequired[list[float | None] | None]


@_known
class TrainingWarning(TypedDict):
    """What a modality did while a replicate was trained, in words, with the epoch from which on (the first is 1)."""

    replicate: str
    kind: Literal["learns nothing", "is memorised", "starves the rest"]
    modality: str
    epoch: int
    text: str


@_known
class Training(TypedDict):
    """Curves, one per replicate, and warnings."""

    seeds: list[Curve]
    warnings: NotRequired[list[TrainingWarning]]


class Ratio(TypedDict):
    """One loss over another, and the interval of their ratio."""

    ratio: float | None
    interval: IntervalRow


class Verdict(Ratio):
    """Whether other streams help to forecast one beside its own past, and which.

    ``ratio`` is the loss of all streams over that of the own one; ``each`` that of all over all but one. ``deletion``:
    how far the forecast moves without a stream that is named, over how far it moves without one that is not.
    """

    target: str
    helps: bool
    which: list[str]
    each: dict[str, Ratio]
    deletion: NotRequired[Ratio]


@_known
class MediationRow(TypedDict):
    """A stream exchanged for that of another item: the share of the effect that goes via another stream's tokens.

    ``total``: root mean square of the change of the outputs. ``direct`` and ``via`` add up to 1; ``via_alone``: where
    nothing but these tokens is exchanged.
    """

    modality: str
    via: str
    items: int
    total: float
    direct: Ratio
    share: Ratio
    via_alone: float | None


@_known
class Mediation(TypedDict):
    """Shares of effects that go via the tokens of other streams; ``reason``: why it cannot be told."""

    rows: list[MediationRow]
    reason: str


class Evaluation(TypedDict):
    """The evaluation of a run: all that the report shows.

    ``subsets`` has a row for each subset of the modalities, all together last. Keys that a run does not have are
    missing, such as ``confusion`` for values. Sections of your own may be added.
    """

    version: Literal[1]
    run: str
    corpus: str
    task: TaskFacts
    modalities: list[str]
    items: int
    groups: int
    seeds: list[int]
    folds: list[str]
    baseline: Baseline
    rivals: NotRequired[dict[str, Baseline]]
    verdicts: NotRequired[list[Verdict]]
    intervals: IntervalFacts
    subsets: list[SubsetRow]
    best_single: BestSingle | None
    gain_over_best_single: float | None
    gain_interval: IntervalRow | None
    contributions: list[Contribution]
    interactions: NotRequired[list[Interaction]]
    item_shares: NotRequired[ItemShares]
    information: NotRequired[list[Information]]
    dependence: NotRequired[Dependence]
    gain_over_constant: Gain
    per_group: list[GroupRow]
    slices: NotRequired[list[SliceRow]]
    robustness: Robustness
    data: DataFacts
    per_class: NotRequired[list[ClassRow]]
    confusion: NotRequired[Confusion]
    calibration: NotRequired[Calibration]
    abstention: NotRequired[Abstention]
    conformal: NotRequired[Conformal]
    scatter: NotRequired[Scatter]
    examples: NotRequired[list[Example]]
    deletion: NotRequired[Deletion]
    faithfulness: NotRequired[list[Faithfulness]]
    swaps: NotRequired[list[SwapRow]]
    shortcuts: NotRequired[list[ShortcutRow]]
    mediation: NotRequired[Mediation]
    invariance: NotRequired[Invariance]
    claim: NotRequired[WorldClaim]
    parts: NotRequired[Parts]
    training: NotRequired[Training]
    sync: NotRequired[list[dict[str, object]]]
    unfinished: NotRequired[list[str]]
    recipe_yaml: NotRequired[str]
    versions: NotRequired[dict[str, str]]
    date: NotRequired[str]


_ADAPTER = TypeAdapter(Evaluation)


def evaluation_schema() -> dict[str, object]:
    """The JSON schema of an evaluation."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_ADAPTER.json_schema()}


def to_json(evaluation: Evaluation) -> str:
    """The text of ``evaluation.json``."""
    return json.dumps(evaluation, ensure_ascii=False, indent=1)


def read_evaluation(path: str | Path) -> Evaluation:
    """An evaluation as `plait evaluate` wrote it: a file, or a folder with ``evaluation.json``.

    Raises:
        DataError: it is not JSON, not an evaluation, or of another version; the message says what to do.
        OSError: it cannot be read.
    """
    found = read_versioned(
        path, _ADAPTER, file="evaluation.json", what="evaluation", key="subsets", version=VERSION, make="evaluate RUN"
    )
    return cast(Evaluation, found)


def read_versioned(
    path: str | Path, adapter: TypeAdapter[T], *, file: str, what: str, key: str, version: int, make: str
) -> dict[str, object]:
    """A JSON object with a ``version`` and known types, of a file or of a folder that holds it.

    Args:
        path: the file, or the folder.
        adapter: its types.
        file: its name in a folder.
        what: its kind, for messages.
        key: a key that every version of it has.
        version: the version that is read.
        make: arguments of the plait command that makes it anew, for messages.

    Raises:
        DataError: it is not JSON, of another kind, version or type; the message says what to do.
        OSError: it cannot be read.
    """
    place = Path(path)
    place = place / file if place.is_dir() else place
    again = f"Make it anew with: plait {make}"
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{place}: no JSON ({brief(error, 100)}). {again}") from error
    if not isinstance(found, dict) or key not in found:
        raise DataError(f"{place}: no {what}: got {brief(found, 60)}; expected an object with {key!r}. {again}")
    # The version comes before the types: a file of another version would fail them with a page of errors.
    if found.get("version") != version:
        got = found.get("version", "none, so that it is from an older plait")
        raise DataError(f"{place}: version {got}; expected {version}. {again}")
    try:
        # Strict, since JSON has types of its own: a number as text is a mistake, not a number.
        adapter.validate_python(found, strict=True)
    except ValidationError as error:
        raise DataError([f"{place}: {told(one)}. {again}" for one in error.errors()[:10]]) from error
    return found  # with what else the user put into it


def told(error: ErrorDetails) -> str:
    """One error of pydantic: where, what was got, what is expected."""
    where = ".".join(map(str, error["loc"]))
    return f"{where}: got {brief(error['input'], 60)}; {error['msg'][:1].lower()}{error['msg'][1:]}"
