"""What the learner trains: a Hugging Face model over packed rows with a head, and how such a model is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from rl_reason.errors import LearnerError
from rl_reason.learner.packing import MicroBatch
from rl_reason.learner.settings import Execution
from rl_reason.policy.onednn_linear import use_onednn_linears
from rl_reason.policy.packed_attention import PACKED_ATTENTION, register_packed_attention
from rl_reason.policy.rms_norm import use_fused_norms

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class PackedModel(Protocol):
    """An `nn.Module`. Implementations: `PackedPolicy`, `PackedRewardModel`."""

    model: PreTrainedModel
    """What is saved and published."""

    @property
    def head_weight(self) -> nn.Parameter:
        """The parameter that the head reads directly."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those of the model and its head, shared ones once."""
        ...

    def __call__(self, batch: MicroBatch, temperature: float) -> tuple[Tensor, Tensor]:
        """What the head gives at the counted positions, [M] with gradient, fp32; entropies there, [M] without, or
        none at all ([0]) where the head gives no distribution."""
        ...


class Load(Protocol):
    """Makes a packed model of a model folder. Implementations: `load_policy`, `load_reward_model`."""

    def __call__(self, path: Path, execution: Execution, /) -> PackedModel:
        """Load it.

        Raises:
            LearnerError: the folder holds no model that can be trained so.
        """
        ...


def pretrained(auto_class: Any, path: Path, execution: Execution, what: str, **options: Any) -> PreTrainedModel:
    """The model with packed attention, in the dtype that computes.

    Args:
        auto_class: transformers' `AutoModelFor…`.
        what: `a causal language model`, for the message.
        options: of `from_pretrained`.

    Raises:
        LearnerError: it cannot be loaded.
    """
    register_packed_attention()
    transformers_logging.disable_progress_bar()
    try:
        return auto_class.from_pretrained(
            path, dtype=DTYPES[execution.dtype], attn_implementation=PACKED_ATTENTION, **options
        )
    except (OSError, ValueError) as error:
        raise LearnerError(f"cannot load {path} as {what} to train: {error}") from error


def made_ready(model: PreTrainedModel, execution: Execution, *, head: nn.Module) -> None:
    """Activation checkpointing where asked for, on CPU oneDNN products for all but the head and fused norms."""
    if execution.activation_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if not torch.cuda.is_available():
        use_onednn_linears(model, leave=head)
        use_fused_norms(model)


def hidden_states(model: PreTrainedModel, batch: MicroBatch) -> Tensor:
    """[M, H]: the last layer's output at the counted positions."""
    hidden = model.base_model(
        input_ids=batch.tokens, position_ids=batch.positions, segments=batch.segments, use_cache=False
    ).last_hidden_state[0]
    return hidden.index_select(0, batch.predicting)
