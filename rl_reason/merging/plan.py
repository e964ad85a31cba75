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
class Rows:
    """Rows of one tensor."""

    tensor: Tensor
    at: NDArray[np.int64]
    """Of each row of the result, which row of the tensor it is; -1: none."""


@dataclass(frozen=True, slots=True)
class Source:
    """One tensor that goes into another: as it is, or put together of rows where vocabularies differ."""

    tensor: Tensor
    rows: tuple[Rows, ...] | None = None
    """None: as it is. Else each row is the mean of the rows that these have for it, and zero where none has one."""
    padding: int = 0
    """So many rows more, at the end, are the mean of all rows before."""


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
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name -> file that is made: a tokenizer of several."""
    recipe: str = ""
    """Its text."""
    seed: int = 0
    notes: tuple[str, ...] = ()
    """What a reader should know before it begins."""

    def fingerprint(self) -> str:
        """Changes when the recipe, the seed, a vocabulary, or any of the weight files does (by name, size and time)."""
        seen = hashlib.sha256(f"{self.recipe}\0{self.seed}".encode())
        for checkpoint in self.checkpoints:
            for path in checkpoint.files:
                about = path.stat()
                seen.update(f"\0{path.resolve()}\0{about.st_size}\0{about.st_mtime_ns}".encode())
        for name, text in self.texts.items():
            seen.update(f"\0{name}\0{text}".encode())
        for output in self.outputs:
            seen.update(f"\0{output.name}\0{output.dtype}\0{output.shape}".encode())
            for rows in (rows for source in output.sources for rows in source.rows or ()):
                seen.update(rows.at.tobytes())
        return seen.hexdigest()
