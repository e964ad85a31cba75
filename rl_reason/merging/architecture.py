"""What a decoder's tensors are, by their names alone: of which layer, or before or after the layers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rl_reason.errors import MergeError
from rl_reason.merging.checkpoint import Checkpoint, Tensor

_LAYER = re.compile(r"^(?P<stem>(?:.*\.)?(?:layers|h|blocks))\.(?P<layer>\d+)\.(?P<rest>.+)$")
_FIRST = ("embed", "wte", "wpe")
_DEPTH = ("num_hidden_layers", "n_layer", "num_layers")
"""Names that configs have for the number of layers."""
_HEAD = "lm_head.weight"
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight")


@dataclass(frozen=True, slots=True)
class Decoder:
    """A checkpoint's tensors, sorted."""

    checkpoint: Checkpoint
    stem: str
    """What layer numbers follow: `model.layers`."""
    layers: tuple[Mapping[str, Tensor], ...]
    """Of each layer: name after the number -> tensor."""
    before: Mapping[str, Tensor]
    """Embeddings."""
    after: Mapping[str, Tensor]
    """Final norm and head."""

    def by_name(self, name: str) -> Tensor | None:
        """One of the tensors that are outside the layers."""
        return self.before.get(name) or self.after.get(name)


def decoder(checkpoint: Checkpoint) -> Decoder:
    """Sort the tensors.

    Raises:
        MergeError: there are no layers, several stacks of them (an encoder and a decoder, a vision tower), or gaps.
    """
    stacks: dict[str, dict[int, dict[str, Tensor]]] = defaultdict(lambda: defaultdict(dict))
    before: dict[str, Tensor] = {}
    after: dict[str, Tensor] = {}
    for name, tensor in checkpoint.tensors.items():
        match = _LAYER.match(name)
        if match is not None:
            stacks[match["stem"]][int(match["layer"])][match["rest"]] = tensor
        elif any(part in name for part in _FIRST):
            before[name] = tensor
        else:
            after[name] = tensor
    if len(stacks) != 1:
        found = f"has the stacks {', '.join(sorted(stacks))}" if stacks else "has no layers that could be told by name"
        raise MergeError(
            f"{checkpoint.folder} ({checkpoint.architecture}) {found}; decoders of one stack can be merged"
        )
    ((stem, layers),) = stacks.items()
    if sorted(layers) != list(range(len(layers))):
        raise MergeError(f"{checkpoint.folder} lacks layer {min(set(range(max(layers))) - set(layers))} of {stem}")
    if checkpoint.tied:
        after.pop(_HEAD, None)  # a copy of the embedding, which some files carry along
    return Decoder(checkpoint, stem, tuple(layers[k] for k in range(len(layers))), before, after)


def with_heads(decoders: Mapping[Path, Decoder]) -> tuple[dict[Path, Decoder], bool]:
    """Where some have a head and others use their embedding as one: all with heads, and whether any had to be given
    one (the embedding, twice).
    """
    if len({_HEAD in one.after for one in decoders.values()}) < 2:
        return dict(decoders), False
    return {path: one if _HEAD in one.after else _with_head(one) for path, one in decoders.items()}, True


def _with_head(one: Decoder) -> Decoder:
    embedding = next((tensor for name, tensor in one.before.items() if name.endswith(_EMBEDDINGS)), None)
    return one if embedding is None else replace(one, after={**one.after, _HEAD: embedding})


def restacked_config(
    config: Mapping[str, Any], taken: list[int], *, layers: int, dtype: str | None, vocabulary: int | None
) -> dict[str, Any]:
    """config.json of a model that has those layers of this one, in that order (numbers of layers as they were).

    `layers` is how many this one has. Lists of one entry for each layer (`layer_types`, `mlp_layer_types`,
    `no_rope_layers`) follow their layers.

    Raises:
        MergeError: the layers changed and the config has no known key for how many there are.
    """
    changed = dict(config)
    key = next((name for name in _DEPTH if isinstance(config.get(name), int)), None)
    if key is not None:
        changed[key] = len(taken)
        for name, one in config.items():
            if "layer" in name and isinstance(one, list) and len(one) == layers:
                changed[name] = [one[layer] for layer in taken]
    elif taken != list(range(layers)):
        raise MergeError(f"config.json has none of {', '.join(_DEPTH)}: its number of layers cannot be changed")
    if dtype is not None:
        changed["dtype" if "dtype" in config else "torch_dtype"] = dtype
    if vocabulary is not None and "vocab_size" in config:
        changed["vocab_size"] = vocabulary
    return changed
