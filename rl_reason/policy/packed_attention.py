"""Causal attention over a packed batch, segment by segment: no padding, no [T, T] mask, no leak across boundaries.

A segment may continue another one: the responses to one prompt attend to the prompt's keys and values, which are
computed once for all of them.

Registered with transformers under `PACKED_ATTENTION`. The boundaries travel as the keyword `segments` through the
model's forward pass, so recomputation under activation checkpointing sees the same ones.

On CPU one fused-attention call a segment, on views, beats gathering the segments into padded buckets: 36 ms against
44 to 57 ms forward and backward for 8,240 tokens in 79 segments, 4 heads of 32 (docs/performance.md). On a GPU one
variable-length FlashAttention kernel of PyTorch does all segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from rl_reason.errors import LearnerError

PACKED_ATTENTION = "rl_reason_packed"


@dataclass(frozen=True)
class Segments:
    """Where the segments of a packed batch begin and end, and which of them continue another."""

    cu_seqlens: Tensor
    """[segments + 1] int32 on the model's device: their offsets, from 0 to N."""
    lengths: tuple[int, ...]
    """[segments], the same as numbers on the host, so that no device has to be waited for."""
    continues: tuple[int | None, ...] = ()
    """[segments]: the earlier segment that each one continues, None for one that begins afresh. Empty: all do."""

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest sequence, the segment that it continues included."""
        return max(length + self._before(index) for index, length in enumerate(self.lengths))

    def _before(self, index: int) -> int:
        parent = self.continues[index] if self.continues else None
        return 0 if parent is None else self.lengths[parent]


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    segments: Segments | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' attention signature over one packed row.

    Args:
        module: the attention layer (unused: key and value may have fewer heads than query).
        query: [1, heads, N, head width].
        key: [1, heads of keys, N, head width].
        value: as `key`.
        attention_mask: must be None; the segments say all.
        scaling: of the scores; None is 1 / sqrt(head width).
        dropout: probability.
        segments: required.
        sliding_window: the layer's window; refused when a segment is longer.
        softcap: refused: the fused kernels have none.
        s_aux: attention sinks; refused likewise.

    Returns:
        [1, N, heads, head width], and None for the weights.

    Raises:
        LearnerError: no segments, or an attention variant that would be computed wrongly.
    """
    if segments is None or attention_mask is not None:
        raise LearnerError(
            "packed attention needs `segments` and no mask; this model class does not pass keyword arguments through "
            "to its attention: use an architecture with transformers' attention interface"
        )
    if softcap is not None or s_aux is not None or (sliding_window is not None and segments.longest > sliding_window):
        raise LearnerError(
            f"packed attention has no soft-capping, sinks or sliding windows shorter than the sequences (window "
            f"{sliding_window}, longest sequence {segments.longest}): shorten the sequences or choose another model"
        )
    flash = query.is_cuda and dropout == 0.0 and query.dtype in (torch.bfloat16, torch.float16)
    if flash and not segments.continues:
        return _flash_varlen(query, key, value, segments, scaling), None
    return _by_segment(query, key, value, segments, scaling, dropout), None


def _by_segment(
    query: Tensor, key: Tensor, value: Tensor, segments: Segments, scaling: float | None, dropout: float
) -> Tensor:
    """One fused-attention call a segment."""
    grouped = key.shape[1] != query.shape[1]
    split = list(segments.lengths)
    keys, values = key.split(split, 2), value.split(split, 2)
    outputs: list[Tensor] = []
    for index, q in enumerate(query.split(split, 2)):
        parent = segments.continues[index] if segments.continues else None
        k, v, mask = keys[index], values[index], None
        if parent is not None:
            k, v = torch.cat([keys[parent], k], dim=2), torch.cat([values[parent], v], dim=2)
            # Row i of the continuation sees the whole parent and its own positions up to i.
            mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril(keys[parent].shape[2])
        output = scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=parent is None, scale=scaling, enable_gqa=grouped
        )
        outputs.append(output.transpose(1, 2))
    return torch.cat(outputs, dim=1)


def _flash_varlen(query: Tensor, key: Tensor, value: Tensor, segments: Segments, scaling: float | None) -> Tensor:
    """PyTorch's own variable-length FlashAttention; CUDA, half precision."""
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    output = varlen_attn(
        q,
        k,
        v,
        segments.cu_seqlens,
        segments.cu_seqlens,
        segments.longest,
        segments.longest,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=k.shape[1] != q.shape[1],
    )
    assert isinstance(output, Tensor)
    return output.unsqueeze(0)


def register_packed_attention() -> None:
    """Make `attn_implementation=PACKED_ATTENTION` known to transformers; may be called again."""
    AttentionInterface.register(PACKED_ATTENTION, packed_attention)
