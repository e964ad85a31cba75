"""The DeepSpeed learner in real processes: every ZeRO stage, one rank and two, against plain PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from learner_ranks import largest_difference, run_ranks

PROCESS = Path(__file__).with_name("learner_process.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learner")


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    return run_ranks(PROCESS, folder, 1)[0]


@pytest.fixture(scope="module")
def together(alone: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    return run_ranks(PROCESS, folder, 2)


@pytest.mark.parametrize(
    "case",
    [
        "stage0/tied",
        "stage0/untied",
        "stage1/tied",
        "stage2/tied",
        "stage3/tied",
        "stage3/untied",
        "split0/tied",
        "split1/tied",
        "split2/tied",
        "split3/tied",
        "offload1/tied",
        "offload2/tied",
        "offload3/tied",
        "recomputed/tied",
    ],
)
def test_an_update_is_that_of_plain_pytorch(alone: dict[str, Any], case: str) -> None:
    expected, norms = alone[f"hand/{case.split('/')[1]}"]
    weights, metrics = alone[case]
    # Two AdamW steps of 1e-3 move a weight by up to 2e-3; what is left is rounding, which Adam magnifies.
    assert largest_difference(weights, expected) < 5e-6
    assert metrics["learner/grad_norm"] == pytest.approx(sum(norms) / 2, rel=1e-5)
    assert metrics["learner/grad_norm_max"] == pytest.approx(max(norms), rel=1e-5)
    assert metrics["learner/steps"] == 2


def test_tied_head_is_published_once_and_an_untied_one_too(alone: dict[str, Any]) -> None:
    assert "lm_head.weight" not in alone["stage3/tied"][0]
    assert "lm_head.weight" in alone["stage3/untied"][0]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_bfloat16_learns_as_stage_1_does(alone: dict[str, Any], stage: int) -> None:
    weights, losses = alone["bf16"][stage]
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert losses[-1] < losses[0] - 0.3
    assert losses == pytest.approx(alone["bf16"][1][1], rel=1e-2)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_reset_is_a_fresh_optimizer_bit_for_bit(alone: dict[str, Any], stage: int) -> None:
    after = alone["reset"][stage]
    assert largest_difference(after["reset"], after["fresh"]) == 0.0
    assert largest_difference(after["kept"], after["fresh"]) > 1e-5


def test_saved_and_loaded_continues_bit_for_bit(alone: dict[str, Any]) -> None:
    assert len(alone["resumed"]) == 7
    for (stage, dtype), (straight, continued) in alone["resumed"].items():
        assert largest_difference(straight, continued) == 0.0, (stage, dtype)


@pytest.mark.parametrize("model", ["tied", "untied"])
def test_export_loads_and_scores_as_the_learner_does(alone: dict[str, Any], model: str) -> None:
    exported = alone["exported"][model]
    for ours, theirs in zip(exported["ours"], exported["theirs"], strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(exported["files"])
    assert exported["tokenizer"] == '{"marker": 1}'
    update = exported["published"]
    assert (update.version, update.transport) == (3, "shared_memory")
    assert update.shapes[update.names.index("model.embed_tokens.weight")] == (23, 32)
    assert ("lm_head.weight" in update.names) == (model == "untied")


def test_faults_name_the_update_and_leave_the_weights(alone: dict[str, Any]) -> None:
    assert "update 17" in alone["faults"]["empty"]
    assert "update 17 is nan" in alone["faults"]["poisoned"]
    assert alone["faults"]["unchanged"]


def test_supervised_loss_is_the_mean_nll_and_falls(alone: dict[str, Any]) -> None:
    metrics = alone["supervised"]["metrics"]
    assert metrics[0]["learner/loss"] == pytest.approx(alone["supervised"]["expected"], rel=1e-5)
    assert metrics[2]["learner/loss"] < metrics[0]["learner/loss"]
    assert "policy/kl" not in metrics[0] and "policy/rollout_gap_max" not in metrics[0]


def test_gap_is_nil_on_policy_and_the_kl_is_that_of_the_update(alone: dict[str, Any]) -> None:
    metrics = alone["on_policy"]
    assert 0 <= metrics["policy/rollout_gap_mean"] <= metrics["policy/rollout_gap_max"] < 1e-5
    assert 1e-6 < metrics["policy/kl"] < 0.1
    assert 1.0 < metrics["policy/entropy"] < 3.1354942  # log 23


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_two_ranks_are_one(alone: dict[str, Any], together: list[dict[str, Any]], stage: int) -> None:
    expected, metrics = alone[f"stage{stage}/tied"]
    for rank in together:
        weights, of_rank = rank[f"stage{stage}"]
        assert largest_difference(weights, expected) < 5e-6
        for name in metrics.keys() - {"throughput/train_tokens_per_s", "memory/peak_bytes"}:
            assert of_rank[name] == pytest.approx(metrics[name], rel=1e-4, abs=1e-6), name
        straight, continued = rank[f"resumed{stage}"]
        assert largest_difference(straight, continued) == 0.0


def test_a_rank_without_sequences_keeps_up(together: list[dict[str, Any]]) -> None:
    assert together[0]["single"]["learner/loss"] == together[1]["single"]["learner/loss"]
    assert together[0]["single"]["learner/steps"] == 1
