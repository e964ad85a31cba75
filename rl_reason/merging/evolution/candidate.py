"""What is searched and what an evaluation gives: variables, candidates, outcomes, and the seam to whoever evaluates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Variable:
    """One coordinate of the search."""

    name: str
    initial: float
    """Where the distribution starts."""
    low: float
    high: float
    binary: bool = False
    """It takes `low` and `high` alone, and stands for no and yes; decided at their middle."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe to be tried, as plain JSON: the same content is the same candidate, however it was found."""

    content: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Hash of the content."""
        text = json.dumps(self.content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of evaluating a candidate."""

    accuracy: float | None
    """Share right, 0 to 1; None when it failed."""
    tokens_mean: float | None = None
    """Of the responses."""
    failure: str | None = None
    """Why there is no accuracy. A failed candidate is no candidate of accuracy zero: it ranks below all others."""
    seconds: float = 0.0


class Space(Protocol):
    """A space of recipes. Implementations: `ParameterSpace`, `DataFlowSpace`."""

    @property
    def variables(self) -> Sequence[Variable]:
        """The coordinates, in order."""
        ...

    @property
    def sources(self) -> Mapping[str, Candidate]:
        """The models that are merged, each by itself, by its path: what a merge has to beat. Only those that the
        space has."""
        ...

    def candidate(self, values: F64) -> Candidate:
        """The recipe at a point [n]. What makes no difference to the model makes none to the candidate."""
        ...


class Evaluate(Protocol):
    """Evaluates candidates, several at a time if it can."""

    def __call__(self, candidates: Sequence[Candidate], problems: str) -> Iterator[tuple[Candidate, Outcome]]:
        """Yield each of them with its outcome as soon as it is known, in any order.

        Args:
            candidates: all different.
            problems: which ones: `search`, `search/<generation>` (a batch of the search set), `validation` or `test`.
        """
        ...
