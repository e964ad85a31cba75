"""Packed attention on a GPU: PyTorch's variable-length FlashAttention against float32 segment by segment, and its rate.

python benchmarks/gpu/check_attention.py
Heads, keys and values of a Qwen2.5-1.5B layer. Exit code 1 when outputs or gradients differ by more than bfloat16's
rounding explains.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from rl_reason.policy.packed_attention import Segments, packed_attention

HEADS, KEY_HEADS, WIDTH = 12, 2, 128
LARGEST_ERROR = 0.01
"""||ours - float32|| / ||float32||: bfloat16 operands land between 1e-3 and 1e-2."""


def main() -> None:
    """Compare on short segments, time on long ones."""
    torch.manual_seed(0)
    errors = compare((5, 1, 130, 64, 257, 1024, 2))
    timed = rate(tuple(int(n) for n in np.random.default_rng(0).integers(1024, 8192, 8)))
    print(json.dumps({"device": torch.cuda.get_device_name(), "relative_error": errors, **timed}, indent=2))
    raise SystemExit(int(not max(errors.values()) < LARGEST_ERROR))


def compare(lengths: tuple[int, ...]) -> dict[str, float]:
    """Relative errors of the output and of the gradients."""
    inputs = [tensor.requires_grad_() for tensor in draw(sum(lengths))]
    exact = [tensor.detach().float().requires_grad_() for tensor in inputs]
    into = torch.randn(1, sum(lengths), HEADS, WIDTH, device="cuda", dtype=torch.bfloat16)
    results = []
    for tensors in (inputs, exact):
        output = attend(tensors, segments(lengths))
        results.append([output, *torch.autograd.grad(output, tensors, into.to(output.dtype))])
    names = ("output", "query", "key", "value")
    pairs = zip(names, *results, strict=True)
    with torch.no_grad():
        return {name: float((ours.float() - wanted).norm() / wanted.norm()) for name, ours, wanted in pairs}


def rate(lengths: tuple[int, ...]) -> dict[str, float]:
    """TFLOP/s of the causal half, forward and with backward, against one call a segment (`sdpa`)."""
    tensors = [tensor.requires_grad_() for tensor in draw(sum(lengths))]
    parts = segments(lengths)
    one_by_one = Segments(parts.cu_seqlens, lengths, continues=(None,) * len(lengths))
    flops = sum(2 * 2 * HEADS * WIDTH * n * n / 2 for n in lengths)

    def both(which: Segments) -> Callable[[], None]:
        return lambda: attend(tensors, which).sum().backward()

    def forward() -> None:
        with torch.no_grad():
            attend(tensors, parts)

    return {
        "tokens": sum(lengths),
        "forward_tflops": flops / seconds(forward) / 1e12,
        "both_tflops": 3.5 * flops / seconds(both(parts)) / 1e12,
        "both_tflops_sdpa_by_segment": 3.5 * flops / seconds(both(one_by_one)) / 1e12,
    }


def seconds(call: Callable[[], None]) -> float:
    """Median of ten, by device events, after three."""
    taken = []
    for number in range(13):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        if number >= 3:
            taken.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(taken)


def attend(tensors: list[Tensor], parts: Segments) -> Tensor:
    """[1, N, heads, width]."""
    return packed_attention(nn.Identity(), *tensors, None, segments=parts)[0]


def draw(tokens: int) -> list[Tensor]:
    """Query, key and value."""
    return [
        torch.randn(1, heads, tokens, WIDTH, device="cuda", dtype=torch.bfloat16)
        for heads in (HEADS, KEY_HEADS, KEY_HEADS)
    ]


def segments(lengths: tuple[int, ...]) -> Segments:
    """Those of these lengths."""
    offsets = torch.tensor([0, *lengths], device="cuda").cumsum(0).to(torch.int32)
    return Segments(offsets, lengths)


if __name__ == "__main__":
    main()
