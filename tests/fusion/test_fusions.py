"""What the laws do not say of the fusions."""

from __future__ import annotations

import pytest
import torch

from plait.core.errors import ConfigError
from plait.fusion.concat import Concat
from plait.fusion.late import Late
from plait.fusion.shared import Shared
from plait.testing.inputs import part_of, sample
from plait.tokens import Tokens


def test_concat_averages_within_slots_and_flags_empty_ones():
    fusion = Concat(["a", "b"], 2, time_bins=4, recurrent=False).eval()
    a = Tokens(torch.arange(8.0).reshape(1, 4, 2), torch.tensor([[0.0, 0.5, 3.2, 4.0]]), torch.ones(1, 4) > 0)
    mean, count = fusion._slots(a, torch.zeros(1), torch.full((1,), 4.0))
    assert mean.tolist() == [[[1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [5.0, 6.0]]]
    assert count[0, :, 0].tolist() == [2, 0, 0, 2]
    out = fusion({"a": a})
    assert out.mask.tolist() == [[True, False, False, True]]
    assert out.times.tolist() == [[0.5, 0.0, 0.0, 3.5]]


@pytest.mark.parametrize("shift", [0.0, 12.5, 3600.0])
def test_rounding_of_times_on_a_border_moves_nothing(shift):
    fusion = Concat(["a"], 2, time_bins=10)
    times = torch.arange(11.0)[None] / 10 + shift
    tokens = Tokens(torch.ones(1, 11, 2), times, torch.ones(1, 11) > 0)
    _, count = fusion._slots(tokens, times[:, 0], times[:, -1] - times[:, 0])
    assert count[0, :, 0].tolist() == [1] * 9 + [2]


def test_late_weights_follow_trust_among_those_present():
    fusion = Late(["a", "b", "c"], 4)
    fusion.trust.data = torch.tensor([1.0, 0.0, -300.0])
    rows = {"a": sample(4), "b": part_of(sample(4), [0, 1, 3, 3]), "c": part_of(sample(4), [3, 3, 3, 0])}
    weights = torch.stack(list(fusion.weights(rows).values()), 1)
    odds = torch.tensor([1.0, 0.0]).softmax(0).tolist()
    want = torch.tensor([[*odds, 0.0], [*odds, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(weights, want)


def test_the_summary_adds_a_modality_without_touching_the_share_of_others():
    # without attention layers, the summary of two is the sum of each one's alone
    fusion = Shared(["a", "b"], 16, layers=0).eval()
    a, b = sample(16), sample(16, time=40, seed=1)
    both = fusion({"a": a, "b": b}).values
    torch.testing.assert_close(both, fusion({"a": a}).values + fusion({"b": b}).values)


def test_own_outputs_are_averaged_or_added():
    rows = {"a": sample(16), "b": part_of(sample(16), [0, 3, 3, 3])}
    mean, total = (Shared(["a", "b"], 16, unimodal_heads=own).weights(rows) for own in ("mean", "sum"))
    assert [w.tolist() for w in mean.values()] == [[0.25, 1, 1, 0], [0.25, 0, 0, 0]]
    assert [w.tolist() for w in total.values()] == [[1, 1, 1, 0], [1, 0, 0, 0]]


def test_modalities_see_each_other():
    fusion = Shared(["a", "b"], 16, summary=False).eval()
    a, b = sample(16), sample(16, seed=1)
    alone, both = fusion({"a": a}), fusion({"a": a, "b": b})
    assert not torch.allclose(alone.values[:3], both.values[:3, : alone.values.shape[1]], atol=1e-3)


@pytest.mark.parametrize(
    "options", [{"unimodal_heads": "max"}, {"heads": 3}, {"periods": [0, 1]}, {"periods": [2, 1]}, {"periods": [1]}]
)
def test_wrong_options_of_shared(options):
    with pytest.raises(ConfigError, match="shared"):
        Shared(["a"], 16, **options)


def test_wrong_options_of_concat():
    with pytest.raises(ConfigError, match="time_bins 0"):
        Concat(["a"], 16, time_bins=0)


def test_an_unknown_modality_is_refused():
    with pytest.raises(KeyError, match="unknown modalities"):
        Shared(["a"], 16)({"b": sample(16)})
