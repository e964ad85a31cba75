"""Recipe section `model`: where the first stage's weights and tokenizer come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rl_reason.config.schema.section import Section, Text


class Scratch(Section):
    """A model built from random weights, with a tokenizer of its own: nothing is downloaded."""

    architecture: Literal["qwen2", "llama"] = "qwen2"
    """Family whose Hugging Face classes are used; both are ones that vLLM runs. Default: the quickstart's."""
    hidden_size: int = Field(ge=8)
    """Width of the residual stream, in units; a multiple of `heads`. No default: it decides what the model can do."""
    layers: int = Field(ge=1)
    """Number of transformer layers. No default."""
    heads: int = Field(ge=1)
    """Number of attention heads; divides `hidden_size`, and is a multiple of `kv_heads`. No default."""
    kv_heads: int = Field(ge=1)
    """Number of key-value heads; equal to `heads` means no sharing. No default."""
    intermediate_size: int = Field(ge=8)
    """Width of the feed-forward block, in units; about three times `hidden_size` is usual. No default."""
    max_position_embeddings: int = Field(default=4096, ge=16)
    """Longest sequence the model is told it can read, in tokens. Default: that of `engine.max_context_tokens`."""
    tied_embeddings: bool = False
    """Whether input and output embeddings are one matrix, as in Qwen2.5 up to 3B. Default: the usual for Qwen2 7B."""
    tokenizer: Literal["bytes"] = "bytes"
    """How text becomes tokens: one a byte, besides chat roles, think tags and `words`. The only choice there is."""
    words: tuple[Text, ...] = ()
    """Longer strings that are one token each, so that sequences are shorter; empty adds none (the default)."""


class Model(Section):
    """Exactly one of `path` and `scratch`."""

    path: Text | None = None
    """Hugging Face folder, or name on the hub; one that begins with . / or ~ must exist. Null (default): `scratch`."""
    scratch: Scratch | None = None
    """Build a small model from nothing instead. Null (the default): `path` is used."""
