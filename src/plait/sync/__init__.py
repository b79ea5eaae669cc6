"""One clock for all: estimate offset and drift between streams that saw the same events, and resample.

Each name is imported when it is first asked for, so that joining streams does not load what estimates clocks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait.sync.estimate import ClockFix
    from plait.sync.pair import Comparison, compare
    from plait.sync.report import SyncReport, synchronise, write_synced

__all__ = ["ClockFix", "Comparison", "SyncReport", "compare", "synchronise", "write_synced"]

_HOME_OF = {
    "ClockFix": "estimate",
    "Comparison": "pair",
    "SyncReport": "report",
    "compare": "pair",
    "synchronise": "report",
    "write_synced": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
