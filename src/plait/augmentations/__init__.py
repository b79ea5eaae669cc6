"""Augmentations: what training varies, and evaluation never. One file a kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar, NamedTuple

from torch import Tensor

from plait.core.errors import ConfigError, gathering, raise_all
from plait.core.parts import build, find, full_spec, options_of, parts, suggest
from plait.tokens.tokens import Tokens

__all__ = ["Augmentation", "Setting", "Vary", "full_augmentation"]


class Setting(NamedTuple):
    """What is known of a batch beside its features.

    Attributes:
        regular: the modalities on a grid.
        spread: the standard deviations of a modality's features, [dim], in their units.
    """

    regular: Collection[str]
    spread: Callable[[str], Tensor]


class Augmentation(ABC):
    """Varies the features of a batch, drawn anew each time by torch's own generator, which the trainer seeds.

    In a recipe it stands under its name in ``augment``: with its options, or a bare number for the first of them; 0,
    false or null leave it out. Where it is not ``shared``, all of this stands below the modalities that it is for:
    ``rotate: {skeleton: {axis: y, degrees: 30}}``.
    """

    shared: ClassVar[bool] = False
    """Whether one draw varies all modalities of an item alike."""

    rank: ClassVar[int] = 50
    """Of several the one with the smaller number comes first."""

    @abstractmethod
    def __call__(self, batch: Mapping[str, Tokens], setting: Setting) -> dict[str, Tokens]:
        """The batch, varied.

        Args:
            batch: features [batch, time, dim] by modality; one that is not ``shared`` gets one modality at a time.
            setting: what else is known.
        """


class Vary:
    """All augmentations of a recipe, one after another.

    Args:
        spec: by name, as a recipe has them.

    Raises:
        ConfigError: an unknown augmentation, or an option that it does not have; all at once.

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
        self.parts.sort(key=lambda pair: pair[0].rank)

    def __call__(self, batch: Mapping[str, Tokens], setting: Setting) -> dict[str, Tokens]:
        found = dict(batch)
        for part, modality in self.parts:
            if modality is None:
                found = part(found, setting)
            elif modality in found:
                found |= part({modality: found[modality]}, setting)
        return found

    @property
    def chosen(self) -> bool:
        """Whether the recipe says of any modality how it varies; what is shared, all vary by."""
        return any(modality is not None for _, modality in self.parts)


def full_augmentation(name: str, value: object) -> object:
    """What a recipe says of an augmentation, with every default written out.

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
    """The modalities that an augmentation is for (None: all of them), and its options for each."""
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
    """Of a mapping itself, of a number the first option; None where it is left out."""
    if isinstance(value, Mapping):
        return dict(value)
    if not value:
        return None
    if value is True:
        return {}
    if isinstance(value, int | float):
        return {next(iter(options_of(cls))): value}
    raise ConfigError(f"{where}: got {value!r}; expected options, or a number.")
