"""Needs GPUs: weights over NCCL (two of them) or CUDA IPC (one), then engine and learner compared. Never run so far.

python benchmarks/gpu/check_sync.py MODEL_FOLDER nccl|cuda_ipc

The machine on which this was written has no GPU. The engine runs in a process of its own (on the second GPU for NCCL,
on the first for CUDA IPC), a plain transformers model plays the learner.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

CANARY = [list(range(10, 90))]
GAP_ALARM_NATS = 0.3
"""bfloat16 on both sides, by different kernels."""
_ENGINE: dict[str, Any] = {}


def start(model: str, transport: str, device: str) -> None:
    """In the engine's process."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    from rl_reason.rollout.vllm_engine import VllmEngine

    _ENGINE["engine"] = VllmEngine(
        model_path=Path(model),
        dtype="bfloat16",
        max_context_tokens=1024,
        gpu_memory_fraction=0.3,
        transport=transport,
    )


def call(method: str, *arguments: Any) -> Any:
    """In the engine's process."""
    return getattr(_ENGINE["engine"], method)(*arguments)


def logprobs(model: Any) -> np.ndarray:
    """[T - 1] of the canary, by the learner's stand-in."""
    ids = torch.tensor(CANARY, device="cuda")
    with torch.no_grad():
        scores = model(ids).logits[0, :-1].float().log_softmax(-1)
    return scores.gather(-1, ids[0, 1:, None])[:, 0].cpu().numpy()


def main() -> None:
    """Three updates; exit code 1 when one does not arrive."""
    folder, transport = sys.argv[1:]
    engines = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    engines.submit(start, folder, transport, "1" if transport == "nccl" else "0").result(timeout=600)
    from rl_reason.rollout.vllm_sender import CudaIpcSender, GatheredWeights, NcclSender
    from rl_reason.rollout.vllm_weights import rendezvous

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).cuda()
    weights = GatheredWeights(
        described=lambda: [(name, tuple(p.shape), p.dtype) for name, p in model.named_parameters()],
        gathered=lambda: ((name, p.detach()) for name, p in model.named_parameters()),
    )
    if transport == "nccl":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            location = rendezvous("127.0.0.1", probe.getsockname()[1], 2)
        sender = NcclSender(weights, location=location, rank=0, timeout_s=300)
    else:
        sender = CudaIpcSender(weights, handles_path=Path(tempfile.mkdtemp()) / "handles")
    for version in (1, 2, 3):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * parameter.std() * 0.05)
        update = sender.publish(version)
        engines.submit(call, "load_weights", update).result(timeout=300)
        seen = engines.submit(call, "score", CANARY).result(timeout=300)[0]
        gap = float(np.abs(seen - logprobs(model)).max())
        print(f"version {version} by {transport}: largest gap {gap:.4f} nats")
        if not gap <= GAP_ALARM_NATS:
            raise SystemExit(f"the weights did not arrive: {gap} is past {GAP_ALARM_NATS}")
    engines.submit(call, "close").result(timeout=60)
    engines.shutdown()


if __name__ == "__main__":
    main()
