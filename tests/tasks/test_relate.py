"""Relations: scenes of a corpus, the protocols, recall by hand, and one model from fit to predict."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch

from plait import evaluate, fit, predict
from plait.augmentations import Setting
from plait.augmentations.crop_resize import CropResize
from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.examples.items import Item, find_items
from plait.examples.scenes import Scene, relation_of
from plait.metrics.relation_recall import RelationRecall
from plait.recipe import parse_recipe
from plait.streams.objects import object_text, objects_of
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks.answers import Relations
from plait.tasks.geometry import geometry, mirrored
from plait.tasks.pair_head import PairHead, token_of_rows
from plait.tasks.relate import Relate
from plait.tokens import Tokens

UNIT = {"unit": "recording", "asks": "relations", "annotations": "relations", "object_stream": "objects"}


def _scene(kinds, relations, times=1, seed=0):
    """Objects at random places; relations such as ``0 on 1``."""
    rng = np.random.default_rng(seed)
    texts = [
        object_text(kind, (*rng.integers(0, 60, 2).tolist(), 20, 30), id=i, picture=(100, 100))
        for _ in range(times)
        for i, kind in enumerate(kinds)
    ]
    objects = objects_of(Stream.of(np.array(texts, object), times=np.repeat(np.arange(times) / 4, len(kinds))))
    return Scene(1.0, objects, None if relations is None else tuple(relation_of(r) for r in relations))


SCENES = [_scene(["man", "hat", "dog"], ["0 wear 1", "2 next to 0"]), _scene(["man", "dog"], ["0 hold 1", "1 by 0"])]


def _write(folder, *, relations=("0 on 1",), texts=None, tier="relations"):
    texts = texts or [object_text("cup", (0, 0, 5, 5)), object_text("table", (0, 5, 50, 50))]
    with CorpusWriter(folder) as out:
        stream = Stream.of(np.array(texts, object), spans=([0.0] * len(texts), [1.0] * len(texts)))
        out.add("a", {"objects": stream}, annotations=[Annotation(0.0, 1.0, r, tier) for r in relations])
        out.add("b", {"objects": stream})
    return Corpus(folder / "manifest.jsonl")


def test_items_of_a_corpus_are_scenes_and_pictures_without_relations_are_counted(tmp_path):
    found = find_items(_write(tmp_path), UNIT)
    assert [type(i.target) for i in found] == [Scene]
    assert found.items[0].target.relations == (relation_of("0 on 1"),)
    assert found.dropped == {"recordings: nothing on tier 'relations'": 1}


def test_wrong_relations_and_boxes_are_told_with_their_recording(tmp_path):
    with pytest.raises(DataError) as error:
        find_items(_write(tmp_path / "a", relations=("0 on 7", "on", "x near 1")), UNIT)
    told = "\n".join(error.value.problems)
    assert told.count("a, tier 'relations', 0.000 s") == 3
    for part in ("object '7', which the stream 'objects' does not have", "expected 'ID predicate ID'", "object 'x'"):
        assert part in told
    with pytest.raises(DataError, match=r"a.*'objects'.* object 0 .*no area"):
        find_items(_write(tmp_path / "b", texts=[object_text("cup", (0, 0, 0, 5))]), UNIT)
    with pytest.raises(ConfigError, match=r"no recording of manifest\.jsonl has 'relation'"):
        find_items(_write(tmp_path / "c"), {**UNIT, "annotations": "relation"})


def test_the_protocol_says_which_pairs_are_asked():
    given, every = (Relate(SCENES, target="relations", pairs=pairs) for pairs in ("given", "all"))
    items = [Item(f"i{i}", 0.0, 1.0, s) for i, s in enumerate(SCENES)]
    assert given.asked_at(items).mask.sum(1).tolist() == [2, 2]
    assert every.asked_at(items).mask.sum(1).tolist() == [6, 2]
    unknown = [Item("i", 0.0, 1.0, _scene(["man", "hat", "dog"], None))]
    assert given.asked_at(unknown).mask.sum(1).tolist() == [6], "in prediction all pairs are asked"


def test_truth_counts_what_cannot_be_answered():
    task = Relate(SCENES, target="relations")
    (row,) = task.encode([_scene(["dog", "hat"], ["0 wear 1", "1 eat 0"])]).reshape(1, -1, 4).tolist()
    assert row == [[0, task.predicates.index("wear"), 1, 2], [1, len(task.predicates), 1, 2]]
    (row,) = task.encode([SCENES[0]]).reshape(1, -1, 4)[..., 2].tolist()
    assert row == [0, 0], "triples of training are no zero-shot ones"


def _by_hand(task, probabilities, scene, first, one):
    """Recall of one scene, by loops."""
    pairs = task._pairs(scene)
    answers = []
    for pair, row in zip(pairs, probabilities):
        kinds = sorted(range(len(row)), key=lambda k: -row[k])[: 1 if one else None]
        answers += [(row[k], (*pair, task.predicates[k])) for k in kinds]
    said = [triple for _, triple in sorted(answers, key=lambda a: -a[0])[:first]]
    true = [(r.subject, r.object, r.predicate) for r in scene.relations]
    return np.mean([t in said for t in true])


@pytest.mark.parametrize(("first", "one"), [(1, True), (2, True), (3, False), (5, False)])
def test_recall_is_that_of_loops(first, one):
    rng = np.random.default_rng(first)
    pairs = [f"{a} {rng.choice(['on', 'by', 'at'])} {b}" for a, b in permutations("0123", 2)]
    scene = _scene(["man", "dog", "hat", "cup"], pairs[:7])
    task = Relate([_scene(["man", "dog", "hat", "cup"], [*pairs, "0 on 1", "1 by 0", "0 at 2"])], target="relations")
    output = torch.from_numpy(rng.normal(size=(1, 7, task.n_outputs)))
    metric = RelationRecall(first=first, predicates="one" if one else "many")
    found = metric(task.encode([scene]).numpy(), task.scores(output))
    assert found == pytest.approx(_by_hand(task, task.probabilities(output)[0], scene, first, one))


def test_balance_answers_rare_predicates_more_often_and_leaves_probabilities_alone():
    scene = _scene(["man"] * 5, [*(f"{a} on {b}" for a, b in permutations("0123", 2)), "0 near 4"])
    output = torch.tensor([0.0, 1.0, 0.0]).repeat(1, 13, 1)  # near, on
    plain, balanced = (Relate([scene], target="relations", balance=b) for b in (0.0, 2.0))
    assert np.array_equal(plain.probabilities(output), balanced.probabilities(output))
    both = [task.scores(output).reshape(-1, 4) for task in (plain, balanced)]
    assert [set(rows[rows[:, 3] > 0][:, 1]) for rows in both] == [{1.0}, {0.0}]


def test_the_mirror_image_changes_left_and_right_only():
    box = torch.tensor([[10.0, 5, 30, 25, 100, 50], [60.0, 5, 90, 45, 100, 50]])
    there, back = geometry(box[0], box[1]), geometry(*mirrored(box))
    assert torch.equal(mirrored(mirrored(box)), box)
    assert (there != back).any()
    assert torch.allclose(there[:9], back[:9]), "areas and overlap stay"


def test_a_pair_hears_of_the_other_pairs_only_through_messages():
    torch.manual_seed(0)
    tokens = Tokens(torch.randn(1, 3, 8), torch.zeros(1, 3), torch.ones(1, 3) > 0)
    for size, differs in ((0, False), (4, True)):
        head = PairHead(8, 2, hidden=16, messages=size).eval()
        task = Relate(SCENES, target="relations")
        both = [_scene(["man", "hat", "dog"], r) for r in (["0 wear 1"], ["0 wear 1", "2 next to 0"])]
        one, two = (head(tokens, task.asked_at([Item("i", 0.0, 1.0, s)]))[0, 0] for s in both)
        assert torch.allclose(one, two, atol=1e-6) != differs


def test_rows_of_objects_are_found_after_a_crop_in_time():
    item = Item("i", 0.0, 1.0, _scene(["man", "dog"], ["0 hold 1"], times=8))
    at = Relate(SCENES, target="relations").asked_at([item])
    assert at.pairs is not None
    times = at.pairs.times
    tokens = Tokens(torch.ones(1, 16, 2), times, torch.ones(1, 16) > 0)
    setting = Setting(set(), lambda _: torch.ones(2), at)
    torch.manual_seed(0)
    varied = CropResize(share=0.2)({"objects": tokens}, setting)
    assert varied.at.mask.all()
    assert not torch.allclose(varied.at.pairs.times, times)
    found = token_of_rows(varied["objects"], varied.at.pairs)[0, :, 0] > 0
    assert torch.equal(found, varied["objects"].mask[0])
    assert found.any()
    assert not token_of_rows(tokens, varied.at.pairs).any(), "else the times would not matter"


def _left_of(folder, counts):
    """A cup left or right of its plate, and a fork of its dish."""
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for side, count in counts.items():
            for i in range(count):
                left = rng.permutation([10, 80, 150, 220]) + rng.integers(0, 40, 4)
                kinds = ["cup", "plate", "fork", "dish"]
                texts = [object_text(k, (int(x), 50, 30, 30), picture=(300, 200)) for k, x in zip(kinds, left)]
                words = ["left of" if left[a] < left[a + 1] else "right of" for a in (0, 2)]
                notes = [Annotation(0.0, 1.0, f"{a} {w} {a + 1}", "relations") for a, w in zip((0, 2), words)]
                stream = Stream.of(np.array(texts, object), spans=([0.0] * 4, [1.0] * 4))
                out.add(f"{side}{i}", {"objects": stream}, annotations=notes, split=side)
    return folder / "manifest.jsonl"


RECIPE = """
corpus: {corpus}
task: {{name: relate, unit: recording, target: relations, pairs: {pairs}, hidden: 32, messages: 4, dropout: 0.1}}
streams: {{objects: {{feature: {{name: object_rows, codes: 16}}, encoder: linear}}}}
fusion: late
model: {{dim: 16}}
augment: {{crop_resize: 0, gaussian_noise: 0, modality_dropout: 0}}
train: {{epochs: 12, batch: 8, lr: 0.01, temperature_scaling: false, self_distillation: 0}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("pairs", ["given", "all"])
def test_from_fit_to_predict(tmp_path, pairs):
    corpus = _left_of(tmp_path / "corpus", {"train": 60, "test": 12})
    run = fit(
        parse_recipe(RECIPE.format(corpus=corpus, pairs=pairs)), tmp_path / "run", cache=tmp_path / "c", quiet=True
    )
    found = evaluate(run, cache=tmp_path / "c")
    metrics = found["subsets"][-1]["metrics"]
    assert metrics["relation_recall"]["mean"] > 0.9 > found["baseline"]["metrics"]["relation_recall"]
    assert {"mean_recall@100 k=1", "zero_shot_recall@50 k=all"} <= set(metrics)
    deletion = found["deletion"]
    assert deletion["inside"] > 2 * deletion["elsewhere"], "an answer hangs on its own two objects"
    answers = predict(run, corpus, cache=tmp_path / "c")
    first = answers[0].answer
    assert isinstance(first, Relations)
    if pairs == "all":
        kept = Counter(len(a.answer.relations) for a in answers if isinstance(a.answer, Relations))
        assert kept.most_common(1)[0][0] == 2, "a cup has no relation to a fork"
    assert set(first.objects.values()) == {"cup", "plate", "fork", "dish"}
    assert first.to_json()["objects"][0]["box"][3] == 80
    assert relation_of(first.annotations(0.0, 1.0, tier="x")[0].label).predicate in ("left of", "right of")
