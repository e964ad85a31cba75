"""Token seeds against SplitMix64 by hand, and the light log-prob gather."""

import numpy as np
import pytest
import torch

from rl_reason.errors import RolloutError

vllm_sampler = pytest.importorskip("rl_reason.rollout.vllm_sampler")


def splitmix64(seed, position):
    """In Python's integers."""
    mask = 2**64 - 1
    state = (seed + (position + 1) * 0x9E3779B97F4A7C15) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return (state ^ (state >> 31)) >> 33


def test_token_seeds_are_splitmix64():
    # SplitMix64 from seed 0 begins with 0xE220A8397B1DCDAF; its upper 31 bits:
    assert splitmix64(0, 0) == 0xE220A8397B1DCDAF >> 33
    seeds = np.array([0, 1, 2**63 - 1, 2**64 - 1], np.uint64)
    positions = np.array([0, 5, 1000, 2**20], np.int32)
    expected = [splitmix64(int(seed), int(position)) for seed, position in zip(seeds, positions, strict=True)]
    assert vllm_sampler.token_seeds(seeds, positions).tolist() == expected


def test_sampled_logprobs_picks_each_tokens_own():
    logprobs = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]])
    gathered = vllm_sampler.sampled_logprobs(logprobs, 0, torch.tensor([2, 0]))
    assert gathered.logprobs.tolist() == [[-3.0], [-4.0]]
    assert gathered.logprob_token_ids.tolist() == [[2], [0]]
    with pytest.raises(RolloutError, match="top 5"):
        vllm_sampler.sampled_logprobs(logprobs, 5, torch.tensor([2, 0]))
