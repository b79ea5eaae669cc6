"""Draws docs/images/conversation.png: a dialogue, and what the model sees of it for one turn.

python docs/pictures/conversation.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from plait.examples.units.around import Around

TURNS = [
    (0.0, 2.6, "ann", "How was the interview?"),
    (2.9, 4.6, "bob", "Do not ask."),
    (4.4, 6.6, "cat", "That bad?"),
    (7.0, 9.8, "bob", "They laughed."),
    (10.2, 12.4, "ann", "Oh no."),
    (12.8, 15.6, "bob", "With me! I start on Monday."),
]
ASKED = 5
LANES = {"ann": 2, "bob": 1, "cat": 0}
COLOURS = {"text": "#00796b", "text.before": "#f9a825", "text.own": "#5e35b1", "": "#cfd8dc"}


def main() -> None:
    spans = [turn[:2] for turn in TURNS]
    context = Around(before=1, own=1, speaker="speaker").of_all(spans, {turn[:2]: turn[2] for turn in TURNS})
    asked = spans[ASKED]
    kinds = {asked: "text", **{span: f"text.{kind}" for kind, own in context[asked].items() for span in own}}
    figure, axes = plt.subplots(figsize=(9, 2.9), layout="constrained")
    for start, stop, who, said in TURNS:
        kind = kinds.get((start, stop), "")
        axes.broken_barh([(start, stop - start)], (LANES[who] - 0.36, 0.72), color=COLOURS[kind])
        ink = "white" if kind in ("text", "text.own") else "black"
        axes.text(
            (start + stop) / 2, LANES[who], said.replace("! ", "!\n"), ha="center", va="center", fontsize=8, color=ink
        )
        if kind:
            axes.text(
                (start + stop) / 2, LANES[who] + 0.42, kind, ha="center", va="bottom", fontsize=9, family="monospace"
            )
    axes.set_yticks(list(LANES.values()), list(LANES))
    axes.set_ylim(-0.6, 3.0)
    axes.set_xlim(-0.2, 15.8)
    axes.set_xlabel("seconds of the recording")
    below = axes.secondary_xaxis(-0.3, functions=(lambda t: t - asked[0], lambda t: t + asked[0]))
    below.set_xlabel("seconds of the item")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(Path(__file__).parents[1] / "images" / "conversation.png", dpi=110)


if __name__ == "__main__":
    main()
