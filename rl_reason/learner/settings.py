"""What a learner is told, in three plain records: where it runs, how it optimises, how it computes. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ranks:
    """One process's place among the learner's processes."""

    init_method: str
    """`file:///path` (a file that does not exist yet) or `tcp://host:port`, the same for all ranks. Unused when this
    process is in a torch process group already."""
    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    """Index of this process's GPU among those that it sees."""
    timeout_s: float = 1800.0
    """A collective call that waits longer for another rank fails; it must cover the slowest roll-out phase."""


@dataclass(frozen=True)
class Optimization:
    """AdamW and its schedule; how one batch becomes gradient steps."""

    learning_rate: float
    """Peak of the schedule."""
    total_steps: int
    """Updates of the whole stage, for the schedule."""
    schedule: str = "constant"
    """A key of `schedule.SCHEDULES`; it runs over updates, not over gradient steps."""
    warmup_steps: int = 0
    """Updates of linear warm-up."""
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.0
    """Applied to matrices only, not to biases and norms."""
    gradient_clip: float = 1.0
    """Largest global norm of the gradient; 0 clips nothing."""
    gradient_steps: int = 1
    """Optimizer steps an epoch: the batch is shuffled and split into as many parts by sequences."""
    epochs: int = 1
    """Passes over each batch."""
    reset_optimizer: bool = True
    """Forget AdamW's moments at the start of every update, as Kimi k1.5 does (§2.3.2)."""
    temperature: float = 1.0
    """That of the roll-out, so that log-probs are the behaviour policy's; 1 for supervised stages."""
    seed: int = 0
    """Of the split into mini-batches and of torch."""


@dataclass(frozen=True)
class Execution:
    """Precision, partitioning and memory."""

    dtype: str = "float32"
    """`float32` or `bfloat16`; the latter has fp32 master weights and needs a ZeRO stage of 1 or more."""
    zero_stage: int = 0
    """0 replicates everything; 1 partitions optimizer state, 2 gradients too, 3 weights too."""
    offload_optimizer: bool = False
    """Keep master weights and optimizer state in the host's memory; needs a ZeRO stage of 1 or more."""
    micro_batch_tokens: int = 4096
    """Positions in one forward pass; a longer sequence gets a pass of its own."""
    logprob_chunk_tokens: int = 1024
    """Positions in one chunk of the output head: bounds the logits held to [chunk, V]."""
    activation_checkpointing: bool = False
    """Keep one hidden state a layer and compute the rest again in backward."""
    deepspeed_overrides: Mapping[str, Any] = field(default_factory=dict)
    """A DeepSpeed JSON block, merged over the learner's own (`deepspeed_config.OWNED` lists what it may not hold)."""
