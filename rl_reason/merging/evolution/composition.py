"""A data-flow model in memory, of the layers of loaded models: nothing is copied, so a candidate costs no memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rl_reason.merging.evolution.data_flow import used_layers
from rl_reason.merging.evolution.modeling_data_flow import DataFlowConfig, DataFlowForCausalLM, Path, config_of


def compose(models: Sequence[Any], content: Mapping[str, Any]) -> DataFlowForCausalLM:
    """The model of a candidate of `DataFlowSpace`; it shares all weights with `models` (causal ones of transformers).

    Args:
        models: A first; `model.model.layers` are their layers.
        content: `path` [[model, layer], …] and `scales`.
    """
    import torch

    first = models[0]
    types = [getattr(model.config, "layer_types", None) for model in models]
    stored, numbers, kinds = used_layers(content, types)
    config = config_of(first.config.to_dict(), numbers, content["scales"], kinds)
    with torch.device("meta"):
        made = DataFlowForCausalLM(DataFlowConfig(**config))
    made.inner.model.embed_tokens = first.model.embed_tokens
    made.inner.model.norm = first.model.norm
    made.inner.model.rotary_emb = first.model.rotary_emb
    made.inner.lm_head = first.lm_head
    made.inner.model.layers = Path([models[m].model.layers[k] for m, k in stored], numbers, content["scales"])
    made.generation_config = first.generation_config
    return made.eval()
