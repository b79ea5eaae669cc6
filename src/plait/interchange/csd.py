"""Computational sequences of the CMU Multimodal SDK: one ``.csd`` (HDF5) per stream."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.atomic import replacing
from plait.core.names import Names
from plait.corpus.corpus import Corpus
from plait.interchange import Format, Moved
from plait.interchange.sample import Piece, Sample
from plait.streams.clock import Spans
from plait.streams.recording import Label

if TYPE_CHECKING:
    from h5py import Group

__all__ = ["Csd"]


class Csd(Format):
    """A folder with ``NAME.csd`` for each stream and ``TIER.csd`` for each tier of annotations.

    Each file holds ``NAME/data/RECORDING/features`` [n, dim] float32 (texts: bytes in UTF-8) and ``intervals`` [n, 2]
    in seconds, where an instant lasts until the next one; and ``NAME/metadata`` as the SDK expects it. Annotations
    whose labels are all numbers become numbers, others texts. What is lost is counted: labels of whole recordings,
    annotators, names with a slash.

    Source: Zadeh et al., "Multi-attention recurrent network for human communication comprehension", AAAI 2018, and the
    layout of CMU-MultimodalSDK's computational sequences. Such files are read by the reader ``csd``.
    """

    lacks = ("labels", "group", "split", "meta", "annotators")

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        import h5py

        out.mkdir()
        streams = {name for entry in corpus.entries for name in entry.streams}
        # All files stay open to the end: a recording adds to every one of them.
        with ExitStack() as stack:
            folder = _Folder(h5py, out, stack)
            for sample in found:
                pieces = {name: piece for name, piece in sample.streams.items() if len(piece.values)}
                moved.note("streams without observations", len(sample.streams) - len(pieces))
                for name, piece in pieces.items():
                    folder.put((name,), sample.id, _values(piece, moved), _intervals(piece))
                    moved.note("clocks of instants (now intervals up to the next)", not isinstance(piece.clock, Spans))
                for tier in dict.fromkeys(a.tier for a in sample.annotations):
                    own = sorted((a for a in sample.annotations if a.tier == tier), key=lambda a: a.start)
                    own_name = (tier, "annotations") if tier in streams else (tier,)
                    spans = [(a.start, a.stop) for a in own]
                    folder.put(own_name, sample.id, _labels([a.label for a in own], moved), spans)
                moved.note("names that HDF5 cannot hold (of recordings)", folder.ids.of(sample.id) != sample.id)
                moved.note("recordings without a stream or an annotation", not pieces and not sample.annotations)


class _Folder:
    """Files of sequences, made when they are needed."""

    def __init__(self, h5py: ModuleType, out: Path, stack: ExitStack) -> None:
        self._h5py, self._out, self._stack = h5py, out, stack
        self._data: dict[tuple[str, ...], Group] = {}
        self._names, self.ids = Names(), Names(_group_name, exact=True)
        self._roots = Names(_group_name, joint=" ", exact=True)

    def put(self, name: tuple[str, ...], id: str, values: NDArray[np.generic], intervals: ArrayLike) -> None:
        """Add a recording to a sequence."""
        if name not in self._data:
            part = self._stack.enter_context(replacing(self._out / f"{self._names.of(*name)}.csd"))
            file = self._stack.enter_context(self._h5py.File(part, "w"))
            root = self._roots.of(*name)
            # As bytes: for names marked as UTF-8 HDF5 stores a group in a form that fewer readers know.
            _metadata(self._h5py, file.create_group(root.encode()), root, self._out.name)
            self._data[name] = file[root.encode()]["data"]
        group = self._data[name].create_group(self.ids.of(id).encode())
        group.create_dataset("features", data=values)
        group.create_dataset("intervals", data=np.asarray(intervals, np.float64).reshape(-1, 2))


def _group_name(name: str) -> str:
    """A name for HDF5, where a slash means a group within a group, and a dot alone the group itself."""
    plain = re.sub("[/\x00\ud800-\udfff]", "_", name)
    return plain.replace(".", "_") if set(plain) <= {"."} else plain


def _values(piece: Piece, moved: Moved) -> NDArray[np.generic]:
    if piece.words:
        return _bytes(piece.values, moved)
    return np.asarray(piece.values, np.float32)


def _labels(labels: list[Label], moved: Moved) -> NDArray[np.generic]:
    numbers = [label for label in labels if not isinstance(label, str)]
    if len(numbers) == len(labels):
        moved.note("labels that are true or false (now 1 or 0)", sum(isinstance(label, bool) for label in labels))
        return np.asarray(labels, np.float64)[:, None]
    moved.note("labels that are numbers among texts (now texts)", len(numbers))
    return _bytes(labels, moved)


def _bytes(texts: Iterable[object], moved: Moved) -> NDArray[np.generic]:
    """Texts as bytes of one length, padded with NULs: a NUL at the end of a text cannot be told from padding."""
    found = [str(text) for text in texts]
    moved.note("texts that end in NUL (without it now)", sum(text.endswith("\0") for text in found))
    return np.array([[text.encode()] for text in found] or np.zeros((0, 1), "S1"))


def _intervals(piece: Piece) -> NDArray[np.float64]:
    starts, stops = piece.edges()
    if starts is stops and len(starts):  # an instant holds until the next one
        # The last one lasts as long as most do: the SDK takes no interval without an end.
        step = piece.clock.stop - starts[-1] if len(starts) == 1 else np.median(np.diff(starts))
        stops = np.append(starts[1:], starts[-1] + step)
    return np.stack([starts, stops], 1)


def _metadata(h5py: ModuleType, root: Group, name: str, dataset: str) -> None:
    root.create_group("data")
    group = root.create_group("metadata")
    facts = {
        "root name": name,
        "computational sequence description": f"{name}, written by plait",
        "computational sequence version": "1.0",
        "alignment compatible": True,
        "dataset name": dataset,
        "dataset version": "1.0",
        "creator": "plait",
        "contact": "",
        "featureset bib citation": "",
        "dataset bib citation": "",
        # From the names, so that the same corpus gives the same file.
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{dataset}/{name}")),
    }
    for key, value in facts.items():
        group.create_dataset(key, (1,), h5py.string_dtype())[0] = json.dumps(value)
