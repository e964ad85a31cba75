"""The policy as the learner runs it: a Hugging Face causal model over packed rows, its head applied in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from rl_reason.errors import LearnerError
from rl_reason.learner.packing import MicroBatch
from rl_reason.policy.chunked_logprobs import chunked_logprobs
from rl_reason.policy.onednn_linear import use_onednn_linears
from rl_reason.policy.packed_attention import PACKED_ATTENTION, register_packed_attention
from rl_reason.types import TrainingSequence

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_HEAD_EXTRAS = ("logits_scaling", "logit_scale", "final_logit_softcapping")
"""What some models do to logits after the head; the chunked head does not."""


class PackedPolicy(nn.Module):
    """Log-probs of the counted tokens of a micro-batch."""

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
        hidden = self.model.base_model(
            input_ids=batch.tokens, position_ids=batch.positions, segments=batch.segments, use_cache=False
        ).last_hidden_state[0]
        return chunked_logprobs(
            hidden.index_select(0, batch.predicting),
            self.head_weight,
            batch.targets,
            temperature=temperature,
            chunk_tokens=self._chunk_tokens,
        )


def load_policy(
    path: Path, *, dtype: str, chunk_tokens: int, activation_checkpointing: bool, fast_linears: bool
) -> PackedPolicy:
    """Load a model folder for training.

    Args:
        path: Hugging Face model folder.
        dtype: `float32` or `bfloat16`, of the weights that compute.
        chunk_tokens: positions a chunk of the head.
        activation_checkpointing: keep one hidden state a layer and compute the rest again in backward.
        fast_linears: oneDNN products where they apply (fp32 on CPU).

    Raises:
        LearnerError: the folder holds no loadable causal model, or its head does what the chunked head does not.
    """
    register_packed_attention()
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=DTYPES[dtype], attn_implementation=PACKED_ATTENTION)
    except (OSError, ValueError) as error:
        raise LearnerError(f"cannot load {path} as a causal language model to train: {error}") from error
    settings: dict[str, Any] = model.config.to_dict()
    extras = [name for name in _HEAD_EXTRAS if settings.get(name) not in (None, 1, 1.0)]
    head: Any = model.get_output_embeddings()
    if extras or head.bias is not None:
        what = ", ".join(extras) if extras else "a bias"
        raise LearnerError(f"the output head of {path} has {what}, which the chunked head does not compute")
    if activation_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if fast_linears:
        use_onednn_linears(model, leave=head)
    return PackedPolicy(model, chunk_tokens=chunk_tokens)


def bare_sequence(tokens: Sequence[int]) -> TrainingSequence:
    """Token ids as a sequence all of whose tokens but the first count, to be scored."""
    ids = np.asarray(tokens, dtype=np.int32)
    mask = np.ones(len(ids), dtype=np.bool_)
    mask[:1] = False
    return TrainingSequence(tokens=ids, loss_mask=mask, behaviour_logprobs=np.zeros(len(ids), dtype=np.float32))
