"""The seam between the methods of merging and what runs them: tensors come in blocks of whole rows, in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows [start, start + len) of one tensor, of every source. A vector is one row of its own for each element."""

    models: tuple[F32, ...]
    """In the recipe's order, the base not among them. Not to be written to."""
    base: F32 | None
    start: int
    shape: tuple[int, ...]
    """Of the whole tensor."""

    def delta(self, model: int) -> F32:
        """The task vector of a model, by its number: the model minus the base, newly made."""
        assert self.base is not None
        return self.models[model] - self.base

    @property
    def deltas(self) -> list[F32]:
        """All task vectors."""
        return [self.delta(number) for number in range(len(self.models))]


def exactly(values: F32) -> F32:
    """The rounding of float32: none."""
    return values


@dataclass(frozen=True, slots=True)
class Settings:
    """The recipe's numbers for one output tensor."""

    per_model: tuple[Mapping[str, float], ...]
    overall: Mapping[str, float]
    """Flags are 0 or 1."""
    seed: int = 0
    """Of this tensor alone."""
    rounding: Callable[[F32], F32] = exactly
    """To the recipe's dtype: task vectors are rounded before they are ranked, as mergekit has it."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a method takes; `default` None: it must be given."""

    help: str
    default: float | None = None
    low: float = -np.inf
    high: float = np.inf


def parameters(**named: Parameter) -> Mapping[str, Parameter]:
    """By name."""
    return named


class Blocks(Protocol):
    """Passes over the tensor; may be called several times."""

    def __call__(self, only: int | None = None) -> Iterable[Block]:
        """One pass; with `only` that one model's rows, and the base's."""
        ...


Passes = Callable[[], Iterable[F32]]
"""The same of one array."""


class Method(Protocol):
    """One way of merging. Its file has the paper's equation as a function on whole arrays, which these two share."""

    @property
    def name(self) -> str:
        """mergekit's."""
        ...

    @property
    def base(self) -> Literal["required", "optional", "none"]:
        """Whether a base model takes part."""
        ...

    @property
    def models(self) -> tuple[int, int | None]:
        """How many at least and at most, the base not counted."""
        ...

    @property
    def per_model(self) -> Mapping[str, Parameter]:
        """Numbers for each model."""
        ...

    @property
    def overall(self) -> Mapping[str, Parameter]:
        """Numbers for the merge as a whole."""
        ...

    def measure(self, blocks: Blocks, settings: Settings) -> object:
        """What must be known of the whole tensor before any of it can be merged; None if nothing."""
        ...

    def merge(self, block: Block, settings: Settings, measured: object) -> F32:
        """The merged rows."""
        ...
