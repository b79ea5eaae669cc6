"""Pages of the site that are not files under docs/: the start, the changelog, the tutorials and the reference."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from public import ROOT, Module, modules, pages

COMMANDS, PARTS = "reference/commands.md", "reference/parts.md"
OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./(?:benchmarks|examples|recipes)/[^)]*\)")
NOTEBOOK = re.compile(r"\]\(([\w./-]+)\.ipynb(#[\w-]+)?\)(?!\*)")
NAME = re.compile(r"(?<![`\[])`(plait(?:\.\w+)+)`(?![`\]])")


def on_config(config: Any) -> Any:
    """Put the pages of the reference into the navigation."""
    listed = [{"Commands": COMMANDS}, {"Parts by name": PARTS}, *({page: f"reference/{page}.md"} for page in pages())]
    config["nav"] = [{"Reference": listed} if entry == {"Reference": "REFERENCE"} else entry for entry in config["nav"]]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    made = {
        "index.md": start(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        COMMANDS: commands(),
        PARTS: parts(),
        **{f"reference/{page}.md": reference(page, found) for page, found in pages().items()},
    }
    for path in sorted((ROOT / "docs/tutorials").glob("*.ipynb")):
        made[f"tutorials/{path.stem}.md"] = tutorial(path)
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Make links of the public names in running text, and plain code of links to files that are not in the site."""
    known = known_names()
    lines, fenced = [], False
    for line in markdown.split("\n"):
        fenced ^= line.lstrip().startswith("```")
        if not fenced and not line.startswith("#"):
            line = OUTSIDE.sub(r"\1", line)
            line = NOTEBOOK.sub(r"](\1.md\2)", line)
            line = NAME.sub(lambda m: linked(m[0], m[1], known), line)
        lines.append(line)
    return "\n".join(lines)


def linked(shown: str, name: str, known: dict[str, str]) -> str:
    """A link to the entry of a name, or to that of the class whose method it is; the name itself where neither is."""
    home = known.get(name) or known.get(name.rpartition(".")[0] if name.rpartition(".")[0] != "plait" else "")
    is_class = home and home.rpartition(".")[2][:1].isupper()
    return f"[{shown}][{home}]" if home and (name in known or is_class) else shown


@cache
def known_names() -> dict[str, str]:
    """Where the entry of each public name, and of each module that has some, is."""
    own = {f"{m.name}.{n}" for m in modules() for n in m.own}
    passed = {f"{m.name}.{n}": home for m in modules() for n, home in m.others.items()}
    found = {m.name: m.name for page in pages().values() for m in page} | {name: name for name in own}
    for name, home in passed.items():
        while home in passed:
            home = passed[home]
        if home in own:
            found[name] = home
    return found


def start() -> str:
    """The README, as the first page."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.replace("](docs/", "](").replace("](CHANGELOG.md)", "](changelog.md)")


def reference(page: str, found: list[Module]) -> str:
    """One page of the reference: the package first, then its modules."""
    lines = [] if found[0].name == page else [f"# {page}", ""]
    for module in found:
        own = ", ".join(json.dumps(n) for n in module.own)
        lines += [
            f"::: {module.name}",
            "    options:",
            f"      heading_level: {1 if module.name == page else 2}",
            "      show_root_full_path: true",
            f"      members: [{own}]" if own else "      members: false",
            "",
            *(table(module) if module.others else []),
        ]
    return "\n".join(lines)


def table(module: Module) -> list[str]:
    """The names that a module passes on, each with a link to where it is described."""
    told = known_names()
    lines = ["", "| name | described as |", "|---|---|"]
    for name, origin in module.others.items():
        path = f"{module.name}.{name}"
        home = told.get(path)
        link = f"[`{home}`][{home}]" if home else f"`{origin}`"
        lines.append(f'| <span id="{path}"></span>`{path}` | {link} |')
    return [*lines, ""]


def commands() -> str:
    """The help of every command, as it prints it."""
    from plait.cli import commands as known

    lines = ["# Commands", "", "`plait COMMAND --help` prints what stands here.", ""]
    for name, module in known().items():
        lines += [f"## plait {name}", "", f"{module.HELP[0].upper()}{module.HELP[1:]}.", "", "```text"]
        lines += [help_of(name), "```", ""]
    return "\n".join(lines)


def help_of(command: str) -> str:
    """What ``plait COMMAND --help`` prints."""
    from plait.cli import main

    printed = io.StringIO()
    with columns(88), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return printed.getvalue().strip()


@contextlib.contextmanager
def columns(width: int) -> Iterator[None]:
    """The width that argparse believes the terminal to have; no colours."""
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR")}
    os.environ.update(COLUMNS=str(width), NO_COLOR="1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def parts() -> str:
    """Everything that a recipe or an option can name."""
    from plait.catalogue import SORTS, base_of
    from plait.core.parts import options_of
    from plait.core.parts import parts as classes

    told = known_names()
    bases = {sort: base_of(sort) for sort in SORTS}
    lines = ["# Parts by name", "", "What a recipe or an option can name, as `plait list` shows it.", ""]
    for sort, base in bases.items():
        home = f"`{base.__module__}.{base.__qualname__}`"
        lines += [f"## {sort.capitalize()}", "", f"Base class: {home}.", ""]
        lines += ["| name | what | options |", "|---|---|---|"]
        for name, cls in classes(base).items():
            path = f"{cls.__module__}.{cls.__qualname__}"
            shown = f"[`{name}`][{path}]" if path in told else f"`{name}`"
            options = "<br>".join(f"`{k}: {_shown(v)}`" for k, v in options_of(cls).items())
            what = (cls.__doc__ or "").strip().split("\n")[0]
            lines.append(f"| {shown} | {_cell(what)} | {_cell(options)} |")
        lines.append("")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) < 60 else f"{text[:57]}..."


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def tutorial(path: Path) -> str:
    """A notebook as a page: its text, its code, and the file to take along."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    blocks = []
    for cell in cells:
        source = "".join(cell["source"])
        blocks.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    blocks.insert(1, f"*To run it, take the notebook: [{path.name}]({path.name})*")
    return "\n\n".join(blocks) + "\n"
