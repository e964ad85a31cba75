"""Model folders of a few kilobytes, for tests of merging."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from rl_reason.merging.checkpoint import open_checkpoint, read_at
from rl_reason.merging.dtypes import STORED, narrowed, widened

WIDTH, INNER, VOCABULARY = 8, 12, 20


def make(
    folder: Path,
    seed: int = 0,
    *,
    layers: int = 2,
    width: int = WIDTH,
    vocabulary: int = VOCABULARY,
    change: dict[str, Any] | None = None,
    **config: Any,
) -> Path:
    """A Llama of random float32 weights; `change` puts tensors in place of its own, or leaves them out (None)."""
    random = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    shapes["lm_head.weight"] = (vocabulary, width)
    for layer in range(layers):
        stem = f"model.layers.{layer}."
        shapes |= {f"{stem}self_attn.q_proj.weight": (width, width), f"{stem}mlp.up_proj.weight": (INNER, width)}
        shapes[f"{stem}input_layernorm.weight"] = (width,)
    tensors: dict[str, Any] = {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    tensors |= change or {}
    folder.mkdir(parents=True)
    save_file({name: value for name, value in tensors.items() if value is not None}, folder / "model.safetensors")
    told = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": layers, "hidden_size": width,
        "vocab_size": vocabulary, "torch_dtype": "float32", "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(told | config))
    return folder


def tokens(folder: Path, *words: str) -> Path:
    """Give the folder a tokenizer.json that has these tokens, numbered from 0."""
    written = {"model": {"type": "WordLevel", "vocab": {word: number for number, word in enumerate(words)}}}
    (folder / "tokenizer.json").write_text(json.dumps(written))
    return folder


def as_bfloat16(folder: Path) -> Path:
    """Store the weights of a folder in bfloat16, as safetensors has it."""
    values = load(folder)
    header: dict[str, Any] = {}
    data = b""
    for name, value in values.items():
        raw = narrowed(value, "BF16").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    return folder


def load(folder: Path) -> dict[str, NDArray[np.float32]]:
    """All tensors in float32."""
    found: dict[str, NDArray[np.float32]] = {}
    for name, tensor in open_checkpoint(folder).tensors.items():
        raw = np.empty(tensor.shape, STORED[tensor.dtype])
        with tensor.path.open("rb") as file:
            read_at(file.fileno(), raw.reshape(-1).view(np.uint8).data, tensor.start, name)
        found[name] = widened(raw, tensor.dtype)
    return found
