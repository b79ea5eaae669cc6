"""One clock for all: estimate offset and drift between streams that saw the same events, and resample."""

from plait.sync.estimate import ClockFix
from plait.sync.pair import Comparison, compare
from plait.sync.report import SyncReport, synchronise, write_synced

__all__ = ["ClockFix", "Comparison", "SyncReport", "compare", "synchronise", "write_synced"]
