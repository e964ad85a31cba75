"""Weights over gloo, both sides, as backends of vLLM's weight-transfer API (0.32): what NCCL does, without GPUs.

The learner's rank 0 broadcasts one tensor after the other to every engine worker, over TCP: for CPU clusters whose
nodes share no file system, and the way by which tests without a GPU run all that surrounds NCCL.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Self

import torch
from torch.distributed import ProcessGroup
from vllm.distributed.utils import stateless_init_torch_distributed_process_group
from vllm.distributed.weight_transfer.base import (
    TrainerInitInfo,
    TrainerWeightTransferEngine,
    VLLMWeightSyncClient,
    WeightSource,
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)

from rl_reason.rollout.vllm_reload import begin_reload, end_reload


@dataclass
class GlooInit(WeightTransferInitInfo):
    """Where an engine's workers meet the learner."""

    master_address: str
    master_port: int
    rank_offset: int
    """Rank of the engine's first worker; the learner is 0."""
    world_size: int
    timeout_s: float


@dataclass
class GlooUpdate(WeightTransferUpdateInfo):
    """What will come, in order."""

    names: list[str]
    dtype_names: list[str]
    """torch's: `bfloat16`."""
    shapes: list[list[int]]


class GlooWeightTransferEngine(WeightTransferEngine[GlooInit, GlooUpdate]):
    """Runs inside vLLM's worker; one tensor at a time is held beside the model."""

    init_info_cls = GlooInit
    update_info_cls = GlooUpdate
    _group: ProcessGroup | None = None

    def init_transfer_engine(self, init_info: GlooInit) -> None:
        """Join the learner's group; every engine of the group must be joining."""
        place = self.parallel_config
        rank = init_info.rank_offset + place.data_parallel_index * place.world_size + place.rank
        self._group = _join(
            init_info.master_address, init_info.master_port, rank, init_info.world_size, init_info.timeout_s
        )

    def start_weight_update(self) -> None:
        """Let the model take weights in the checkpoint's layout again."""
        begin_reload(self.model)

    def receive_weights(self, update_info: GlooUpdate) -> None:
        """Take the tensors as they come."""
        group = self._group
        if group is None:
            raise RuntimeError("update_weights before init_weight_transfer_engine")
        for name, dtype_name, shape in zip(update_info.names, update_info.dtype_names, update_info.shapes, strict=True):
            received = torch.empty(shape, dtype=getattr(torch, dtype_name))
            group.broadcast(received, 0).wait()
            self.model.load_weights([(name, received)])  # pyright: ignore[reportCallIssue]

    def finish_weight_update(self) -> None:
        """Pack what was loaded."""
        end_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        """Leave the group."""
        self._group = None


@dataclass
class GlooTrainerInit(TrainerInitInfo):
    """The learner's place; `rank` (keyword) is that among the learner's processes, of which 0 sends."""

    backend: ClassVar[str] = "rl_reason_gloo"

    master_address: str
    master_port: int
    world_size: int
    timeout_s: float


class GlooTrainerEngine(TrainerWeightTransferEngine[GlooTrainerInit]):
    """The learner's side. Ranks other than 0 only help to put the tensors together."""

    init_info_cls = GlooTrainerInit
    _group: ProcessGroup | None = None

    @classmethod
    def trainer_init(
        cls, init_info: GlooTrainerInit, *, client: VLLMWeightSyncClient, source: WeightSource | None = None
    ) -> Self:
        """Meet the engines, which are told to join by whoever calls them (`client` is not used)."""
        engine = cls(client=client, source=source, is_sender=init_info.is_sender)
        if engine.is_sender:
            engine._group = _join(
                init_info.master_address, init_info.master_port, 0, init_info.world_size, init_info.timeout_s
            )
        return engine

    def send_weights(self) -> None:
        """Broadcast every tensor of the source."""
        for _, tensor in self.source or ():
            if self._group is not None:
                self._group.broadcast(tensor.contiguous(), 0).wait()


def _join(host: str, port: int, rank: int, world_size: int, timeout_s: float) -> ProcessGroup:
    """A group of its own, beside torch's default one."""
    joined = stateless_init_torch_distributed_process_group(
        host, port, rank, world_size, "gloo", timeout=timedelta(seconds=timeout_s)
    )
    return joined[0] if isinstance(joined, tuple) else joined
