"""Task vectors, what they share: each model's difference to the base is thinned out, they are combined, and added.

    merged = base + lambda * combine_k( weight_k, thin_k(model_k - base) )

Task arithmetic (Ilharco et al. 2022, arXiv 2212.04089) thins nothing and adds up. The other files of this folder give
ways to thin; TIES (arXiv 2306.01708) also elects a sign for every element and leaves out what disagrees with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np

from rl_reason.merging.methods.linear import total
from rl_reason.merging.methods.method import F32, Block, Blocks, Parameter, Passes, Settings

_TINY = np.float32(1e-8)


def combine(
    deltas: Sequence[F32], weights: Sequence[float], *, elect: bool, normalize: bool, plainly: bool = False
) -> F32:
    """Weighted sum of task vectors.

    Args:
        deltas: one a model, of one shape.
        weights: one a model.
        elect: count only elements whose sign is that of the sum over the models (TIES' disjoint merge).
        normalize: divide by the sum of the weights, with `elect` of those that count, element by element.
        plainly: elect by the sum of the task vectors without their weights.
    """
    parts = [delta * np.float32(weight) for delta, weight in zip(deltas, weights, strict=True)]
    summed = parts[0].copy() if elect else parts[0]
    for part in parts[1:]:
        summed += part
    if not elect:
        if normalize:
            summed /= np.float32(total(weights))
        return summed
    if plainly:
        summed = np.sum(deltas, axis=0, dtype=np.float32)
    summed += np.float32(0)  # a sum of -0 counts as positive
    sign = np.copysign(np.float32(1), summed)
    merged, share, one = np.zeros_like(summed), np.zeros_like(summed), np.empty_like(summed)
    for part, weight in zip(parts, weights, strict=True):
        part *= sign
        np.maximum(part, 0, out=part)
        merged += part
        if normalize:
            np.multiply(part > 0, np.float32(weight), out=one)
            share += one
    merged *= sign
    if normalize:
        share[np.abs(share) < _TINY] = 1
        merged /= share
    return merged


class Thinning(Protocol):
    """A way to thin a task vector out."""

    parameters: Mapping[str, Parameter]
    """Of each model, beside its weight."""

    def measure(self, passes: Passes, size: int, given: Mapping[str, float]) -> object:
        """What must be known of a whole task vector."""
        ...

    def thin(self, delta: F32, place: Place, given: Mapping[str, float], measured: object) -> F32:
        """The thinned rows; may be `delta` itself, changed."""
        ...


class Place:
    """Where a block of a task vector is, for masks that do not depend on how tensors are cut or threads take turns."""

    def __init__(self, seed: int, model: int, start: int, *, rescale: bool) -> None:
        self.start, self.rescale = start, rescale
        self._entropy = (seed, model, start)

    def random_16_bits(self, size: int) -> np.ndarray:
        """So many uniform numbers from 0 to 65,535, always the same here."""
        bits = np.random.SFC64(np.random.SeedSequence(self._entropy))  # its stream is the same in every numpy (NEP 19)
        return bits.random_raw(-(-size // 4)).view(np.uint16)[:size]


class TaskVectors:
    """A method of this family.

    Args:
        name: mergekit's.
        thinning: how task vectors are thinned out; None keeps them whole.
        elect: whether signs are elected.
        normalize: default of that parameter.
        rescale: default of that parameter; None where the thinning has no such thing.
    """

    base: Literal["required"] = "required"
    models = (1, None)

    def __init__(
        self, name: str, thinning: Thinning | None, *, elect: bool, normalize: bool, rescale: bool | None = None
    ) -> None:
        self.name, self._thinning, self._elect = name, thinning, elect
        self.per_model = {"weight": Parameter("factor of the model's task vector")}
        self.per_model |= thinning.parameters if thinning else {}
        self.overall = {
            "lambda": Parameter("factor of the combined task vector", 1.0),
            "normalize": Parameter("divide by the sum of the weights that count", float(normalize)),
        }
        if rescale is not None:
            self.overall["rescale"] = Parameter("make up for what is dropped, by 1 / the share kept", float(rescale))

    def measure(self, blocks: Blocks, settings: Settings) -> list[object]:
        """What the thinning needs of each model's task vector."""
        if self._thinning is None:
            return []

        def passes(model: int) -> Passes:
            return lambda: (settings.rounding(block.delta(0)) for block in blocks(model))

        size = next((int(np.prod(block.shape)) for block in blocks(0)), 0)
        return [self._thinning.measure(passes(k), size, given) for k, given in enumerate(settings.per_model)]

    def merge(self, block: Block, settings: Settings, measured: object) -> F32:
        """As in the equation."""
        assert isinstance(measured, list) and block.base is not None
        deltas = block.deltas if self._thinning is None else [settings.rounding(delta) for delta in block.deltas]
        if self._thinning is not None:
            rescale = bool(settings.overall.get("rescale", 0.0))
            deltas = [
                self._thinning.thin(delta, Place(settings.seed, k, block.start, rescale=rescale), given, measured[k])
                for k, (delta, given) in enumerate(zip(deltas, settings.per_model, strict=True))
            ]
        weights = [given["weight"] for given in settings.per_model]
        merged = combine(deltas, weights, elect=self._elect, normalize=bool(settings.overall["normalize"]))
        merged *= np.float32(settings.overall["lambda"])
        merged += block.base
        return merged
