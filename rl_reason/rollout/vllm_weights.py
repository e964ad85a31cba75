"""The only adapter to vLLM's weight-transfer API (0.32): files on any machine, NCCL and CUDA IPC on GPUs.

The API changed shape three times in 2026; what is used of it is here and, for the learner's side, in `vllm_sender.py`.
An update is three calls to every worker: start, update, finish. Weights that vLLM packed after loading (all of them
on CPU) are reloaded layer by layer into the storage that the kernels read.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import torch
from torch import nn
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, UnquantizedEmbeddingMethod
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from rl_reason.errors import RolloutError
from rl_reason.policy.weight_file import read_weights
from rl_reason.rollout import vllm_sampler
from rl_reason.types import WeightUpdate

FILE_BACKEND = "rl_reason_file"
BACKENDS = {"shared_memory": FILE_BACKEND, "disk": FILE_BACKEND, "nccl": "nccl", "cuda_ipc": "ipc"}
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
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: FileUpdate) -> None:
        """Load every tensor of the file."""
        self.model.load_weights(read_weights(Path(update_info.path)))  # pyright: ignore[reportCallIssue]

    def finish_weight_update(self) -> None:
        """Pack what was loaded, then the heads that share their weight with the embedding."""
        finalize_layerwise_reload(self.model, self.model_config)
        repack_heads(self.model)

    def shutdown(self) -> None:
        """Nothing is held."""


def repack_heads(model: nn.Module) -> None:
    """Make the packed copy of every output head again.

    With tied embeddings the reload updates the weight that head and embedding share, but not the copy that vLLM's
    CPU kernels packed for the head: it would go on using the old weights (log-probs off by 0.09, seen).
    """
    for module in model.modules():
        if isinstance(module, ParallelLMHead) and isinstance(module.quant_method, UnquantizedEmbeddingMethod):
            module.quant_method.process_weights_after_loading(module)


class WorkerExtension:
    """Mixed into vLLM's worker class, wherever that runs; importing this module there registers the file backend."""

    model_runner: Any

    def install_rl_reason_sampler(self) -> None:
        """See `vllm_sampler`; CPU only."""
        vllm_sampler.install(self.model_runner)


class WeightReceiver:
    """The engine's side of a weight update."""

    def __init__(
        self, call_workers: Callable[[str, dict[str, Any]], object], *, transport: str, rank_offset: int = 1
    ) -> None:
        """Create it once an engine runs.

        Args:
            call_workers: runs a method on all of the engine's workers, with keyword arguments.
            transport: the one that the engine was configured for.
            rank_offset: NCCL only: rank of the engine's first worker in the group; the learner is 0, engines follow.
        """
        self._call = call_workers
        self._backend = BACKENDS[transport]
        self._transport = transport
        self._rank_offset = rank_offset
        self._joined = ""

    def load(self, update: WeightUpdate) -> None:
        """Take the update's weights. With NCCL all engines of the group must be in this call at the same time.

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
        if self._backend == "nccl":
            self._join(update.location)
            return describe(update)
        if not self._joined:
            self._call("init_weight_transfer_engine", {"init_info": {"packed": False}})
            self._joined = update.location
        # Handles of the learner's GPU memory, written by `vllm_sender` on this machine, in this run's own folder.
        return pickle.loads(Path(update.location).read_bytes())

    def _join(self, location: str) -> None:
        if location != self._joined:
            host, port, world_size = parse_rendezvous(location)
            init_info = {
                "master_address": host,
                "master_port": port,
                "rank_offset": self._rank_offset,
                "world_size": world_size,
                "packed": True,
            }
            self._call("init_weight_transfer_engine", {"init_info": init_info})
            self._joined = location


def describe(update: WeightUpdate) -> dict[str, Any]:
    """What will come over NCCL, as vLLM's update info wants it (torch's dtype names)."""
    return {
        "names": list(update.names),
        "dtype_names": list(update.dtypes),
        "shapes": [list(shape) for shape in update.shapes],
    }


def rendezvous(host: str, port: int, world_size: int) -> str:
    """A NCCL group's address as `WeightUpdate.location` carries it."""
    return f"tcp://{host}:{port}?world_size={world_size}"


def parse_rendezvous(location: str) -> tuple[str, int, int]:
    """Host, port and number of ranks (the learner's one and all engine workers) of a NCCL group."""
    parts = urlsplit(location)
    world_size = parse_qs(parts.query).get("world_size", [])
    if parts.scheme != "tcp" or parts.hostname is None or parts.port is None or len(world_size) != 1:
        raise RolloutError(f"{location!r} is no NCCL address; expected tcp://host:port?world_size=N")
    return parts.hostname, parts.port, int(world_size[0])


def dtype_name(dtype: torch.dtype) -> str:
    """`torch.bfloat16` -> `bfloat16`."""
    return str(dtype).removeprefix("torch.")


WeightTransferEngineFactory.register_engine(FILE_BACKEND, FileWeightTransferEngine)
