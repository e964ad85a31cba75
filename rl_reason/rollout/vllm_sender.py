"""The learner's side of NCCL, gloo and CUDA IPC, through vLLM's trainer API (0.32): publishers of a learner's weights.

vLLM's broadcasting trainer engines want to drive the whole round trip; here the weight channel calls the engines, and
the trainer engine, in a thread, gets a client that does nothing. `benchmarks/gpu/check_sync.py` runs them on GPUs.
"""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.reductions import reduce_tensor
from vllm.distributed.weight_transfer import ParamMeta, WeightSource, WeightTransferTrainerFactory
from vllm.distributed.weight_transfer.base import TrainerInitInfo
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

from rl_reason.errors import SyncError
from rl_reason.policy.learner_weights import LearnerWeights
from rl_reason.rollout.vllm_gloo import GlooTrainerEngine, GlooTrainerInit
from rl_reason.rollout.vllm_weights import Rendezvous, dtype_name
from rl_reason.types import PolicyVersion, WeightUpdate


class BroadcastSender:
    """Implements `WeightPublisher`: broadcasts from the learner's rank 0 to all engine workers, over NCCL or gloo."""

    def __init__(self, *, transport: str, engine_workers: int, timeout_s: float) -> None:
        """Engines are met at the first `publish`.

        Args:
            transport: `nccl` or `gloo`.
            engine_workers: of all engines together; they are ranks 1 and up.
            timeout_s: longest wait of learner and engines for one another.
        """
        self._init_info = _INIT_INFO[transport]
        self._transport = transport
        self._engine_workers = engine_workers
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="weight-broadcast")
        self._meeting: Rendezvous | None = None
        self._trainer: Any = None
        self._sending: tuple[PolicyVersion, Future[None]] | None = None

    def publish(self, weights: LearnerWeights, version: PolicyVersion) -> WeightUpdate:
        """Begin the broadcast and return at once; it ends when every engine is in `load_weights` with the update."""
        self.settle()
        if self._meeting is None:
            self._meeting = Rendezvous(weights.host, _free_port(), 1 + self._engine_workers, self._timeout_s)
        # CUDA's current device is a thread's own.
        device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
        self._sending = (version, self._thread.submit(self._send, weights, self._meeting, device))
        return _update(weights, version, self._transport, self._meeting.location)

    def settle(self) -> None:
        """Wait for the broadcast under way.

        Raises:
            SyncError: it failed, or an engine never joined it.
        """
        if self._sending is None:
            return
        (version, sending), self._sending = self._sending, None
        try:
            sending.result(timeout=self._timeout_s)
        except FutureTimeoutError as error:
            raise SyncError(
                f"the {self._transport} broadcast of version {version} did not end within {self._timeout_s:.0f} s: an "
                "engine never joined it; see the engines' logs"
            ) from error
        except (RuntimeError, ValueError, OSError) as error:
            raise SyncError(f"the {self._transport} broadcast of version {version} failed: {error}") from error

    def _send(self, weights: LearnerWeights, meeting: Rendezvous, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        if self._trainer is None:
            self._trainer = WeightTransferTrainerFactory.trainer_init(
                self._init_info(meeting, weights.rank), client=_Bystander(), source=_Source(weights, device)
            )
        self._trainer.send_weights()


class CudaIpcSender:
    """Implements `WeightPublisher`: hands the engines on the same GPUs handles of the learner's memory.

    They copy from it in `load_weights`. Weights that are whole on every rank are handed over where they are; those
    that are partitioned are put together on each GPU, and kept until the learner computes again.
    """

    def __init__(self, *, handles_path: Path) -> None:
        """`handles_path`: a file in the run's own folder, which the engines' node can read."""
        self._path = handles_path
        self._held: list[torch.Tensor] = []

    def publish(self, weights: LearnerWeights, version: PolicyVersion) -> WeightUpdate:
        """Write the handles of all ranks' GPUs; collective, rank 0 writes."""
        here = torch.device("cuda", torch.cuda.current_device())
        names, tensors = zip(*weights.gathered(here), strict=True)
        self._held = [tensor.detach().contiguous() for tensor in tensors]
        uuid = str(torch.cuda.get_device_properties(here).uuid)
        handles = [{uuid: reduce_tensor(tensor)[1]} for tensor in self._held]
        torch.cuda.synchronize()
        everyone: list[Any] = [handles]
        if torch.distributed.is_initialized():
            everyone = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(everyone, handles)
        update = _update(weights, version, "cuda_ipc", str(self._path))
        if weights.rank == 0:
            merged = [
                (name, {gpu: handle for one in parts for gpu, handle in one.items()})
                for name, *parts in zip(names, *everyone, strict=True)
            ]
            temporary = self._path.with_suffix(".tmp")
            temporary.write_bytes(pickle.dumps(merged))
            temporary.replace(self._path)
        return update

    def settle(self) -> None:
        """Let go of the copies: the engines have theirs, since the channel waits for them."""
        self._held = []
        torch.cuda.ipc_collect()


class _Source(WeightSource):
    """A learner's weights as vLLM's source."""

    def __init__(self, weights: LearnerWeights, device: torch.device) -> None:
        self._weights, self._device = weights, device

    def metadata(self) -> list[ParamMeta]:
        return [ParamMeta(entry.name, entry.dtype, entry.shape) for entry in self._weights.described()]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return self._weights.gathered(self._device)


class _Bystander:
    """A `VLLMWeightSyncClient` that does nothing: the weight channel calls the engines."""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None: ...

    def start_weight_update(self) -> None: ...

    def update_weights(self, update_info: Any) -> None: ...

    def finish_weight_update(self, weight_version: str | None = None) -> None: ...


def _nccl_init(meeting: Rendezvous, rank: int) -> TrainerInitInfo:
    return NCCLTrainerInitInfo(
        master_address=meeting.host, master_port=meeting.port, world_size=meeting.world_size, rank=rank
    )


def _gloo_init(meeting: Rendezvous, rank: int) -> TrainerInitInfo:
    return GlooTrainerInit(
        master_address=meeting.host,
        master_port=meeting.port,
        world_size=meeting.world_size,
        timeout_s=meeting.timeout_s,
        rank=rank,
    )


_INIT_INFO: dict[str, Callable[[Rendezvous, int], TrainerInitInfo]] = {"nccl": _nccl_init, "gloo": _gloo_init}


def _update(weights: LearnerWeights, version: PolicyVersion, transport: str, location: str) -> WeightUpdate:
    described = weights.described()
    return WeightUpdate(
        version,
        transport,
        location,
        names=tuple(entry.name for entry in described),
        shapes=tuple(entry.shape for entry in described),
        dtypes=tuple(dtype_name(entry.dtype) for entry in described),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


WeightTransferTrainerFactory.register_engine(GlooTrainerInit.backend, GlooTrainerEngine)
