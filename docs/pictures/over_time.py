"""Draws docs/images/over-time.png and forecast.png from the examples of their pages.

python docs/pictures/over_time.py
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from plait import Predictor, fit, load_recipe
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.streams.recording import Recording
from plait.tasks.answers import Outlook, Spans

DOCS = Path(__file__).parents[1]
COLOURS = {"rest": "#90a4ae", "walk": "#00796b", "run": "#f9a825"}


def made(page: str) -> None:
    """The example data and the recipe of a page, in the present folder: its first two blocks of Python."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.S)[:2]:
        exec(compile(block, page, "exec"), {})


def answered(run: str, recording: Recording, streams: Sequence[str]) -> list[object]:
    """The answers about a recording of which only some streams are there, with the start of each."""
    folder = Path(tempfile.mkdtemp())
    with CorpusWriter(folder) as out:
        out.add(recording.id, {name: recording.streams[name] for name in streams})
    return [(p.start, p.answer) for p in Predictor(run, cache="cache")([folder / "manifest.jsonl"])]


def drawn_tags(axes: Axes, row: int, spans: Sequence[tuple[float, float, object]]) -> None:
    for start, stop, label in spans:
        axes.broken_barh([(start, stop - start)], (row - 0.4, 0.8), color=COLOURS[str(label)])
        if stop - start > 0.6:
            axes.text((start + stop) / 2, row, str(label), ha="center", va="center", fontsize=9)


def tags() -> None:
    made("over-time")
    fit(load_recipe("tags.yaml"), "runs/tags", cache="cache", quiet=True)
    recording = next(r for r in Corpus("moves/manifest.jsonl") if r.id == "r33")
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4), layout="constrained", sharex=True)
    for name, shift in (("arm", 0.0), ("floor", -3.5)):
        stream = recording.streams[name]
        above.plot(stream.clock.times, stream.read()[:, 0] + shift, lw=0.8, color="#37474f")
    above.set_yticks([0.0, -3.0], ["arm", "floor"])
    rows = {"true": [(a.start, a.stop, a.label) for a in recording.tier("move")]}
    for streams in (["arm", "floor"], ["arm"], ["floor"]):
        found = answered("runs/tags", recording, streams)
        rows[" + ".join(streams)] = [
            (at + a, at + b, label) for at, one in found if isinstance(one, Spans) for a, b, label, _ in one.spans
        ]
    for row, spans in enumerate(rows.values()):
        drawn_tags(below, -row, spans)
    below.set_yticks([-i for i in range(len(rows))], list(rows))
    below.set_xlabel("seconds")
    finished(figure, [above, below], "over-time")


def forecasts() -> None:
    made("forecast")
    fit(load_recipe("plant.yaml"), "runs/plant", cache="cache", quiet=True)
    recording = next(r for r in Corpus("plant/manifest.jsonl") if r.id == "r30")
    load = recording.streams["load"]
    figure, axes = plt.subplots(2, 1, figsize=(9, 4.4), layout="constrained", sharex=True, sharey=True)
    for one, streams in zip(axes, (["load", "push", "noise"], ["load"])):
        found = [(at + o.times[0], o.values["load"][0]) for at, o in answered("runs/plant", recording, streams)
                 if isinstance(o, Outlook)]  # fmt: skip
        when, bands = [t for t, _ in found], [band for _, band in found]
        one.plot(load.clock.times, load.read()[:, 0], color="#37474f", lw=1, label="load")
        one.errorbar(
            when,
            [b[1] for b in bands],
            [[b[1] - b[0] for b in bands], [b[2] - b[1] for b in bands]],
            fmt="o",
            ms=3,
            color="#00796b",
            capsize=2,
            label="told 3 s before: median and 80 % band",
        )
        one.set_ylabel(" + ".join(streams))
    axes[0].legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncol=2)
    axes[1].set_xlabel("seconds")
    finished(figure, axes, "forecast")


def finished(figure: plt.Figure, axes: Sequence[Axes], name: str) -> None:
    for one in axes:
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
    figure.savefig(DOCS / "images" / f"{name}.png", dpi=110)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        tags()
        forecasts()


if __name__ == "__main__":
    main()
