"""Log-probs and entropies of chosen tokens straight from hidden states, through the output head in chunks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def chunked_logprobs(
    hidden: Tensor, weight: Tensor, targets: Tensor, *, temperature: float = 1.0, chunk_tokens: int = 1024
) -> tuple[Tensor, Tensor]:
    """log softmax(hidden @ weight.T / temperature)[targets] and that distribution's entropy, chunk by chunk.

    Neither pass holds more than [chunk_tokens, V] logits; backward computes them again. Logits, soft-max and the
    gradient of the weight are accumulated in fp32 whatever the dtype of the inputs.

    Args:
        hidden: [N, H] last hidden states at the positions that predict `targets`.
        weight: [V, H] the output head (tied or not; a ZeRO-3 weight must be gathered when this runs and in backward).
        targets: [N] int64 token ids.
        temperature: > 0.
        chunk_tokens: positions a chunk, >= 1.

    Returns:
        logprobs [N] fp32 in nats, with gradient to `hidden` and `weight`; entropies [N] fp32 in nats, without.
    """
    logprobs, entropies = _ChunkedLogprobs.apply(hidden, weight, targets, temperature, chunk_tokens)
    return logprobs, entropies


class _ChunkedLogprobs(torch.autograd.Function):
    """With z = weight @ h and p = softmax(z / temperature): d logp_y / dz = (onehot_y - p) / temperature."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float, chunk_tokens: int
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(hidden, weight, targets)
        ctx.temperature, ctx.chunk_tokens = temperature, chunk_tokens
        logprobs = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        entropies = torch.empty_like(logprobs)
        head = _Head(weight)
        for rows in _chunks(len(targets), chunk_tokens):
            scores = head.logits(hidden[rows]).div_(temperature)
            log_distribution = torch.log_softmax(scores, dim=-1)
            logprobs[rows] = log_distribution.gather(1, targets[rows, None]).squeeze(1)
            entropies[rows] = -log_distribution.exp().mul_(log_distribution).sum(-1)
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        hidden, weight, targets = ctx.saved_tensors
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        into_hidden = torch.empty_like(hidden) if wants_hidden else None
        into_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        head = _Head(weight)
        scaled = gradients[0] / ctx.temperature
        for rows in _chunks(len(targets), ctx.chunk_tokens):
            scores = head.logits(hidden[rows]).div_(ctx.temperature)
            into_logits = torch.softmax(scores, dim=-1).mul_(-scaled[rows, None])
            into_logits.scatter_add_(1, targets[rows, None], scaled[rows, None])
            if into_hidden is not None:
                into_hidden[rows] = head.backward(into_logits)
            if into_weight is not None:
                into_weight.addmm_(into_logits.t(), hidden[rows].float())
        return into_hidden, None if into_weight is None else into_weight.to(weight.dtype), None, None, None


class _Head:
    """Products with the head's weight that leave fp32 results, without an fp32 copy of the weight where that can be."""

    def __init__(self, weight: Tensor) -> None:
        self._direct = weight.is_cuda and weight.dtype is not torch.float32
        self._weight = weight if self._direct else weight.float()

    def logits(self, hidden: Tensor) -> Tensor:
        """[C, H] -> [C, V] fp32."""
        if self._direct:
            return torch.mm(hidden, self._weight.t(), out_dtype=torch.float32)
        return hidden.float() @ self._weight.t()

    def backward(self, into_logits: Tensor) -> Tensor:
        """[C, V] fp32 -> [C, H]; on a GPU with a half-precision weight the product is in that precision."""
        return into_logits.to(self._weight.dtype) @ self._weight


def _chunks(count: int, chunk: int) -> list[slice]:
    return [slice(begin, min(begin + chunk, count)) for begin in range(0, count, chunk)]
