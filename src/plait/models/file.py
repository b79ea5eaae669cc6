"""``model.json``: the description of a saved model, typed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from plait.core.atomic import read_text
from plait.core.errors import DataError
from plait.core.options import Count
from plait.core.safe_yaml import brief, wild_numbers
from plait.models.conformal import Calibrated

__all__ = ["FORMAT", "Described", "fingerprint", "read_described"]

FORMAT = "plait model 6"

Options = dict[str, object]


class Described(BaseModel):
    """Everything needed to rebuild a model except the weights."""

    # a field that is not known may change the meaning of the rest: refuse it
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: Literal["plait model 6"]
    dims: dict[str, Annotated[int, Field(ge=1, le=10_000_000)]] = Field(min_length=1)
    dim: Count
    unimodal_weight: float
    missing: str
    encoders: dict[str, Annotated[list[Options], Field(min_length=1, max_length=100)]]
    fusion: Options
    task: Options
    task_state: Options
    wide: Described | None = None
    conformal: list[Calibrated] = []


def read_described(path: Path) -> Described:
    """Read a ``model.json``.

    Raises:
        DataError: the file cannot be read, is garbled, or of another version; all problems at once.
    """
    try:
        saved = json.loads(read_text(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Give the folder of a finished fit.") from error
    except (ValueError, RecursionError) as error:  # RecursionError: thousands of nested brackets
        raise DataError(f"{path}: garbled ({brief(error)}). Fit again.") from error
    # before the schema: a file of an old version would get a list of fields that its reader cannot mend
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise DataError(
            f"{path}: not a model of this version of plait; expected the format {FORMAT!r}. Fit its recipe again."
        )
    try:
        found = Described.model_validate(saved)
    except ValidationError as error:
        told = [(e["loc"], f"{e['msg']}; got {brief(e['input'])}") for e in error.errors(include_url=False)]
        raise _garbled(path, told) from error
    # the free-form options have no schema: numbers in them are checked apart
    wild = wild_numbers(saved)
    if strange := sorted(set(found.encoders) ^ set(found.dims)):
        wild.append((("encoders",), f"{', '.join(map(brief, strange))} in one of dims and encoders only"))
    if wild:
        raise _garbled(path, wild)
    return found


def _garbled(path: Path, told: Sequence[tuple[tuple[object, ...], str]]) -> DataError:
    problems = [f"{path}: garbled at {'.'.join(map(str, place))}: {what}." for place, what in told]
    return DataError([*problems, f"{path}: Fit again, or copy it again from where it was fitted."])


def fingerprint(model: nn.Module) -> str:
    """A digest of a model's weights."""
    found = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
