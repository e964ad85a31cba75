"""vLLM's layerwise reload (0.32), which puts new weights into the storage that the kernels read, and what it misses."""

from __future__ import annotations

from torch import nn
from vllm.config import ModelConfig
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, UnquantizedEmbeddingMethod
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload


def begin_reload(model: nn.Module) -> None:
    """Let the model take weights in the checkpoint's layout again."""
    initialize_layerwise_reload(model)


def end_reload(model: nn.Module, config: ModelConfig) -> None:
    """Pack what was loaded, then the heads that share their weight with the embedding."""
    finalize_layerwise_reload(model, config)
    repack_heads(model)


def repack_heads(model: nn.Module) -> None:
    """Make the packed copy of every output head again.

    With tied embeddings the reload updates the weight that head and embedding share, but not the copy that vLLM's
    CPU kernels packed for the head: it would go on using the old weights (log-probs off by 0.09, seen).
    """
    for module in model.modules():
        if isinstance(module, ParallelLMHead) and isinstance(module.quant_method, UnquantizedEmbeddingMethod):
            module.quant_method.process_weights_after_loading(module)
