"""Items: what the task looks at (recordings, segments, windows), each with its target.

`plait.examples.splits` divides them into training, validation and test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from plait.core.errors import ConfigError, DataError, PlaitError, raise_all
from plait.core.parts import Options, suggest
from plait.core.safe_yaml import brief
from plait.corpus.corpus import Corpus
from plait.examples.future import Future, Track, tracks_of
from plait.examples.scenes import Scenery, scene, scenery_of
from plait.examples.splits import Fold, split_items
from plait.examples.targets import Notes, Target, annotated, named, notes_of
from plait.examples.units import Cut, Unit, find_unit, full_unit, make_unit, unit_of
from plait.examples.units.cuts import Others
from plait.examples.units.recording import Recording as Whole
from plait.streams.recording import Recording

__all__ = ["Fold", "Item", "ItemSet", "asked_items", "find_items", "full_unit", "split_items", "unit_of"]


ANNOTATED = ("annotations", "relations")
"""What is asked of items whose targets are annotations on a tier."""


@dataclass(frozen=True)
class Item:
    """What the task looks at once: an interval of a recording and its target.

    Attributes:
        recording: id of the recording.
        start, stop: the interval ``start <= t < stop``, in the recording's seconds.
        target: the value to predict.
        group: the speaker, subject or other unit that must not be on two sides of a split.
        split: the corpus's own split, or the side on which a `Fold` put the item.
        whole: whether the item is the whole recording, so that features need no cutting.
        context: seconds at the start and at the end that the model sees, but is not asked about.
        others: other intervals of the recording that are inputs too, by kind (`plait.examples.units.around`).
        number: which annotation of the unit's tier it is, in order of time from 0, if its text is an input.

    >>> Item("talk01", 1.2, 2.4, "yes", "anna", "train").id
    'talk01@1.200-2.400'
    """

    recording: str
    start: float
    stop: float
    target: Target
    group: str = ""
    split: str = ""
    whole: bool = False
    context: tuple[float, float] = (0.0, 0.0)
    others: Others = field(default_factory=dict)
    number: int | None = None

    @property
    def id(self) -> str:
        """The recording's id, followed by the interval unless the item is the whole recording, and by its number."""
        number = "" if self.number is None else f"#{self.number}"
        return self.recording if self.whole else f"{self.recording}@{self.start:.3f}-{self.stop:.3f}{number}"


@dataclass(frozen=True)
class ItemSet:
    """Items of a corpus, and the number of dropped ones per reason."""

    items: list[Item]
    dropped: dict[str, int]
    unit: Options = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def lines(self) -> list[str]:
        """What was found and what was dropped, as lines of text."""
        return [f"{len(self.items)} items", *(f"dropped {n}: {why}" for why, n in self.dropped.items())]


def find_items(corpus: Corpus, unit: Mapping[str, object]) -> ItemSet:
    """Every item of a corpus that has a usable target.

    The unit is one of

    - ``{unit: recording, target}``: whole recordings; the target is a label of that name, else a meta field.
    - ``{unit: segment, tier, labels, match, index, pad, context}``: one item per annotation of the tier. ``labels``
      (a list) and ``match`` (a regular expression for the whole label) choose annotations; ``index`` keeps only the
      i-th of these per recording (-1: the last); ``pad`` adds seconds of context on both sides,
      within the recording; ``context`` adds other segments (`plait.examples.units.around.Around`).
    - ``{unit: window, tier, length, hop, average, coverage, pad}``: windows of ``length`` seconds every ``hop``
      (default: length), seen with ``pad`` seconds of context on both sides, within the recording. The target
      is the label that covers most of the window (the earlier on a tie), or with ``average`` the time-weighted
      mean of numbers. Windows of which less than ``coverage`` is annotated are dropped.
    - ``{unit: mylab.units.Mine}``, with its options: your own `plait.examples.units.Unit`.

    With ``asks: several`` an item has one label per name in ``names``, on the tier of that name or of the recording.
    With ``asks: nothing`` recordings and windows need no target: all of them become items, with the group in place of
    the target. With ``asks: annotations`` the target is the list of annotations on the tier ``annotations`` within the
    item; recordings without any on that tier are dropped. With ``asks: future`` it is what the streams ``future`` do
    in the ``ahead`` seconds after the item; items after which none of them is measured for so long are dropped. With
    ``asks: relations`` it is the relations on the tier ``annotations`` between the objects of ``object_stream``;
    recordings without either are dropped.

    Args:
        corpus: its manifest is read; files are only opened for their clocks and words, and for the streams ``future``.
        unit: as above.

    Returns:
        The items in the corpus's order, and the number of dropped ones per reason.

    Raises:
        ConfigError: the unit is wrong, or names a target or tier that no recording has.
        DataError: a file cannot be opened (all such files in one message), or no item is left.
    """
    full, made = full_unit(unit), make_unit(unit)
    asks = full.get("asks", "label")
    _check_speakers(corpus, made)
    items: list[Item] = []
    dropped: Counter[str] = Counter()
    problems: list[str] = []
    for recording in corpus:
        try:
            notes = notes_of(recording, full["annotations"]) if asks in ANNOTATED else ()
            if asks in ANNOTATED and not notes:
                dropped[f"recordings: nothing on tier {full['annotations']!r}"] += 1
                continue
            tracks = tracks_of(recording, full["future"]) if asks == "future" else ()
            if asks == "future" and not any(tracks):
                dropped[f"recordings: no stream {' or '.join(full['future'])}"] += 1
                continue
            scenery = scenery_of(recording, full["object_stream"], full["annotations"]) if asks == "relations" else None
            if asks == "relations" and scenery is None:
                dropped[f"recordings: no stream {full['object_stream']!r}"] += 1
                continue
            found = made.cut(recording, dropped, asked=asks != "label")
            found = _followed(found, tracks, full, dropped) if tracks else found
            items += _items(recording, found, full, dropped, notes, tracks, scenery)
        except PlaitError as error:
            problems += error.problems
    # Several recordings may share a broken file: one cause is told once.
    raise_all(DataError, list(dict.fromkeys(problems)))
    if not items:
        raise _nothing(corpus, full, dropped)
    return ItemSet(items, dict(dropped), full)


def _check_speakers(corpus: Corpus, unit: Unit) -> None:
    """Refuse a tier of speakers that no recording has."""
    speaker = unit.around and unit.around.speaker
    known = {name for entry in corpus.entries for name in (*(a.tier for a in entry.annotations), *entry.streams)}
    if speaker and speaker not in known:
        raise ConfigError(f"task.context.speaker: no recording has {brief(speaker)}. {suggest(speaker, known)}")


def _followed(
    cuts: Sequence[Cut], tracks: Sequence[Track | None], unit: Mapping[str, Any], dropped: Counter[str]
) -> list[Cut]:
    """The cuts after which one of the tracks is measured for as long as is asked."""
    last = max(track.stop for track in tracks if track is not None)
    stops = [cut.stop - cut.context[1] for cut in cuts]
    nows = np.max([t.now(np.array(stops)) for t in tracks if t is not None], 0) if stops else []
    kept = [cut for cut, now in zip(cuts, nows) if now + unit["ahead"] <= last + 1e-6]
    if len(kept) < len(cuts):
        dropped[f"items: less than {unit['ahead']:g} s are recorded after them"] += len(cuts) - len(kept)
    return kept


def _nothing(corpus: Corpus, unit: Mapping[str, object], dropped: Counter[str]) -> PlaitError:
    where = corpus.path.name
    entries = corpus.entries
    asks = unit.get("asks", "label")
    if asks == "future":
        return _no_future(corpus, unit, dropped)
    key, name = (find_unit(unit).source, None) if asks not in ANNOTATED else ("target", unit["annotations"])
    name = name or (unit[key] if key else None)
    known: set[str] = set()
    for entry in entries:
        if key == "target":
            known |= {*entry.labels, *(entry.meta if asks == "label" else ())}
        if key != "target" or asks in ANNOTATED:
            known |= {*(a.tier for a in entry.annotations), *entry.streams}
    # A name that no recording has is most often misspelt: that is the recipe's error, not the data's.
    if name and name not in known and entries and asks != "nothing":
        return ConfigError(f"task.{key}: no recording of {where} has {name!r}. {suggest(str(name), known)}")
    reasons = "; ".join(f"{n} {why}" for why, n in dropped.items()) or "the corpus has no recordings"
    return DataError(f"{where}: no items are left ({reasons}). Loosen the task's unit or label the recordings.")


def _no_future(corpus: Corpus, unit: Mapping[str, Any], dropped: Counter[str]) -> PlaitError:
    reasons = "; ".join(f"{n} {why}" for why, n in dropped.items()) or "the corpus has no recordings"
    there = {name for entry in corpus.entries for name in entry.streams}
    strange = [name for name in unit["future"] if name not in there]
    told = [f"task.target: no recording of {corpus.path.name} has a stream {n!r}. {suggest(n, there)}" for n in strange]
    return ConfigError(
        told
        or f"task.horizon: no item of {corpus.path.name} is followed by {unit['ahead']:g} s of "
        f"{' or '.join(unit['future'])} ({reasons}). Give a shorter horizon, or shorter items."
    )


def asked_items(
    corpus: Corpus, unit: Mapping[str, object], segments: Sequence[tuple[float, float]] = ()
) -> tuple[ItemSet, dict[str, str]]:
    """The items to predict in a corpus, whether or not their targets are known.

    These are all items that `find_items` finds in the same recordings, and those that training leaves out because they
    have no target: recordings without a label, windows without annotations. A recording in which the unit finds
    nothing (no such tier, shorter than a window) becomes one item as a whole.

    Args:
        corpus, unit: as for `find_items`.
        segments: (start, stop) in seconds, for every recording, in place of the unit's own intervals.

    Returns:
        The items in the corpus's order; and for each recording that became one whole item, the reason.

    Raises:
        DataError: a file cannot be opened, or a segment lies outside a recording; all in one message.
    """
    full, made = full_unit(unit), make_unit(unit)
    items: list[Item] = []
    notes: dict[str, str] = {}
    problems: list[str] = []
    dropped: Counter[str] = Counter()
    for recording in corpus:
        try:
            found = _asked(recording, made, segments, dropped, notes)
            tracks = tracks_of(recording, full.get("future", ()))
            scenes = "object_stream" in full
            scenery = scenery_of(recording, full["object_stream"], "") if scenes else None
        except PlaitError as error:
            problems += error.problems
        else:
            told = {**full, "asks": "future" if tracks else "relations" if scenes else "nothing"}
            items += _items(recording, found, told, dropped, None if scenes else (), tracks, scenery)
    raise_all(DataError, problems)
    return ItemSet(items, dict(dropped), full), notes


def _asked(
    recording: Recording,
    unit: Unit,
    segments: Sequence[tuple[float, float]],
    dropped: Counter[str],
    notes: dict[str, str],
) -> list[Cut]:
    if segments:
        return unit.at(recording, segments)
    own: Counter[str] = Counter()  # apart from ``dropped``: the note gives this recording's reasons only
    found = unit.cut(recording, own, asked=True)
    if not found and not isinstance(unit, Whole):
        notes[recording.id] = f"{'; '.join(own)}: asked about as a whole"
        found = Whole(target=None).cut(recording, own, asked=True)
    dropped.update(own)
    return found


def _items(
    recording: Recording,
    cuts: Sequence[Cut],
    unit: Mapping[str, object],
    dropped: Counter[str],
    notes: Notes | None = (),
    tracks: tuple[Track | None, ...] = (),
    scenery: Scenery | None = None,
) -> list[Item]:
    """The items of cuts; those that lack one of several targets are counted in ``dropped``.

    Without a target, the group takes its place. A causal unit gets no context after the item but what it says.
    """
    group, asks, items = recording.group or recording.id, unit.get("asks", "label"), []
    for cut in cuts:
        if unit.get("numbered") and isinstance(cut.target, str) and not cut.target.strip():
            dropped["annotations: empty texts"] += 1
            continue
        if unit.get("causal"):
            before, after = (min(c, s) for c, s in zip(cut.context, unit.get("sees", (cut.context[0], 0.0))))  # type: ignore[call-overload]
            start, stop = cut.start + cut.context[0] - before, cut.stop - cut.context[1] + after
            cut = cut._replace(start=start, stop=stop, context=(before, after))
        target: Target | None = cut.target if asks == "label" else None
        if asks == "annotations":
            target = annotated(notes or (), cut, dropped)
        if asks == "relations":
            target = scene(scenery, notes, cut, dropped)
        if asks == "future":
            target = Future(cut.stop - cut.context[1] - cut.start, cut.start, tracks)
        if asks == "several" and (target := named(recording, cast(list[str], unit["names"]), cut, dropped)) is None:
            continue
        if isinstance(target, np.generic):  # numpy's scalars are not JSON, and a saved run keeps targets as JSON
            target = target.item()
        where = recording.id, cut.start, cut.stop, group if target is None else target, group, recording.split
        number = cut.number if unit.get("numbered") else None
        # A dict: the read-only default of a cut cannot be sent to another process.
        items.append(Item(*where, cut.whole, cut.context, dict(cut.others), number))
    return items
