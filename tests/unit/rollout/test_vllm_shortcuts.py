"""vLLM's shortcuts: the norms' values, and that allocation is skipped only where nothing is to be allocated."""

from types import SimpleNamespace

import pytest
import torch

vllm_shortcuts = pytest.importorskip("rl_reason.rollout.vllm_shortcuts")


def test_norms_are_vllms_own():
    torch.manual_seed(0)
    x, residual, weight = torch.randn(5, 32), torch.randn(5, 32), torch.randn(32)
    ops = vllm_shortcuts.ir.ops
    ours, native = ops.rms_norm.impls["rl_reason"].impl_fn, ops.rms_norm.impls["native"].impl_fn
    torch.testing.assert_close(ours(x, weight, 0.1), native(x, weight, 0.1), atol=1e-6, rtol=1e-5)
    fused, native = (ops.fused_add_rms_norm.impls[name].impl_fn for name in ("rl_reason", "native"))
    wanted = native(x, residual, weight, 0.1)
    for value, expected in zip(fused(x.clone(), residual.clone(), weight, 0.1), wanted, strict=True):
        torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "weight", "width"),
    [
        (torch.zeros(2, 8).bfloat16(), torch.zeros(8).bfloat16(), None),
        (torch.zeros(2, 16)[:, :8], torch.zeros(8), None),
        (torch.zeros(2, 8), None, None),
        (torch.zeros(2, 8), torch.zeros(8), 4),
    ],
    ids=["half precision", "strided", "no weight", "part of the width"],
)
def test_norms_that_the_kernel_has_not_are_left_to_vllm(x, weight, width):
    assert not vllm_shortcuts.ir.ops.rms_norm.impls["rl_reason"].supports_args(x, weight, 0.1, width)
    fused = vllm_shortcuts.ir.ops.fused_add_rms_norm.impls["rl_reason"]
    assert not fused.supports_args(x, torch.zeros(2, 8), weight, 0.1, width)


def scheduler(*specs):
    calls = []

    def allocate_slots(request, num_new_tokens, **more):
        calls.append((request.num_computed_tokens, num_new_tokens, more))
        return "allocated"

    manager = SimpleNamespace(allocate_slots=allocate_slots, empty_kv_cache_blocks="nothing")
    groups = [SimpleNamespace(kv_cache_spec=spec) for spec in specs]
    config = SimpleNamespace(kv_cache_groups=groups)
    return SimpleNamespace(kv_cache_manager=manager, kv_cache_config=config), calls


def full_attention(block_size):
    return vllm_shortcuts.FullAttentionSpec(block_size=block_size, num_kv_heads=1, head_size=32, dtype=torch.float32)


@pytest.mark.parametrize(
    ("computed", "new", "skipped"),
    [(0, 1, False), (1, 1, True), (2, 1, True), (3, 1, False), (4, 1, False), (5, 1, True), (1, 2, False)],
)
def test_only_a_token_within_a_block_that_it_does_not_fill_is_skipped(computed, new, skipped):
    made, calls = scheduler(full_attention(4))
    vllm_shortcuts.shorten_allocation(made)
    request = SimpleNamespace(num_computed_tokens=computed)
    result = made.kv_cache_manager.allocate_slots(request, new, num_lookahead_tokens=0)
    assert result == ("nothing" if skipped else "allocated")
    assert calls == ([] if skipped else [(computed, new, {"num_lookahead_tokens": 0})])


def test_models_with_several_caches_are_left_alone():
    made, calls = scheduler(full_attention(4), full_attention(8))
    vllm_shortcuts.shorten_allocation(made)
    assert made.kv_cache_manager.allocate_slots(SimpleNamespace(num_computed_tokens=1), 1) == "allocated"
    assert len(calls) == 1
