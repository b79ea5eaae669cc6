"""The error of a broken law. No torch here: the laws of readers use it too."""

from __future__ import annotations

__all__ = ["LawBroken", "require"]


class LawBroken(AssertionError):
    """A class breaks a law that other code relies on."""

    def __init__(self, cls: type, law: str, detail: str) -> None:
        self.law = law
        super().__init__(f"{cls.__module__}.{cls.__qualname__} breaks the law of {law}: {detail}")


def require(kept: bool, cls: type, law: str, detail: str) -> None:
    """Raise `LawBroken` unless ``kept``.

    >>> require(1 + 1 == 2, int, "addition", "1 + 1 is not 2")
    """
    if not kept:
        raise LawBroken(cls, law, detail)
