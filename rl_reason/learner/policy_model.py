"""The policy as the learner runs it: a Hugging Face causal model over packed rows, its head applied in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from rl_reason.errors import LearnerError
from rl_reason.learner.packed_model import hidden_states, made_ready, pretrained
from rl_reason.learner.packing import MicroBatch
from rl_reason.learner.settings import Execution
from rl_reason.policy.chunked_logprobs import chunked_logprobs
from rl_reason.types import TrainingSequence

_HEAD_EXTRAS = ("logits_scaling", "logit_scale", "final_logit_softcapping")
"""What some models do to logits after the head; the chunked head does not."""


class PackedPolicy(nn.Module):
    """Log-probs of the counted tokens of a micro-batch; implements `PackedModel`."""

    def __init__(self, model: PreTrainedModel, *, chunk_tokens: int) -> None:
        super().__init__()
        self.model = model
        self._chunk_tokens = chunk_tokens

    @property
    def head_weight(self) -> nn.Parameter:
        """[V, H], the very parameter of the embedding where the two are tied."""
        head: Any = self.model.get_output_embeddings()
        return head.weight

    def forward(self, batch: MicroBatch, temperature: float) -> tuple[Tensor, Tensor]:
        """Log-probs [M] with gradient and entropies [M] without, fp32, in nats, at the given temperature."""
        return chunked_logprobs(
            hidden_states(self.model, batch),
            self.head_weight,
            batch.targets,
            temperature=temperature,
            chunk_tokens=self._chunk_tokens,
        )


def load_policy(path: Path, execution: Execution) -> PackedPolicy:
    """Load a model folder for training.

    Raises:
        LearnerError: the folder holds no loadable causal model, or its head does what the chunked head does not.
    """
    model = pretrained(AutoModelForCausalLM, path, execution, "a causal language model")
    settings: dict[str, Any] = model.config.to_dict()
    extras = [name for name in _HEAD_EXTRAS if settings.get(name) not in (None, 1, 1.0)]
    head: Any = model.get_output_embeddings()
    if extras or head.bias is not None:
        what = ", ".join(extras) if extras else "a bias"
        raise LearnerError(f"the output head of {path} has {what}, which the chunked head does not compute")
    made_ready(model, execution, head=head)
    return PackedPolicy(model, chunk_tokens=execution.logprob_chunk_tokens)


def bare_sequence(tokens: Sequence[int]) -> TrainingSequence:
    """Token ids as a sequence all of whose tokens but the first count, to be scored."""
    ids = np.asarray(tokens, dtype=np.int32)
    mask = np.ones(len(ids), dtype=np.bool_)
    mask[:1] = False
    return TrainingSequence(tokens=ids, loss_mask=mask, behaviour_logprobs=np.zeros(len(ids), dtype=np.float32))
