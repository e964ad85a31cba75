"""The engine's side of vLLM's weight-transfer API (0.32): files and gloo on any machine, NCCL and CUDA IPC on GPUs.

The API changed shape three times in 2026; what is used of it is here, in `vllm_gloo.py` and
`vllm_cuda_ipc.py`, and for the learner's side in `vllm_sender.py`.
An update is three calls to every worker: start, update, finish. Weights that vLLM packed after loading (all of them
on CPU) are reloaded layer by layer into the storage that the kernels read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import torch
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

from rl_reason.errors import RolloutError
from rl_reason.policy.weight_file import read_weights
from rl_reason.rollout import vllm_sampler, vllm_shortcuts
from rl_reason.rollout.vllm_reload import begin_reload, end_reload
from rl_reason.types import WeightUpdate

FILE_BACKEND = "rl_reason_file"
GLOO_BACKEND = "rl_reason_gloo"
CUDA_IPC_BACKEND = "rl_reason_cuda_ipc"
BACKENDS = {
    "shared_memory": FILE_BACKEND,
    "disk": FILE_BACKEND,
    "gloo": GLOO_BACKEND,
    "nccl": "nccl",
    "cuda_ipc": CUDA_IPC_BACKEND,
}
"""Our transports -> vLLM's weight-transfer backends."""
WORKER_EXTENSION = "rl_reason.rollout.vllm_weights.WorkerExtension"


@dataclass
class FileInit(WeightTransferInitInfo):
    """Nothing to agree on beforehand."""


@dataclass
class FileUpdate(WeightTransferUpdateInfo):
    """Which file to read."""

    path: str


class FileWeightTransferEngine(WeightTransferEngine[FileInit, FileUpdate]):
    """Runs inside vLLM's worker: reads a file of `policy.weight_file` and reloads the model from it."""

    init_info_cls = FileInit
    update_info_cls = FileUpdate

    def init_transfer_engine(self, init_info: FileInit) -> None:
        """Nothing to set up."""

    def start_weight_update(self) -> None:
        """Let the model take weights in the checkpoint's layout again."""
        begin_reload(self.model)

    def receive_weights(self, update_info: FileUpdate) -> None:
        """Load every tensor of the file."""
        self.model.load_weights(read_weights(Path(update_info.path)))  # pyright: ignore[reportCallIssue]

    def finish_weight_update(self) -> None:
        """Pack what was loaded, then the heads that share their weight with the embedding."""
        end_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        """Nothing is held."""


class WorkerExtension:
    """Mixed into vLLM's worker class, wherever that runs; importing this module there registers the file backend."""

    model_runner: Any

    def install_rl_reason_sampler(self) -> None:
        """See `vllm_sampler` and `vllm_shortcuts`; CPU only."""
        vllm_sampler.install(self.model_runner)
        vllm_shortcuts.shorten_attention(self.model_runner)


class WeightReceiver:
    """The engine's side of a weight update."""

    def __init__(
        self, call_workers: Callable[[str, dict[str, Any]], object], *, transport: str, rank_offset: int = 1
    ) -> None:
        """Create it once an engine runs.

        Args:
            call_workers: runs a method on all of the engine's workers, with keyword arguments.
            transport: the one that the engine was configured for.
            rank_offset: NCCL and gloo only: rank of the engine's first worker in the group; the learner is 0, engines
                follow.
        """
        self._call = call_workers
        self._backend = BACKENDS[transport]
        self._transport = transport
        self._rank_offset = rank_offset
        self._meeting: Rendezvous | None = None

    def load(self, update: WeightUpdate) -> None:
        """Take the update's weights. With NCCL and gloo all engines of the group must be in this call together.

        Raises:
            RolloutError: the update comes by another transport than the engine was configured for.
            SyncError: the file cannot be read; the old weights are kept.
        """
        backend = BACKENDS.get(update.transport)
        if backend != self._backend:
            raise RolloutError(
                f"this engine takes weights by {self._transport}, and version {update.version} came by "
                f"{update.transport}: give learner and engines the same sync transport"
            )
        payload = self._payload(update)
        self._call("start_weight_update", {})
        self._call("update_weights", {"update_info": payload})
        self._call("finish_weight_update", {})

    def _payload(self, update: WeightUpdate) -> dict[str, Any]:
        if self._backend == FILE_BACKEND:
            # A file that cannot be read must be found out before the model is taken apart.
            next(read_weights(Path(update.location)))
            return {"path": update.location}
        if self._backend == CUDA_IPC_BACKEND:
            return {"path": update.location}
        self._join(parse_rendezvous(update.location))
        return describe(update)

    def _join(self, meeting: Rendezvous) -> None:
        """Enter the learner's group, once."""
        if meeting == self._meeting:
            return
        own = {"packed": True} if self._backend == "nccl" else {"timeout_s": meeting.timeout_s}
        init_info = {
            "master_address": meeting.host,
            "master_port": meeting.port,
            "rank_offset": self._rank_offset,
            "world_size": meeting.world_size,
        }
        self._call("init_weight_transfer_engine", {"init_info": init_info | own})
        self._meeting = meeting


def describe(update: WeightUpdate) -> dict[str, Any]:
    """What will come, as vLLM's update info wants it (torch's dtype names)."""
    return {
        "names": list(update.names),
        "dtype_names": list(update.dtypes),
        "shapes": [list(shape) for shape in update.shapes],
    }


class Rendezvous(NamedTuple):
    """Where learner and engines meet for broadcasts; `WeightUpdate.location` carries it as a URL."""

    host: str
    port: int
    world_size: int
    """The learner's one sender and all engine workers."""
    timeout_s: float
    """Longest wait for one another."""

    @property
    def location(self) -> str:
        """The URL."""
        return f"tcp://{self.host}:{self.port}?world_size={self.world_size}&timeout_s={self.timeout_s:g}"


def parse_rendezvous(location: str) -> Rendezvous:
    """What `Rendezvous.location` wrote.

    Raises:
        RolloutError: it is something else.
    """
    parts = urlsplit(location)
    told = dict(parse_qsl(parts.query))
    try:
        if parts.scheme == "tcp" and parts.hostname is not None and parts.port is not None:
            return Rendezvous(parts.hostname, parts.port, int(told["world_size"]), float(told["timeout_s"]))
    except (KeyError, ValueError) as error:
        raise RolloutError(f"{location!r} is no meeting place for weights: {error!r} is wrong in it") from error
    raise RolloutError(f"{location!r} is no meeting place for weights; one is tcp://host:port?world_size=N&timeout_s=S")


def dtype_name(dtype: torch.dtype) -> str:
    """`torch.bfloat16` -> `bfloat16`."""
    return str(dtype).removeprefix("torch.")


WeightTransferEngineFactory.register_engine(FILE_BACKEND, FileWeightTransferEngine)
WeightTransferEngineFactory.register_engine(GLOO_BACKEND, "rl_reason.rollout.vllm_gloo", "GlooWeightTransferEngine")
WeightTransferEngineFactory.register_engine(
    CUDA_IPC_BACKEND, "rl_reason.rollout.vllm_cuda_ipc", "CudaIpcWeightTransferEngine"
)
