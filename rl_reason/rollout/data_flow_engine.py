"""Rolls out with paths through the layers of several models, loaded once: for evolution in data-flow space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_reason.merging.evolution.composition import compose
from rl_reason.rollout.transformers_engine import TransformersEngine
from rl_reason.types import Completion, Request, Sampling


class DataFlowEngine:
    """A `TransformersEngine` whose model is put together anew for each candidate. Trains nothing, takes no weights."""

    def __init__(
        self, *, model_paths: Sequence[Path], max_context_tokens: int, dtype: str = "float32", max_concurrent: int = 64
    ) -> None:
        """Load all models; the first one gives embeddings and head. See `TransformersEngine` for the rest."""
        engines = [
            TransformersEngine(
                model_path=path, max_context_tokens=max_context_tokens, dtype=dtype, max_concurrent=max_concurrent
            )
            for path in model_paths
        ]
        self._models = [engine.model for engine in engines]
        self._engine = engines[0]

    def take(self, content: Mapping[str, Any]) -> None:
        """Generate with this candidate of `DataFlowSpace` from now on."""
        self._engine.model = compose(self._models, content)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """See `TransformersEngine.generate`."""
        return self._engine.generate(requests, sampling)
