"""Recipe sections `engine`, `learner`, `sync` and `cluster`: what runs the model, and where."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from rl_reason.config.schema.section import Section, Text

Dtype = Literal["float32", "bfloat16"]


class Engine(Section):
    """What writes responses."""

    kind: Literal["vllm", "transformers"] = "vllm"
    """vllm is fast; transformers runs models that vLLM has not, and is the oracle in tests. Default: the fast one."""
    count: int = Field(default=1, ge=1)
    """Number of engines, each a Ray actor with a whole copy of the model. Default: one."""
    max_concurrent: int = Field(default=256, ge=1)
    """Sequences that one engine works on at once; the others wait. Default: vLLM's `max_num_seqs` on GPUs."""
    max_context_tokens: int = Field(default=4096, ge=2)
    """Longest prompt and response together, in tokens; not above the model's own limit. Default: a first-run size."""
    dtype: Dtype = "bfloat16"
    """Number type of the engine's weights; float32 agrees best with the learner. Default: GPUs' usual."""
    kv_cache_gib: float | None = Field(default=None, gt=0)
    """Memory for keys and values on CPU, in GiB; unused on GPUs. Null (the default): vLLM's choice."""
    prefix_caching: bool = True
    """Whether the k responses of a prompt share its keys and values. Default: vLLM's."""
    gpu_memory_fraction: float = Field(default=0.9, gt=0, le=1)
    """Share of each GPU's memory the engine takes; with sync.transport cuda_ipc the learner needs the rest. Default:
    vLLM's."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that one engine is split over. Default: 1, not split."""


class Learner(Section):
    """What trains."""

    ranks: int = Field(default=1, ge=1)
    """Learner processes, one a GPU (on CPU: gloo). Default: one."""
    zero_stage: int = Field(default=1, ge=0, le=3)
    """DeepSpeed ZeRO: 0 shares nothing, 1 optimizer states, 2 gradients too, 3 weights too. Default: 1, the least that
    bfloat16 trains with; in float32 on one rank 0 is fastest."""
    offload_optimizer: bool = False
    """Whether optimizer states live in host memory; needs a `zero_stage` of at least 1. Default: no, faster."""
    dtype: Dtype = "bfloat16"
    """Number type of forward and backward; the optimizer's copy is float32 either way. Default: GPUs' usual."""
    micro_batch_tokens: int = Field(default=16384, ge=1)
    """Packed tokens of one forward and backward on one rank; only memory depends on it. Default: for 80 GB."""
    logprob_chunk_tokens: int = Field(default=1024, ge=1)
    """Tokens that go through the vocabulary head at once; only memory depends on it. Default: about 0.6 GB at a
    vocabulary of 152,000."""
    gradient_clip: float = Field(default=1.0, ge=0)
    """Largest gradient norm; 0 does not clip. Default: DeepSpeed users' usual."""
    activation_checkpointing: bool = False
    """Recompute activations in backward: less memory, a third more time. Default: no."""
    deepspeed: dict[str, Any] = Field(default={})
    """A DeepSpeed JSON block, pasted in; keys that this recipe owns are refused by name. Empty (the default): none."""


class Sync(Section):
    """How weights go from the learner to the engines."""

    transport: Literal["shared_memory", "disk", "gloo", "nccl", "cuda_ipc"] = "shared_memory"
    """shared_memory within a machine; disk over a shared file system; gloo over TCP between CPU nodes; nccl between
    GPUs; cuda_ipc where each engine shares its GPU with a learner rank. Default: what every machine has."""
    gap_alarm_nats: float = Field(default=0.05, gt=0)
    """Largest difference of the canary's log-probs after a sync, in nats a token; past it the run stops. Default: above
    bfloat16's noise; in float32 1e-4 holds."""
    canary_tokens: int = Field(default=64, ge=2)
    """Most tokens of the prompt that engine and learner both score after each sync. Default: enough to be sensitive."""


class Cluster(Section):
    """Ray, and how long anything is waited for."""

    device: Literal["cpu", "gpu"] = "cpu"
    """Where engines and learner compute; with gpu each rank asks Ray for one and each engine for its tensor_parallel.
    Default: what every machine has."""
    address: Text | None = None
    """Address of a running Ray cluster (`auto`, or `ray://host:port`). Null (the default): start a local Ray."""
    actor_deadline_s: float = Field(default=600.0, gt=0)
    """Seconds an engine or a learner may take to start, model loading included. Default: for large models."""
    call_deadline_s: float = Field(default=3600.0, gt=0)
    """Seconds one rollout, update or sync may take before the actor counts as dead. Default: for long responses."""
