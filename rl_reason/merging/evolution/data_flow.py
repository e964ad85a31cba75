"""A path of data-flow space as a plan, so that it is written as any merge is: used layers alone, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_reason.errors import MergeError
from rl_reason.merging.architecture import Decoder, decoder
from rl_reason.merging.checkpoint import Tensor, open_checkpoint
from rl_reason.merging.methods.method import Settings
from rl_reason.merging.plan import Output, Plan, Source
from rl_reason.merging.tokenizers import carried_files

CODE = Path(__file__).with_name("modeling_data_flow.py")
_ALIKE = (
    "model_type", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
    "hidden_act", "rms_norm_eps", "rope_theta", "rope_parameters", "rope_scaling", "sliding_window",
)  # fmt: skip


def open_decoders(folders: Sequence[Path]) -> list[Decoder]:
    """The models of a data-flow search, A first.

    Raises:
        MergeError: one is damaged, or its layers cannot run inside A: another architecture, size or position encoding.
    """
    found = [decoder(open_checkpoint(folder)) for folder in folders]
    first = found[0]
    for other in found[1:]:
        for key in _ALIKE:
            ours, theirs = first.checkpoint.config.get(key), other.checkpoint.config.get(key)
            if ours != theirs:
                raise MergeError(
                    f"layers of {other.checkpoint.folder} cannot run in {first.checkpoint.folder}: {key} is {theirs}, "
                    f"there it is {ours}"
                )
        ours, theirs = _shapes(first.layers[0]), _shapes(other.layers[0])
        differing = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
        if differing:
            raise MergeError(
                f"{differing[0]} is {theirs.get(differing[0])} in {other.checkpoint.folder} and "
                f"{ours.get(differing[0])} in {first.checkpoint.folder}"
            )
    return found


def plan_data_flow(decoders: Sequence[Decoder], content: Mapping[str, Any]) -> Plan:
    """The exported model of a candidate of `DataFlowSpace`.

    Args:
        decoders: A first.
        content: `path` [[model, layer], …] and `scales`.
    """
    from rl_reason.merging.evolution.modeling_data_flow import config_of

    first = decoders[0]
    stored, numbers, kinds = used_layers(content, [one.checkpoint.config.get("layer_types") for one in decoders])
    outputs = [_copied(f"inner.{name}", tensor) for name, tensor in {**first.before, **first.after}.items()]
    for number, (model, layer) in enumerate(stored):
        for rest, tensor in decoders[model].layers[layer].items():
            outputs.append(_copied(f"inner.{first.stem}.{number}.{rest}", tensor))
    config = config_of(first.checkpoint.config, numbers, content["scales"], kinds)
    folder = first.checkpoint.folder
    recipe = json.dumps({"data_flow": [str(one.checkpoint.folder) for one in decoders], **content})
    return Plan(
        tuple(one.checkpoint for one in decoders),
        tuple(outputs),
        config,
        {**carried_files(folder), CODE.name: CODE},
        recipe=recipe,
    )


def used_layers(
    content: Mapping[str, Any], kinds: Sequence[Sequence[str] | None]
) -> tuple[list[tuple[int, int]], list[int], list[str]]:
    """What a path needs.

    Args:
        content: of a candidate of `DataFlowSpace`.
        kinds: of each model its config's `layer_types`, None if it has none.

    Returns:
        The layers to be stored, once each: (model, layer); of each step of the path the number of its stored layer; of
        each step its layer's type, or nothing if models have none.
    """
    steps = [(int(model), int(layer)) for model, layer in content["path"]]
    stored = list(dict.fromkeys(steps))
    typed = [each[layer] for model, layer in steps if (each := kinds[model]) is not None]
    return stored, [stored.index(step) for step in steps], typed


def _copied(name: str, tensor: Tensor) -> Output:
    return Output(name, tensor.shape, tensor.dtype, None, (Source(tensor),), None, Settings((), {}))


def _shapes(layer: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in layer.items()}
