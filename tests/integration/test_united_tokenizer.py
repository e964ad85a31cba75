"""A tokenizer made of several, as transformers reads it: texts of both models are cut by both vocabularies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from rl_reason.errors import MergeError
from rl_reason.learner.scratch_model import build_scratch_model
from rl_reason.merging.planning import plan_merge
from rl_reason.merging.recipe import read_recipe
from rl_reason.merging.run import merge
from rl_reason.merging.tokenizers import tokenizer_of, united

TEXTS = {"english": "the cat sat on the mat and the dog ran over the hill", "thai": "แมว นั่ง บน เสื่อ และ หมา วิ่ง บน เขา"}
ADDED = {"english": ["<|end|>"], "thai": ["<|end|>", "<think>"]}


def make_model(folder: Path, name: str, *, seed: int) -> None:
    build_scratch_model(
        folder, architecture="llama", hidden_size=32, layers=2, heads=2, kv_heads=1, intermediate_size=48,
        max_position_embeddings=64, tied_embeddings=True, seed=seed,
    )  # fmt: skip
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXTS[name]], trainer)
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    whole.add_tokens(ADDED[name], special_tokens=True)
    whole.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.resize_token_embeddings(len(whole))
    model.save_pretrained(folder)


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    for seed, name in enumerate(TEXTS):
        make_model(tmp_path / name, name, seed=seed)
    (tmp_path / "recipe.yaml").write_text(
        "merge_method: linear\nmodels: [{model: english}, {model: thai}]\nparameters: {weight: 1}\n"
        "tokenizer: {source: union, tokens: {'<answer>': {source: {kind: zero}}}}\n"
        "chat_template: \"{{ messages[0]['content'] }}<|end|>\"\n"
    )
    merge(plan_merge(read_recipe(tmp_path / "recipe.yaml")), tmp_path / "out")
    return tmp_path


def test_texts_of_both_are_cut_as_their_own_models_cut_them(merged: Path) -> None:
    both = AutoTokenizer.from_pretrained(merged / "out")
    for name, text in TEXTS.items():
        own = AutoTokenizer.from_pretrained(merged / name)
        assert both.tokenize(text) == own.tokenize(text)
        assert both.decode(both(text)["input_ids"]) == text
    english = AutoTokenizer.from_pretrained(merged / "english").get_vocab()
    assert english.items() <= both.get_vocab().items()
    assert both.tokenize("<think>the mat<answer><|end|>") == ["<think>", "the", "Ġmat", "<answer>", "<|end|>"]
    assert both.decode(both("<think>mat<|end|>")["input_ids"], skip_special_tokens=True) == "mat"
    assert both.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi<|end|>"


def test_every_token_has_a_row(merged: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(merged / "out")
    model = AutoModelForCausalLM.from_pretrained(merged / "out", dtype=torch.float32)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == model.config.vocab_size
    thai = AutoModelForCausalLM.from_pretrained(merged / "thai", dtype=torch.float32).get_input_embeddings().weight
    number = tokenizer_of(merged / "thai").tokens["<think>"]
    row = model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("<think>")]
    assert torch.allclose(row, thai[number])  # only one model has it
    assert not model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("<answer>")].any()


def test_tokenizers_that_cut_a_text_in_different_ways_are_not_united(merged: Path) -> None:
    path = merged / "thai" / "tokenizer.json"
    document = json.loads(path.read_text())
    document["pre_tokenizer"]["add_prefix_space"] = True
    path.write_text(json.dumps(document))
    with pytest.raises(MergeError, match=r"english and .*thai cut a text in different ways \(pre_tokenizer\)"):
        united([tokenizer_of(merged / "english"), tokenizer_of(merged / "thai")])
