"""A random-weights Qwen2 of a published size for GPU checks, made on the GPU: no hub is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

SHAPES: dict[str, dict[str, Any]] = {
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
}
"""Qwen2.5's: two heads of keys and values, tied embeddings, 151,936 tokens."""


def random_qwen(folder: Path, size: str, *, context_tokens: int = 32768) -> tuple[Path, int]:
    """Write it in bfloat16, without a tokenizer; returns the folder and the number of parameters."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=151936,
        num_key_value_heads=2,
        max_position_embeddings=context_tokens,
        tie_word_embeddings=True,
        **SHAPES[size],
    )
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    parameters = model.num_parameters()
    del model
    torch.cuda.empty_cache()
    return folder, parameters
