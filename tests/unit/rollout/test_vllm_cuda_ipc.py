"""The file of handles that the learner's rank 0 writes and engine workers read; CUDA itself is stood in for."""

from types import SimpleNamespace

import pytest
import torch

from rl_reason.errors import SyncError
from rl_reason.policy.learner_weights import Described, LearnerWeights

vllm_sender = pytest.importorskip("rl_reason.rollout.vllm_sender", reason="vLLM is not installed")
vllm_cuda_ipc = pytest.importorskip("rl_reason.rollout.vllm_cuda_ipc", reason="vLLM is not installed")

WEIGHTS = {"embed": torch.arange(6.0).reshape(3, 2), "norm": torch.ones(2)}


def handle(tensor):
    """Seven parts, of which the last is the sender's device, as `reduce_tensor` makes them."""
    return None, (tensor.tolist(), 1, 2, 3, 4, 5, 0)


@pytest.fixture
def gpu(monkeypatch):
    """A machine whose only GPU is called `here`."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=here["name"]))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(vllm_sender, "reduce_tensor", handle)
    monkeypatch.setattr(vllm_cuda_ipc, "rebuild_cuda_tensor", lambda *parts: (torch.tensor(parts[0]), parts[6]))
    here = {"name": "here"}
    return here


@pytest.fixture
def written(gpu, tmp_path):
    weights = LearnerWeights(
        lambda: [Described(name, tuple(value.shape), value.dtype) for name, value in WEIGHTS.items()],
        lambda device: iter(WEIGHTS.items()),
    )
    update = vllm_sender.CudaIpcSender(handles_path=tmp_path / "handles").publish(weights, 3)
    assert (update.transport, update.location) == ("cuda_ipc", str(tmp_path / "handles"))
    return tmp_path / "handles"


def opened(path):
    engine = object.__new__(vllm_cuda_ipc.CudaIpcWeightTransferEngine)
    engine.device = torch.device("cuda", 5)
    return list(engine._opened(path))


def test_a_worker_opens_every_tensor_on_its_own_device(written):
    names, tensors = zip(*opened(written), strict=True)
    assert names == tuple(WEIGHTS)
    for (tensor, device), wanted in zip(tensors, WEIGHTS.values(), strict=True):
        assert torch.equal(tensor, wanted) and device == 5


def test_an_engine_on_another_gpu_is_told_where_the_learner_is(written, gpu):
    gpu["name"] = "elsewhere"
    with pytest.raises(SyncError, match=r"this engine's GPU elsewhere: .* the learner is on here"):
        opened(written)
