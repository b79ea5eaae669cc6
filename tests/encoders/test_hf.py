"""Transformers of Hugging Face as encoders: against calling them directly, what learns, what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from plait.core.errors import ConfigError, DataError
from plait.encoders.pretrained import Hf
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.testing.inputs import sample, seeded
from plait.tokens import Tokens

transformers = pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 20,
    "pad_token_id": 0,
}
KINDS: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "roberta": SMALL,
    "electra": {**SMALL, "embedding_size": 8},
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "vocab_size": 50},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 20, "vocab_size": 50}
    | {"bos_token_id": 0, "eos_token_id": 0},
    "t5": {"d_model": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8, "vocab_size": 50},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT as a folder, as `save_pretrained` writes it."""
    place = tmp_path_factory.mktemp("bert")
    with seeded(0):
        transformers.AutoModel.from_config(transformers.AutoConfig.for_model("bert", **SMALL)).save_pretrained(place)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_model_called_directly(kind):
    torch.manual_seed(0)
    encoder = Hf(5, 8, config={"model_type": kind, **KINDS[kind]}).eval()
    tokens = sample(5).clean()
    out = encoder(tokens)
    assert torch.equal(out.mask, tokens.mask)
    for row in range(3):
        seen = tokens.mask[row]
        embedded = encoder.enter(tokens.values[row : row + 1, seen])
        hidden = encoder.model(inputs_embeds=embedded).last_hidden_state
        torch.testing.assert_close(out.values[row, seen], encoder.leave(hidden)[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(out.times[row, seen], tokens.times[row, seen])


def test_weights_come_from_a_folder(folder):
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    encoder = Hf(5, 8, model=str(folder)).eval()
    tokens = sample(5).clean()
    embedded = encoder.enter(tokens.values[:1])
    want = encoder.leave(theirs(inputs_embeds=embedded).last_hidden_state)
    torch.testing.assert_close(encoder(tokens).values[:1], want, atol=1e-5, rtol=1e-4)


def ids_of(*rows: list[int]) -> Tokens:
    """Ids of tokens as rows, padded."""
    time = max(map(len, rows))
    values = torch.tensor([[*row, *[0] * (time - len(row))] for row in rows], dtype=torch.float32)[..., None]
    mask = torch.tensor([[i < len(row) for i in range(time)] for row in rows])
    return Tokens(values, torch.zeros(mask.shape), mask)


@pytest.mark.parametrize("layers", [None, [1, -1]])
def test_ids_are_looked_up_as_the_model_itself_does(layers, folder):
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    encoder = Hf(1, 8, model=str(folder), ids=True, layers=layers).eval()
    assert encoder.symbolic
    out = encoder(ids_of([3, 41, 7], [9]))
    for row, ids in ((0, [3, 41, 7]), (1, [9])):
        states = theirs(torch.tensor([ids]), output_hidden_states=True).hidden_states
        hidden = torch.cat([states[layer] for layer in layers or [-1]], -1)
        torch.testing.assert_close(out.values[row, : len(ids)], encoder.leave(hidden)[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(ConfigError, match="one id each"):
        Hf(5, 8, model=str(folder), ids=True)
    with pytest.raises(ConfigError, match="from -3 to 2"):
        Hf(5, 8, model=str(folder), layers=[3])


def test_words_are_never_trained(folder):
    torch.manual_seed(0)
    encoder = Hf(1, 8, model=str(folder), ids=True, tune="all", layers=[1], dropout=0.0)
    words = encoder.enter.weight.clone()
    encoder.train()(ids_of([3, 41, 7])).values.square().sum().backward()
    assert torch.equal(encoder.enter.weight, words)
    assert not encoder.enter.weight.requires_grad
    # layers above the highest that is read have no part in the answer
    assert all(w.grad is not None for w in encoder.parameters() if w.requires_grad)


def test_weights_in_a_pickle_are_refused(folder, tmp_path):
    theirs = transformers.AutoModel.from_pretrained(folder)
    theirs.config.save_pretrained(tmp_path)
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Hf(5, 8, model=str(tmp_path))


def trained(encoder: Hf) -> set[str]:
    return {name for name, weight in encoder.named_parameters() if weight.requires_grad}


def step(encoder: Hf, rate: float = 0.1) -> None:
    chosen = [weight for weight in encoder.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(chosen, lr=rate)
    for _ in range(2):
        optimizer.zero_grad()
        encoder.train()(sample(5)).values.square().sum().backward()
        optimizer.step()


def test_frozen_weights_stay_and_never_drop_out(folder):
    torch.manual_seed(0)
    encoder = Hf(5, 8, model=str(folder), dropout=0.0)
    before = {name: weight.clone() for name, weight in encoder.model.state_dict().items()}
    assert trained(encoder) == {f"{one}.{what}" for one in ("enter", "leave") for what in ("weight", "bias")}
    tokens = sample(5)
    torch.testing.assert_close(encoder.train()(tokens).values, encoder.eval()(tokens).values)
    step(encoder)
    assert all(torch.equal(before[name], weight) for name, weight in encoder.model.state_dict().items())
    assert encoder.enter.weight.grad.abs().sum() > 0


def test_adapters_change_nothing_at_first_and_are_few(folder):
    pytest.importorskip("peft")
    with seeded(1):
        plain = Hf(5, 8, model=str(folder))
    with seeded(1):
        adapted = Hf(5, 8, model=str(folder), tune="lora", rank=2)
    adapted.enter.load_state_dict(plain.enter.state_dict())
    adapted.leave.load_state_dict(plain.leave.state_dict())
    tokens = sample(5)
    torch.testing.assert_close(adapted.eval()(tokens).values, plain.eval()(tokens).values)
    learned = trained(adapted)
    assert all("lora_" in name for name in learned if name.startswith("model."))
    count = sum(w.numel() for n, w in adapted.named_parameters() if "lora_" in n)
    assert count == 2 * 2 * (2 * 16 * 2)  # layers x (query, value) x (in + out) x rank
    assert count < 0.1 * sum(w.numel() for w in plain.model.parameters())
    before = {name: weight.clone() for name, weight in adapted.model.state_dict().items()}
    step(adapted)
    changed = {n for n, w in adapted.model.state_dict().items() if not torch.equal(w, before[n])}
    assert changed
    assert all("lora_" in name for name in changed)


def test_adapters_go_where_they_are_told(folder):
    pytest.importorskip("peft")
    encoder = Hf(5, 8, model=str(folder), tune="lora", targets=["dense"])
    assert any("intermediate.dense.lora_A" in name for name in trained(encoder))
    with pytest.raises(ConfigError, match="targets"):
        Hf(5, 8, model=str(folder), tune="lora", targets=["nowhere"])


def test_training_it_whole_changes_all_that_has_a_part(folder):
    torch.manual_seed(0)
    encoder = Hf(5, 8, model=str(folder), tune="all", dropout=0.0)
    before = {name: weight.clone() for name, weight in encoder.model.state_dict().items()}
    step(encoder)
    same = {n for n, w in encoder.model.state_dict().items() if torch.equal(w, before[n])}
    # keys' bias does nothing in a softmax: its gradient is zero but for rounding
    assert {n for n in same if "key.bias" not in n} == {"embeddings.word_embeddings.weight"}


def test_checkpointing_gives_the_same_gradient(folder):
    torch.manual_seed(0)
    found = []
    for checkpointing in (False, True):
        encoder = Hf(5, 8, model=str(folder), tune="all", dropout=0.0, checkpointing=checkpointing)
        for module in encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        with torch.no_grad():
            for weight in (*encoder.enter.parameters(), *encoder.leave.parameters()):
                weight.fill_(0.1)
        runs: list[str] = []
        encoder.model.encoder.layer[0].output.dense.register_forward_hook(lambda *_, runs=runs: runs.append("run"))
        encoder.train()(sample(5)).values.square().sum().backward()
        assert len(runs) == (2 if checkpointing else 1)
        found.append(encoder.model.get_parameter("encoder.layer.0.output.dense.weight").grad)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("tune", ["frozen", "lora", "all"])
def test_a_saved_model_needs_no_folder(tune, folder, tmp_path):
    pytest.importorskip("peft")
    torch.manual_seed(0)
    gone = tmp_path / "gone"
    transformers.AutoModel.from_pretrained(folder).save_pretrained(gone)
    specs = {"a": ["conv", {"name": "hf", "model": str(gone), "tune": tune, "rank": 2}], "b": "linear"}
    model = Model({"a": 5, "b": 5}, Classify(["x", "y"]), encoders=specs, dim=8).eval()
    model.save(tmp_path / "run")
    for file in gone.iterdir():
        file.unlink()
    again = Model.load(tmp_path / "run")
    batch = {"a": sample(5), "b": sample(5)}
    torch.testing.assert_close(again(batch)[""], model(batch)[""])
    assert again.describe() == model.describe()
    frozen = {n for n, w in model.named_parameters() if not w.requires_grad}
    assert {n for n, w in again.named_parameters() if not w.requires_grad} == frozen


def test_a_saved_model_of_ids_keeps_its_words(folder, tmp_path):
    pytest.importorskip("peft")
    spec = {"name": "hf", "model": str(folder), "ids": True, "tune": "lora", "rank": 2}
    model = Model({"a": 1}, Classify(["x", "y"]), encoders={"a": spec}, dim=8).eval()
    model.save(tmp_path / "run")
    batch = {"a": ids_of([3, 41, 7], [9])}
    torch.testing.assert_close(Model.load(tmp_path / "run")(batch)[""], model(batch)[""])


def test_more_observations_than_positions_are_told_and_padding_does_not_count():
    encoder = Hf(5, 8, config={"model_type": "bert", **SMALL}).eval()
    tokens = sample(5, time=30)
    with pytest.raises(DataError, match="30 observations"):
        encoder(tokens)
    short = Tokens(*(x[2:3] for x in tokens))
    torch.testing.assert_close(encoder(short).values[:, :10], encoder(Tokens(*(x[:, :10] for x in short))).values)
    roberta = Hf(5, 8, config={"model_type": "roberta", **SMALL, "pad_token_id": 1}).eval()
    roberta(sample(5, time=18))
    with pytest.raises(DataError, match="18 positions"):
        roberta(sample(5, time=19))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tune": "some"}, "hf.tune"),
        ({"config": {"hidden_size": 8}}, "has no model_type"),
        ({"config": {"model_type": "birt"}}, "cannot make a 'birt'"),
        ({"config": {"model_type": "vit", **SMALL}}, "no word embeddings"),
        ({"model": "no/such-model"}, "hf.model"),
        ({"config": {"model_type": "bert", **SMALL}, "checkpointing": True}, "frozen model is not checkpointed"),
        ({"config": {"model_type": "bert", **SMALL}, "tune": "lora", "rank": 0}, "r"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        Hf(5, 8, **options)
