"""Which names of plait are public, and where each is defined: read from the sources, nothing is imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"

ORDER = [
    "plait",
    "plait.streams",
    "plait.readers",
    "plait.corpus",
    "plait.importing",
    "plait.quality",
    "plait.clocks",
    "plait.align",
    "plait.segment",
    "plait.transforms",
    "plait.features",
    "plait.store",
    "plait.interchange",
    "plait.recipe",
    "plait.examples",
    "plait.tokens",
    "plait.encoders",
    "plait.fusion",
    "plait.multiview",
    "plait.augmentations",
    "plait.tasks",
    "plait.models",
    "plait.training",
    "plait.evaluation",
    "plait.metrics",
    "plait.report",
    "plait.comparison",
    "plait.prediction",
    "plait.serving",
    "plait.catalogue",
    "plait.testing",
    "plait.demo",
    "plait.cli",
    "plait.core",
]
"""Pages of the reference in the order of the data's way; a package that does not stand here comes last."""


@dataclass
class Module:
    """A module with public names.

    Attributes:
        name: dotted.
        what: its docstring.
        own: the public names that it defines.
        others: the public names that it only passes on, and where each comes from.
    """

    name: str
    what: str
    own: list[str] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)


def page_of(module: str) -> str:
    """The page that a module stands on: its package of the first level.

    >>> page_of("plait.transforms.noise.power")
    'plait.transforms'
    """
    return ".".join(module.split(".")[:2])


@cache
def modules() -> list[Module]:
    """Every module that is not private, in the order of the reference."""
    found = []
    for path in sorted((SOURCES / "plait").rglob("*.py")):
        parts = list(path.relative_to(SOURCES).with_suffix("").parts)
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            found.append(_read(".".join(parts), path))
    place = {name: i for i, name in enumerate(ORDER)}
    return sorted(found, key=lambda m: (place.get(page_of(m.name), len(place)), m.name))


def _read(name: str, path: Path) -> Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = Module(name, ast.get_docstring(tree) or "")
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for public in _all_of(tree):
        if public in imported:
            module.others[public] = imported[public]
        else:
            module.own.append(public)
    return module


def _all_of(tree: ast.Module) -> list[str]:
    """What ``__all__ = [...]`` and ``__all__ += [...]`` list."""
    names: list[str] = []
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            names += ast.literal_eval(node.value)  # type: ignore[attr-defined]
    return names


@cache
def pages() -> dict[str, list[Module]]:
    """The modules of each page of the reference that have something public, in order."""
    found: dict[str, list[Module]] = {}
    for module in modules():
        if module.own or module.others or (module.name == page_of(module.name) and module.what):
            found.setdefault(page_of(module.name), []).append(module)
    return {page: ms for page, ms in found.items() if any(m.own or m.others for m in ms)}


def public_names() -> list[str]:
    """Every public name, with the module that makes it public."""
    return [f"{m.name}.{n}" for m in modules() for n in (*m.own, *m.others)]
