"""Weights out of the GPU memory of a learner on the same GPU, as a backend of vLLM's weight-transfer API (0.32).

vLLM's own CUDA IPC backend wants the handles as arguments of the call, and they do not survive its message format
(it would have to be told to unpickle whatever it is sent). Here workers read them from the file that
`vllm_sender.CudaIpcSender` wrote into the run's own folder.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.multiprocessing.reductions import rebuild_cuda_tensor
from vllm.distributed.weight_transfer.base import WeightTransferEngine

from rl_reason.errors import SyncError
from rl_reason.rollout.vllm_reload import begin_reload, end_reload
from rl_reason.rollout.vllm_weights import FileInit, FileUpdate

_DEVICE = 6
"""Place of the device's number among a handle's parts: it is the receiver's own that counts."""


class CudaIpcWeightTransferEngine(WeightTransferEngine[FileInit, FileUpdate]):
    """Runs inside vLLM's worker, on a GPU that a learner rank has too; copies from that rank's memory."""

    init_info_cls = FileInit
    update_info_cls = FileUpdate

    def init_transfer_engine(self, init_info: FileInit) -> None:
        """Nothing to set up."""

    def start_weight_update(self) -> None:
        """Let the model take weights in the checkpoint's layout again."""
        begin_reload(self.model)

    def receive_weights(self, update_info: FileUpdate) -> None:
        """Copy every tensor that the file has handles of.

        Raises:
            SyncError: no learner rank is on this worker's GPU.
        """
        self.model.load_weights(self._opened(Path(update_info.path)))  # pyright: ignore[reportCallIssue]

    def finish_weight_update(self) -> None:
        """Finish the model; return when nothing reads the learner's memory any more."""
        end_reload(self.model, self.model_config)
        torch.cuda.synchronize(self.device)

    def shutdown(self) -> None:
        """Nothing is held."""

    def _opened(self, path: Path) -> Iterator[tuple[str, Tensor]]:
        own = str(torch.cuda.get_device_properties(self.device).uuid)
        for name, by_gpu in pickle.loads(path.read_bytes()):
            if own not in by_gpu:
                raise SyncError(
                    f"no learner rank is on this engine's GPU {own}: cuda_ipc wants each engine on a rank's GPU; the "
                    f"learner is on {', '.join(by_gpu)}"
                )
            handle = list(by_gpu[own])
            handle[_DEVICE] = self.device.index
            yield name, rebuild_cuda_tensor(*handle)
