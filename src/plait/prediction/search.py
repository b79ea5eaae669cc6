"""Search: an index of a corpus by a trained model, and what in it belongs to a query of any modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.parts import suggest
from plait.examples.data import ItemData, loader
from plait.examples.items import Item
from plait.metrics.pairs import distinct
from plait.models.file import fingerprint
from plait.prediction.predict import Examples, Predictor
from plait.prediction.query import QUERY, with_text
from plait.prediction.rerank import kept_tokens, matched
from plait.store.index import SMALL, Row, VectorIndex
from plait.store.stepped import build_feature
from plait.tasks.answers import Hit, Ranking
from plait.tasks.retrieve import Retrieve
from plait.tokens import Tokens
from plait.training.plans import plan_of

__all__ = ["Indexed", "Searched", "Searcher"]

Vectors = Float[np.ndarray, "items width"]

CANDIDATES = 50
"""Rows that a network of matching looks at, if the model has one: the most similar ones, put in its order."""

ASKED = 200
"""Rows of an index that are asked about, to measure the recall of its lists."""


@dataclass(frozen=True)
class Indexed:
    """What an index was made of.

    Attributes:
        folder: where it is.
        rows: vectors in it; equal ones of one group are one.
        left_out: examples without any of its modalities.
        modalities: of its examples.
        recall: share of the ten exact answers that a search by lists finds; None without lists.
    """

    folder: str
    rows: int
    left_out: int
    modalities: tuple[str, ...]
    recall: float | None

    def __str__(self) -> str:
        search = "exact search" if self.recall is None else f"lists: recall@10 against exact {self.recall:.3f}"
        lost = f"; {self.left_out} examples have none of these" if self.left_out else ""
        return f"{self.folder}: {self.rows} rows from {', '.join(self.modalities)}, {search}{lost}"


@dataclass(frozen=True)
class Searched:
    """What was found for one query.

    Attributes:
        recording, start, stop: of the query.
        used: its modalities.
        ranking: what was found.
        exact: whether every row was compared.
    """

    recording: str
    start: float
    stop: float
    used: tuple[str, ...]
    ranking: Ranking
    exact: bool = True

    def __str__(self) -> str:
        lines = [f"{place}. {hit}" for place, hit in enumerate(self.ranking.hits, 1)]
        head = f"{self.recording} {self.start:.2f}-{self.stop:.2f} s, " if self.recording != QUERY else ""
        return "\n".join([f"{head}from {', '.join(self.used)}:", *lines])

    def to_json(self) -> dict[str, object]:
        return {
            "recording": self.recording,
            "start": self.start,
            "stop": self.stop,
            "used": list(self.used),
            "exact": self.exact,
            **self.ranking.to_json(),
        }


class Searcher:
    """A model of task ``retrieve`` that makes indexes and answers queries.

    Args:
        predictor: with the model.

    Raises:
        ConfigError: its task is another.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.model = predictor, predictor.model
        task = self.model.task
        if not isinstance(task, Retrieve):
            raise ConfigError("search: the run's task is no retrieval. Train one with task: retrieve.")
        self.task = task

    def index(
        self,
        paths: str | Path | Sequence[str | Path],
        out: str | Path,
        *,
        of: Sequence[str] = (),
        segments: Sequence[tuple[float, float]] = (),
        approximate: bool | None = None,
        threads: int = 1,
    ) -> Indexed:
        """Make an index of raw files or of a manifest's recordings, and write it to a folder.

        Args:
            paths: as for `Predictor`.
            out: the folder.
            of: the modalities that are searched; by default those of the recipe's ``gallery``.
            segments: seconds, for every recording, in place of the unit's own intervals.
            approximate: whether to make inverted lists; None: for more than `plait.store.index.SMALL` rows.
            threads: of the processor, for the lists.

        Raises:
            ConfigError: an unknown modality. DataError: no example has any of the modalities; a file cannot be read.
        """
        chosen = self._known(of or self.task.gallery)
        with self.predictor.examples(paths, segments=segments) as found:
            vectors, there = self.embed(found.data, chosen, query=False)
            rows, encoded = self._rows(found, chosen), self._encoded(found.data) if self._matches(chosen) else []
        if not there.any():
            raise DataError(f"no example has {' or '.join(chosen)}; there is nothing to search.")
        places = np.flatnonzero(there)
        kept = places[distinct(np.array([rows[i].group for i in places]), vectors[places])]
        about = {"model": fingerprint(self.model), "modalities": list(chosen)}
        tokens = kept_tokens(encoded, kept.tolist(), chosen) if encoded else {}
        made = VectorIndex(vectors[kept], [rows[i] for i in kept], about, kept=tokens)
        if len(kept) > SMALL if approximate is None else approximate:
            made.build_lists(threads)
        made.write(out)
        some = made.vectors[np.linspace(0, len(kept) - 1, min(ASKED, len(kept))).astype(int)]
        recall = None if made.lists is None else made.recall(some)
        return Indexed(str(out), len(kept), int((~there).sum()), chosen, recall)

    def open(self, folder: str | Path) -> VectorIndex:
        """An index that this model made.

        Raises:
            DataError: it is damaged, or of another model.
        """
        found = VectorIndex.open(folder)
        if found.about.get("model") != fingerprint(self.model):
            raise DataError(f"{folder}: was made by another model. Make it anew: plait index")
        return found

    def search(
        self,
        index: VectorIndex,
        *,
        text: str = "",
        paths: Sequence[str | Path] = (),
        segments: Sequence[tuple[float, float]] = (),
        modality: str = "",
        k: int = 10,
        exact: bool | None = None,
    ) -> list[Searched]:
        """What belongs to a query: a text, files, or both; one answer per recording, segment or window of the files.

        Args:
            index: from `open`.
            text: part of the query, or "".
            paths: files or folders of recordings, or one manifest.
            segments: seconds of the recordings that ask.
            modality: which one the text is; needed only if the model has several of texts.
            k: how many rows to find.
            exact: see `plait.store.index.VectorIndex.search`.

        Raises:
            ConfigError: no query at all, or no or several modalities of texts. DataError: a file cannot be read.
        """
        with self._asked(text, paths, segments, modality) as found:
            vectors, there = self.embed(found.data, self.model.modalities, query=True)
            used, encoded = _used(found.data), self._encoded(found.data) if index.kept else []
        places = np.flatnonzero(there)
        if not len(places):
            raise DataError("the query has none of the model's modalities.")
        hits = index.search(vectors[places], max(k, CANDIDATES) if index.kept else k, exact=exact)
        asked = [one for part in encoded for one in _each(part)]
        told = bool(exact) or index.lists is None
        found_rows = []
        for i, near, scores in zip(places, *hits):
            if asked and set(used[i]) & set(self.task.query):
                with torch.inference_mode():
                    scores = matched(self.task, asked[i], index.kept, near.tolist()).numpy()
                order = np.argsort(-scores, kind="stable")
                near, scores = near[order], scores[order]
            ranking = _ranking(index, near[:k], scores[:k])
            found_rows.append(_searched(found.items[i], used[i], ranking, exact=told))
        return found_rows

    def classify(
        self, paths: Sequence[str | Path], classes: Mapping[str, Sequence[str]], *, modality: str = "",
        segments: Sequence[tuple[float, float]] = (),
    ) -> list[Searched]:  # fmt: skip
        """Which of several classes the examples of files are, each told by texts alone: zero-shot classification.

        A class is the mean of the embeddings of its texts (Radford et al. 2021, section 3.1.4). Probabilities are a
        softmax of the similarities over the model's temperature.

        Args:
            paths: files or folders of recordings, or one manifest.
            classes: the texts of each class, such as ``{"dog": ["a photo of a dog", "a dog outside"]}``.
            modality: as for `search`.
            segments: as for `search`.

        Raises:
            ConfigError: fewer than two classes, a class without texts. DataError: a file cannot be read.
        """
        if len(classes) < 2 or not all(classes.values()):
            raise ConfigError(f"classes: {', '.join(classes) or 'none'}; expected two or more, each with texts.")
        means = []
        for texts in classes.values():
            found = []
            for text in texts:
                with self._asked(text, (), (), modality) as asked:
                    found.append(self.embed(asked.data, self.model.modalities)[0][0])
            means.append(np.mean(found, 0))
        table = _normal(np.stack(means))
        own = [m for m in self.model.modalities if m != self._words(modality)]
        with self.predictor.examples(list(paths), segments=segments) as examples:
            vectors, there = self.embed(examples.data, own)
            used = _used(examples.data)
        odds = self.task.scale * vectors @ table.T
        odds = np.exp(odds - odds.max(1, keepdims=True))
        shares = odds / odds.sum(1, keepdims=True)
        names = list(classes)
        return [
            _searched(examples.items[i], used[i], Ranking(tuple(Hit(names[j], 0.0, 0.0, float(shares[i, j]))
                      for j in np.argsort(-shares[i], kind="stable"))))
            for i in np.flatnonzero(there)
        ]  # fmt: skip

    def embed(
        self, data: ItemData, modalities: Sequence[str], *, query: bool | None = None
    ) -> tuple[Vectors, NDArray[np.bool_]]:
        """Embeddings of length 1 from some modalities, [items, width]; and which items have any of these.

        Args:
            data: the items.
            modalities: of the model.
            query: embeddings as a query or as a row of an index, scaled by `plait.multiview.csls`; None: as they are.
        """
        model, rows = self.model.eval(), list[NDArray[np.float32]]()
        with torch.inference_mode():
            for batch in loader(data, {m: model.dims[m] for m in data.modalities}, batch=64):
                output = model.forward_subset(model.encode(batch.inputs), list(modalities))[""]
                one = F.normalize(output, dim=-1)
                rows.append((one if query is None else self.task.scaled(one, query=query)).numpy())
        there = [data.present(m) for m in modalities if m in data.modalities]
        return np.concatenate(rows), np.any(there, 0) if there else np.zeros(len(data), bool)

    def _matches(self, modalities: Sequence[str]) -> bool:
        """Whether an index of some modalities can be matched with queries: then it keeps its tokens."""
        return self.task.match is not None and list(modalities) == self.task.gallery

    def _encoded(self, data: ItemData) -> list[Mapping[str, Tokens]]:
        model = self.model.eval()
        with torch.inference_mode():
            return [model.encode(b.inputs) for b in loader(data, {m: model.dims[m] for m in data.modalities}, batch=64)]

    def _known(self, names: Sequence[str]) -> tuple[str, ...]:
        strange = [m for m in names if m not in self.model.modalities]
        if strange:
            raise ConfigError(f"the model has no modality {strange[0]!r}. {suggest(strange[0], self.model.modalities)}")
        return tuple(names)

    def _words(self, modality: str) -> str:
        """The modality of texts."""
        prepared = self.predictor.prepared
        every = [m for m in prepared.modalities if build_feature(prepared.features[m], m).kinds == ("words",)]
        found = [m for m in every if m == modality] if modality else every
        if len(found) != 1:
            raise ConfigError(f"a text needs one modality of texts; the model has {', '.join(every) or 'none'}. "
                              "Name it: --as MODALITY")  # fmt: skip
        return found[0]

    def _asked(
        self, text: str, paths: Sequence[str | Path], segments: Sequence[tuple[float, float]], modality: str
    ) -> AbstractContextManager[Examples]:
        """The examples of a query."""
        if not text.strip() and not paths:
            raise ConfigError("search: there is no query. Give a text, or files.")
        if not text.strip():
            return self.predictor.examples(list(paths), segments=segments)
        own = self._words(modality)
        plan, stream = plan_of(self.predictor.prepared.recipe, own), self.predictor.prepared.modalities[own]

        change = partial(with_text, text=text, stream=stream, tier=plan.tier or "", segments=segments)
        return self.predictor.examples(list(paths), segments=() if plan.tier else segments, change=change)

    def _rows(self, found: Examples, modalities: Sequence[str]) -> list[Row]:
        recipe, streams = self.predictor.prepared.recipe, self.predictor.prepared.modalities
        tier = next((streams[m] for m in modalities if plan_of(recipe, m).tier), None)
        texts: dict[str, list[str]] = {}
        rows = []
        for item in found.items:
            if tier is not None and item.number is not None and item.recording not in texts:
                texts[item.recording] = [str(a.label) for a in found.corpus[item.recording].tier(tier)]
            text = texts[item.recording][item.number] if item.recording in texts and item.number is not None else ""
            rows.append(Row(item.recording, float(item.start), float(item.stop), item.group, text))
        return rows


def _each(part: Mapping[str, Tokens]) -> list[dict[str, Tokens]]:
    """The items of an encoded batch, each as a batch of its own."""
    count = len(next(iter(part.values())).mask)
    return [{m: Tokens(*(x[i : i + 1] for x in t)) for m, t in part.items()} for i in range(count)]


def _used(data: ItemData) -> list[tuple[str, ...]]:
    there = {m: data.present(m) for m in data.modalities}
    return [tuple(m for m in there if there[m][i]) for i in range(len(data))]


def _searched(item: Item, used: tuple[str, ...], ranking: Ranking, *, exact: bool = True) -> Searched:
    return Searched(item.recording, float(item.start), float(item.stop), used, ranking, exact)


def _ranking(index: VectorIndex, places: NDArray[np.int64], scores: NDArray[np.float32]) -> Ranking:
    rows = [(index.rows[i], float(score)) for i, score in zip(places, scores)]
    return Ranking(tuple(Hit(row.recording, row.start, row.stop, score, row.text) for row, score in rows))


def _normal(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)
