"""Whether the devices of a recording agree: the closing error of each loop from clock to clock back to the first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.clocks.global_adjustment import Adjustment, LeftOut, chains, extent
from plait.clocks.link import Link

__all__ = ["Consistency", "Loop", "consistency"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Loop:
    """A chain of links from a device back to itself.

    Attributes:
        devices: in the order of the loop; the last one is linked to the first.
        closing_s: closing error in seconds at the start, in the middle and at the end of the recording.
        expected_s: two standard errors of the closing error, from the links' own errors.
    """

    devices: tuple[str, ...]
    closing_s: tuple[float, float, float]
    expected_s: float

    @property
    def worst_s(self) -> float:
        return max(abs(c) for c in self.closing_s)


@dataclass(frozen=True)
class Consistency:
    """The loops of one recording, and the links that were left out because the others contradict them."""

    recording: str
    loops: tuple[Loop, ...]
    left_out: tuple[LeftOut, ...]

    def to_json(self) -> dict[str, object]:
        """The same in milliseconds, for JSON."""
        return {
            "recording": self.recording,
            "loops": [
                {
                    "devices": list(loop.devices),
                    "closing_ms": [round(c * 1e3, 3) for c in loop.closing_s],
                    "expected_ms": round(loop.expected_s * 1e3, 3),
                }
                for loop in self.loops
            ],
            "left_out": [
                {
                    "devices": [one.link.a, one.link.b],
                    "off_ms": round(one.off * 1e3, 3),
                    "deviations": round(one.deviations, 1),
                    "sure": one.sure,
                }
                for one in self.left_out
            ],
        }

    def lines(self) -> list[str]:
        """Lines to print: the loop that closes worst, and each link that was left out."""
        lines = []
        if self.loops:
            loop = max(self.loops, key=lambda each: each.worst_s)
            many = f"{len(self.loops)} loops, the worst" if len(self.loops) > 1 else "loop"
            lines.append(
                f"{self.recording}  {many} {' > '.join((*loop.devices, loop.devices[0]))} closes within "
                f"{loop.worst_s * 1e3:.1f} ms (expected within {loop.expected_s * 1e3:.1f})"
            )
        for one in self.left_out:
            lines.append(
                f"{self.recording}  LEFT OUT: {one.link.a} and {one.link.b} compared directly are "
                f"{one.off * 1e3:.0f} ms off what the {'other devices' if one.sure else 'surer links'} say "
                f"({one.deviations:.0f} standard errors)"
            )
        return lines


def consistency(recording: str, adjustment: Adjustment) -> Consistency:
    """Close every loop of a solution: one per link that is not on the most certain chain to a device."""
    ways = {name: way for name, (_, way) in chains(adjustment.root, adjustment.used).items()}
    on_way = {id(one) for way in ways.values() for one in way}
    spare = [one for one in (*adjustment.used, *(o.link for o in adjustment.left_out)) if id(one) not in on_way]
    return Consistency(recording, tuple(_loop(one, ways) for one in spare), adjustment.left_out)


def _loop(one: Link, ways: dict[str, list[Link]]) -> Loop:
    """From b over the link to a, and back to b along the parts of both chains that are not shared."""
    mine, yours = ways[one.a], ways[one.b]
    # Both chains are paths in one tree from the root: what they share is their beginning.
    shared = sum(1 for x, y in zip(mine, yours) if x is y)
    steps = [one, *reversed(mine[shared:]), *yours[shared:]]
    at = np.linspace(*extent(one), 3)
    time, here, devices = at, one.b, []
    variance = 0.0
    for step in steps:
        devices.append(here)
        line, here = (step.line, step.a) if here == step.b else (step.line.turned(), step.b)
        variance += float((line.error_at(time) ** 2).max()) + (step.bias / 2) ** 2
        time = time + line.at(time)
    closing = [round(float(c), 7) for c in time - at]
    return Loop(tuple(devices), (closing[0], closing[1], closing[2]), 2 * float(np.sqrt(variance)))
