"""A small causal language model of one's own texts: a word-level tokenizer and a transformer, in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from plait.core.atomic import replacing
from plait.core.errors import DataError, need
from plait.encoders.pretrained import quiet

__all__ = ["train_language"]

BEGIN, END, STRANGE = "<s>", "</s>", "<unk>"


def train_language(
    texts: Sequence[str],
    folder: str | Path,
    *,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    epochs: int = 10,
    batch: int = 32,
    lr: float = 4e-3,
    seed: int = 0,
) -> Path:
    """Train a small causal language model on texts and write it as Hugging Face does; returns the folder.

    For `plait.tasks.unify` where no large one is wanted: on small machines, in tests, and for a small vocabulary. It is
    a Llama (Touvron et al. 2023) of random weights, and its tokens are the words and punctuation marks of the texts.

    Args:
        texts: what it learns; a question and its answer in one text.
        folder: a new folder.
        width: numbers per token.
        layers, heads: of the transformer.
        epochs: passes over the texts; 0: the weights stay random.
        batch: texts per step.
        lr: the highest learning rate; it rises for a tenth of the steps and falls along a cosine.
        seed: of the weights, and of the order of the texts.

    Raises:
        DataError: there is no text.
        MissingExtra: transformers is not installed.
    """
    if not any(text.split() for text in texts):
        raise DataError("there are no texts to learn a language from.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = _tokenizer(texts)
        model = _model(len(tokenizer), width, layers, heads)
        _train(model, tokenizer, texts, epochs, batch, lr)
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing(folder) as part, quiet():
        tokenizer.save_pretrained(part)
        model.save_pretrained(part)
    return folder


def _tokenizer(texts: Sequence[str]) -> Any:
    """Lower-cased words and punctuation marks, in the order of the alphabet."""
    tokenizers = need("tokenizers", "text", "train_language")
    transformers = need("transformers", "text", "train_language")
    lower, split = tokenizers.normalizers.Lowercase(), tokenizers.pre_tokenizers.Whitespace()
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(lower.normalize_str(text))})
    known = {word: i for i, word in enumerate((BEGIN, END, STRANGE, *words))}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token=STRANGE))
    made.normalizer, made.pre_tokenizer = lower, split
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=BEGIN, eos_token=END, unk_token=STRANGE, pad_token=END
    )


def _model(words: int, width: int, layers: int, heads: int) -> Any:
    transformers = need("transformers", "text", "train_language")
    config = transformers.LlamaConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=2048,
        initializer_range=0.5 * width**-0.5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return transformers.LlamaForCausalLM(config)


def _train(model: Any, tokenizer: Any, texts: Sequence[str], epochs: int, batch: int, lr: float) -> None:
    """Next-token prediction by AdamW."""
    steps = epochs * -(-len(texts) // batch) + 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    for _ in range(epochs):
        for rows in torch.randperm(len(texts)).split(batch):
            chosen = [f"{BEGIN} {texts[int(row)]} {END}" for row in rows]
            found = tokenizer(chosen, return_tensors="pt", padding=True, add_special_tokens=False)
            labels = found["input_ids"].masked_fill(found["attention_mask"] == 0, -100)
            loss = model(input_ids=found["input_ids"], attention_mask=found["attention_mask"], labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
