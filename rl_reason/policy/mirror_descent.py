"""Online policy mirror descent, the update rule of Kimi k1.5 (arXiv 2501.12599 §2.3.2, eq. 3)."""

from __future__ import annotations

import torch
from torch import Tensor


def mirror_descent_loss(
    sequence_logprobs: Tensor,
    reference_logprobs: Tensor,
    advantages: Tensor,
    *,
    tau: float,
    sequences_total: int,
) -> tuple[Tensor, dict[str, Tensor]]:
    """sum_j( -A_j logp_j + tau/2 (logp_j - ref_j)^2 ) / sequences_total.

    Minus its gradient is eq. 3 of the paper. With Lr_j = logp_j - ref_j and A_j = r_j - baseline, completing the
    square shows it to be the paper's surrogate up to a constant:

        (A_j - tau Lr_j)^2 / (2 tau)  =  -A_j logp_j + tau/2 Lr_j^2  +  A_j ref_j + A_j^2 / (2 tau)

    so the two have the same gradient. On the first step of an iteration Lr = 0, and the gradient is REINFORCE with a
    baseline. Left out, as in the paper: division by the group's standard deviation, clipping, importance ratios, a
    critic, and any normalisation by length; log-probs are sums over the whole response.

    Args:
        sequence_logprobs: [S] log-prob of each response under the policy, fp32, with gradient, in nats.
        reference_logprobs: [S] the same under the reference, the policy at the start of the iteration.
        advantages: [S] reward minus baseline.
        tau: strength of the KL term, > 0, in units of reward per nat.
        sequences_total: responses in the whole mini-batch, over all micro-batches and ranks.

    Returns:
        The scalar loss, and sums over this micro-batch's sequences (divide by `sequences_total` for means):
        `policy/sequence_log_ratio` and `policy/sequence_log_ratio_square`.
    """
    log_ratios = sequence_logprobs - reference_logprobs
    per_sequence = -advantages * sequence_logprobs + 0.5 * tau * log_ratios.square()
    detached = log_ratios.detach()
    metrics = {
        "policy/sequence_log_ratio": detached.sum(),
        "policy/sequence_log_ratio_square": detached.square().sum(),
    }
    return per_sequence.sum() / sequences_total, metrics


def exact_surrogate(logprobs: Tensor, reference_logprobs: Tensor, rewards: Tensor, *, tau: float) -> Tensor:
    """E_{y ~ ref} (r - tau log Z - tau (logp - ref))^2 with the expectation and Z in full (§2.3.2, below eq. 2).

    For problems small enough to enumerate; its minimum, 0, is at logp = ref + r / tau - log Z. It is what the sampled
    loss above is tested against.

    Args:
        logprobs: [V] normalised log-probs of every possible response under the policy, with gradient.
        reference_logprobs: [V] the same under the reference.
        rewards: [V].
        tau: as above.
    """
    log_z = torch.logsumexp(reference_logprobs + rewards / tau, dim=0)
    residuals = rewards - tau * log_z - tau * (logprobs - reference_logprobs)
    return (reference_logprobs.exp() * residuals.square()).sum()
