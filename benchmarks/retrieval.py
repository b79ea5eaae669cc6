"""Retrieval: PLAIT_DATA=... python benchmarks/retrieval.py [flickr|curve|pairs|streams|moments|million ...]

Needs: flickr8k in PLAIT_DATA, for flickr and curve; the others need nothing beyond plait.
Takes: some thirty minutes of one core; a model that is trained already is not trained again.

- ``flickr``: which of 100 pictures a sentence belongs to, and the reverse; five splits by picture into 600, 100 and 100
  (recipes/flickr_retrieve.yaml), beside ridge canonical correlation of the same features alone.
- ``curve``: the same from 150 and 300 pictures.
- ``pairs``: generated scenes of three objects in a row; which of two sentences that name the same objects, in other
  orders, is a picture's? ALBEF and CLIP with the same encoders.
- ``streams``: a generated world of four streams: recall for every subset of those that ask and of those that are
  searched, beside the best that is possible; and half a sentence with a picture.
- ``moments``: a word asks for a sensor; which seconds answer it, and the deletion test.
- ``million``: an index of a million vectors of 256 numbers: rate of building, time and recall of a search.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import needs
import numpy as np
import retrieval_cases as cases
import retrieval_flickr as parts
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import evaluate, fit
from plait.evaluation.intervals import paired_interval
from plait.evaluation.query_effects import evidence_of
from plait.examples.data import ItemData, loader
from plait.metrics.pairs import ranks_of
from plait.models.model import Model
from plait.multiview.cca import Cca
from plait.recipe import Recipe
from plait.store.index import Row, VectorIndex
from plait.store.store import Store
from plait.tasks.retrieve import Retrieve
from plait.tokens import Tokens
from plait.training.experiment import Experiment, Features, open_corpus
from plait.training.run import Run
from plait.training.sides import Sides

Rows = list[dict[str, Any]]
SEEDS = (0, 1, 2)
FIGURES = ("recall_at1", "recall_at5", "recall_at10", "median_rank", "reverse_recall_at1", "reverse_recall_at5",
           "reverse_recall_at10", "reverse_median_rank")  # fmt: skip


def trained(recipe: Recipe, folder: Path, cache: Path) -> tuple[Run, dict[str, Any]]:
    """A run of a recipe and its evaluation; both are kept."""
    run = fit(recipe, folder, cache=cache, quiet=True)
    kept = folder / "scored.json"
    if not kept.exists():
        kept.write_text(json.dumps(evaluate(run, cache=cache)), encoding="utf-8")
    return run, json.loads(kept.read_text(encoding="utf-8"))


class Opened:
    """The test items of a run, its folds and their features."""

    def __init__(self, run: Run, cache: Path) -> None:
        corpus = open_corpus(run.recipe, run.folder)
        self.run, self.model = run, run.model(run.finished[0])
        self.experiment = Experiment.begun(run.recipe, corpus, run.info.modalities, run.info.features)
        (self.fold,) = Sides.read(run.folder, run.info.examples).folds()
        self.features = self.experiment.prepare(Store(cache), pack=True)
        self.corpus = corpus

    def test(self) -> ItemData:
        items = self.fold.test
        return ItemData(items, self.features, self.model.task.asked(items), self.experiment.modalities)

    def metrics(self) -> dict[str, float]:
        data, model = self.test(), self.model
        with torch.inference_mode():
            encoded = [model.encode(batch.inputs) for batch in loader(data, model.dims, batch=100)]
            output = torch.cat([model.answer(part) for part in encoded])
        return model.task.metrics(model.task.scores(output), data.targets.numpy())


def flickr(data: Path, work: Path, cache: Path, pictures: int, splits: int = 5) -> dict[str, list[dict[str, float]]]:
    """Metrics of each split: of the recipe, and of canonical correlation alone."""
    captions = parts.captions_of(data / "flickr8k")
    found: dict[str, list[dict[str, float]]] = {"recipe": [], "ridge CCA": []}
    for part in parts.splits_of(list(captions), pictures, splits):
        name = f"{pictures}-{part.number}"
        manifest = parts.write_part(work / "flickr" / f"{name}.jsonl", data / "flickr8k", captions, part)
        own = Opened(fit(parts.recipe_of(manifest, name), work / name, cache=cache, quiet=True), cache)
        found["recipe"].append(own.metrics())
        found["ridge CCA"].append(alone(own))
        share = float(own.model.ensemble.heads[0].share)
        for kind, rows in found.items():
            told = ", ".join(f"{k} {rows[-1][k]:.3f}" for k in FIGURES)
            print(f"split {part.number}, {pictures} pictures, {kind} (share {share:.1f}): {told}", flush=True)
    return found


def alone(run: Opened) -> dict[str, float]:
    """Ridge canonical correlation of the plain features, its ridge by validation, as `plait.multiview.cca` has it."""
    names = run.experiment.modalities
    sides = {side: _views(run.fold.sides[side], run.features, names) for side in ("train", "valid", "test")}
    scale = [(v.mean(0), v.std(0) + 1e-6) for v in sides["train"][0]]
    sides = {s: ([(v - m) / d for v, (m, d) in zip(views, scale)], g) for s, (views, g) in sides.items()}
    # There are few pictures: their own directions hold all that can be learnt, at a tenth of the time.
    turns = [_directions(view) for view in sides["train"][0]]
    sides = {s: ([v @ t for v, t in zip(views, turns)], g) for s, (views, g) in sides.items()}
    fitted = [Cca(128, ridge=ridge).fit(sides["train"][0]) for ridge in (0.1, 0.3, 1.0)]
    best = max(fitted, key=lambda cca: float((_ranks(cca, *sides["valid"]) <= 1).mean()))
    forth, back = _ranks(best, *sides["test"]), _ranks(best, *sides["test"], reverse=True)
    found = {f"recall_at{k}": float((forth <= k).mean()) for k in (1, 5, 10)}
    found |= {f"reverse_recall_at{k}": float((back <= k).mean()) for k in (1, 5, 10)}
    return found | {"median_rank": float(np.median(forth)), "reverse_median_rank": float(np.median(back))}


def _directions(view: NDArray[np.float64], most: int = 512) -> NDArray[np.float64]:
    rows = np.unique(view.astype(np.float32), axis=0).astype(np.float64)
    few = len(rows) < view.shape[1]
    power, own = np.linalg.eigh(rows @ rows.T if few else view.T @ view)
    own, power = own[:, ::-1][:, :most], power[::-1][:most]
    return np.asarray(rows.T @ own / np.sqrt(power) if few else own)


def _views(items: Sequence[Any], features: Features, names: Sequence[str]) -> tuple[list[Any], NDArray[np.int64]]:
    found: list[list[Any]] = [[] for _ in names]
    for item in items:
        for rows, name in zip(found, names):
            values = features.get(item.recording, name)
            assert values is not None
            rows.append(values[0][item.number if len(values[0]) > 1 else 0])
    groups = np.unique([item.group for item in items], return_inverse=True)[1]
    return [np.stack(rows).astype(np.float64) for rows in found], groups


def _ranks(cca: Cca, views: Sequence[Any], groups: NDArray[np.int64], *, reverse: bool = False) -> NDArray[np.int64]:
    pictures, texts = (_unit(v * (2 * cca.shared_ - 1).clip(0)) for v in cca.transform(views))
    return ranks_of(groups, np.stack([texts, pictures], 1), reverse=reverse)


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))


def show_flickr(found: Mapping[int, Mapping[str, Sequence[Mapping[str, float]]]]) -> Rows:
    table = Table(title="Flickr8k, a part: mean ± deviation over the splits, percent (median ranks: ranks)")
    for name in ("pictures", "", *FIGURES):
        table.add_column(name.replace("reverse_", "picture→text ").replace("_", " "))
    for pictures, rows in found.items():
        for name, own in rows.items():
            cells = []
            for key in FIGURES:
                values = np.array([one[key] for one in own]) * (1 if "rank" in key else 100)
                cells.append(f"{values.mean():.1f} ± {values.std(ddof=1) if len(values) > 1 else 0:.1f}")
            table.add_row(str(pictures), name, *cells)
    Console(width=200).print(table)
    most = max(found)
    mean = {key: 100 * float(np.mean([one[key] for one in found[most]["recipe"]])) for key in FIGURES}
    if most < 600:
        return []
    return [
        target("Flickr8k part, text to image, recall@1 [%]", mean["recall_at1"], ">=", 46),
        target("Flickr8k part, text to image, recall@10 [%]", mean["recall_at10"], ">=", 89),
    ]


def pairs(work: Path, cache: Path, seeds: Sequence[int], epochs: int = 20) -> Rows:
    """Which of two sentences with the same objects is a picture's: ALBEF and CLIP."""
    manifest = work / "scenes/manifest.jsonl"
    if not manifest.exists():
        cases.scenes(work / "scenes")
    right: dict[str, NDArray[np.float64]] = {}
    recall = {}
    for name, made in (("CLIP", cases.clip), ("ALBEF", cases.albef)):
        run = fit(made(manifest, epochs, seeds), work / f"pairs-{name}", cache=cache, quiet=True)
        own = Opened(run, cache)
        each = [_pairs_right(run.model(replicate), own.test()) for replicate in run.finished]
        right[name], recall[name] = np.stack(each), own.metrics()["recall_at1"]
    table = Table(title="Hard pairs: the same objects in another order")
    for column in ("", "right pairs [%]", "per seed", "recall@1 by embeddings, all test sentences, first seed [%]"):
        table.add_column(column)
    for name, own in right.items():
        table.add_row(name, f"{100 * own.mean():.1f}", " ".join(f"{100 * x:.1f}" for x in own.mean(1)),
                      f"{100 * recall[name]:.1f}")  # fmt: skip
    Console().print(table)
    a, b = right["ALBEF"].mean(0), right["CLIP"].mean(0)
    gain = paired_interval(100 * a, 100 * b, [str(i // 2) for i in range(len(a))])
    print(
        f"ALBEF over CLIP: {100 * (a - b).mean():.1f} points (95 % from {gain.low:.1f} to {gain.high:.1f})", flush=True
    )
    return [target("hard pairs: ALBEF over CLIP [points]", 100 * float((a - b).mean()), ">=", 10)]


def _pairs_right(model: Model, data: ItemData) -> NDArray[np.float64]:
    """Whether each picture's own sentence is above that of its pair, [pictures]; a tie is half."""
    task = model.task
    assert isinstance(task, Retrieve)
    batch = data.batch(range(len(data)), model.dims)
    other = torch.arange(len(data)) ^ 1
    with torch.inference_mode():
        encoded = model.encode(batch.inputs)
        turned = {m: Tokens(*(part[other] for part in t)) for m, t in encoded.items()}
        if task.match is not None:
            own, wrong = task.matches(encoded, encoded), task.matches(turned, encoded)
        else:
            queries, rows = F.normalize(model.answer(encoded).unflatten(1, (2, -1)), dim=-1).unbind(1)
            own, wrong = (queries * rows).sum(1), (queries[other] * rows).sum(1)
    return np.asarray(((own > wrong).double() + 0.5 * (own == wrong)).numpy())


def streams(work: Path, cache: Path, seeds: Sequence[int], epochs: int = 30) -> Rows:
    """Recall for every subset of what asks and what is searched, beside the best that is possible."""
    manifest = work / "streams/manifest.jsonl"
    if not manifest.exists():
        cases.four_streams(work / "streams")
    run, scored = trained(cases.world(manifest, epochs, seeds), work / "streams-run", cache)
    corpus = open_corpus(run.recipe, run.folder)
    labels = np.array([[r.labels[k] for k in "abc"] for r in corpus if r.split == "test"])
    task = run.model(run.finished[0]).task
    assert isinstance(task, Retrieve)
    table = Table(title="Four streams: recall of the right recording among 200 [%], mean of the seeds")
    for column in ("asked by", "searched in", "recall@1", "possible", "recall@10", "possible"):
        table.add_column(column)
    shares = []

    def row(asked: Sequence[str], searched: Sequence[str], tells: set[int], found: Mapping[int, float]) -> None:
        known = {k for m in searched for k in cases.TOLD[m]}
        best = {k: cases.best_possible(labels, tells, known, k) for k in (1, 10)}
        cells = [f"{100 * x:.1f}" for k in (1, 10) for x in (found[k], best[k])]
        table.add_row(" + ".join(asked), " + ".join(searched), *cells)
        shares.append(found[10] / best[10])

    for own in scored["subsets"]:
        asked, searched = ([m for m in side if m in own["modalities"]] for side in (task.query, task.gallery))
        tells = {k for m in asked for k in cases.TOLD[m]}
        row(asked, searched, tells, {k: own["metrics"][f"recall_at{k}"]["mean"] for k in (1, 10)})
    row(["half of the words", "film"], ["sensor"], {0, 1, 2}, _half(run, cache))
    Console().print(table)
    print(f"recall@10 is between {100 * min(shares):.0f} and {100 * max(shares):.0f} % of the best that is possible")
    return []


def _half(run: Run, cache: Path) -> dict[int, float]:
    """Recall of the first word with the film, among sensors."""
    data, found = Opened(run, cache).test(), []
    for replicate in run.finished:
        model = run.model(replicate)
        batch = data.batch(range(len(data)), model.dims)
        words = batch.inputs["words"]
        first = words._replace(mask=words.mask & (words.times < 1.0))
        with torch.inference_mode():
            encoded = model.encode({**batch.inputs, "words": first})
            sides = [model.forward_subset(encoded, own)[""] for own in (["words", "film"], ["sensor"])]
        pair = torch.stack([F.normalize(side, dim=-1) for side in sides], 1).double().numpy()
        ranks = ranks_of(batch.targets.numpy(), pair)
        found.append([float((ranks <= k).mean()) for k in (1, 10)])
    return dict(zip((1, 10), np.mean(found, 0).tolist()))


def moments(work: Path, cache: Path) -> Rows:
    """Whether the seconds that are most like a word are those of the action that it names, and whether they matter."""
    manifest = work / "moments/manifest.jsonl"
    if not manifest.exists():
        cases.moments(work / "moments")
    run, scored = trained(cases.of_moments(manifest, 20), work / "moments-run", cache)
    own = Opened(run, cache)
    data, model = own.test(), own.model
    starts = np.array([float(own.corpus[item.recording].labels["start"]) for item in data.items])
    if not isinstance(model.task, Retrieve):
        raise TypeError("the run of moments is of another task")
    with torch.inference_mode():
        encoded = model.encode(data.batch(range(len(data)), model.dims).inputs)
        query = F.normalize(model.answer(encoded).unflatten(1, (2, -1)), dim=-1)[:, 0]
        at = evidence_of(model, model.task, encoded, query).numpy()
    within = float(((at >= starts) & (at < starts + cases.LONG)).mean())
    found = scored["deletion"]
    low, high = found["interval"]["low"], found["interval"]["high"]
    print(
        f"moments: the second most like the word lies within the action in {100 * within:.0f} % (by chance 25); "
        f"without the seconds around it the similarity moves {found['ratio']:.1f} times as far as without as many "
        f"elsewhere (95 % from {low:.1f} to {high:.1f})",
        flush=True,
    )
    return [target("moments: deletion ratio, lower end of its interval", low, ">", 1)]


def million(work: Path, rows: int = 1_000_000, width: int = 256, threads: int = 1) -> Rows:
    """An index of vectors like embeddings: 32 directions in which they differ much, noise in all others."""
    rng = np.random.default_rng(0)
    turn = rng.standard_normal((32, width), np.float32) / np.sqrt(32)

    def drawn(count: int) -> NDArray[np.float32]:
        found = rng.standard_normal((count, 32), np.float32) @ turn
        found += 0.3 * rng.standard_normal((count, width), np.float32)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found

    vectors, queries = np.concatenate([drawn(50_000) for _ in range(rows // 50_000)]), drawn(100)
    index = VectorIndex(vectors, [Row("", 0.0, 0.0)] * rows)
    wall, busy = _timed(lambda: index.build_lists(threads))
    quick, quick_busy = _timed(lambda: [index.search(q[None], 10, exact=False) for q in queries])
    some = queries[:20]
    brute, brute_busy = _timed(lambda: [index.search(q[None], 10, exact=True) for q in some])
    recall = index.recall(queries)
    each, force = 1000 * quick_busy / len(queries), 1000 * brute_busy / len(some)
    print(
        f"{rows:,} vectors of {width}: built in {wall:.0f} s, {busy:.0f} s of the processor on {threads} threads: "
        f"{rows / wall:,.0f} a second, {rows / busy * threads:,.0f} if the processor is free; a search takes "
        f"{1000 * quick / len(queries):.2f} ms, {each:.2f} of the processor; recall@10 {recall:.3f}; brute force "
        f"{1000 * brute / len(some):.0f} ms, {force:.0f} of the processor: {force / each:.0f} times as long",
        flush=True,
    )
    return [
        target("a million vectors of 256: a search, of the processor [ms]", each, "<=", 5),
        target("a million vectors of 256: recall@10 against exact", recall, ">=", 0.95),
        target(f"vectors a second of the processor, {threads} threads", rows / busy * threads, ">=", 20_000),
    ]


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of the processor."""
    wall, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - busy


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ("flickr", "curve", "pairs", "streams", "moments", "million")
    p.add_argument("what", nargs="*", choices=[*every, []], help="default: all")
    p.add_argument("--work", type=Path, default=Path("runs/retrieval"), help="folder of the runs")
    p.add_argument("--cache", type=Path, default=Path(".plait-cache"))
    p.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    p.add_argument("--threads", type=int, default=2, help="for the lists of the million")
    args = p.parse_args()
    torch.set_num_threads(1)
    targets = list(_each(args.what or every, args))
    finish([one for rows in targets for one in rows])


def _each(what: Sequence[str], args: argparse.Namespace) -> Iterator[Rows]:
    if {"flickr", "curve"} & set(what):
        data = needs.check(["flickr8k"])
        sizes = ([150, 300] if "curve" in what else []) + ([600] if "flickr" in what else [])
        yield show_flickr({size: flickr(data, args.work, args.cache, size) for size in sizes})
    if "pairs" in what:
        yield pairs(args.work, args.cache, args.seeds)
    if "streams" in what:
        yield streams(args.work, args.cache, args.seeds)
    if "moments" in what:
        yield moments(args.work, args.cache)
    if "million" in what:
        yield million(args.work, threads=args.threads)


if __name__ == "__main__":
    main()
