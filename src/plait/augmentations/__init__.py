"""Augmentations: random variations of features in training, never in evaluation. One file per kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar, NamedTuple

from torch import Tensor

from plait.core.errors import ConfigError, gathering, raise_all
from plait.core.parts import build, find, full_spec, options_of, parts, suggest
from plait.tokens import Instants, Tokens

__all__ = ["Augmentation", "Setting", "Varied", "Vary", "full_augmentation"]


class Setting(NamedTuple):
    """Properties of a batch beside its features.

    Attributes:
        regular: the modalities on a grid.
        spread: from a modality to the standard deviations of its features, [dim], in their units.
        at: the instants at which answers are wanted; None in a task that answers once per item.
    """

    regular: Collection[str]
    spread: Callable[[str], Tensor]
    at: Instants | None = None


class Varied(dict[str, Tokens]):
    """A varied batch.

    Attributes:
        at: the instants, moved with what was recorded at them, so that targets stay at their words or events. Those
            whose content was cut off have a False mask.
    """

    at: Instants | None = None


class Augmentation(ABC):
    """Varies the features of a batch at random, each time anew, with torch's global generator, which the trainer seeds.

    In a recipe, its name stands in ``augment`` with its options, or with a number for the first option; 0, false or
    null leave it out. If it is not ``shared``, each modality has its own options:
    ``rotate: {skeleton: {axis: y, degrees: 30}}``.
    """

    shared: ClassVar[bool] = False
    """Whether one random draw varies all modalities of an item together."""

    rank: ClassVar[int] = 50
    """Augmentations are applied in ascending order of rank."""

    @abstractmethod
    def __call__(self, batch: Mapping[str, Tokens], setting: Setting) -> dict[str, Tokens]:
        """The batch, varied. One that moves content in time moves the instants equally, and returns a `Varied`.

        Args:
            batch: features [batch, time, dim] by modality; only one modality if the class is not ``shared``.
            setting: properties of the batch.
        """


class Vary:
    """All augmentations of a recipe, one after another.

    Args:
        spec: options by name, as in a recipe.

    Raises:
        ConfigError: unknown augmentations or options; all at once.

    >>> vary = Vary({"random_gain": {"imu": 0.5}, "crop_resize": 0})
    >>> [(type(part).__name__, modality) for part, modality in vary.parts], vary.modalities
    ([('RandomGain', 'imu')], {'random_gain': ['imu']})
    """

    def __init__(self, spec: Mapping[str, object]) -> None:
        problems: list[str] = []
        self.parts: list[tuple[Augmentation, str | None]] = []
        self.modalities: dict[str, list[str]] = {}
        for name, value in spec.items():
            with gathering(problems):
                for modality, options in _each(name, value):
                    where = f"augment.{name}{f'.{modality}' if modality else ''}"
                    self.parts.append((build(Augmentation, {"name": name, **options}, where=where), modality))
                    self.modalities.setdefault(name, []).extend([modality] if modality else [])
        raise_all(ConfigError, problems)
        # A stable sort: of equal rank, the recipe's order decides.
        self.parts.sort(key=lambda pair: pair[0].rank)

    def __call__(self, batch: Mapping[str, Tokens], setting: Setting) -> Varied:
        found = dict(batch)
        for part, modality in self.parts:
            if modality is None:
                found = part(found, setting)
                setting = setting._replace(at=found.at) if isinstance(found, Varied) else setting
            elif modality in found:
                found |= part({modality: found[modality]}, setting)
        varied = Varied(found)
        varied.at = setting.at
        return varied

    @property
    def chosen(self) -> bool:
        """Whether the recipe chooses augmentations for single modalities; shared ones apply to all."""
        return any(modality is not None for _, modality in self.parts)


def full_augmentation(name: str, value: object) -> object:
    """The options of an augmentation in a recipe, with all defaults written out.

    >>> full_augmentation("rotate", {"imu": 30})
    {'imu': {'degrees': 30, 'axis': 'any'}}
    """
    full = {
        modality: {
            k: v
            for k, v in full_spec(Augmentation, {"name": name, **options}, where=f"augment.{name}").items()
            if k != "name"
        }
        for modality, options in _each(name, value)
    }
    return full.get(None, full) or value


def _each(name: str, value: object) -> list[tuple[str | None, dict[str, object]]]:
    """The modalities of an augmentation (None: all of them), and its options for each."""
    # These two stand in `augment` too, but are read elsewhere: noise acts on raw streams, dropout on whole modalities.
    known = {*parts(Augmentation), "noise", "modality_dropout"}
    if "." not in name and name not in known:
        raise ConfigError(f"augment.{name}: there is no such augmentation. {suggest(name, known)}")
    cls = find(Augmentation, name, f"augment.{name}")[0]
    if cls.shared:
        return [(None, found) for found in [_options(cls, value, f"augment.{name}")] if found is not None]
    if not isinstance(value, Mapping):
        raise ConfigError(f"augment.{name}: got {value!r}; expected modalities, each with options: {{imu: ...}}.")
    pairs = [(str(m), _options(cls, own, f"augment.{name}.{m}")) for m, own in value.items()]
    return [(m, options) for m, options in pairs if options is not None]


def _options(cls: type[Augmentation], value: object, where: str) -> dict[str, object] | None:
    """A mapping as it is, a number as the first option; None where the augmentation is left out."""
    if isinstance(value, Mapping):
        return dict(value)
    if not value:
        return None
    # Before numbers: in Python True is an int.
    if value is True:
        return {}
    if isinstance(value, int | float):
        return {next(iter(options_of(cls))): value}
    raise ConfigError(f"{where}: got {value!r}; expected options, or a number.")
