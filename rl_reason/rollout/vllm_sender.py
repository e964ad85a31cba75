"""The learner's side of NCCL and CUDA IPC, through vLLM's trainer API (0.32). Needs GPUs.

Not run on the machine where this was written, which has none: `benchmarks/gpu/check_sync.py` runs it.
vLLM's NCCL trainer engine wants to drive the whole round trip; here the weight channel calls the engines, and the
trainer engine, in a thread, gets a client that does nothing.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.reductions import reduce_tensor
from vllm.distributed.weight_transfer import ParamMeta, WeightSource, WeightTransferTrainerFactory
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

from rl_reason.errors import SyncError
from rl_reason.rollout.vllm_weights import describe, dtype_name, parse_rendezvous
from rl_reason.types import PolicyVersion, WeightUpdate

Described = Sequence[tuple[str, tuple[int, ...], torch.dtype]]


@dataclass(frozen=True)
class GatheredWeights:
    """What a learner gives to a sender; both callables must agree in order, names, shapes and dtypes."""

    described: Callable[[], Described]
    """(name, whole shape, dtype) without moving anything (for ZeRO-3: `ds_shape`)."""
    gathered: Callable[[], Iterator[tuple[str, torch.Tensor]]]
    """(name, whole tensor on the GPU); collective, so every rank runs it to its end."""


class NcclSender:
    """Broadcasts from the learner's rank 0 to all engine workers; `publish` is what a learner's `publish` calls."""

    def __init__(self, weights: GatheredWeights, *, location: str, rank: int, timeout_s: float) -> None:
        """Engines are joined at the first `publish`.

        Args:
            weights: the learner's.
            location: `vllm_weights.rendezvous(host, port, 1 + engine workers)`.
            rank: of this process among the learner's.
            timeout_s: longest wait for a broadcast that an earlier `publish` began.
        """
        self._source = _Source(weights)
        self._location = location
        self._rank = rank
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1)
        self._engine: Any = None
        self._sending: Future[None] | None = None

    def publish(self, version: PolicyVersion) -> WeightUpdate:
        """Begin the broadcast and return at once; it ends when every engine is in `load_weights` with the update."""
        if self._sending is not None:
            try:
                self._sending.result(timeout=self._timeout_s)
            except FutureTimeoutError as error:
                raise SyncError(
                    f"the NCCL broadcast before version {version} did not end within {self._timeout_s:.0f} s: an "
                    "engine never joined it; see the engines' logs"
                ) from error
        # CUDA's current device is a thread's own.
        self._sending = self._thread.submit(self._send, torch.cuda.current_device())
        return _update(self._source, version, "nccl", self._location)

    def _send(self, device: int) -> None:
        torch.cuda.set_device(device)
        if self._engine is None:
            host, port, world_size = parse_rendezvous(self._location)
            self._engine = WeightTransferTrainerFactory.trainer_init(
                NCCLTrainerInitInfo(master_address=host, master_port=port, world_size=world_size, rank=self._rank),
                client=_Bystander(),
                source=self._source,
            )
        self._engine.send_weights()


class CudaIpcSender:
    """Hands the engines on the same GPUs handles of the learner's memory; they copy from it in `load_weights`.

    Every rank holds the whole weights until the next `publish`; where they are sharded, that is a copy on each GPU.
    """

    def __init__(self, weights: GatheredWeights, *, handles_path: Path) -> None:
        """`handles_path`: a file in the run's own folder, which the engines' node can read."""
        self._source = _Source(weights)
        self._path = handles_path
        self._held: list[torch.Tensor] = []

    def publish(self, version: PolicyVersion) -> WeightUpdate:
        """Write the handles of all ranks' GPUs; collective, rank 0 writes."""
        self._held = [tensor.detach().contiguous() for _, tensor in self._source]
        device = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
        handles = [{device: reduce_tensor(tensor)[1]} for tensor in self._held]
        torch.cuda.synchronize()
        everyone: list[Any] = [handles]
        rank = 0
        if torch.distributed.is_initialized():
            rank = torch.distributed.get_rank()
            everyone = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(everyone, handles)
        update = _update(self._source, version, "cuda_ipc", str(self._path))
        if rank == 0:
            merged = [
                {name: made for one in parts for name, made in one.items()} for parts in zip(*everyone, strict=True)
            ]
            temporary = self._path.with_suffix(".tmp")
            temporary.write_bytes(pickle.dumps(describe(update) | {"ipc_handles": merged}))
            temporary.replace(self._path)
        return update


class _Source(WeightSource):
    """Our callables as vLLM's source."""

    def __init__(self, weights: GatheredWeights) -> None:
        self._weights = weights

    def metadata(self) -> list[ParamMeta]:
        return [ParamMeta(name, dtype, shape) for name, shape, dtype in self._weights.described()]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return self._weights.gathered()


class _Bystander:
    """A `VLLMWeightSyncClient` that does nothing: the weight channel calls the engines."""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None: ...

    def start_weight_update(self) -> None: ...

    def update_weights(self, update_info: Any) -> None: ...

    def finish_weight_update(self, weight_version: str | None = None) -> None: ...


def _update(source: WeightSource, version: PolicyVersion, transport: str, location: str) -> WeightUpdate:
    described = source.metadata()
    return WeightUpdate(
        version,
        transport,
        location,
        names=tuple(entry.name for entry in described),
        shapes=tuple(tuple(entry.shape) for entry in described),
        dtypes=tuple(dtype_name(entry.dtype) for entry in described),
    )
