"""The model that the benchmarks share: a random-weights Qwen2 of the quickstart's shape, with a tokenizer of bytes."""

from __future__ import annotations

from pathlib import Path

from rl_reason.learner.scratch_model import build_scratch_model


def random_model(folder: Path, *, context_tokens: int, tied_embeddings: bool, seed: int = 0) -> Path:
    """Write about 0.8M float32 parameters that read `context_tokens` into `folder`; returns the folder."""
    build_scratch_model(
        folder,
        architecture="qwen2",
        hidden_size=128,
        layers=4,
        heads=4,
        kv_heads=2,
        intermediate_size=384,
        max_position_embeddings=context_tokens,
        tied_embeddings=tied_embeddings,
        seed=seed,
    )
    return folder
