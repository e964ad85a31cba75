"""The classic reward model as the learner runs it: a backbone over packed rows with one scalar a position."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from rl_reason.errors import LearnerError
from rl_reason.learner.packed_model import hidden_states, made_ready, pretrained
from rl_reason.learner.packing import MicroBatch
from rl_reason.learner.settings import Execution


class PackedRewardModel(nn.Module):
    """Rewards at the counted positions of a micro-batch; implements `PackedModel`.

    A sequence's reward is the one at its last counted position; which that is is the objective's affair.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    @property
    def head_weight(self) -> nn.Parameter:
        """[1, H]: `score.weight` of transformers' sequence classifiers."""
        head: Any = self.model.score
        return head.weight

    def forward(self, batch: MicroBatch, temperature: float) -> tuple[Tensor, Tensor]:
        """Rewards [M] with gradient, fp32, and no entropies; the temperature has no meaning here."""
        hidden = hidden_states(self.model, batch).float()
        rewards = (hidden @ self.head_weight.float().t())[:, 0]
        return rewards, rewards.new_zeros(0)


def load_reward_model(path: Path, execution: Execution) -> PackedRewardModel:
    """Load a model folder for training: of a causal model, whose head gives way to a new one, or of a reward model.

    The new head is drawn with torch's generator, which the learner has seeded.

    Raises:
        LearnerError: the folder holds no model of which transformers makes a sequence classifier with a linear `score`.
    """
    what = "a reward model (a sequence classifier with one label)"
    model = pretrained(AutoModelForSequenceClassification, path, execution, what, num_labels=1)
    head = dict(model.named_children()).get("score")
    if not isinstance(head, nn.Linear) or head.bias is not None:
        raise LearnerError(
            f"{path}: transformers' classifier {type(model).__name__} has no plain linear head named `score`; take a "
            "decoder model, such as of the families Qwen2, Qwen3, Llama or Mistral"
        )
    made_ready(model, execution, head=head)
    return PackedRewardModel(model)
