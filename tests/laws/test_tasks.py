"""The laws over every task, found as a recipe finds it."""

from __future__ import annotations

import numpy as np
import pytest
import torch.nn.functional as F

from plait.core.parts import parts
from plait.examples.future import Future, Track
from plait.examples.scenes import Scene, relation_of
from plait.examples.targets import Annotated, Named
from plait.streams.objects import object_text, objects_of
from plait.streams.stream import Stream
from plait.tasks import Task
from plait.tasks.classify import Classify
from plait.tasks.small_language import train_language
from plait.testing import check_task

MOVES = [
    Annotated(4.0, ((0.0, 1.0, "sit"), (1.0, 4.0, "run"))),
    Annotated(3.0, ((0.0, 3.0, "walk"),)),
    Annotated(2.0, ((1.0, 2.0, "run"),)),
]
SOUNDS = [
    Annotated(4.0, ((0.0, 2.0, "rain"), (1.0, 3.0, "dog"))),
    Annotated(3.0),
    Annotated(2.0, ((0.0, 2.0, "rain"),)),
]
WORDS = [
    Annotated(1.0, ((0.1, 0.4, "Good"), (0.4, 0.8, "day"))),
    Annotated(0.5, ((0.1, 0.4, "day"),)),
    Annotated(1.0, ((0.1, 0.4, "good"), (0.4, 0.8, "good day"))),
]
CAPTIONS = [
    Annotated(1.0, ((0.0, 1.0, "A dog runs ."),)),
    Annotated(1.0, ((0.0, 1.0, "two men, on a bench"),)),
    Annotated(2.0, ((0.0, 1.0, "The dog"),)),
]
MOODS = [Named({"mood": m, "valence": v}) for m, v in (("glad", 2.0), ("cross", -1.0), ("glad", 1.5), ("calm", 0.5))]
LOADS = [
    Future(20.0, float(start), (Track(np.arange(90.0), np.random.default_rng(phase).normal(phase, 1.0, 90)),))
    for phase in range(6)
    for start in (0, 13, 31, 60)
]


def _scene(kinds, relations, times=1):
    rng = np.random.default_rng(len(kinds))
    boxes = rng.integers(1, 60, (times, len(kinds), 4)).tolist()
    texts = [object_text(k, box, id=i) for row in boxes for i, (k, box) in enumerate(zip(kinds, row))]
    objects = objects_of(Stream.of(np.array(texts, object), times=np.repeat(np.arange(times) / 4, len(kinds))))
    return Scene(1.0, objects, tuple(relation_of(r) for r in relations))


SCENES = [
    _scene(["man", "hat", "dog"], ["0 wear 1", "2 next to 0"], times=4),
    _scene(["man", "dog"], ["0 on 1", "1 on 0"]),
    _scene(["hat", "dog", "man", "man"], ["3 on 2", "0 next to 1", "3 wear 0"]),
]
SAID = ["a red square", "a blue circle then a red square", "two", "two"]
TARGETS = {
    "relate": SCENES,
    "multi": MOODS,
    "forecast": LOADS,
    "classify": ["run", "walk", "run", "sit", "run", "sit"],
    "regress": [-1.5, 0, 0.25, 2, "1.25"],
    "tag": MOVES,
    "transcribe": WORDS,
    "unify": SAID,
    "caption": CAPTIONS,
    "retrieve": ["one", "two", "two", "three", "four"],
}
BOTH = {"mood": "classify", "valence": {"name": "regress", "loss": "huber"}}
TOLD = {"target": "caption", "width": 16, "layers": 1, "least": 1}
SIDES = {"query": ["words"], "gallery": ["film"], "projection_dim": 8}
GIVEN = {
    "retrieve": SIDES,
    "relate": {"target": "relations"},
    "caption": TOLD,
    "forecast": {"target": "load", "horizon": [1.0, 7.0]},
    "multi": {"tasks": BOTH},
    "tag": {"target": "moves"},
    "transcribe": {"target": "words"},
}


def slowly(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


VARIANTS = [
    ("relate", {"target": "relations", "pairs": "all", "messages": 0, "mirror": {}}, SCENES),
    ("relate", {"target": "r", "several": True}, [*SCENES, _scene(["man", "dog"], ["0 on 1", "0 wear 1", "1 on 0"])]),
    ("classify", {"smoothing": 0.0, "metric": "macro_f1"}, [1, 2, 2, 10, 3, 2]),
    ("classify", {"class_weight": "balanced", "metric": "roc_auc"}, [True, False, False]),
    ("classify", {"metric": "balanced_accuracy"}, [1, "one", 2.5, "one", 1]),
    ("classify", {"metric": "weighted_f1"}, ["a", "b", "b"]),
    ("regress", {"loss": "mse", "metric": "rmse"}, [100.0, 130.0, 90.0]),
    ("regress", {"loss": "huber", "metric": "corr"}, [1e-3, 2e-3, 5e-3]),
    ("multi", {"tasks": {"valence": "regress", "mood": "classify"}, "weights": {"mood": 0.5}}, MOODS),
    ("regress", {"sentiment": True}, [-3, -1, 0, 0.6, 2.4]),
    ("tag", {"target": "sounds", "several": True, "metric": "segmental_f1"}, SOUNDS),
    ("tag", {"target": "moves", "background": "none", "rate": 2.0, "metric": "mean_average_precision"}, MOVES),
    ("tag", {"target": "moves", "causal": True, "smoothing": 0.1, "metric": "accuracy"}, MOVES),
    ("transcribe", {"target": "words", "token": "character", "metric": "cer"}, WORDS),
    ("transcribe", {"target": "words", "beam": 1, "smoothing": 0.1}, WORDS),
    ("transcribe", {"target": "words", "ngram": 2, "lm_weight": 0.3, "insertion_bonus": 0.1}, WORDS),
    ("transcribe", {"target": "words", "token": "subword", "subwords": 9}, WORDS),
    ("transcribe", {"target": "words", "causal": True, "delay": 0.2}, WORDS),
    slowly("transcribe", {"target": "words", "attention": 0.3}, WORDS),
    slowly("transcribe", {"target": "words", "attention": 1.0}, WORDS),
    ("retrieve", {**SIDES, "contrast": "sigmoid", "csls": 2, "metric": "recall_at1"}, ["a", "b", "c", "d"]),
    ("retrieve", {**SIDES, "correlations": 3, "hidden": 4}, ["a", "b", "c", "d"]),
    slowly("caption", {**TOLD, "ctc": 0.3}, CAPTIONS),
    slowly("caption", {**TOLD, "decoder": "recurrent", "metric": "bleu4"}, CAPTIONS),
    slowly("caption", {**TOLD, "token": "character"}, CAPTIONS),
    slowly("caption", {**TOLD, "beam": 1, "punctuation": True}, CAPTIONS),
]


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    """A language model as wide as the tokens of the laws."""
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("laws") / "language"
    return train_language(SAID, folder, width=8, layers=2, heads=2, epochs=150, lr=1e-2)


@pytest.mark.parametrize("name", [n for n, cls in parts(Task).items() if cls.scored and n != "unify"])
def test_every_task_with_targets_keeps_the_laws(name):
    assert name in TARGETS, f"give targets for the new task {name!r} here"
    check_task(parts(Task)[name], TARGETS[name], **GIVEN.get(name, {}))


@pytest.mark.parametrize(("name", "options", "targets"), VARIANTS)
def test_options_keep_them_too(name, options, targets):
    check_task(parts(Task)[name], targets, **options)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"tune": "frozen", "beam": 2, "cue": "then", "smoothing": 0.1}])
def test_a_language_model_keeps_them(language, options):
    check_task(parts(Task)["unify"], TARGETS["unify"], language=str(language), context_length=16, **options)


class Reference(Classify):
    """The logit of the first class is 0: a head has one output less than there are classes."""

    def __init__(self, targets):
        super().__init__(targets)
        self.n_outputs -= 1

    def class_logits(self, output):
        return F.pad(output, (1, 0))


def test_scores_may_have_other_columns_than_outputs():
    check_task(Reference, TARGETS["classify"])
