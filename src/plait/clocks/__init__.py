"""One clock for all: estimate offset and drift between streams that saw the same events, and resample.

Each name is imported when it is first asked for, so that joining streams does not load what estimates clocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.core.lazy import lazy

if TYPE_CHECKING:
    from plait.clocks.estimate import ClockFix
    from plait.clocks.online import ClockFacts, OnlineClock
    from plait.clocks.pair import Comparison, compare
    from plait.clocks.report import SyncReport, synchronise, write_synced

__all__ = [
    "ClockFacts",
    "ClockFix",
    "Comparison",
    "OnlineClock",
    "SyncReport",
    "compare",
    "synchronise",
    "write_synced",
]

_HOMES = {
    "ClockFacts": "online",
    "ClockFix": "estimate",
    "Comparison": "pair",
    "OnlineClock": "online",
    "SyncReport": "report",
    "compare": "pair",
    "synchronise": "report",
    "write_synced": "report",
}

__getattr__ = lazy(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
