"""What a merge will do, known in full before a weight is read: each output tensor, of what, how."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_reason.merging.checkpoint import Checkpoint, Tensor
from rl_reason.merging.methods.method import Method, Settings


@dataclass(frozen=True, slots=True)
class Source:
    """One tensor that goes into another."""

    tensor: Tensor
    rows: NDArray[np.int64] | None = None
    """Which of its rows, in this order, where vocabularies differ; None: all as they are. -1 - k: row k of `absent`."""
    absent: Tensor | None = None
    """Has the rows that the tensor lacks."""


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor of the result."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """safetensors' name."""
    method: Method | None
    """None: the first model's bytes as they are."""
    models: tuple[Source, ...]
    base: Source | None
    settings: Settings

    @property
    def sources(self) -> tuple[Source, ...]:
        """All of them, the base last."""
        return (*self.models, *((self.base,) if self.base else ()))


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole merge."""

    checkpoints: tuple[Checkpoint, ...]
    outputs: tuple[Output, ...]
    config: Mapping[str, Any]
    """config.json of the result."""
    files: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Name -> file to copy: tokenizer, generation settings."""
    recipe: str = ""
    """Its text."""
    seed: int = 0

    def fingerprint(self) -> str:
        """Changes when the recipe, the seed, or any of the weight files does (by name, size and time)."""
        seen = hashlib.sha256(f"{self.recipe}\0{self.seed}".encode())
        for checkpoint in self.checkpoints:
            for path in checkpoint.files:
                about = path.stat()
                seen.update(f"\0{path.resolve()}\0{about.st_size}\0{about.st_mtime_ns}".encode())
        for output in self.outputs:
            seen.update(f"\0{output.name}\0{output.dtype}\0{output.shape}".encode())
        return seen.hexdigest()
