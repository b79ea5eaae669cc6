"""Computational sequences of the CMU Multimodal SDK: one ``.csd`` (HDF5) a stream."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from plait.atomic import replacing
from plait.errors import need
from plait.interchange import Format, Moved
from plait.interchange.sample import Piece, Sample
from plait.names import Names
from plait.streams.corpus import Corpus

__all__ = ["Csd"]


class Csd(Format):
    """A folder with ``NAME.csd`` for each stream and ``TIER.csd`` for each tier of annotations.

    In each: ``NAME/data/RECORDING/features`` [n, dim] float32 (texts: bytes in UTF-8) and ``intervals`` [n, 2] seconds,
    where an instant of a grid holds until the next one; and ``NAME/metadata`` as the SDK wants it. Annotations with
    numbers as labels become numbers, others texts. Labels of whole recordings have no place there and are counted.

    Source: Zadeh et al., "Multi-attention recurrent network for human communication comprehension", AAAI 2018, and the
    layout of CMU-MultimodalSDK's computational sequences. Such files are read by the reader ``csd``.
    """

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        h5py = need("h5py", "formats", "writing .csd")
        out.mkdir()
        with ExitStack() as stack:
            files: dict[str, Any] = {}
            names, ids = Names(), Names(_group_name)

            def file_of(name: str) -> Any:
                if name not in files:
                    part = stack.enter_context(replacing(out / f"{names.of(name)}.csd"))
                    files[name] = stack.enter_context(h5py.File(part, "w"))
                    _metadata(h5py, files[name].create_group(_group_name(name)), name, out.name)
                return files[name][_group_name(name)]["data"]

            for sample in found:
                for name, piece in sample.streams.items():
                    _put(file_of(name), ids.of(sample.id), _values(piece), _intervals(piece))
                for tier in dict.fromkeys(a.tier for a in sample.annotations):
                    own = sorted((a for a in sample.annotations if a.tier == tier), key=lambda a: a.start)
                    name = tier if tier not in sample.streams else f"{tier} annotations"
                    _put(
                        file_of(name),
                        ids.of(sample.id),
                        _labels([a.label for a in own]),
                        [(a.start, a.stop) for a in own],
                    )
                moved.note("labels of whole recordings", len(sample.labels))


def _group_name(id: str) -> str:
    """HDF5 takes a slash for a group within a group."""
    return id.replace("/", "_")


def _put(data: Any, id: str, values: Any, intervals: Any) -> None:
    group = data.create_group(id)
    group.create_dataset("features", data=values)
    group.create_dataset("intervals", data=np.asarray(intervals, np.float64).reshape(-1, 2))


def _values(piece: Piece) -> Any:
    if piece.words:
        return np.array([[str(text).encode()] for text in piece.values] or np.zeros((0, 1), "S1"))
    return np.asarray(piece.values, np.float32)


def _labels(labels: list[Any]) -> Any:
    if all(isinstance(label, int | float) for label in labels):
        return np.asarray(labels, np.float32)[:, None]
    return np.array([[str(label).encode()] for label in labels])


def _intervals(piece: Piece) -> Any:
    starts, stops = piece.edges()
    if starts is stops and len(starts):  # an instant holds until the next one
        step = piece.clock.stop - starts[-1] if len(starts) == 1 else np.median(np.diff(starts))
        stops = np.append(starts[1:], starts[-1] + step)
    return np.stack([starts, stops], 1)


def _metadata(h5py: Any, root: Any, name: str, dataset: str) -> None:
    root.create_group("data")
    group = root.create_group("metadata")
    facts = {
        "root name": _group_name(name),
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
