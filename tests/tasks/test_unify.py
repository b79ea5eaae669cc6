"""The task `unify`: what its language model reads, what is trained and saved, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from plait.core.errors import ConfigError, DataError
from plait.examples.items import Item
from plait.models.model import Model
from plait.tasks.answers import Reply
from plait.tasks.language import Language, Prompt, Search
from plait.tasks.packing import Packing
from plait.tasks.small_language import train_language
from plait.tasks.unify import Unify
from plait.tokens import Tokens
from plait.tokens.outside import OutsideChanged

pytest.importorskip("transformers")
pytest.importorskip("peft")

TEXTS = ["what colour ? red", "what colour ? blue", "describe . a red square", "describe . a blue circle"]
ANSWERS = ["red", "blue", "a red square", "a blue circle"]
WIDTH = 16


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language") / "lm"
    return train_language(TEXTS, folder, width=WIDTH, layers=1, heads=2, epochs=20, lr=1e-2)


def task_of(language: Path, **options: object) -> Unify:
    return Unify(list(ANSWERS), language=str(language), context_length=12, **options).eval()  # type: ignore[arg-type]


def model_of(language: Path, **options: object) -> Model:
    torch.manual_seed(0)
    encoders = {"film": "projector", "asked": {"name": "words", "model": str(language)}}
    task = task_of(language, **options)
    return Model({"film": 3, "asked": 1}, task, encoders=encoders, fusion="sequence", dim=WIDTH).eval()


def batch_of(task: Unify, questions: list[str]) -> dict[str, Tokens]:
    ids = [task.tokenizer(q, add_special_tokens=False)["input_ids"] for q in questions]
    long = max(map(len, ids))
    asked = torch.tensor([[*row, *[0] * (long - len(row))] for row in ids]).float()[..., None]
    there = torch.tensor([[True] * len(row) + [False] * (long - len(row)) for row in ids])
    times = torch.arange(5.0).expand(len(ids), 5)
    film = torch.randn(len(ids), 5, 3, generator=torch.Generator().manual_seed(1))
    return {
        "film": Tokens(film, times, times >= 0),
        "asked": Tokens(asked, torch.full_like(there, 2, dtype=torch.float32), there),
    }


def prompt_of(count: int, places: int = 6) -> Prompt:
    values = torch.randn(count, places, WIDTH, generator=torch.Generator().manual_seed(2))
    mask = torch.arange(places)[None] < torch.arange(count)[:, None]
    return Prompt(values, mask)


def test_the_question_reaches_the_language_model_as_its_own_words(language: Path) -> None:
    model = model_of(language)
    task = model.task
    assert isinstance(task, Unify)
    batch = batch_of(task, ["what colour ?", "describe ."])
    prompt, seconds = task._prompt(model(batch)[""])
    assert prompt.mask.sum(1).tolist() == [5 + 3, 5 + 2]
    assert seconds[0, :8].tolist() == [0, 1, 2, 3, 4, 2, 2, 2]
    from transformers import AutoModelForCausalLM

    table = AutoModelForCausalLM.from_pretrained(language).get_input_embeddings().weight
    own = table[batch["asked"].values[0, :, 0].long()]
    assert torch.allclose(prompt.values[0, 5:8] * task.model.scale, own, atol=1e-6)


def test_trimming_and_padding_change_nothing(language: Path) -> None:
    from transformers import AutoModelForCausalLM

    whole = AutoModelForCausalLM.from_pretrained(language).eval()
    task = task_of(language, tune="frozen")
    whole.requires_grad_(False)
    lm, prompt = task.model, prompt_of(4)
    target = task.encode(list(ANSWERS))
    found = lm.logits(prompt, target)
    losses = lm.losses(prompt, target)
    for i in range(4):
        own = prompt.values[i, : int(prompt.mask[i].sum())] * lm.scale
        ids = [lm.words[int(t)] for t in target[i] if t >= 0]
        embed = whole.get_input_embeddings()
        values = torch.cat([embed(torch.tensor([0])), own, embed(torch.tensor(ids))])
        logits = whole(inputs_embeds=values[None]).logits[0, len(own) :][:, lm.words]
        assert torch.allclose(found[i, : len(ids) + 1], logits, atol=1e-4)
        wanted = torch.tensor([*(lm.words.index(t) for t in ids), lm.end])
        assert float(losses[i]) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, wanted)), abs=1e-4)


def test_cached_keys_answer_as_reading_all_again_does(language: Path) -> None:
    lm, prompt = task_of(language).model, prompt_of(4)
    said = lm.answer(prompt, 6, Search())
    again = torch.full((4, 0), -1)
    for _ in range(6):
        again = torch.cat([again, lm.logits(prompt, again)[:, -1:].argmax(-1)], 1)
    ended = (again == lm.end).long().cumsum(1) > 0
    assert said.tolist() == torch.where(ended, -1, again).tolist()


def test_a_beam_finds_what_is_more_likely(language: Path) -> None:
    lm, prompt = task_of(language).model, prompt_of(4)
    greedy, beam = (lm.answer(prompt, 6, Search(beam=b)) for b in (1, 4))
    likely = [float(-lm.losses(prompt, said).detach().mean()) for said in (greedy, beam)]
    assert likely[1] >= likely[0] - 1e-4
    assert not torch.equal(greedy, beam)


def test_draws_are_the_same_each_time_and_change_no_others(language: Path) -> None:
    lm, prompt = task_of(language).model, prompt_of(4)
    state = torch.random.get_rng_state()
    one, two = (lm.answer(prompt, 6, Search(temperature=3.0)) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(state, torch.random.get_rng_state())


def trained(model: Model, steps: int = 5) -> None:
    task = model.task
    assert isinstance(task, Unify)
    batch, target = batch_of(task, ["what colour ?", "describe ."]), task.encode(["red", "a blue circle"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(model(batch)[""], target).mean().backward()
        optimizer.step()


def test_a_run_holds_only_what_was_trained_and_loads_to_the_same_answers(language: Path, tmp_path: Path) -> None:
    model = model_of(language)
    before = model.task.state()
    trained(model)
    assert model.task.state() == before, "training changed the frozen weights"
    model.save(tmp_path / "one")
    names = set(model.state_dict())
    assert not any("embed_tokens" in n or "base_layer" in n or n.endswith("table") for n in names)
    assert any("lora_B" in n for n in names)
    again = Model.load(tmp_path / "one")
    batch = batch_of(model.task, ["what colour ?", "describe ."])  # type: ignore[arg-type]
    assert again.task.decode(again(batch)[""]) == model.eval().task.decode(model(batch)[""])


def test_other_weights_are_refused(language: Path, tmp_path: Path) -> None:
    other = tmp_path / "lm"
    train_language(TEXTS, other, width=WIDTH, layers=1, heads=2, epochs=0)
    encoders = {"asked": {"name": "words", "model": str(other)}}
    Model({"asked": 1}, Unify(list(ANSWERS), language=str(other), context_length=12), encoders=encoders,
          fusion="sequence", dim=WIDTH).save(tmp_path / "one")  # fmt: skip
    (other / "model.safetensors").write_bytes((language / "model.safetensors").read_bytes())
    from plait.encoders.words import word_table

    word_table.cache_clear()
    with pytest.raises(DataError, match="not those that this run was trained on"):
        Model.load(tmp_path / "one")
    for path in other.iterdir():
        path.unlink()
    with pytest.raises(DataError, match="cannot be loaded as a tokenizer"):
        Unify.restore(task_of(language).state(), language=str(other), context_length=12)


def test_adapters_rest_in_the_first_stage(language: Path) -> None:
    task = task_of(language)
    names = [n for n, _ in task.model.named_parameters() if "lora" in n]
    for on in (False, True):
        task.model.adapting(on)
        assert {w.requires_grad for n, w in task.model.named_parameters() if n in names} == {on}
        assert set(names) <= set(task.model.state_dict()), "adapters at rest are saved too"
        assert {w.requires_grad for n, w in task.model.named_parameters() if n not in names} == {False}


class Seen(Language):
    """Answers "red" if the place at 3 s is above 0, whatever else there is."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.words, self.end = [5, 6], 1

    def logits(self, prompt: Prompt, answer: Tensor) -> Tensor:
        first = torch.stack([prompt.values[:, 3, 0], -prompt.values[:, 3, 0]], -1)
        return first[:, None].expand(-1, answer.shape[1] + 1, -1)


def test_evidence_is_where_the_answer_comes_from() -> None:
    from plait.tasks.saliency import saliency, spans_of

    prompt = Prompt(torch.ones(1, 10, 2), torch.ones(1, 10) > 0)
    found = saliency(Seen(), prompt, torch.tensor([[0]]))
    spans = spans_of(found[0], torch.arange(10.0), prompt.mask[0])
    assert spans[0] is not None
    assert spans[0][0] < 3 < spans[0][1]
    text = spans_of(found[0], torch.full((10,), 4.5), prompt.mask[0])
    assert text[0] is None, "a text about the whole item tells of no second"


def test_a_reply_has_its_seconds() -> None:
    reply = Reply("a red square", 0.9, (("a", 0.9, None), ("red", 0.8, (1.0, 2.0)), ("square", 0.7, (1.5, 2.5))))
    assert reply.timed == ((1.0, 2.0, "red", 0.8), (1.5, 2.5, "square", 0.7))
    assert json.loads(json.dumps(reply.to_json()))["words"][1] == {"word": "red", "confidence": 0.8, "evidence": [1, 2]}
    (note,) = reply.annotations(3.0, 9.0, tier="said")
    assert (note.start, note.stop, note.label) == (3.0, 9.0, "a red square")


@pytest.mark.parametrize("target", [3, 2.5, True, " Red  square "])
def test_numbers_and_flags_are_written_as_texts(language: Path, target: object) -> None:
    wanted = {3: "3", 2.5: "2.5", " Red  square ": "red square"}.get(target, "true")  # type: ignore[call-overload]
    assert task_of(language)._text(target) == wanted  # type: ignore[arg-type]


def test_bad_answers_are_named_before_training(language: Path) -> None:
    items = [Item("one", 0, 1, "red", whole=True), Item("two", 0, 1, "  ", whole=True)]
    items.append(Item("three", 0, 1, "красный круг", whole=True))
    with pytest.raises(DataError) as told:
        task_of(language).check_items(items)
    assert ["two" in p for p in told.value.problems] == [True, False]
    assert "three" in told.value.problems[1]
    assert "not in the vocabulary" in told.value.problems[1]
    with pytest.raises(DataError, match="no training item has an answer"):
        Unify([" "], language=str(language))


def test_more_than_the_context_is_refused(language: Path) -> None:
    tokens = Tokens(torch.ones(2, 7, 4), torch.zeros(2, 7), torch.ones(2, 7) > 0)
    with pytest.raises(DataError, match=r"has 7 tokens .* reads 6"):
        Packing(4, 6)(tokens)
    with pytest.raises(ConfigError, match="2048 positions"):
        Unify(list(ANSWERS), language=str(language), context_length=2048)
    with pytest.raises(ConfigError, match=r"Set model: \{dim: 16\}"):
        Model({"film": 3}, task_of(language), fusion="sequence", dim=32)
    with pytest.raises(ConfigError, match="does not draw"):
        task_of(language, beam=2, temperature=1.0)
    with pytest.raises(OutsideChanged):
        Unify.restore({**task_of(language).state(), "sha256": "0"}, language=str(language), context_length=12)


def test_the_answer_agrees_with_those_of_similar_training_items(language: Path) -> None:
    """Four training items with tokens of their own; what is chosen is what the nearest ones say."""
    model = model_of(language, neighbours=1, draws=12)
    task = model.task
    assert isinstance(task, Unify)
    batch = batch_of(task, ["what colour ?"] * 4)
    model.task.complete({}, [model.encode(batch)], lambda: torch.empty(0), None)  # as training does in the end
    output = model(batch)[""]
    prompt, _ = task._prompt(output)
    every = torch.cat(
        [
            task.model.answers(prompt, task.longest, Search(1, 0.0), 1),
            task.model.answers(prompt, task.longest, Search(1, 0.7), 12),
        ],
        1,
    )
    said = [[task.say([t for t in row if t >= 0]) for row in rows] for rows in every.tolist()]
    found = [task.say([int(t) for t in row if t >= 0]) for row in task.scores(output)]
    for own, chosen, true in zip(said, found, ANSWERS):
        assert chosen in own
        if true in own:
            assert chosen == true, "an item is most like itself"
    task.neighbours = 0
    assert [task.say([int(t) for t in row if t >= 0]) for row in task.scores(output)] == [own[0] for own in said]
    again = Unify.restore(json.loads(json.dumps(task.state())), language=str(language), neighbours=1, context_length=12)
    assert again.described == ANSWERS


def test_neighbours_choose_among_a_beam(language: Path) -> None:
    with pytest.raises(ConfigError, match="Set temperature to 0"):
        task_of(language, neighbours=3, temperature=0.5)
