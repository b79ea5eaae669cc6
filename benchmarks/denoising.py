"""Noise in GRID speech taken out by each method: PLAIT_DATA=... python benchmarks/denoising.py

Needs: grid_s1 in PLAIT_DATA; noisereduce (extra `bench`).
Takes: minutes.

White, pink and babble noise (five other clips of the speaker) at -5 to 20 dB in held-out clips. Three measures, each as
the change from the noisy clip: scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), segmental
signal-to-noise ratio (windows of 32 ms within 40 dB of the loudest, each between -10 and 35 dB; Loizou 2013, eq. 11.1)
and log-spectral distance (dB, lower is better). Beside `denoise` stands the package noisereduce at its defaults. Which
method is the default was chosen on twelve other clips (--dev).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import needs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from targets import finish, target

from plait.readers import open_streams
from plait.streams.stream import Stream
from plait.transforms import apply_steps
from plait.transforms.noise import add_noise

LEVELS = (-5, 0, 5, 10, 20)
KINDS = ("white", "pink", "babble")
OURS = ("om_lsa", "wiener", "gate", "drifting_gate")

Sound = NDArray[np.float64]
Method = Callable[[Sound, int], Sound]


def ours(method: str) -> Method:
    """Our step, as a function of sound and rate."""

    def run(sound: Sound, rate: int) -> Sound:
        stream = Stream.of(sound.astype(np.float32), rate=rate, kind="waveform")
        return np.asarray(apply_steps(stream, [{"name": "denoise", "method": method}]).read()[:, 0], np.float64)

    return run


def theirs(stationary: bool) -> Method:
    """noisereduce at its defaults."""
    from noisereduce import reduce_noise

    return lambda sound, rate: np.asarray(reduce_noise(y=sound, sr=rate, stationary=stationary), np.float64)


def distortion_ratio(made: Sound, clean: Sound) -> float:
    """Scale-invariant signal-to-distortion ratio, dB."""
    part = (made @ clean) / (clean @ clean) * clean
    return float(10 * np.log10((part @ part) / max(float(((made - part) ** 2).sum()), 1e-30)))


def _windows(sound: Sound) -> Sound:
    return np.lib.stride_tricks.sliding_window_view(sound, 512)[::256]


def segmental_ratio(made: Sound, clean: Sound) -> float:
    """Segmental signal-to-noise ratio, dB."""
    power = (_windows(clean) ** 2).sum(1)
    speech = power > power.max() * 1e-4
    error = (_windows(made - clean) ** 2).sum(1)
    return float(np.clip(10 * np.log10(power[speech] / (error[speech] + 1e-30)), -10, 35).mean())


def spectral_distance(made: Sound, clean: Sound) -> float:
    """Log-spectral distance, dB; what is 60 dB below the clean sound's peak counts as that."""
    a, b = (np.abs(np.fft.rfft(_windows(x) * np.hanning(512))) ** 2 for x in (made, clean))
    least = b.max() * 1e-6
    return float(np.sqrt(((10 * np.log10(np.maximum(a, least) / np.maximum(b, least))) ** 2).mean(1)).mean())


MEASURES = {"SI-SDR": distortion_ratio, "segmental": segmental_ratio, "log-spectral": spectral_distance}


def cases(files: list[Path]) -> Iterator[tuple[str, int, Sound, Sound, int]]:
    """Kind and level of the noise, clean and noisy sound, rate."""
    clips = [next(s for s in open_streams(f).values() if s.kind == "waveform") for f in files]
    for i, clip in enumerate(track(clips, "clips", console=Console(stderr=True), transient=True)):
        others = [clips[(i + k) % len(clips)] for k in range(1, 6)]
        clean = np.asarray(clip.read()[:, 0], np.float64)
        for kind in KINDS:
            for level in LEVELS:
                noisy = add_noise(clip, kind, level, 1000 * i + level, others).read()[:, 0]
                yield kind, level, clean, np.asarray(noisy, np.float64), int(clip.clock.rate)  # type: ignore[attr-defined]


Changes = dict[tuple[str, int, str], list[list[float]]]


def measure(files: list[Path], methods: dict[str, Method]) -> tuple[Changes, dict[str, float]]:
    """Changes in each measure by (kind, level, method), one a clip; processor seconds of each method."""
    changes: Changes = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    for kind, level, clean, noisy, rate in cases(files):
        before = [score(noisy, clean) for score in MEASURES.values()]
        for name, method in methods.items():
            began = time.process_time()
            made = method(noisy, rate)
            seconds[name] += time.process_time() - began
            after = [score(made, clean) for score in MEASURES.values()]
            changes[kind, level, name].append([a - b for a, b in zip(after, before)])
    return changes, seconds


def table(changes: Changes, which: int, methods: list[str], clips: int) -> None:
    """One measure: mean and standard deviation over clips; the best of each row in bold."""
    name = list(MEASURES)[which]
    out = Table(title=f"{name}: change in dB, mean ± sd over {clips} clips")
    for column in ("noise", "level", *methods):
        out.add_column(column, justify="right")
    sign = -1 if name == "log-spectral" else 1
    for kind in KINDS:
        for level in LEVELS:
            own = {m: np.array(changes[kind, level, m])[:, which] for m in methods}
            best = max(methods, key=lambda m: sign * own[m].mean())
            cells = [f"{'[bold]' if m == best else ''}{x.mean():+.1f} ± {x.std(ddof=1):.1f}" for m, x in own.items()]
            out.add_row(kind, f"{level} dB", *cells)
    Console(width=150).print(out)


def targets(changes: Changes, seconds: dict[str, float]) -> list[dict[str, Any]]:
    """What the tables come to."""

    def mean(method: str, which: int, kinds: tuple[str, ...], levels: tuple[int, ...]) -> float:
        return float(np.mean([np.mean(changes[k, v, method], 0)[which] for k in kinds for v in levels]))

    noisy, steady = LEVELS[:-1], KINDS[:2]
    best = max(("noisereduce", "noisereduce, drifting"), key=lambda m: mean(m, 0, KINDS, noisy))
    over = [mean("om_lsa", which, KINDS, noisy) - mean(best, which, KINDS, noisy) for which in range(3)]
    return [
        target("om_lsa, white and pink, -5 to 10 dB: SI-SDR, dB", mean("om_lsa", 0, steady, noisy), ">=", 5.0),
        target("om_lsa, babble, -5 to 10 dB: SI-SDR, dB", mean("om_lsa", 0, ("babble",), noisy), ">=", 0.0),
        target("om_lsa less noisereduce, -5 to 10 dB: SI-SDR, dB", over[0], ">=", 1.0),
        target("om_lsa less noisereduce, -5 to 10 dB: segmental, dB", over[1], ">=", 1.0),
        target("om_lsa less noisereduce, -5 to 10 dB: log-spectral, dB", over[2], "<=", 0.5),
        target("gate less noisereduce, -5 to 10 dB: SI-SDR, dB", _gates(mean, noisy), ">=", 0.0),
        target("om_lsa over noisereduce, processor time", seconds["om_lsa"] / seconds["noisereduce"], "<=", 1.0),
    ]


def _gates(mean: Callable[..., float], noisy: tuple[int, ...]) -> float:
    return mean("gate", 0, KINDS, noisy) - mean("noisereduce", 0, KINDS, noisy)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--dev", action="store_true", help="the clips that the default was chosen on")
    p.add_argument("--clips", type=int, default=30)
    args = p.parse_args()
    folder = needs.check(["grid_s1"], ["noisereduce"])
    warnings.simplefilter("ignore")
    files = sorted((folder / "grid_s1" / "s1").glob("*.mp4"))
    files = files[::62] if args.dev else [f for i, f in enumerate(files) if i % 62][:: len(files) // args.clips]
    methods = {"noisereduce": theirs(True), "noisereduce, drifting": theirs(False), **{m: ours(m) for m in OURS}}
    changes, seconds = measure(files[: args.clips], methods)
    clips = len(next(iter(changes.values())))
    for which in range(len(MEASURES)):
        table(changes, which, list(methods), clips)
    print("processor seconds: " + ", ".join(f"{m} {s:.1f}" for m, s in seconds.items()))
    cells = {f"{k} {v} dB {m}": np.round(np.mean(x, 0), 3).tolist() for (k, v, m), x in changes.items()}
    finish(targets(changes, seconds), clips=clips, measures=list(MEASURES), changes=cells)


if __name__ == "__main__":
    main()
