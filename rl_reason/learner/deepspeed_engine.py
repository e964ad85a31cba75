"""Builds and reads a DeepSpeed engine: process group, optimizer, gathering of ZeRO-3 parameters, checkpoints."""

from __future__ import annotations

import logging
import math
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import deepspeed
import torch
from deepspeed.utils import logger as deepspeed_logger
from torch import Tensor, nn
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

from rl_reason.errors import CheckpointError, LearnerError
from rl_reason.learner.deepspeed_config import deepspeed_config
from rl_reason.learner.packed_model import Load, PackedModel
from rl_reason.learner.settings import Execution, Optimization, Ranks
from rl_reason.policy.learner_weights import Described

Engine = Any
"""A `deepspeed.DeepSpeedEngine`, whose annotations are too incomplete to check against."""
_TAG = "deepspeed"
_GATHER_ELEMENTS = 1 << 27
"""Parameters gathered at a time when ZeRO-3 weights are read out: 256 MiB in bfloat16."""


def join_process_group(ranks: Ranks) -> None:
    """Join the learner's process group: NCCL with a GPU, else gloo. A group that exists already is kept.

    Raises:
        LearnerError: a group exists in which this process has another place.
    """
    deepspeed_logger.setLevel(logging.WARNING)
    # DeepSpeed 0.19 calls collectives by the names that torch 2.13 is retiring, once a step.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed\.c10d_logger")
    os.environ["LOCAL_RANK"] = str(ranks.local_rank)
    # DeepSpeed would compile this op at first use (minutes, and a compiler is needed); training never calls it.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo",
            init_method=ranks.init_method,
            rank=ranks.rank,
            world_size=ranks.world_size,
            timeout=timedelta(seconds=ranks.timeout_s),
        )
    here = (torch.distributed.get_rank(), torch.distributed.get_world_size())
    if here != (ranks.rank, ranks.world_size):
        raise LearnerError(
            f"this process is rank {here[0]} of {here[1]} in an older process group, and was asked to be "
            f"{ranks.rank} of {ranks.world_size}: start learners in processes of their own"
        )


def build_engine(model_path: Path, optimization: Optimization, execution: Execution, load: Load) -> Engine:
    """Load the model and hand it to DeepSpeed; at stage 3 no rank ever holds the whole model.

    Raises:
        ConfigError: see `deepspeed_config`.
        LearnerError: see `packed_model.Load`.
    """
    config = deepspeed_config(
        zero_stage=execution.zero_stage,
        dtype=execution.dtype,
        offload_optimizer=execution.offload_optimizer,
        gradient_clip=0.0 if execution.zero_stage == 0 else optimization.gradient_clip,
        overlap_communication=execution.zero_stage >= 2 and torch.cuda.is_available(),
        overrides=execution.deepspeed_overrides,
    )
    sharded = execution.zero_stage == 3
    while_loading = _LoadPartitioned(config)
    if sharded:
        set_hf_deepspeed_config(while_loading)
    packed = load(model_path, execution)
    if sharded:
        unset_hf_deepspeed_config()
        # The head's weight is read by the packed model itself, not by the layer that owns it.
        deepspeed.zero.register_external_parameter(packed, packed.head_weight)
    adamw = torch.optim.AdamW(
        _parameter_groups(packed, optimization.weight_decay, sharded=sharded),
        lr=0.0,
        betas=optimization.betas,
        eps=optimization.eps,
        fused=True,
    )
    module: Any = packed
    engine: Engine = deepspeed.initialize(model=module, optimizer=adamw, config=config)[0]
    # ZeRO takes a step on zero gradients to allocate its state, which would count as the first in Adam's correction.
    engine.basic_optimizer.state.clear()
    return engine


@dataclass(frozen=True)
class _LoadPartitioned:
    """What transformers asks while it loads; its own class for this needs the package accelerate for nothing else."""

    config: dict[str, Any]

    def is_zero3(self) -> bool:
        """Load straight into ZeRO-3 partitions."""
        return True


def _parameter_groups(packed: PackedModel, weight_decay: float, *, sharded: bool) -> list[dict[str, Any]]:
    parameters: list[Any] = [parameter for parameter in packed.parameters() if parameter.requires_grad]
    if weight_decay == 0.0:
        return [{"params": parameters, "weight_decay": 0.0}]
    matrix = [len(p.ds_shape if sharded else p.shape) > 1 for p in parameters]
    return [
        {
            "params": [p for p, is_matrix in zip(parameters, matrix, strict=True) if is_matrix],
            "weight_decay": weight_decay,
        },
        {"params": [p for p, is_matrix in zip(parameters, matrix, strict=True) if not is_matrix], "weight_decay": 0.0},
    ]


def clipped_step(engine: Engine, *, learning_rate: float, gradient_clip: float, step: int) -> float:
    """One optimizer step on the accumulated gradients; returns their global norm before clipping.

    Raises:
        LearnerError: the norm is not finite. At stage 0 and with bfloat16 the weights are then still those before.
    """
    for group in engine.basic_optimizer.param_groups:
        group["lr"] = learning_rate
    plain = engine.optimizer is engine.basic_optimizer
    norm = 0.0
    if plain:
        # Without ZeRO or bfloat16 DeepSpeed clips but does not tell the norm.
        parameters = [p for group in engine.basic_optimizer.param_groups for p in group["params"]]
        limit = gradient_clip if gradient_clip > 0 else math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, limit))
        _refuse_non_finite(norm, step)
    engine.step()
    if not plain:
        reported = engine.get_global_grad_norm()
        norm = math.nan if reported is None or not engine.was_step_applied() else float(reported)
        _refuse_non_finite(norm, step)
    return norm


def _refuse_non_finite(norm: float, step: int) -> None:
    if not math.isfinite(norm):
        raise LearnerError(
            f"the gradient norm of update {step} is {norm}: nothing of this update can be kept. Resume from the last "
            "checkpoint with a lower learning rate, or look at the batch's rewards and log-probs"
        )


def described_parameters(model: nn.Module) -> list[Described]:
    """What `full_parameters` will give, without putting anything together."""
    return [
        Described(name, tuple(parameter.ds_shape if _is_partitioned(parameter) else parameter.shape), parameter.dtype)
        for name, parameter in _parameters(model)
    ]


def full_parameters(model: nn.Module, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """(name, whole tensor) of every parameter, tied ones once. All ranks must run it to its end.

    ZeRO-3 parameters are gathered in buckets of bounded size and copied to `device` before the gather ends; others
    stay where they are.
    """
    bucket: list[tuple[str, Any]] = []
    elements = 0
    for name, parameter in _parameters(model):
        size = parameter.ds_numel if _is_partitioned(parameter) else parameter.numel()
        if bucket and elements + size > _GATHER_ELEMENTS:
            yield from _gathered(bucket, device)
            bucket, elements = [], 0
        bucket.append((name, parameter))
        elements += size
    yield from _gathered(bucket, device)


def _gathered(bucket: list[tuple[str, Any]], device: torch.device) -> Iterator[tuple[str, Tensor]]:
    if not any(_is_partitioned(parameter) for _, parameter in bucket):
        yield from ((name, parameter.detach()) for name, parameter in bucket)
        return
    with deepspeed.zero.GatheredParameters([parameter for _, parameter in bucket]):
        copies = [(name, parameter.detach().to(device, copy=True)) for name, parameter in bucket]
    yield from copies


def _parameters(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Named parameters, which at ZeRO-3 have attributes that `nn.Parameter` does not declare."""
    return model.named_parameters()


def _is_partitioned(parameter: Any) -> bool:
    return deepspeed.runtime.zero.partition_parameters.is_zero_param(parameter)


def save_engine(engine: Engine, folder: Path) -> None:
    """Write master weights, optimizer state and random generators of all ranks, flushed to the disk."""
    try:
        engine.save_checkpoint(str(folder), tag=_TAG)
        generators = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            generators["cuda"] = torch.cuda.get_rng_state()
        torch.save(generators, _generators(folder))
        torch.distributed.barrier()
        for path in sorted(folder.rglob("*")):
            flush(path)
        flush(folder)
    except (OSError, RuntimeError) as error:
        free = shutil.disk_usage(folder.parent).free
        raise CheckpointError(
            f"cannot write the learner's state to {folder} ({error}). {free / 2**20:,.0f} MiB are free there; if that "
            "is too little, make room and run the same command again. The checkpoint before is whole"
        ) from error


def load_engine(engine: Engine, folder: Path) -> None:
    """Restore what `save_engine` wrote with the same number of ranks and the same ZeRO stage."""
    try:
        loaded, _ = engine.load_checkpoint(str(folder), tag=_TAG)
        generators = torch.load(_generators(folder), weights_only=True)
    except (OSError, RuntimeError, KeyError, AssertionError, EOFError) as error:
        raise CheckpointError(
            f"cannot restore the learner from {folder}: {error}; the number of learner ranks and the ZeRO stage must "
            "be those of the run that wrote it"
        ) from error
    if loaded is None:
        raise CheckpointError(f"{folder} holds no state of a learner; choose a checkpoint that this program wrote")
    torch.set_rng_state(generators["cpu"])
    if torch.cuda.is_available() and "cuda" in generators:
        torch.cuda.set_rng_state(generators["cuda"])


def _generators(folder: Path) -> Path:
    return folder / f"generators_{torch.distributed.get_rank()}.pt"


def flush(path: Path) -> None:
    """Make sure that a file's bytes, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
