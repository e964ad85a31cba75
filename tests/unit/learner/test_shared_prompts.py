"""A prompt computed once for all of its responses gives the log-probs and gradients of computing it for each."""

import numpy as np
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from rl_reason.learner.packing import pack
from rl_reason.learner.policy_model import PackedPolicy
from rl_reason.policy.packed_attention import PACKED_ATTENTION, register_packed_attention
from rl_reason.types import TrainingSequence


def make_policy() -> PackedPolicy:
    register_packed_attention()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        attn_implementation=PACKED_ATTENTION,
    )
    model = Qwen2ForCausalLM(config).double()
    return PackedPolicy(model, chunk_tokens=16)


def make_sequences() -> list[TrainingSequence]:
    rng = np.random.default_rng(1)
    sequences = []
    for prompt_length, lengths in ((6, (1, 5, 9)), (4, (3, 7))):
        prompt = rng.integers(0, 40, prompt_length)
        for length in lengths:
            tokens = np.concatenate([prompt, rng.integers(0, 40, length)]).astype(np.int32)
            mask = np.arange(len(tokens)) >= prompt_length
            sequences.append(TrainingSequence(tokens, mask, np.zeros(len(tokens), np.float32)))
    return [sequences[i] for i in (3, 0, 2, 4, 1)]


def test_shared_prompts_change_neither_log_probs_nor_gradients() -> None:
    results = []
    for share in (False, True):
        policy = make_policy()
        batch = pack(make_sequences(), torch.device("cpu"), share_prompts=share)
        logprobs, _ = policy(batch, 1.0)
        (logprobs * torch.arange(1, len(logprobs) + 1)).sum().backward()
        results.append((batch.tokens.numel(), logprobs.detach(), [p.grad for p in policy.parameters()]))
    (apart, expected, gradients), (together, shared, shared_gradients) = results
    assert (apart, together) == (6 + 10 + 14 + 6 + 10, 6 + 0 + 4 + 8 + 4 + 2 + 6)
    torch.testing.assert_close(shared, expected, rtol=1e-6, atol=1e-6)
    for ours, theirs in zip(shared_gradients, gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
