"""Which part of a stream's effect on the answer goes via another stream's tokens: mediation by patching.

A stream A of an item is exchanged for that of another item. What its exchange changes (the total effect) goes directly,
or via the tokens of another stream B, which have attended to A's. The tokens of B as they were without the exchange are
put in the place of those with it (Vig et al. 2020, "Investigating gender bias in language models using causal mediation
analysis", NeurIPS; Pearl 2001, "Direct and indirect effects", UAI):

- total = y(A', B(A')) - y(A, B(A)); direct = y(A', B(A)) - y(A, B(A)); via B = total - direct, exactly, since the same
  item is asked three times, without dropout or sampling;
- via B alone = y(A, B(A')) - y(A, B(A)): other than ``via`` where both ways act together.

Outputs are logits less their mean over the classes, or values. Shares are projections on the total effect, by squares:
sum <via, total> / sum <total, total>, so that effects of unlike sign do not cancel. Departure from Vig et al.: they
divide means of odds of a single answer. All of this is of a fixed model; it says nothing of the world.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import DataError
from plait.core.parts import part_name
from plait.evaluation.contribution.bank import Bank
from plait.evaluation.intervals import Floats, Units, from_sums, leave_one_out
from plait.evaluation.rows import interval_row
from plait.evaluation.schema import Mediation, MediationRow, Ratio
from plait.models.model import Model

__all__ = ["Mediated", "fusion_of", "mediable", "mediated", "mediation_of", "patched"]

BATCH = 128

NONE_ATTENDS = "no stream's tokens attend to another's with the fusion {}, so nothing goes via another stream"


class Mediated(NamedTuple):
    """Changes of the outputs as a stream is exchanged, [items, width] each.

    Attributes:
        modality: the stream that is exchanged.
        via: the stream whose tokens are patched.
        total, direct, alone: effects; what goes via the tokens is the total less the direct.
        groups: of the items.
    """

    modality: str
    via: str
    total: Floats
    direct: Floats
    alone: Floats
    groups: NDArray[np.str_]


def mediable(bank: Bank) -> bool:
    """Whether items have one class or one value each."""
    task = bank.model.task
    return bank.at is None and not task.gathers and bank.data.targets.ndim == 1 and not hasattr(task, "texts")


def places_of(model: Model) -> dict[str, nn.Module]:
    """By modality, the module through which its tokens go once they have attended to the others'; empty: none do."""
    found = getattr(model.backbone.fusion, "leave", None)
    several = isinstance(found, nn.ModuleList) and len(found) == len(model.modalities) > 1
    return dict(zip(model.modalities, cast(nn.ModuleList, found))) if several else {}


@contextmanager
def patched(place: nn.Module, value: Tensor) -> Iterator[None]:
    """Within the block, a module gives ``value``, whatever it is given.

    >>> double = nn.Linear(1, 1)
    >>> with patched(double, torch.ones(2)):
    ...     double(torch.zeros(1)).tolist()
    [1.0, 1.0]
    """
    handle = place.register_forward_hook(lambda module, given, output: value)
    try:
        yield
    finally:
        handle.remove()


def mediated(bank: Bank, *, seed: int = 0, most: int = 300) -> list[Mediated]:
    """Every stream exchanged, and the way of its effect via every other one; of items that have both streams.

    Args:
        bank: the items, see `mediable`.
        seed: draws the items that a stream comes from.
        most: items that are asked.

    Raises:
        DataError: answers over time, or texts.
    """
    if not mediable(bank):
        raise DataError("mediation is told of items that have one class or one value each.")
    rng, places = np.random.default_rng(seed), places_of(bank.model)
    groups = np.array([item.group for item in bank.data.items])
    found = []
    for modality in bank.modalities if places else ():
        (there,) = np.nonzero(bank.data.present(modality))
        if len(there) < 2:
            continue
        chosen = rng.permutation(there)[:most]
        source = np.roll(chosen, 1)  # of a random order: another item, at random
        for via in bank.modalities:
            both = bank.data.present(via)[chosen]
            if via != modality and both.any():
                effects = _effects(bank, places[via], modality, chosen[both], source[both])
                found.append(Mediated(modality, via, *effects, groups[chosen[both]]))
    return found


def fusion_of(model: Model) -> str:
    """The name of a model's fusion."""
    return part_name(type(model.backbone.fusion))


def mediation_of(found: Sequence[Mediated], fusion: str) -> Mediation:
    """A row for each exchanged stream and each other one, of all replicates together, with intervals over groups.

    Args:
        found: of all replicates.
        fusion: its name, for why there may be none.
    """
    if not found:
        return {"rows": [], "reason": NONE_ATTENDS.format(fusion)}
    rows: list[MediationRow] = []
    for modality, via in dict.fromkeys((one.modality, one.via) for one in found):
        own = [one for one in found if (one.modality, one.via) == (modality, via)]
        total, direct, alone = (np.concatenate([getattr(one, n) for one in own]) for n in ("total", "direct", "alone"))
        units, size = Units.of(np.concatenate([one.groups for one in own])), np.square(total).sum(1)
        # An effect that is rounding only has no shares.
        size = np.where(size.mean() > 1e-10, size, 0.0)
        rows.append(
            {
                "modality": modality,
                "via": via,
                "items": len(total),
                "total": float(np.sqrt(np.square(total).mean())),
                "direct": _share((direct * total).sum(1), size, units),
                "share": _share(((total - direct) * total).sum(1), size, units),
                "via_alone": _share((alone * total).sum(1), size, units)["ratio"],
            }
        )
    return {"rows": rows, "reason": ""}


def _share(one: Floats, size: Floats, units: Units) -> Ratio:
    """A sum over another one; without bounds, as a way may pull against the others."""
    values = leave_one_out([from_sums(np.stack([one, size], 1), units, lambda s: s[:, 0] / s[:, 1])], units)[0]
    return {"ratio": float(values[0]) if np.isfinite(values[0]) else None, "interval": interval_row(values, units)}


def _effects(
    bank: Bank, place: nn.Module, modality: str, items: NDArray[np.intp], source: NDArray[np.intp]
) -> tuple[Floats, Floats, Floats]:
    """Total effect, direct effect, and that via the tokens alone, [items, width] each."""
    found: list[Tensor] = []
    for start in range(0, len(items), BATCH):
        own, other = items[start : start + BATCH], source[start : start + BATCH]
        plain, tokens = _asked(bank, place, modality, own, own)
        changed, changed_tokens = _asked(bank, place, modality, own, other)
        with patched(place, tokens):
            direct, _ = _asked(bank, place, modality, own, other)
        with patched(place, changed_tokens):
            alone, _ = _asked(bank, place, modality, own, own)
        found.append(torch.stack([changed - plain, direct - plain, alone - plain]))
    total, direct, alone = torch.cat(found, 1).double().numpy()
    return total, direct, alone


def _asked(
    bank: Bank, place: nn.Module, modality: str, items: NDArray[np.intp], source: NDArray[np.intp]
) -> tuple[Tensor, Tensor]:
    """Outputs of items with the stream of others, and what a module gave on the way."""
    kept: list[Tensor] = []
    handle = place.register_forward_hook(lambda module, given, output: kept.append(output))
    try:
        (output,) = bank.outputs({modality: source}, items)
    finally:
        handle.remove()
    # Of logits only differences between classes mean something.
    centred = output if bank.model.task.is_numeric else output - output.mean(1, keepdim=True)
    return centred, kept[0]
