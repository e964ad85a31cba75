"""oneDNN linear layers against PyTorch's."""

from __future__ import annotations

import torch
from torch import nn

from rl_reason.policy.onednn_linear import OneDnnLinear, use_onednn_linears


def test_values_and_gradients_are_those_of_a_linear_layer() -> None:
    torch.manual_seed(0)
    for bias in (True, False):
        layer = nn.Linear(6, 5, bias=bias)
        inputs, into = torch.randn(2, 7, 6, requires_grad=True), torch.randn(2, 7, 5)
        ours = OneDnnLinear(layer.weight, layer.bias)(inputs)
        theirs = layer(inputs)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
        of = [inputs, *layer.parameters()]
        for gradient, wanted in zip(
            torch.autograd.grad(ours, of, into), torch.autograd.grad(theirs, of, into), strict=True
        ):
            torch.testing.assert_close(gradient, wanted, atol=2e-6, rtol=1e-5)


def test_replacing_keeps_names_and_parameters_and_spares_what_it_is_told_to() -> None:
    model = nn.ModuleDict({"a": nn.Sequential(nn.Linear(3, 4), nn.ReLU()), "head": nn.Linear(4, 2, bias=False)})
    before = dict(model.named_parameters())
    assert use_onednn_linears(model, leave=model["head"]) == 1
    after = dict(model.named_parameters())
    assert {name: id(p) for name, p in before.items()} == {name: id(p) for name, p in after.items()}
    assert type(model["head"]) is nn.Linear


def test_half_precision_layers_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 4).bfloat16())
    assert use_onednn_linears(model) == 0
