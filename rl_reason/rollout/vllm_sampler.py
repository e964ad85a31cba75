"""Sampling inside vLLM's CPU worker: a seed for each response at no cost, and the sampled token's log-prob alone.

vLLM's own per-request seeds loop over one torch generator a row and step. Here a token's seed is a hash of
(seed of its request, position of the token), computed for all rows at once. So a response depends on its request
alone, and one that is continued from its own tokens with the same seed draws what the uninterrupted one would have.

vLLM also counts each sampled token's rank, with a kernel that torch.compile builds at first use: seconds, and a C++
compiler that a bare machine has not. Nobody here reads ranks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from vllm.v1.outputs import LogprobsTensors

from rl_reason.errors import RolloutError

SEED_KEY = "rl_reason_seed"
"""Where `SamplingParams.extra_args` carries a request's seed."""


def install(model_runner: Any) -> None:
    """Replace the sampling of an in-process CPU model runner (`vllm.v1.worker.cpu_model_runner.CPUModelRunner`)."""
    sampler = model_runner.sampler
    sampler.topk_topp_sampler.forward = SeededSampling(model_runner)
    sampler.gather_logprobs = sampled_logprobs


class SeededSampling:
    """Stands in for `TopKTopPSampler.forward_cpu`: Gumbel-max with a seed for each (request, position)."""

    def __init__(self, model_runner: Any) -> None:
        self._runner = model_runner

    def __call__(
        self,
        logits: torch.Tensor,
        generators: dict[int, torch.Generator],
        k: torch.Tensor | None,
        p: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sampled tokens [rows] and log-probs [rows, vocabulary] of the full distribution.

        Raises:
            RolloutError: a request asked for top-k or top-p, whose log-probs would not be those of the policy.
        """
        if k is not None or p is not None:
            raise RolloutError("top_k and top_p shift the log-probs that training needs; sample the full distribution")
        batch = self._runner.input_batch
        rows = logits.shape[0]
        states = self._runner.requests
        seeds = np.fromiter(
            (states[name].sampling_params.extra_args[SEED_KEY] for name in batch.req_ids[:rows]), np.uint64, rows
        )
        mixed = token_seeds(seeds, batch.num_tokens_no_spec[:rows])
        sampled = torch.ops._C.fused_gumbel_argmax(logits, torch.from_numpy(mixed))
        return sampled, logits.log_softmax(dim=-1)


def token_seeds(seeds: NDArray[np.uint64], positions: NDArray[np.integer]) -> NDArray[np.int64]:
    """Seeds in [0, 2^31) for the tokens at `positions` of responses with `seeds`: SplitMix64's finaliser (Steele 2014).

    seed + (position + 1) * golden, then two rounds of xor-shift and multiply; the upper 31 bits are kept.
    """
    state = seeds + (positions.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(33)).astype(np.int64)


def sampled_logprobs(logprobs: torch.Tensor, num_logprobs: int, token_ids: torch.Tensor) -> LogprobsTensors:
    """Stands in for `Sampler.gather_logprobs` where only the tokens' own log-probs are wanted; ranks are all 0.

    Args:
        logprobs: [tokens, vocabulary].
        num_logprobs: 0.
        token_ids: [tokens], int64.
    """
    if num_logprobs != 0:
        raise RolloutError(f"this engine returns the sampled token's log-prob only, not the top {num_logprobs}")
    column = token_ids.unsqueeze(-1)
    return LogprobsTensors(column.to(torch.int32), logprobs.gather(-1, column), torch.zeros_like(token_ids))
