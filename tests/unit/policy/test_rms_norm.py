"""The fused norm against transformers' classes that it replaces."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from rl_reason.policy import rms_norm
from rl_reason.policy.rms_norm import RmsNorm, use_fused_norms


@pytest.mark.parametrize("theirs", [Qwen2RMSNorm, Qwen3RMSNorm, LlamaRMSNorm, MistralRMSNorm])
def test_values_and_gradients_are_transformers(theirs, monkeypatch) -> None:
    monkeypatch.setattr(rms_norm, "_BLOCK_FLOATS", 20)  # several blocks of rows, and one that is not full
    torch.manual_seed(0)
    layer = theirs(6, eps=0.1)
    nn.init.normal_(layer.weight)
    inputs, into = torch.randn(2, 4, 6, requires_grad=True), torch.randn(2, 4, 6)
    model = nn.ModuleDict({"norm": layer})
    wanted = layer(inputs)
    assert use_fused_norms(model) == 1
    ours = model["norm"](inputs)
    torch.testing.assert_close(ours, wanted, atol=1e-6, rtol=1e-5)
    of = [inputs, layer.weight]
    for gradient, expected in zip(
        torch.autograd.grad(ours, of, into), torch.autograd.grad(wanted, of, into), strict=True
    ):
        torch.testing.assert_close(gradient, expected, atol=2e-6, rtol=1e-5)


def test_a_row_by_hand() -> None:
    norm = RmsNorm(nn.Parameter(torch.tensor([1.0, 2.0])), 0.5)
    # mean of squares (9 + 16) / 2 = 12.5, with epsilon 13
    expected = torch.tensor([[3 / 13**0.5, 2 * 4 / 13**0.5]])
    torch.testing.assert_close(norm(torch.tensor([[3.0, 4.0]])), expected)


def test_parameters_keep_their_names_and_other_norms_stay() -> None:
    model = nn.ModuleDict({"a": Qwen2RMSNorm(4), "gemma": GemmaRMSNorm(4), "bf16": Qwen2RMSNorm(4).bfloat16()})
    before = {name: id(p) for name, p in model.named_parameters()}
    assert use_fused_norms(model) == 1
    assert {name: id(p) for name, p in model.named_parameters()} == before
    assert type(model["gemma"]) is GemmaRMSNorm
    assert type(model["bf16"]) is Qwen2RMSNorm
