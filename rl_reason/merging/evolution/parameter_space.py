"""Parameter space: mixing weights and densities, per model and group of layers (arXiv 2403.13187, "Merging in the
Parameter Space").

The paper allows one pair a layer and reports models with one pair a model, which is the default here: 2 x models
variables from 0 to 1. Weights need not sum to one; the best recipes' sums were close to two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_reason.errors import ConfigError
from rl_reason.merging.evolution.candidate import F64, Candidate, Variable

EVOLVED: Mapping[str, tuple[str, ...]] = {
    "linear": ("weight",),
    "task_arithmetic": ("weight",),
    "ties": ("weight", "density"),
    "dare_linear": ("weight", "density"),
    "dare_ties": ("weight", "density"),
    "breadcrumbs": ("weight", "density"),
    "breadcrumbs_ties": ("weight", "density"),
    "della": ("weight", "density"),
    "della_linear": ("weight", "density"),
    "slerp": ("t",),
}
"""Method -> what is searched. `t` is one for all models, the others are each model's."""
_WHOLE = ("t",)


@dataclass(frozen=True)
class ParameterSpace:
    """Recipes of one method for the same models."""

    models: tuple[Path, ...]
    """Those that are merged, the base not among them."""
    layers: int
    """Of each model."""
    method: str = "dare_ties"
    base: Path | None = None
    groups: int = 1
    """Neighbouring layers that share their values; divides `layers`. Embeddings go with the first group, final norm
    and head with the last."""
    parameters: Mapping[str, Any] | None = None
    """Of the method, the same in all recipes. None: weights as they are, not divided by their sum."""
    highest_weight: float = 1.0
    dtype: str | None = None

    def __post_init__(self) -> None:
        if self.method not in EVOLVED:
            raise ConfigError(f"{self.method!r} is not searched; one of {', '.join(EVOLVED)} is")
        if self.groups < 1 or self.layers % self.groups:
            divisors = [str(k) for k in range(1, self.layers + 1) if self.layers % k == 0]
            raise ConfigError(f"groups must divide the {self.layers} layers: {', '.join(divisors)}; not {self.groups}")

    @property
    def variables(self) -> Sequence[Variable]:
        """By parameter, model and group; all from 0 to 1 (weights: to the highest), starting at the middle."""
        found: list[Variable] = []
        for name, model in self._searched():
            high = self.highest_weight if name == "weight" else 1.0
            found += [Variable(f"{name}/{model}/{group}", high / 2, 0.0, high) for group in range(self.groups)]
        return found

    @property
    def sources(self) -> Mapping[str, Candidate]:
        """The base and the models."""
        found: dict[str, Candidate] = {}
        for path in (*([self.base] if self.base is not None else []), *self.models):
            alone = {"merge_method": "linear", "models": [{"model": str(path), "parameters": {"weight": 1.0}}]}
            found[str(path)] = Candidate(alone if self.dtype is None else {**alone, "dtype": self.dtype})
        return found

    def candidate(self, values: F64) -> Candidate:
        """A recipe as `merging.recipe` reads it."""
        shaped = np.asarray(values, dtype=np.float64).reshape(-1, self.groups)
        given: list[dict[str, Any]] = [{} for _ in self.models]
        whole: dict[str, Any] = dict({"normalize": False} if self.parameters is None else self.parameters)
        if self.method == "slerp":
            whole.pop("normalize", None)
        for (name, model), row in zip(self._searched(), shaped, strict=True):
            (whole if name in _WHOLE else given[model])[name] = self._over_layers(row)
        recipe: dict[str, Any] = {
            "merge_method": self.method,
            "models": [
                {"model": str(path), **({"parameters": one} if one else {})}
                for path, one in zip(self.models, given, strict=True)
            ],
        }
        if self.base is not None:
            recipe["base_model"] = str(self.base)
        if whole:
            recipe["parameters"] = whole
        if self.dtype is not None:
            recipe["dtype"] = self.dtype
        return Candidate(recipe)

    def _searched(self) -> list[tuple[str, int]]:
        """(parameter, model); of what is one for all models, model 0 stands for all."""
        return [
            (name, model) for name in EVOLVED[self.method] for model in range(1 if name in _WHOLE else len(self.models))
        ]

    def _over_layers(self, row: F64) -> Any:
        numbers = [float(one) for one in row]
        if len(numbers) == 1:
            return numbers[0]
        return {"layers": [one for one in numbers for _ in range(self.layers // self.groups)]}
