"""The learner training reward models in real processes: every ZeRO stage, one rank and two, against plain PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from learner_ranks import largest_difference, run_ranks

PROCESS = Path(__file__).with_name("reward_learner_process.py")
KINDS = ("pairs", "labels")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reward_learner")


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    return run_ranks(PROCESS, folder, 1)[0]


@pytest.fixture(scope="module")
def together(alone: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    return run_ranks(PROCESS, folder, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", [f"{how}{stage}" for how in ("stage", "split") for stage in range(4)])
def test_an_update_is_that_of_plain_pytorch_however_it_is_split(alone: dict[str, Any], variant: str, kind: str) -> None:
    expected, loss = alone[f"hand/{kind}"]
    weights, metrics = alone[f"{variant}/{kind}"]
    # One AdamW step moves a weight by up to 1e-3.
    assert largest_difference(weights, expected) < 1e-6
    assert metrics["learner/loss"] == pytest.approx(loss, rel=1e-5)
    assert "policy/entropy" not in metrics and "policy/kl" not in metrics


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", range(4))
def test_two_ranks_are_one(alone: dict[str, Any], together: list[dict[str, Any]], stage: int, kind: str) -> None:
    expected, metrics = alone[f"stage{stage}/{kind}"]
    for rank in together:
        weights, of_rank = rank[f"stage{stage}/{kind}"]
        assert largest_difference(weights, expected) < 1e-6
        for name in ("learner/loss", "reward_model/accuracy", "learner/grad_norm"):
            assert of_rank[name] == pytest.approx(metrics[name], rel=1e-4), name


def test_it_learns_the_pairs_and_transformers_loads_what_it_learned(alone: dict[str, Any]) -> None:
    exported = alone["export"]
    losses = [metrics["learner/loss"] for metrics in exported["metrics"]]
    assert losses[-1] < 0.3 * losses[0] and exported["metrics"][-1]["reward_model/accuracy"] == 1.0
    assert exported["theirs"] == pytest.approx(exported["ours"], abs=1e-5)
    assert exported["again"] == pytest.approx(exported["ours"], abs=1e-5)
    assert (exported["labels"], exported["architecture"]) == (1, ["Qwen2ForSequenceClassification"])
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(exported["files"])


def test_saved_and_loaded_continues_bit_for_bit(alone: dict[str, Any]) -> None:
    for straight, continued in alone["resumed"]:
        assert largest_difference(straight, continued) == 0.0
