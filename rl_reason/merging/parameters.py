"""A recipe's numbers: how one value is written, and what it comes to for a tensor.

mergekit's forms:
    0.5                                              a constant
    [0, 0.5, 1]                                      a gradient: linear between evenly spaced points over the depth
    - filter: self_attn                              by name: the first entry whose filter is in the tensor's name
      value: 0.7
    - value: 0.3
ours besides:
    {layers: [0.1, 0.2, …]}                          one for each layer
    {by_layer: {0: 0.75, 52: 0.75, 79: 0.125}}       linear between the layers named, level beyond them

Filters of a model's own parameters are looked for in that model's tensor names, those of a slice's and of the recipe's
`t`, `lambda`, `normalize` in the result's: layers have other numbers there where slices are stacked.

Embeddings, final norm and head, unless a filter names them (`embed_tokens`, `model.norm`, `lm_head`): in a gradient
they have its first point, as in mergekit (embeddings that of the first slice, the others that of the last one). In our
two forms embeddings are as the first layer, final norm and head as the last one.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rl_reason.merging.methods.method import Parameter


@dataclass(frozen=True, slots=True)
class Where:
    """A tensor of the result."""

    name: str
    depth: float
    """From 0, the first layer of its slice, to 1, the last one; 0 outside the layers."""
    layer: int
    layers: int
    """How many its slice has."""


class Value(Protocol):
    """One value of a recipe."""

    def at(self, where: Where) -> float | None:
        """What it comes to; None where it says nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same everywhere."""

    value: float

    def at(self, where: Where) -> float:
        """It."""
        return self.value


@dataclass(frozen=True, slots=True)
class Gradient:
    """Evenly spaced points over the depth."""

    points: tuple[float, ...]

    def at(self, where: Where) -> float:
        """Linear between them."""
        return interpolate(
            [k / max(1, len(self.points) - 1) for k in range(len(self.points))], self.points, where.depth
        )


@dataclass(frozen=True, slots=True)
class Steps:
    """A gradient of flags: each holds from its point to the next one."""

    points: tuple[float, ...]

    def at(self, where: Where) -> float:
        """The last one that has been reached."""
        return self.points[int(where.depth * (len(self.points) - 1))]


@dataclass(frozen=True, slots=True)
class EachLayer:
    """One value a layer."""

    values: tuple[float, ...]

    def at(self, where: Where) -> float:
        """That of the layer."""
        return self.values[where.layer]


@dataclass(frozen=True, slots=True)
class ByLayer:
    """Values at some layers."""

    layers: tuple[int, ...]
    values: tuple[float, ...]

    def at(self, where: Where) -> float:
        """Linear between them."""
        return interpolate(self.layers, self.values, where.layer)


@dataclass(frozen=True, slots=True)
class ByName:
    """The first entry whose filter fits."""

    entries: tuple[tuple[str | None, Value], ...]

    def at(self, where: Where) -> float | None:
        """What that entry comes to."""
        for pattern, value in self.entries:
            if pattern is None or pattern == "*" or pattern in where.name:
                return value.at(where)
        return None


def interpolate(places: Sequence[float], values: Sequence[float], at: float) -> float:
    """Linear between ascending places, level beyond them."""
    right = bisect.bisect_left(places, at)
    if right == 0:
        return float(values[0])
    if right == len(places):
        return float(values[-1])
    share = (at - places[right - 1]) / (places[right] - places[right - 1])
    return float(values[right - 1] + share * (values[right] - values[right - 1]))


def value(written: Any, parameter: Parameter) -> Value:
    """Read one value.

    Raises:
        ValueError: it is none of the forms, or out of the parameter's range; the message says which part.
    """
    if isinstance(written, bool | int | float):
        return Constant(_number(written, parameter))
    if isinstance(written, list) and written:
        if all(isinstance(item, Mapping) for item in written):
            return ByName(tuple(_entry(item, parameter) for item in written))
        kind = Steps if all(isinstance(item, bool) for item in written) else Gradient
        return kind(tuple(_number(item, parameter) for item in written))
    if isinstance(written, Mapping) and set(written) == {"layers"} and isinstance(written["layers"], list):
        return EachLayer(tuple(_number(item, parameter) for item in written["layers"]))
    if isinstance(written, Mapping) and set(written) == {"by_layer"} and isinstance(written["by_layer"], Mapping):
        try:
            points = sorted((int(layer), _number(item, parameter)) for layer, item in written["by_layer"].items())
        except (TypeError, OverflowError) as error:
            raise ValueError("by_layer maps layer numbers to values") from error
        if points:
            return ByLayer(*zip(*points, strict=True))
    raise ValueError(
        "a value is a number, a list of numbers over the depth, a list of {filter, value}, {layers: […]} or "
        f"{{by_layer: {{…}}}}, not {written!r}"
    )


def _entry(item: Mapping[str, Any], parameter: Parameter) -> tuple[str | None, Value]:
    unknown = sorted(set(item) - {"filter", "value"})
    if unknown:
        raise ValueError(f"an entry has a value and perhaps a filter; {unknown[0]} is no part of it")
    if "value" not in item:
        raise ValueError("an entry has no value")
    pattern = item.get("filter")
    if pattern is not None and not isinstance(pattern, str):
        raise ValueError(f"a filter is a part of tensors' names, not {pattern!r}")
    return pattern, value(item["value"], parameter)


def _number(written: Any, parameter: Parameter) -> float:
    if not isinstance(written, bool | int | float):
        raise ValueError(f"{written!r} is no number")
    if not parameter.low <= written <= parameter.high:
        raise ValueError(f"{written} is not between {parameter.low:g} and {parameter.high:g}")
    return float(written)
