"""Training sequences that the learner's benchmarks share: random tokens, lengths and advantages."""

from __future__ import annotations

import numpy as np

from rl_reason.types import TrainingSequence


def random_sequences(
    count: int, *, lengths: tuple[int, int], prompt_tokens: int, vocabulary: int, logprob: float
) -> list[TrainingSequence]:
    """Always the same ones.

    Args:
        lengths: tokens of a sequence, from the first up to below the second, uniform.
        prompt_tokens: at its beginning, not trained on.
        vocabulary: tokens are from 10 up to below this.
        logprob: of each response token under the behaviour policy, nats.
    """
    rng = np.random.default_rng(0)
    made = []
    for length in rng.integers(*lengths, count):
        mask = np.arange(length) >= prompt_tokens
        logprobs = np.where(mask, logprob, 0.0).astype(np.float32)
        tokens = rng.integers(10, vocabulary, length).astype(np.int32)
        made.append(TrainingSequence(tokens, mask, logprobs, float(rng.normal())))
    return made
