"""Transcription: what a saved task is restored from."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from plait.core.errors import ConfigError, DataError
from plait.examples.items import Item
from plait.examples.targets import Annotated
from plait.tasks.transcribe import Transcribe


@pytest.mark.parametrize("ignored", ["x", "0"])
def test_it_is_restored_whatever_labels_it_ignores(ignored: str) -> None:
    said = Annotated(1.0, ((0.0, 0.5, "good"), (0.5, 1.0, ignored)))
    task = Transcribe([said], target="words", ignore=[ignored])
    assert Transcribe.restore(task.state(), **task.options).tokens == task.tokens == ["good"]


def said(*words: str, seconds: float = 1.0) -> Annotated:
    step = seconds / max(len(words), 1)
    return Annotated(seconds, tuple((i * step, (i + 1) * step, word) for i, word in enumerate(words)))


def sure(task: Transcribe, *targets: Annotated) -> Tensor:
    """Logits that are certain of the true word at each instant."""
    return 20.0 * F.one_hot(task.encode(list(targets))[..., 1].clamp(min=0), task.n_outputs)


def test_a_saved_language_model_decodes_alike() -> None:
    task = Transcribe([said("good", "day"), said("bad", "luck")], target="words", ngram=2)
    task.fit_postprocessing(sure(task, said("good", "day")), task.encode([said("good", "day")]), None)
    again = Transcribe.restore(json.loads(json.dumps(task.state())), **task.options)
    assert again.decoder.weights == task.decoder.weights
    logits = torch.randn(5, 25, task.n_outputs)
    assert task.scores(logits).tolist() == again.scores(logits).tolist()


def test_a_saved_decoder_by_attention_decodes_alike() -> None:
    task = Transcribe([said("good", "day"), said("bad", "luck")], target="words", attention=0.5).eval()
    again = Transcribe.restore(json.loads(json.dumps(task.state())), **task.options).eval()
    again.load_state_dict(task.state_dict())
    logits = torch.randn(3, 25, task.n_outputs)
    assert task.scores(logits).tolist() == again.scores(logits).tolist()
    target = task.encode([said("good", "day")] * 3)
    task.loss(logits.requires_grad_(), target).sum().backward()
    assert bool((logits.grad != 0).any(-1).all())


def test_the_language_model_corrects_what_the_streams_leave_open() -> None:
    task = Transcribe([said("good", "day"), said("bad", "luck")] * 20, target="words", ngram=2, lm_weight=2.0)
    logits = sure(task, said("good", "luck"))
    logits[:, 12:, task.tokens.index("day") + 1] += 19.9
    assert [str(answer) for answer in task.decode(logits)] == ["good day"]


def test_words_have_their_times_whatever_the_delay() -> None:
    for options in ({}, {"causal": True, "delay": 0.5}):
        task = Transcribe([said("good", "day")], target="words", **options)
        at = task.asked_at([Item("r", 0.0, 1.0, said("good", "day"))])
        (answer,) = task.decode(sure(task, said("good", "day")), at)
        assert [word[:3] for word in answer.words] == [(0.0, 0.48, "good"), (0.48, 1.0, "day")]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (Annotated(1.0), "r1: nothing is annotated on the tier 'words'"),
        (said(*["good"] * 6), r"r1 \(11 for 10\): more tokens than answers"),
    ],
)
def test_items_that_cannot_be_learnt_are_refused_by_name(target: Annotated, told: str) -> None:
    task = Transcribe([said("good", "day")], target="words", rate=10, ignore=["sil"])
    with pytest.raises(DataError, match=told):
        task.check_items([Item("r0", 0.0, 1.0, said("good")), Item("r1", 0.0, 1.0, target, whole=True)])
    task.check_items([Item("r0", 0.0, 1.0, said("sil"))])


@pytest.mark.parametrize(
    "options",
    [
        {"ngram": 2, "beam": 1},
        {"delay": 0.2},
        {"token": "phone"},
        {"smoothing": 1.0},
        {"attention": 0.3, "beam": 1},
        {"attention": 0.3, "causal": True},
        {"attention": 1.0, "alignment": 0.0},
        {"attention": 1.5},
    ],
)
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Transcribe([said("good")], target="words", **options)


def test_every_word_begins_with_a_blank() -> None:
    task = Transcribe([said("good", "day")], target="words", rate=10)
    target = task.encode([said("good", "good", "day", "day", seconds=2.0)])
    assert target[0, :, 1].tolist() == ([0] + [2] * 4) * 2 + ([0] + [1] * 4) * 2
    (answer,) = task.decode(sure(task, said("good", "good", "day")))
    assert str(answer) == "good good day"
