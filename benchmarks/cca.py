"""CCA against scikit-learn and cca-zoo, and deep against linear: PLAIT_DATA=... python benchmarks/cca.py

Needs: scikit-learn (extra `bench`). Optional: av_digits in PLAIT_DATA; cca-zoo in an environment of its own.
Takes: seconds; with av_digits minutes.

cca-zoo runs in the Python that ``--cca-zoo`` or the environment variable CCA_ZOO_PYTHON names (it needs plait's
dependencies too, and may be an environment of its own); without one its rows are left out, and it says so. Deep CCA is
trained on the audio-visual digits of ``benchmarks/av_digits.py`` (``$PLAIT_DATA/av_digits``), tuned on their validation
part; its held-out pairs are the test part. Without PLAIT_DATA those rows are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import needs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait.multiview.cca import Cca

ROWS, DIMS = 5000, (300, 74)
COMPONENTS = 10
"""Of the joint space of the digits."""

ZOO = """
import sys, time, json, numpy as np
from cca_zoo.linear import CCA
views = [np.load(p) for p in sys.argv[1:3]]
out = {}
for k in map(int, sys.argv[3:]):
    CCA(k).fit(views)
    seconds = []
    for _ in range(7):
        start = time.process_time()
        model = CCA(k).fit(views)
        seconds.append(time.process_time() - start)
    u, v = model.transform(views)
    correlations = [float(np.corrcoef(u[:, i], v[:, i])[0, 1]) for i in range(k)]
    out[k] = {"seconds": float(np.median(seconds)), "correlations": correlations}
print(json.dumps(out))
"""


def made(seed: int = 0) -> list[NDArray[np.float64]]:
    """Two views of thirty hidden causes, [5000, 300] and [5000, 74]."""
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((ROWS, 30))
    return [causes @ rng.standard_normal((30, d)) + 4 * rng.standard_normal((ROWS, d)) for d in DIMS]


def seconds_of(count: int, views: list[NDArray[np.float64]]) -> float:
    """Median processor time of a fit."""
    Cca(count).fit(views)
    found = []
    for _ in range(7):
        start = time.process_time()
        Cca(count).fit(views)
        found.append(time.process_time() - start)
    return float(np.median(found))


def against_sklearn(views: list[NDArray[np.float64]], count: int) -> float:
    """The largest difference of a canonical correlation."""
    from sklearn.cross_decomposition import CCA

    theirs = CCA(count, max_iter=20_000, tol=1e-12).fit(*views)
    u, v = theirs.transform(*views)
    found = np.array([np.corrcoef(u[:, i], v[:, i])[0, 1] for i in range(count)])
    return float(np.abs(np.sort(found)[::-1] - Cca(count).fit(views).correlations_).max())


def against_zoo(python: str, views: list[NDArray[np.float64]]) -> list[dict[str, Any]]:
    counts = (1, 10, min(DIMS))
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{i}.npy") for i in range(2)]
        for path, view in zip(paths, views):
            np.save(path, view)
        command = [python, "-c", ZOO, *paths, *map(str, counts)]
        theirs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    table = Table("components", "cca-zoo, s", "plait, s", "times faster", title=f"{ROWS} x {DIMS}, one thread")
    targets, ratios = [], []
    for k in counts:
        mine, its = seconds_of(k, views), theirs[str(k)]
        off = np.abs(np.array(its["correlations"]) - Cca(k).fit(views).correlations_).max()
        table.add_row(str(k), f"{its['seconds']:.4f}", f"{mine:.4f}", f"{its['seconds'] / mine:.1f}")
        ratios.append(its["seconds"] / mine)
        targets.append(target(f"CCA of {k} components: largest difference from cca-zoo's", off, "<=", 1e-6))
    Console().print(table)
    named = "times faster than cca-zoo, all components"
    return [*targets, target(named, ratios[-1], ">=", 3), target("the same, 1 component", ratios[0], ">=", 3)]


def digits(data: Path, cache: Path) -> dict[str, tuple[list[NDArray[np.float64]], NDArray[np.int64]]]:
    """By side: pictures [n, 784] and sounds [n, 16 * 40] (log mel on 16 instants of the word), and the digits."""
    from plait.corpus.corpus import Corpus
    from plait.store.prepare import prepare
    from plait.store.store import Store

    corpus = Corpus(data / "av_digits/manifest.jsonl")
    specs = {"image": {"name": "frames", "height": 28, "width": 28}, "audio": "log_mel"}
    found = prepare(corpus, specs, Store(cache))
    sides = {}
    for side in ("train", "valid", "test"):
        entries = [e for e in corpus.entries if e.split == side]
        pictures = np.stack([found.get(e.id, "image")[0].ravel() for e in entries]).astype(np.float64)
        sounds = np.stack([at_instants(found.get(e.id, "audio")[0], 16).ravel() for e in entries])
        sides[side] = ([pictures, sounds], np.array([int(e.labels["digit"]) for e in entries]))
    return sides


def at_instants(values: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Rows on straight lines between those of ``values``, evenly over its length, [count, dim]."""
    place = np.linspace(0, len(values) - 1, count)
    return np.stack([np.interp(place, np.arange(len(values)), column) for column in values.T.astype(np.float64)], 1)


def shared_class(model: Any, train: Any, test: Any) -> float:
    """Per cent of test pictures whose nearest class mean of the training SOUNDS, in the joint space, is theirs."""
    (views, labels), (held, truth) = train, test
    heard, seen = model.transform(views)[1], model.transform(held)[0]
    means = np.stack([heard[labels == c].mean(0) for c in range(10)])
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (seen, means)]
    return 100 * float(((unit[0] @ unit[1].T).argmax(1) == truth).mean())


def pca(views: list[NDArray[np.float64]], count: int) -> Any:
    """Projection of each view on its first principal components, fitted on these rows."""
    means = [v.mean(0) for v in views]
    axes = [np.linalg.eigh(np.cov((v - m).T))[1][:, ::-1][:, :count] for v, m in zip(views, means)]
    return lambda others: [(v - m) @ a for v, m, a in zip(others, means, axes)]


def deep_against_linear(data: Path, cache: Path, seeds: int) -> list[dict[str, Any]]:
    from plait.multiview.deep_cca import DeepCca

    sides, k = digits(data, cache), COMPONENTS
    reduce = pca(sides["train"][0], 100)  # for both: linear CCA of 784 pixels would learn its training pairs by heart
    sides = {s: (reduce(v), y) for s, (v, y) in sides.items()}
    (train, _), (valid, _), (test, _) = sides["train"], sides["valid"], sides["test"]
    linear = max((Cca(k, ridge=r).fit(train) for r in (0.0, 0.1, 1.0, 10.0)), key=lambda m: m.correlations(valid).sum())
    table = Table("", "total correlation, held out", "digit of a picture by sounds, %", title="audio-visual digits")
    rows = [(linear.correlations(test).sum(), shared_class(linear, sides["train"], sides["test"]))]
    table.add_row("linear", f"{rows[0][0]:.2f}", f"{rows[0][1]:.1f}")
    deep = []
    for seed in range(seeds):
        model = DeepCca(k, seed=seed).fit(train)
        deep.append((model.correlations(test).sum(), shared_class(model, sides["train"], sides["test"])))
    mean, spread = np.mean(deep, 0), np.std(deep, 0, ddof=1)
    table.add_row(f"deep, {seeds} seeds", *(f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, spread)))
    Console().print(table)
    return [
        target(f"deep less linear CCA: total correlation of {k} on held-out pairs", mean[0] - rows[0][0], ">=", 0),
        target("deep less linear CCA: digit of a picture by sounds, points", mean[1] - rows[0][1], ">=", 0),
        target("the same, worst seed", min(d[1] for d in deep) - rows[0][1], ">=", 0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cca-zoo", default=os.environ.get("CCA_ZOO_PYTHON"), help="a Python that has cca-zoo")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path(".plait-cache"))
    args = parser.parse_args()
    needs.check(["av_digits"], ["sklearn"], fewest=0)
    views, data = made(), os.environ.get("PLAIT_DATA")
    few = [v[:500, : d // 10] for v, d in zip(views, DIMS)]
    targets = [target("CCA: largest difference from scikit-learn's", against_sklearn(few, 7), "<=", 1e-6)]
    if args.cca_zoo:
        targets += against_zoo(args.cca_zoo, views)
    else:
        print("cca-zoo: left out; name a Python that has it by --cca-zoo or CCA_ZOO_PYTHON.", file=sys.stderr)
    if data and (Path(data) / "av_digits").exists():
        targets += deep_against_linear(Path(data), args.cache, args.seeds)
    else:
        print("deep CCA: left out; set PLAIT_DATA and run benchmarks/av_digits.py first.", file=sys.stderr)
    finish(targets)


if __name__ == "__main__":
    main()
