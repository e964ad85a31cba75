"""A causal language model whose input runs a path through the layers of several decoders of one architecture.

Data-flow space of "Evolutionary Optimization of Model Merging Recipes" (arXiv 2403.13187):
    h = embed(x);  for step t: h = layer[path_t](scales_t * h);  logits = head(norm(h))
Embeddings, norm and head are the first decoder's. A layer that is on the path several times is stored once and has a
place in the key-value cache for each time.

This file needs torch and transformers 5 alone: it travels with exported models (`trust_remote_code=True`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel


class DataFlowConfig(PretrainedConfig):
    """The first decoder's config, with `num_hidden_layers` and `layer_types` those of the path, and besides:

    inner_model_type: the decoders' own type, such as `qwen2`.
    path: for each step the number of a stored layer.
    scales: for each step what its input is multiplied by.
    """

    model_type = "data_flow"

    def __init__(
        self,
        inner_model_type: str = "llama",
        path: Sequence[int] = (),
        scales: Sequence[float] = (),
        **inner: Any,
    ) -> None:
        self.inner_model_type = inner_model_type
        self.path = list(path)
        self.scales = list(scales)
        super().__init__(**inner)

    def inner(self) -> Any:
        """The config of a decoder with as many layers as the path has steps."""
        ours = ("inner_model_type", "path", "scales", "model_type", "auto_map", "architectures")
        return AutoConfig.for_model(
            self.inner_model_type, **{key: value for key, value in self.to_dict().items() if key not in ours}
        )


class Path(nn.ModuleList):
    """Stored layers; iterated over, they come as the path has them."""

    def __init__(self, layers: Sequence[nn.Module], path: Sequence[int], scales: Sequence[float]) -> None:
        super().__init__(layers)
        self._path, self._scales = list(path), list(scales)

    def __iter__(self) -> Iterator[Any]:
        stored = list(self._modules.values())
        steps = enumerate(zip(self._path, self._scales, strict=True))
        return iter([_Step(stored[number], step, scale) for step, (number, scale) in steps])

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]


class _Step:
    """A layer at one place of the path: the layer's own weights, but this place of the cache."""

    def __init__(self, layer: Any, step: int, scale: float) -> None:
        attention = copy.copy(layer.self_attn)
        attention.layer_idx = step
        self._layer = copy.copy(layer)
        self._layer.__dict__["_modules"] = {**layer._modules, "self_attn": attention}
        self._scale = scale

    def __call__(self, hidden: Any, *others: Any, **named: Any) -> Any:
        return self._layer(hidden if self._scale == 1 else hidden * self._scale, *others, **named)


class DataFlowForCausalLM(PreTrainedModel, GenerationMixin):
    """See the module. Generates as any causal language model of transformers; vLLM does not run it."""

    config_class = DataFlowConfig
    base_model_prefix = "inner"
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]

    def __init__(self, config: DataFlowConfig) -> None:
        super().__init__(config)
        whole = config.inner()
        whole._attn_implementation = config._attn_implementation
        self.inner = AutoModelForCausalLM.from_config(whole)
        stored = list(self.inner.model.layers)[: max(config.path) + 1]
        self.inner.model.layers = Path(stored, config.path, config.scales)
        self.post_init()

    def get_input_embeddings(self) -> Any:
        """The first decoder's."""
        return self.inner.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        """Others in their place."""
        self.inner.set_input_embeddings(value)

    def get_output_embeddings(self) -> Any:
        """The first decoder's head."""
        return self.inner.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        """Another head in its place."""
        self.inner.set_output_embeddings(new_embeddings)

    def forward(self, input_ids: Any = None, **named: Any) -> Any:
        """As the inner decoder's: `attention_mask`, `past_key_values`, `labels`, … ."""
        return self.inner(input_ids=input_ids, **named)


def config_of(
    first: Mapping[str, Any], path: Sequence[int], scales: Sequence[float], kinds: Sequence[str]
) -> dict[str, Any]:
    """config.json of an exported model.

    Args:
        first: config.json of the first decoder.
        path: numbers of stored layers.
        scales: one a step.
        kinds: of each step its layer's attention (`full_attention`, …); empty if the architecture does not say.
    """
    name = "modeling_data_flow"
    return {
        **first,
        "model_type": DataFlowConfig.model_type,
        "architectures": [DataFlowForCausalLM.__name__],
        "auto_map": {
            "AutoConfig": f"{name}.{DataFlowConfig.__name__}",
            "AutoModelForCausalLM": f"{name}.{DataFlowForCausalLM.__name__}",
        },
        "inner_model_type": first["model_type"],
        "path": list(path),
        "scales": list(scales),
        "num_hidden_layers": len(path),
        **({"layer_types": list(kinds)} if kinds else {}),
    }
