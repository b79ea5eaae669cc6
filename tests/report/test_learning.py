"""The section on what each modality learnt while the model was trained."""

from __future__ import annotations

from typing import Any

import pytest

from plait.report.sections.learning import Learning

COLUMNS = ("train_loss", "valid_loss", "valid_accuracy", "speed", "lean", "learnt_high")


def evaluation(*warnings: dict[str, Any], high: float | None = 0.4) -> Any:
    log = {f"{name}.{m}": [0.5, 0.4] for name in COLUMNS for m in ("see", "hear")}
    log |= {f"learnt_high.{m}": [high, high] for m in ("see", "hear")}
    seeds = [{"replicate": name, "epoch": [0, 1], **log} for name in ("seed0", "seed1")]
    del seeds[1]["lean.see"]
    task = {"name": "classify", "metric": "accuracy", "higher_is_better": True, "classes": None}
    return {"task": task, "modalities": ["see", "hear"], "training": {"seeds": seeds, "warnings": [*warnings]}}


def test_warnings_come_first_each_with_its_replicate() -> None:
    one = {"replicate": "seed1", "kind": "learns nothing", "modality": "see", "epoch": 4, "text": "see learns nothing."}
    page = str(Learning().render(evaluation(one)))
    assert "From epoch 4 of seed1 on: see learns nothing." in page
    assert page.index("From epoch 4") < page.index("<svg")
    assert page.count("<svg") == 3, "one per modality, and both side by side"


@pytest.mark.parametrize(("high", "said"), [(0.4, "No modality was seen"), (None, "cannot be told")])
def test_no_warning_is_not_all_clear_where_nothing_can_be_told(high: float | None, said: str) -> None:
    assert said in str(Learning().render(evaluation(high=high)))


def test_a_run_without_such_columns_has_no_section() -> None:
    assert Learning().render({**evaluation(), "training": {"seeds": [{"epoch": [0], "train_loss": [1.0]}]}}) == ""
