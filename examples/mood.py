"""A corpus from arrays, a model, and what each modality is worth: `python examples/mood.py` (half a minute)."""

from __future__ import annotations

import numpy as np

from plait import CorpusWriter, Stream, evaluate, fit, parse_recipe, write_report

rng = np.random.default_rng(0)
with CorpusWriter("walks") as out:
    for i in range(80):
        slow, limping = i % 2, (i // 2) % 2
        t = np.arange(500) / 100
        steps = np.sin(2 * np.pi * (1.0 if slow else 1.6) * t)[:, None] + rng.normal(0, 0.8, (500, 3))
        sound = rng.normal(0, 1 + limping * (np.arange(8000) % 4000 < 400), 8000)[:, None]
        streams = {"imu": Stream.of(steps, rate=100)}
        if i % 5:  # every fifth walk was recorded without sound
            streams["mic"] = Stream.of(sound, rate=1600, kind="waveform")
        label = ("slow" if slow else "fast") + (" limp" if limping else "")
        out.add(f"walk{i:02d}", streams, labels={"gait": label}, group=f"person{i // 4}")

recipe = parse_recipe(
    """
    corpus: walks/manifest.jsonl
    task: {name: classify, target: gait}
    streams: {imu: null, mic: {feature: {name: log_mel, rate: 1600}}}
    train: {epochs: 20}
    """
)
run = fit(recipe, "runs/walks", cache=".plait-cache", overwrite=True)
result = evaluate(run, cache=".plait-cache")
for row in result["subsets"]:
    print(f"{'+'.join(row['modalities']):10} {row['metrics']['accuracy']['mean']:.1%}")
write_report(result, "runs/walks/report.html")
