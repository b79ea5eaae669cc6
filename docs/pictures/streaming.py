"""Draw the picture of the page on streaming: python docs/pictures/streaming.py

A sensor arrives at once, another 1.2 seconds late; a session says what it knows, and says it again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import plait

OUT = Path(__file__).parents[1] / "images" / "streaming.png"
RATES, SECONDS, LAG = {"wrist": 50, "chest": 20}, 8, 1.2
RECIPE = """
corpus: {folder}/manifest.jsonl
task: {{name: classify, unit: window, tier: state, length: 2}}
model: {{dim: 16}}
train: {{steps: 80}}
causal: true
"""


def second_of(rng: np.random.Generator, state: int) -> dict[str, np.ndarray]:
    """The wrist tells little of the state, the chest much."""
    return {"wrist": rng.normal(0.25 * state, 1, (50, 3)), "chest": rng.normal(0, 1 + state, (20, 1))}


def trained(folder: Path, rng: np.random.Generator) -> plait.Run:
    with plait.CorpusWriter(folder) as study:
        for i in range(12):
            rows = [second_of(rng, i % 2) for _ in range(10)]
            streams = {
                name: plait.Stream.of(np.concatenate([row[name] for row in rows]), rate=rate)
                for name, rate in RATES.items()
            }
            notes = [plait.Annotation(0, 10, ["rest", "walk"][i % 2], "state")]
            study.add(f"r{i}", streams, annotations=notes, group=f"p{i}")
    return plait.fit(plait.parse_recipe(RECIPE.format(folder=folder)), folder / "run", quiet=True)


def main() -> None:
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        run = trained(Path(folder), rng)
        session = plait.stream(run, every=1.0, start=0.0, rates=RATES, late="revise")
        sent = []
        for k in range(4 * SECONDS):
            rows = second_of(rng, state=int(k >= 2 * SECONDS))
            for name, lag in (("wrist", 0.05), ("chest", LAG)):
                part = rows[name][: len(rows[name]) // 4]
                sent.append((k / 4 + 0.25 + lag, name, part, k / 4))
        said = []
        for arrived, name, part, at in sorted(sent, key=lambda packet: packet[0]):
            said += [(arrived, answer) for answer in session.push(name, part, at)]
    draw(sent, said)


def draw(sent: list, said: list) -> None:
    fig, (packets, answers) = plt.subplots(2, 1, figsize=(8.2, 4.6), sharex=True, height_ratios=[1, 2])
    for i, (name, colour) in enumerate((("wrist", "tab:blue"), ("chest", "tab:orange"))):
        own = [(arrived, at) for arrived, stream, _, at in sent if stream == name]
        packets.hlines([i] * len(own), [at for _, at in own], [arrived for arrived, _ in own], color=colour, lw=1)
        packets.plot([arrived for arrived, _ in own], [i] * len(own), "|", ms=14, color=colour)
    packets.set_yticks([0, 1], ["wrist arrives", "chest arrives"])
    packets.set_ylim(-0.6, 1.6)
    walk = lambda a: a.prediction.answer.probabilities["walk"]  # noqa: E731
    early = [(t, walk(a)) for t, a in said if not a.final]
    final = [(t, walk(a)) for t, a in said if a.final]
    for t, answer in said:
        if answer.final:
            first = next((x for x in said if x[1].time == answer.time and not x[1].final), None)
            if first is not None:
                arrow = {"arrowstyle": "->", "color": "0.6"}
                answers.annotate("", (t, walk(answer)), (first[0], walk(first[1])), arrowprops=arrow)
    answers.plot(*zip(*early), "o", mfc="white", color="0.35", label="at once, of what has come")
    answers.plot(*zip(*final), "o", color="tab:red", label="final, when it has come")
    answers.axvspan(4, SECONDS + 1.6, color="0.93", zorder=0)
    answers.text(4.1, 1.03, "walking from here", fontsize=9)
    answers.set(xlabel="seconds since the start", ylabel="probability of walking")
    answers.set(ylim=(-0.05, 1.12), xlim=(0, SECONDS + 1.6))
    answers.legend(loc="center left", fontsize=8, frameon=False)
    for axes in (packets, answers):
        axes.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    fig.savefig(OUT, dpi=130)


if __name__ == "__main__":
    main()
