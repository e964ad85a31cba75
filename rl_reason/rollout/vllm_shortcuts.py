"""Shortcuts of vLLM on CPU: norms in one kernel, attention called directly, no allocation where none is needed.

On small models most of a step is Python. Each shortcut computes what the path that it replaces computes; only the norms
differ, in their last bits. Together they take an eighth off a step of 64 responses (docs/performance.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from vllm import ir
from vllm.model_executor.layers.attention import Attention
from vllm.v1.kv_cache_interface import FullAttentionSpec

_PROVIDER = "rl_reason"
NORM_PRIORITY = {name: [_PROVIDER, "native"] for name in ("rms_norm", "fused_add_rms_norm")}
"""vLLM's engine argument `ir_op_priority`: our implementations where they apply, else its own."""


def shorten_attention(model_runner: Any) -> None:
    """Call attention as a function. vLLM wraps it in a custom operator for torch.compile, which eager mode has not."""
    for layer in model_runner.compilation_config.static_forward_context.values():
        if isinstance(layer, Attention):
            layer.use_direct_call = True


def shorten_allocation(scheduler: Any) -> None:
    """Skip the cache manager for a token that goes into a block which its request has and which it does not fill.

    It then has nothing to allocate, nothing to put into the prefix cache and no block to free. Models whose layers
    keep different caches are left alone.
    """
    groups = scheduler.kv_cache_config.kv_cache_groups
    if len(groups) != 1 or not isinstance(groups[0].kv_cache_spec, FullAttentionSpec):
        return
    manager, size = scheduler.kv_cache_manager, groups[0].kv_cache_spec.block_size
    allocate, nothing = manager.allocate_slots, manager.empty_kv_cache_blocks

    def allocate_slots(request: Any, num_new_tokens: int, **more: Any) -> Any:
        # 0: the block is new. size - 1: the token fills it.
        if num_new_tokens == 1 and 0 < request.num_computed_tokens % size < size - 1:
            return nothing
        return allocate(request, num_new_tokens, **more)

    manager.allocate_slots = allocate_slots


def _rms_norm_applies(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> bool:
    return variance_size is None and weight is not None and x.dtype is torch.float32 and x.is_contiguous()


def _fused_applies(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> bool:
    return _rms_norm_applies(x, weight, epsilon, variance_size) and x_residual.is_contiguous()


@ir.ops.rms_norm.register_impl(_PROVIDER, supports_args=_rms_norm_applies)
def _rms_norm(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> Tensor:
    """weight * x / sqrt(mean(x^2) + epsilon) by vLLM's C++ kernel, which it calls on GPUs only."""
    output = torch.empty_like(x)
    torch.ops._C.rms_norm(output, x, weight, epsilon)
    return output


@ir.ops.fused_add_rms_norm.register_impl(_PROVIDER, supports_args=_fused_applies, inplace=True)
def _fused_add_rms_norm(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """The same of x + x_residual, and that sum; in place."""
    torch.ops._C.fused_add_rms_norm(x, x_residual, weight, epsilon)
    return x, x_residual
