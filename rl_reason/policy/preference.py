"""Losses of a scalar reward model: Bradley-Terry on pairs, binary cross-entropy on labels.

Bradley and Terry 1952, as reward models are trained since Ouyang et al. 2022 (arXiv 2203.02155, eq. 1), without that
paper's division by the number of pairs a prompt. Kimi k1.5 (§2.3.5) says of its classic reward model only that it has
a value head, after InstructGPT.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid, softplus


def bradley_terry_loss(
    chosen: Tensor, rejected: Tensor, *, centre: float, pairs_total: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """sum_p( -log sigmoid(c_p - r_p) + centre (c_p + r_p)^2 ) / pairs_total.

    The first term does not change when a number is added to all rewards. The second (Eisenstein et al. 2023, arXiv
    2312.09244, §3) puts a pair's middle at 0, so that sigmoid(reward) is above one half for what looks right.

    Args:
        chosen: [P] rewards of the better responses, with gradient.
        rejected: [P] rewards of the worse ones.
        centre: >= 0; 0 leaves the zero point to chance.
        pairs_total: pairs of the whole mini-batch, over all micro-batches and ranks.

    Returns:
        The scalar loss, and sums over this micro-batch's pairs (divide by `pairs_total` for means):
        `reward_model/accuracy` (a tie counts one half) and `reward_model/margin`.
    """
    margins = chosen - rejected
    loss = (-logsigmoid(margins) + centre * (chosen + rejected).square()).sum() / pairs_total
    detached = margins.detach()
    return loss, {
        "reward_model/accuracy": (0.5 * (detached.sign() + 1)).sum(),
        "reward_model/margin": detached.sum(),
    }


def label_loss(rewards: Tensor, labels: Tensor, *, sequences_total: int) -> tuple[Tensor, dict[str, Tensor]]:
    """sum_s( -y_s log sigmoid(r_s) - (1 - y_s) log(1 - sigmoid(r_s)) ) / sequences_total, y in [0, 1].

    Computed as softplus(r) - y r, which does not overflow.

    Args:
        rewards: [S], with gradient.
        labels: [S], 1 for right.
        sequences_total: sequences of the whole mini-batch, over all micro-batches and ranks.

    Returns:
        The scalar loss, and `reward_model/accuracy`, the sum of sigmoid(r) >= 1/2 exactly when y >= 1/2 (divide by
        `sequences_total`).
    """
    loss = (softplus(rewards) - labels * rewards).sum() / sequences_total
    agree = (rewards.detach() >= 0) == (labels >= 0.5)
    return loss, {"reward_model/accuracy": agree.to(rewards.dtype).sum()}
