"""XML without surprises: no entities are expanded, nothing is fetched, names without their prefixes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from plait.core.errors import DataError

__all__ = ["elements", "tree"]

_BLOCK = 1 << 16
_DEEPEST = 100


def tree(path: Path) -> Element:
    """The root of a file, tags and attributes without namespace prefixes.

    Raises:
        DataError: not well-formed (with the line), nested deeper than 100, or with a document type of its own.
    """
    (root,) = list(elements(path, None))
    return root


def elements(path: Path, *tags: str | None, ends: tuple[str, ...] = ()) -> Iterator[Element]:
    """The elements with these tags, each when it ends, in constant memory; with None the root alone.

    For elements around them whose tag is in ``ends``, an empty element follows when they end. Each element has an
    attribute ``line``: where it begins (those of ``ends``: where they end).
    """
    builder = _Builder(path, tags, ends)
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                builder.feed(block)
                yield from builder.take()
            builder.feed(b"", True)
            yield from builder.take()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Correct the path or the file.") from error


class _Builder:
    """Collects the wanted elements while the file is parsed."""

    def __init__(self, path: Path, tags: tuple[str | None, ...], ends: tuple[str, ...]) -> None:
        self._path, self._tags, self._ends = path, tags, ends
        self._depth, self._inside = 0, 0
        self._tree = TreeBuilder()
        self._done: list[Element] = []
        self._parser = expat.ParserCreate()
        # Otherwise expat hands text over line by line.
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data
        # Entities can expand to gigabytes ("billion laughs") or read other files.
        self._parser.EntityDeclHandler = self._refuse
        self._parser.ExternalEntityRefHandler = self._refuse

    def feed(self, block: bytes, last: bool = False) -> None:
        try:
            self._parser.Parse(block, last)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise self._error(f"is no well-formed XML ({error})") from error

    def take(self) -> list[Element]:
        done, self._done = self._done, []
        return done

    def _error(self, what: str) -> DataError:
        return DataError(f"{self._path}:{self._parser.CurrentLineNumber}: {what}. Get a whole copy, or export it anew.")

    def _refuse(self, *args: object) -> int:
        raise self._error("defines entities, which are not read")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"is nested deeper than {_DEEPEST}")
        tag = name.rpartition(":")[2]
        if self._inside or tag in self._tags or None in self._tags:
            if not self._inside:
                attributes["line"] = str(self._parser.CurrentLineNumber)
            self._inside += 1
            self._tree.start(tag, {k.rpartition(":")[2]: v for k, v in attributes.items()})

    def _data(self, text: str) -> None:
        if self._inside:
            self._tree.data(text)

    def _end(self, name: str) -> None:
        self._depth -= 1
        tag = name.rpartition(":")[2]
        if not self._inside and tag in self._ends:
            self._done.append(Element(tag, {"line": str(self._parser.CurrentLineNumber)}))
        elif self._inside:
            self._tree.end(tag)
            self._inside -= 1
            if not self._inside:
                self._done.append(self._tree.close())
                self._tree = TreeBuilder()
