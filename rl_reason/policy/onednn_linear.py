"""fp32 linear layers on CPU through oneDNN, forward and backward, instead of MKL.

PyTorch's CPU builds send fp32 products to MKL, which takes its AVX2 path on AMD processors. oneDNN uses AVX-512 there:
230 GFLOP/s against 108 on one core of an EPYC, for the shapes of small models. On Intel processors the two are alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def use_onednn_linears(model: nn.Module, *, leave: nn.Module | None = None) -> int:
    """Put `OneDnnLinear` in the place of every fp32 CPU `nn.Linear`; parameters and their names stay the same.

    Args:
        model: changed in place.
        leave: a module that is not replaced (the output head, which has chunked products of its own).

    Returns:
        How many layers were replaced; 0 where PyTorch was built without oneDNN.
    """
    if not torch.backends.mkldnn.is_available():
        return 0
    chosen = [
        (name, module)
        for name, module in model.named_modules()
        if type(module) is nn.Linear
        and module is not leave
        and module.weight.device.type == "cpu"
        and module.weight.dtype is torch.float32
    ]
    for name, module in chosen:
        model.set_submodule(name, OneDnnLinear(module.weight, module.bias))
    return len(chosen)


class OneDnnLinear(nn.Module):
    """x @ weight.T + bias, as `nn.Linear`."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return _Linear.apply(inputs, self.weight, self.bias)


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left [A, C] @ right [B, C].T (+ bias [B]) by oneDNN; strides may be any, gradients are the caller's affair."""
    return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return product(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        (gradient,) = gradients
        rows = gradient.reshape(-1, gradient.shape[-1])
        into_inputs = product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        into_weight = _outer(rows, inputs.reshape(-1, inputs.shape[-1])) if ctx.needs_input_grad[1] else None
        return into_inputs, into_weight, rows.sum(0) if ctx.needs_input_grad[2] else None


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """left [N, A].T @ right [N, B]; the narrower goes first: oneDNN copies a transposed first operand."""
    if left.shape[1] > right.shape[1]:
        return product(right.t(), left.t()).t()
    return product(left.t(), right.t())
