"""Builds a tiny random model and its byte tokenizer from nothing, for quickstarts and tests without downloads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    AddedToken,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
)
from transformers.utils.logging import disable_progress_bar

from rl_reason.errors import ConfigError

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
THINK_TAGS = ("<think>", "</think>")
"""Ordinary tokens, not special ones: they must show in decoded text, where the format verifier looks for them."""

ARCHITECTURES: dict[str, tuple[type[Any], type[Any]]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_scratch_model(
    folder: Path,
    *,
    architecture: str,
    hidden_size: int,
    layers: int,
    heads: int,
    kv_heads: int,
    intermediate_size: int,
    max_position_embeddings: int,
    tied_embeddings: bool,
    seed: int,
    words: Sequence[str] = (),
) -> None:
    """Write a Hugging Face folder (random float32 weights, config, tokenizer) that transformers and vLLM load as it is.

    The same arguments give the same files, byte for byte. The vocabulary: five special tokens, the two think tags,
    `words`, then the 256 bytes, so plain ASCII text is one token a character.

    Args:
        folder: made if it is not there; files of the same names are replaced.
        architecture: a key of `ARCHITECTURES`.
        hidden_size: hidden_size / heads must be 32 or more for vLLM's CPU attention (transformers takes any even one).
        seed: of the weights.
        words: longer strings that are one token each (a phrase that all prompts share, say): shorter sequences.

    Raises:
        ConfigError: unknown architecture, or sizes that do not divide.
    """
    _check_sizes(architecture, hidden_size, heads, kv_heads)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_byte_tokenizer(words=words, model_max_length=max_position_embeddings)
    make_config, make_model = ARCHITECTURES[architecture]
    config = make_config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=intermediate_size,
        max_position_embeddings=max_position_embeddings,
        tie_word_embeddings=tied_embeddings,
        # transformers' 0.02 suits hidden sizes near 2,500; narrow layers need the 1/sqrt(width) that it stands for.
        initializer_range=hidden_size**-0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make_model(config).float()
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=True
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build_byte_tokenizer(*, words: Sequence[str] = (), model_max_length: int = 1024) -> Qwen2Tokenizer:
    """A tokenizer of the 256 bytes, the special tokens, the think tags and whole `words`; no character is unknown.

    It is a `Qwen2Tokenizer` without merges, for both architectures: for model type `qwen2`, transformers 5 loads that
    class whatever the folder says, and rebuilds its byte-level steps; a tokenizer of another make would lose spaces.
    """
    whole = [PAD, END, *ROLES, *THINK_TAGS, *words]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Qwen2Tokenizer(
        vocab={token: index for index, token in enumerate(dict.fromkeys([*whole, *alphabet]))},
        merges=[],
        unk_token=PAD,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE,
        model_max_length=model_max_length,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    for token in [*THINK_TAGS, *words]:
        tokenizer.add_tokens(AddedToken(token, special=False, normalized=False))
    return tokenizer


def parameter_count(folder: Path) -> int:
    """Parameters of the safetensors files in `folder`, read from their headers (a tied head counts once)."""
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, entry in header.items():
            if name != "__metadata__":
                size = 1
                for dimension in entry["shape"]:
                    size *= dimension
                total += size
    return total


def _check_sizes(architecture: str, hidden_size: int, heads: int, kv_heads: int) -> None:
    if architecture not in ARCHITECTURES:
        raise ConfigError(f"unknown architecture {architecture!r}; choose one of {', '.join(ARCHITECTURES)}")
    if hidden_size % heads or heads % kv_heads:
        raise ConfigError(
            f"hidden_size {hidden_size} must divide by heads {heads}, and heads by kv_heads {kv_heads}; change one"
        )
    if (hidden_size // heads) % 2:
        raise ConfigError(
            f"hidden_size / heads = {hidden_size // heads} must be even for rotary positions; change one of them"
        )
