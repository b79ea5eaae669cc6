"""Parts by name: found beside their base, checked before anything runs, written back with all defaults.

A part (reader, feature, encoder, fusion, task ...) is a concrete subclass standing beside its abstract
base. Its recipe name is its module-level class name in snake_case; its options are its keyword-only
arguments. There is no registry: a new file is a new part.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, TypeVar

from plait.core.errors import ConfigError, PartNotFound, PlaitError, raise_all
from plait.core.options import option_problems
from plait.core.safe_yaml import brief

__all__ = [
    "Options",
    "Spec",
    "build",
    "find",
    "foreign_code",
    "full_spec",
    "options_of",
    "part_name",
    "parts",
    "permitted",
    "rescan",
    "suggest",
]

T = TypeVar("T")
Job = TypeVar("Job")
Result = TypeVar("Result")

_foreign_code: ContextVar[bool] = ContextVar("foreign_code", default=True)


@contextmanager
def foreign_code(allowed: bool) -> Iterator[None]:
    """Whether dotted names may import modules from outside plait in this block.

    Importing a module runs it. The author of a recipe may name any module; a run or a model that comes from elsewhere
    may not choose what runs here, unless the caller allows it.

    >>> class Base: ...
    >>> with foreign_code(False):
    ...     find(Base, "antigravity.Part", "fusion")
    Traceback (most recent call last):
    plait.core.errors.PartNotFound: fusion: 'antigravity.Part' is code from outside plait, ...
    """
    token = _foreign_code.set(allowed)
    try:
        yield
    finally:
        _foreign_code.reset(token)


def permitted(work: Callable[[Job], Result]) -> Callable[[Job], Result]:
    """A job's function for another process, in which dotted names may import what they may import here."""
    return partial(_within, _foreign_code.get(), work)


def _within(allowed: bool, work: Callable[[Job], Result], job: Job) -> Result:
    with foreign_code(allowed):
        return work(job)


Options = dict[str, Any]
"""What a recipe or a saved file holds by name: values of YAML or JSON."""

Spec = str | Mapping[str, Any]


def part_name(cls: type) -> str:
    """The recipe's name of a class: its name in snake_case.

    >>> part_name(type("LogMel", (), {}))
    'log_mel'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


def parts(base: type[T]) -> dict[str, type[T]]:
    """Every concrete subclass of ``base`` in the package of ``base``, by name, sorted."""
    return dict(_scan(base))  # type: ignore[arg-type]  # mypy: a type variable's type is hashable too


def rescan() -> None:
    """Look for parts anew: a file was added while Python runs."""
    importlib.invalidate_caches()
    _scan.cache_clear()


@cache
def _scan(base: type[object]) -> dict[str, type[object]]:
    package_name = base.__module__
    module = importlib.import_module(package_name)
    # A base is defined in its package's __init__, or in a file of the package.
    if not hasattr(module, "__path__"):
        package_name = package_name.rpartition(".")[0]
        module = importlib.import_module(package_name)
    found: dict[str, type[object]] = {}
    for info in pkgutil.iter_modules(module.__path__):
        for thing in vars(importlib.import_module(f"{package_name}.{info.name}")).values():
            # A module also holds what it imports; parts of other packages are not parts of this one.
            if _is_part(thing, base) and thing.__module__.startswith(package_name):
                found[part_name(thing)] = thing
    return dict(sorted(found.items()))


def _is_part(thing: object, base: type) -> bool:
    return (
        inspect.isclass(thing)
        and issubclass(thing, base)
        and not inspect.isabstract(thing)
        and not thing.__name__.startswith("_")
    )


RENAMED: dict[str, tuple[str, ...]] = {
    "balance": ("temperature_scaling",),
    "distil": ("modality_distillation",),
    "drop": ("modality_dropout",),
    "heart": ("hrv",),
    "jitter": ("gaussian_noise",),
    "level": ("normalization",),
    "modulate": ("ogm_ge",),
    "own": ("unimodal_heads",),
    "reach": ("receptive_field",),
    "scale": ("random_gain", "normalization_groups"),
    "share": ("probability", "mask_ratio"),
    "skin_conductance": ("eda",),
    "span": ("mask_span",),
    "steps": ("preprocess", "time_bins"),
    "teach": ("self_distillation",),
    "unimodal": ("unimodal_weight",),
    "warp": ("crop_resize",),
    "width": ("projection_dim",),
}
"""Former names, and the names that replace them in different places."""


def suggest(word: str, known: Iterable[str]) -> str:
    """'Did you mean ...?' or the list of known names; for a former name its present one.

    >>> suggest("epocs", ["epochs", "seed"])
    "Did you mean 'epochs'?"
    >>> suggest("teach", ["self_distillation", "epochs"])
    "It is called 'self_distillation' now."
    """
    names = sorted(known)
    if now := [name for name in RENAMED.get(word, ()) if name in names]:
        return f"It is called {now[0]!r} now."
    close = difflib.get_close_matches(word, names, 1)
    return f"Did you mean {close[0]!r}?" if close else f"There is: {', '.join(names) or 'nothing'}."


def split_spec(spec: Spec, where: str) -> tuple[str, dict[str, object]]:
    """A part's name and options, of ``name`` or ``{name: ..., option: ...}``."""
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, Mapping) and isinstance(name := spec.get("name"), str):
        return name, {k: v for k, v in spec.items() if k != "name"}
    raise ConfigError(f"{where}: got {brief(spec)}; expected a name, or a mapping with the key 'name' and options.")


def find(base: type[T], spec: Spec, where: str) -> tuple[type[T], dict[str, object]]:
    """The class that a spec names and the options that it gives, both checked.

    A dotted name (``mylab.fusions.Mine``) is imported, so that users' own classes need no registration; what is loaded
    from elsewhere may not do so (see `foreign_code`).

    Raises:
        ConfigError: no such part, an option that it does not have, or a value that the option cannot have; all at
            once.
    """
    name, options = split_spec(spec, where)
    if "." in name:
        cls = _dotted(base, name, where)
    else:
        known = parts(base)
        if name not in known:
            raise ConfigError(f"{where}: there is no {base.__name__.lower()} {name!r}. {suggest(name, known)}")
        cls = known[name]
    check_options(cls, options, where, name)
    return cls, options


def check_options(cls: type, options: Mapping[str, object], where: str, name: str) -> None:
    """Whether a class can be constructed with options.

    Raises:
        ConfigError: an option that it does not have, or a value that the option cannot have; all at once.
    """
    allowed = options_of(cls)
    problems = [
        f"{where}.{key}: {name} has no such option. {suggest(key, allowed)}" for key in options if key not in allowed
    ]
    raise_all(ConfigError, problems + option_problems(cls, options, where))


def _dotted(base: type[T], name: str, where: str) -> type[T]:
    module, _, attribute = name.rpartition(".")
    if not all(word.isidentifier() for word in name.split(".")):
        raise ConfigError(f"{where}: {brief(name)} is not the dotted path of a class, such as mylab.fusions.Mine.")
    if not _foreign_code.get() and module.split(".")[0] != "plait":
        raise PartNotFound(
            f"{where}: {name!r} is code from outside plait, which a run, a model or a manifest that is loaded may not "
            "choose. If you trust where it comes from, allow it with --allow-code (in Python: Run(FOLDER, "
            "allow_code=True))."
        )
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module may do anything while it is imported
        raise PartNotFound(f"{where}: cannot import {name!r} ({error}). Is it on the Python path?") from error
    if not (inspect.isclass(cls) and issubclass(cls, base) and not inspect.isabstract(cls)):
        raise ConfigError(f"{where}: {name} is not a concrete subclass of {base.__module__}.{base.__name__}.")
    return cls


def options_of(cls: type) -> dict[str, object]:
    """The options that the user decides (keyword-only arguments) and their defaults; None for those without one."""
    return dict(_options_of(cls))


@cache  # called for every file that is opened
def _options_of(cls: type) -> dict[str, object]:
    signature = inspect.signature(cls)
    return {
        p.name: None if p.default is inspect.Parameter.empty else p.default
        for p in signature.parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }


def build(base: type[T], spec: Spec, *data: object, where: str) -> T:
    """Construct the part that ``spec`` names; ``data`` are the arguments that the data decide.

    Raises:
        ConfigError: as `find`; or the part refuses its options.
    """
    cls, options = find(base, spec, where)
    try:
        return cls(*data, **options)
    except (PlaitError, MemoryError):
        raise
    except Exception as error:  # whatever it is, the options are the cause: all else comes from the data
        reason = brief(error, 200) or type(error).__name__
        raise ConfigError(f"{where}: {part_name(cls)} does not take {brief(options, 200)} ({reason}).") from error


def full_spec(base: type, spec: Spec, where: str) -> dict[str, object]:
    """A spec with every default written out, as a saved run keeps it."""
    cls: type
    cls, options = find(base, spec, where)
    name = split_spec(spec, where)[0]
    return {"name": name, **options_of(cls), **options}
