"""Trained models as files that answer without this package: one file per format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor
from torch.export import ExportedProgram

from plait.export.graph import Named

__all__ = ["ModelFormat"]


class ModelFormat(ABC):
    """One file format of models. The file is ``model`` and its name as ending."""

    least: ClassVar[int] = 1
    """Fewest rows of a modality that a file takes, masked ones too."""

    fixed: ClassVar[bool] = False
    """Whether sizes are fixed in a file: it holds a step of one item then, not a whole model."""

    @abstractmethod
    def write(self, graph: Named, program: ExportedProgram, path: Path) -> None:
        """Write the file.

        Args:
            graph: names of inputs and outputs.
            program: the graph, captured.
            path: the file.

        Raises:
            MissingExtra: a package is needed and not installed.
        """

    @abstractmethod
    def run(self, graph: Named, path: Path, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs of a written file, by the runtime that it is for."""
