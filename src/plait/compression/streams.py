"""Which streams a run could do without."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from plait.compression.changes import Answered, Change, changes_of, deciding_part, lowest
from plait.compression.compress import PARTS, table_of
from plait.core.errors import DataError
from plait.core.progress import Progress
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.summary import plain
from plait.store.store import CACHE
from plait.training.run import Run

__all__ = ["CheapestStreams", "cheapest_streams"]


@dataclass(frozen=True)
class CheapestStreams:
    """Fewest streams from which answers are as good as from all.

    Attributes:
        chosen: the streams, in the model's order; all of them where no fewer will do.
        part: of the items by which they were chosen.
        metric: what is compared.
        max_loss: points.
        rows: each subset of the modalities against all, on the deciding items; ``before`` is from all.
        test: the same of the chosen ones on the test part; empty where all are chosen.
    """

    chosen: list[str]
    part: str
    metric: str
    max_loss: float
    rows: list[Change]
    test: list[Change]

    def to_json(self) -> dict[str, object]:
        told = plain(asdict(self))
        return dict(told) if isinstance(told, dict) else {}

    def lines(self) -> list[str]:
        """A summary for the terminal."""
        told = table_of(f"{self.metric} from all, and from (on {PARTS[self.part]} items)", self.rows)
        if not self.test:
            return [*told, f"no stream can be left out for sure within {self.max_loss:g} points."]
        return [*told, f"chosen: {' + '.join(self.chosen)}", *table_of(f"{self.metric} on test items", self.test)]


def cheapest_streams(
    run: Run | str | Path,
    *,
    max_loss: float = 1.0,
    cache: str | Path = CACHE,
    progress: Progress | None = None,
) -> CheapestStreams:
    """The fewest streams whose answers lose at most ``max_loss`` points, at the lower end of the interval.

    Nothing is trained: the model answers from any subset. Of equally many streams those of least change are chosen, on
    validation items. What each stream costs to record and to run is not known here: the rows have every subset.

    Args:
        run: see `plait.fit`; or its folder.
        max_loss: points (`plait.compression.changes.Change`).
        cache: where prepared features are kept.
        progress: told of features being prepared, and of replicates.

    Raises:
        DataError: the run has no validation part; training items would make every stream look needless.
    """
    run = run if isinstance(run, Run) else Run(run)
    if (part := deciding_part(run)) != "valid":
        raise DataError(
            f"{run.folder}: its split has no validation part to choose streams by. Add one (split: valid), fit again."
        )
    answered = Answered(run, cache, part, progress)
    rows = against_all(answered)
    able = [row for row in rows[:-1] if lowest(row) >= -max_loss]
    if not able:
        return CheapestStreams(rows[-1]["modalities"], part, answered.task.main_metric, max_loss, rows[:-1], [])
    fewest = min(len(row["modalities"]) for row in able)
    best = max((row for row in able if len(row["modalities"]) == fewest), key=lambda row: row["change"])
    tested = [
        row for row in against_all(Answered(run, cache, "test", progress)) if row["modalities"] == best["modalities"]
    ]
    return CheapestStreams(best["modalities"], part, answered.task.main_metric, max_loss, rows[:-1], tested)


def against_all(answered: Answered) -> list[Change]:
    """Each subset of the modalities after, and all of them before."""

    def whole(one: ReplicateOutput) -> ReplicateOutput:
        *_, full = one.outputs.values()
        return replace(one, outputs=dict.fromkeys(one.outputs, full))

    return changes_of(answered.task, [whole(one) for one in answered.before], answered.before)
