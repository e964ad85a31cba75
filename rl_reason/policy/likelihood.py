"""Masked negative log-likelihood, the loss of supervised stages."""

from __future__ import annotations

from torch import Tensor


def likelihood_loss(logprobs: Tensor, *, tokens_total: int) -> Tensor:
    """-sum_t logp_t / tokens_total: maximum likelihood of the tokens that the loss mask keeps.

    Every token of the mini-batch weighs the same, whatever the length of its sequence and however the mini-batch is
    split, because the denominator is global.

    Args:
        logprobs: [M] log-probs of this micro-batch's masked-in tokens, fp32, with gradient.
        tokens_total: masked-in tokens of the whole mini-batch, over all micro-batches and ranks.
    """
    return -logprobs.sum() / tokens_total
