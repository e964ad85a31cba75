"""Recipe sections `engine`, `learner`, `cluster`: engines and learner ranks as actors that are starting."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from rl_reason.cluster.actors import Part, Placement
from rl_reason.cluster.placement import Starting
from rl_reason.cluster.remote_engine import RemoteEngine
from rl_reason.cluster.remote_learner import RemoteLearner
from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.reward_models import ClassicModel, JudgeModel
from rl_reason.config.schema.reward_stages import BradleyTerry, RewardModel
from rl_reason.config.schema.stages import Rl, RlOptimizer, Sft, SftOptimizer
from rl_reason.learner.objectives import (
    LabelObjective,
    LikelihoodObjective,
    MirrorDescentObjective,
    Objective,
    PairObjective,
)
from rl_reason.learner.packed_model import Load
from rl_reason.learner.policy_model import load_policy
from rl_reason.learner.reward_model import load_reward_model
from rl_reason.learner.settings import Execution, Optimization
from rl_reason.policy.weight_file import weight_path

ENGINES = {
    "vllm": "rl_reason.rollout.vllm_engine:VllmEngine",
    "transformers": "rl_reason.rollout.transformers_engine:TransformersEngine",
}
FEW_KERNELS = {"LRU_CACHE_CAPACITY": "32", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}
"""oneDNN keeps a kernel for every shape it ever saw, and each packed batch has a new one: 25 MB an iteration, unbounded
for all that a run cares."""
BROADCASTS = ("nccl", "gloo")
"""Transports by which the learner sends to all engines at once."""
LEARNER = "rl_reason.learner.deepspeed_learner:DeepSpeedLearner"


def begin_engines(starting: Starting, recipe: Recipe, model: Path) -> list[RemoteEngine]:
    """All engines of the recipe; usable after `starting.wait()`."""
    engine = recipe.engine
    begun = starting.begin_engines(
        _engine_parts(recipe, model), _placements(starting, recipe, engine.count, engine.tensor_parallel, {})
    )
    if recipe.sync.transport == "cuda_ipc":
        # vLLM measures what is free on the GPU while it starts: the learner that shares it must not load meanwhile.
        starting.wait()
    return begun


def begin_engine(starting: Starting, recipe: Recipe, model: Path, number: int) -> RemoteEngine:
    """One of them by itself."""
    engine = recipe.engine
    place = _placements(starting, recipe, engine.count, engine.tensor_parallel, {})[number]
    return starting.begin_engines([_engine_parts(recipe, model)[number]], [place], first=number)[0]


def _engine_parts(recipe: Recipe, model: Path) -> list[Part]:
    engine = recipe.engine
    arguments: dict[str, Any] = {
        "model_path": model,
        "dtype": engine.dtype,
        "max_concurrent": engine.max_concurrent,
        "max_context_tokens": engine.max_context_tokens,
    }
    if engine.kind == "vllm":
        arguments |= {
            "kv_cache_gib": engine.kv_cache_gib,
            "prefix_caching": engine.prefix_caching,
            "gpu_memory_fraction": engine.gpu_memory_fraction,
            "tensor_parallel": engine.tensor_parallel,
            "transport": recipe.sync.transport,
            "threads": None if on_gpu(recipe) else cores_each(engine.count),
        }
    if recipe.sync.transport in BROADCASTS:
        # Ranks of the broadcast: the learner's sender is 0, then the workers of engine after engine.
        offsets = range(1, 1 + engine.count * engine.tensor_parallel, engine.tensor_parallel)
        return [Part(ENGINES[engine.kind], {**arguments, "transfer_rank_offset": offset}) for offset in offsets]
    return [Part(ENGINES[engine.kind], arguments) for _ in range(engine.count)]


def begin_sft_learner(
    starting: Starting, recipe: Recipe, stage: Sft, model: Path, *, weights: Path, steps: int
) -> RemoteLearner:
    """A learner that imitates: one optimizer step an update."""
    optimization = Optimization(**_adamw(recipe, stage.optimizer, steps), reset_optimizer=False)
    return _begin_learner(starting, recipe, model, weights, optimization, LikelihoodObjective())


def begin_reward_learner(
    starting: Starting, recipe: Recipe, stage: RewardModel, model: Path, *, weights: Path, steps: int
) -> RemoteLearner:
    """A learner of which response is right, or better: one optimizer step an update."""
    optimization = Optimization(**_adamw(recipe, stage.optimizer, steps), reset_optimizer=False)
    objective = PairObjective(stage.loss.centre) if isinstance(stage.loss, BradleyTerry) else LabelObjective()
    return _begin_learner(starting, recipe, model, weights, optimization, objective, load_reward_model)


def begin_rl_learner(starting: Starting, recipe: Recipe, stage: Rl, model: Path, *, weights: Path) -> RemoteLearner:
    """A learner that descends the mirror: several optimizer steps an update, the optimizer reset before each."""
    optimization = Optimization(
        **_adamw(recipe, stage.optimizer, stage.iterations),
        reset_optimizer=stage.optimizer.reset_each_iteration,
        gradient_steps=stage.gradient_steps_per_iteration,
        epochs=stage.epochs,
        temperature=stage.sampling.temperature,
    )
    return _begin_learner(starting, recipe, model, weights, optimization, MirrorDescentObjective(stage.loss.tau))


def gpus_needed(recipe: Recipe) -> int:
    """GPUs of all actors together."""
    if not on_gpu(recipe):
        return 0
    if recipe.sync.transport == "cuda_ipc":
        trained = recipe.learner.ranks
    else:
        trained = recipe.engine.count * recipe.engine.tensor_parallel + recipe.learner.ranks
    return trained + sum(_gpus_of(choice, recipe) for choice in recipe.rewards.models)


def _gpus_of(choice: ClassicModel | JudgeModel, recipe: Recipe) -> int:
    """Of one reward model; behind an endpoint it needs none of ours."""
    if isinstance(choice, ClassicModel):
        return 1
    return 0 if choice.path is None else choice.engines * recipe.engine.tensor_parallel


def on_gpu(recipe: Recipe) -> bool:
    """Whether engines and learner get GPUs."""
    return recipe.cluster.device == "gpu"


def cores_each(processes: int) -> int:
    """Cores for each of the processes that compute at the same time on one machine."""
    return max(1, (os.cpu_count() or 1) // processes)


def threads(processes: int) -> dict[str, str]:
    """The same as environment variables.

    Threads that wait for one another sleep: spinning ones made a step 60 times slower as soon as any other program
    wanted a core (docs/performance.md).
    """
    count = str(cores_each(processes))
    return {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _begin_learner(
    starting: Starting,
    recipe: Recipe,
    model: Path,
    weights: Path,
    optimization: Optimization,
    objective: Objective,
    load: Load = load_policy,
) -> RemoteLearner:
    learner = recipe.learner
    arguments = {
        "model_path": model,
        "objective": objective,
        "load": load,
        "optimization": optimization,
        "execution": Execution(
            dtype=learner.dtype,
            zero_stage=learner.zero_stage,
            offload_optimizer=learner.offload_optimizer,
            micro_batch_tokens=learner.micro_batch_tokens,
            logprob_chunk_tokens=learner.logprob_chunk_tokens,
            activation_checkpointing=learner.activation_checkpointing,
            deepspeed_overrides=learner.deepspeed,
        ),
        "publisher": publisher(recipe, weights),
    }
    placements = _placements(starting, recipe, learner.ranks, 1, FEW_KERNELS)
    return starting.begin_learner(Part(LEARNER, arguments), placements, partitioned=learner.zero_stage == 3)


def publisher(recipe: Recipe, location: Path) -> Part:
    """What carries the learner's weights away; `location` is its file, where it needs one (`weights_file`)."""
    transport = recipe.sync.transport
    if transport in BROADCASTS:
        workers = recipe.engine.count * recipe.engine.tensor_parallel
        told = {"transport": transport, "engine_workers": workers, "timeout_s": recipe.cluster.call_deadline_s}
        return Part("rl_reason.rollout.vllm_sender:BroadcastSender", told)
    if transport == "cuda_ipc":
        return Part("rl_reason.rollout.vllm_sender:CudaIpcSender", {"handles_path": location})
    return Part("rl_reason.policy.weight_file:FilePublisher", {"path": location, "transport": transport})


def _placements(
    starting: Starting, recipe: Recipe, count: int, gpus_each: int, environment: dict[str, str]
) -> list[Placement]:
    """Where `count` parts of a kind go. With CUDA IPC the n-th engine is on the n-th learner rank's GPU."""
    environment = threads(count) | environment
    if not on_gpu(recipe):
        return [Placement(environment=environment)] * count
    if recipe.sync.transport == "cuda_ipc":
        return [Placement(0.5, environment, bundle) for bundle in starting.shared_gpus(count)]
    return [Placement(gpus_each, environment)] * count


def weights_file(recipe: Recipe, stage: Path) -> Path:
    """Where the learner puts its weights for engines to take: always the same for a stage, so that nothing piles up."""
    owner = hashlib.blake2b(str(stage.resolve()).encode(), digest_size=8).hexdigest()
    return weight_path(None if recipe.sync.transport == "shared_memory" else stage, owner)


def _adamw(recipe: Recipe, optimizer: SftOptimizer | RlOptimizer, updates: int) -> dict[str, Any]:
    return {
        "learning_rate": optimizer.learning_rate,
        "total_steps": updates,
        "schedule": optimizer.schedule,
        "warmup_steps": round(optimizer.warmup_fraction * updates),
        "betas": optimizer.betas,
        "weight_decay": optimizer.weight_decay,
        "gradient_clip": recipe.learner.gradient_clip,
        "seed": recipe.seed,
    }
