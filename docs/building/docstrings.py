"""Plait's docstrings made ready for the reference: doctests become code, names become links."""

from __future__ import annotations

import ast
import re
from typing import Any

import griffe

CODE = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)(\(\))?`(?!`)")
SEVERAL = re.compile(r"(?m)^( {4})(\*{0,2}\w+(?:, (?:and )?\*{0,2}\w+)+): (.*(?:\n {8}.*)*)$")
FENCE = "```"


class Docstrings(griffe.Extension):
    """Rewrites the docstrings of a package once all of it is read, so that names are known wherever they stand."""

    def on_module_members(self, *, node: Any, mod: griffe.Module, **_: Any) -> None:
        """Several names of one assignment (``A, B = 1, 2``) are attributes too; griffe passes them by."""
        for statement in getattr(node, "body", ()):
            if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple)):
                continue
            names = [t.id for t in statement.targets[0].elts if isinstance(t, ast.Name)]
            values = statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value] * len(names)
            for name, value in zip(names, values):
                shown = ast.unparse(value)
                attribute = griffe.Attribute(name, value=shown, lineno=statement.lineno, endlineno=statement.end_lineno)
                attribute.labels.add("module-attribute")
                mod.set_member(name, attribute)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        known = set(_documented(pkg))
        for obj in _all(pkg):
            if obj.docstring:
                obj.docstring.value = _ready(obj.docstring.value, obj, known)


def _all(obj: griffe.Object) -> list[griffe.Object]:
    found = [obj]
    for member in obj.members.values():
        if not member.is_alias:
            found += _all(member)  # type: ignore[arg-type]
    return found


def _documented(pkg: griffe.Module) -> list[str]:
    """Paths of all that the reference has an entry for: modules, their public names, and those names' members."""
    found = []
    for module in (o for o in _all(pkg) if o.is_module and "._" not in o.path):
        exports = [str(e) for e in module.exports or ()]
        here = [module.members[e] for e in exports if e in module.members and not module.members[e].is_alias]
        found += [module.path] if exports else []
        for one in here:
            inner = (o for o in _all(one) if o.has_docstring and not o.name.startswith("_"))
            found += [one.path, *(o.path for o in inner)]
    return found


def _ready(text: str, obj: griffe.Object, known: set[str]) -> str:
    lines: list[str] = []
    inside = indent = None
    for line in text.splitlines():
        stripped = line.strip()
        if inside is None and stripped.startswith(">>>"):
            inside, indent = True, line[: len(line) - len(line.lstrip())]
            if lines and lines[-1].strip():
                lines.append("")
            lines.append(f"{indent}{FENCE}pycon")
        elif inside and not stripped:
            lines.append(f"{indent}{FENCE}")
            inside = None
        if inside:
            lines.append(line)
        else:
            lines.append(CODE.sub(lambda found: _link(found, obj, known), line))
    if inside:
        lines.append(f"{indent}{FENCE}")
    return _returns(SEVERAL.sub(_each, "\n".join(lines)), obj)


def _each(found: re.Match[str]) -> str:
    """An argument or attribute a line: what is said of several at once is said of each."""
    names = re.split(r", (?:and )?", found[2])
    return "\n".join(f"{found[1]}{name}: {found[3]}" for name in names)


def _link(found: re.Match[str], obj: griffe.Object, known: set[str]) -> str:
    path = _path(found[1], obj, known)
    return f"[{found[0]}][{path}]" if path and path != obj.path else found[0]


def _path(name: str, obj: griffe.Object, known: set[str]) -> str | None:
    """The documented path that a name in an object's docstring stands for: itself, or seen from the object outwards."""
    if name in known:
        return name
    first, _, rest = name.partition(".")
    scope: Any = obj
    while scope is not None:
        if f"{scope.path}.{name}" in known:
            return f"{scope.path}.{name}"
        member = scope.members.get(first) if hasattr(scope, "members") else None
        if member is not None and member.is_alias:
            for home in _homes(member):
                path = f"{home}.{rest}" if rest else home
                if path in known:
                    return path
        scope = None if scope.is_module else scope.parent
    return None


def _homes(alias: griffe.Alias) -> list[str]:
    """Where a name was imported from, and where that has it from in the end."""
    try:
        return [alias.target_path, alias.final_target.path]
    except griffe.GriffeError:
        return [alias.target_path]


def _returns(text: str, obj: griffe.Object) -> str:
    """What stands under "Returns:" is a sentence, colons and all: the type before it is that of the signature."""
    if not isinstance(obj, griffe.Function) or obj.returns is None:
        return text
    return re.sub(r"(?m)^(Returns:\n +)(?=\S)", lambda m: f"{m[1]}{obj.returns}: ", text, count=1)
