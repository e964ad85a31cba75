"""Packed attention is the attention of each sequence alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from rl_reason.errors import LearnerError
from rl_reason.policy.packed_attention import PACKED_ATTENTION, Segments, packed_attention, register_packed_attention

LENGTHS = (5, 1, 9, 2)


def segments(*lengths: int) -> Segments:
    return Segments(torch.tensor([0, *lengths]).cumsum(0).to(torch.int32), lengths)


def tiny(cls: type[PreTrainedModel], config: type) -> PreTrainedModel:
    torch.manual_seed(0)
    register_packed_attention()
    model = cls(
        config(
            vocab_size=20,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
        )
    )
    model.set_attn_implementation(PACKED_ATTENTION)
    return model


@pytest.mark.parametrize(("cls", "config"), [(Qwen2ForCausalLM, Qwen2Config), (LlamaForCausalLM, LlamaConfig)])
def test_packed_is_unpacked_in_values_and_gradients(cls: type[PreTrainedModel], config: type) -> None:
    model = tiny(cls, config)
    tokens = torch.randint(20, (1, sum(LENGTHS)))
    positions = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    into = torch.randn(1, sum(LENGTHS), 20)
    packed = model(input_ids=tokens, position_ids=positions, segments=segments(*LENGTHS), use_cache=False).logits
    ours = torch.autograd.grad(packed, list(model.parameters()), into)

    model.set_attn_implementation("eager")
    alone: list[Tensor] = [model(input_ids=row, use_cache=False).logits for row in tokens.split(LENGTHS, 1)]
    unpacked = torch.cat(alone, 1)
    theirs = torch.autograd.grad(unpacked, list(model.parameters()), into)

    torch.testing.assert_close(packed, unpacked, atol=1e-6, rtol=1e-5)
    for gradient, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, wanted, atol=1e-5, rtol=1e-4)


def test_a_token_of_another_segment_changes_nothing() -> None:
    model = tiny(Qwen2ForCausalLM, Qwen2Config)
    tokens = torch.randint(20, (1, 10))
    other = tokens.clone()
    other[0, :4] = (other[0, :4] + 1) % 20
    positions = torch.cat([torch.arange(4), torch.arange(6)])[None]

    def run(ids: Tensor, parts: Segments) -> Tensor:
        with torch.no_grad():
            return model(input_ids=ids, position_ids=positions, segments=parts, use_cache=False).logits[0, 4:]

    assert torch.equal(run(tokens, segments(4, 6)), run(other, segments(4, 6)))
    # The comparison can fail: as one segment the same change shows.
    assert not torch.equal(run(tokens, segments(10)), run(other, segments(10)))


def test_what_it_cannot_compute_is_refused() -> None:
    query = torch.randn(1, 2, 6, 4)
    module = nn.Identity()
    with pytest.raises(LearnerError, match="segments"):
        packed_attention(module, query, query, query, None)
    with pytest.raises(LearnerError, match="window 3"):
        packed_attention(module, query, query, query, None, segments=segments(2, 4), sliding_window=3)
    with pytest.raises(LearnerError, match="soft-capping"):
        packed_attention(module, query, query, query, None, segments=segments(6), softcap=30.0)
    output, _ = packed_attention(module, query, query, query, None, segments=segments(2, 4), sliding_window=4)
    # The first token of a segment sees itself alone.
    torch.testing.assert_close(output[0, [0, 2]].transpose(0, 1), query[0, :, [0, 2]])
