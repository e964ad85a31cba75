"""Merging of a pasted DeepSpeed block."""

from __future__ import annotations

from functools import partial

import pytest

from rl_reason.errors import ConfigError
from rl_reason.learner.deepspeed_config import deepspeed_config

make = partial(
    deepspeed_config, dtype="float32", offload_optimizer=False, gradient_clip=1.0, overlap_communication=False
)


def test_a_pasted_block_is_merged_key_by_key() -> None:
    config = make(
        zero_stage=3,
        overrides={
            "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 7, "overlap_comm": "auto"},
            "train_batch_size": "auto",
        },
    )
    assert config["zero_optimization"] == {
        "stage": 3,
        "contiguous_gradients": True,
        "overlap_comm": False,
        "stage3_param_persistence_threshold": 7,
    }
    assert "train_batch_size" not in config


def test_keys_that_are_the_learners_are_refused_together() -> None:
    overrides = {"optimizer": {"type": "Adam"}, "gradient_clipping": 2.0, "zero_optimization": {"stage": 2}}
    with pytest.raises(ConfigError, match="remove them") as error:
        make(zero_stage=1, overrides=overrides)
    for name in ("optimizer", "gradient_clipping", "zero_optimization.stage (2"):
        assert name in str(error.value)


def test_offloading_needs_a_partition() -> None:
    with pytest.raises(ConfigError, match="zero_stage 1, 2 or 3"):
        deepspeed_config(
            zero_stage=0,
            dtype="float32",
            offload_optimizer=True,
            gradient_clip=1.0,
            overlap_communication=False,
            overrides={},
        )


def test_bfloat16_accumulates_in_fp32() -> None:
    config = deepspeed_config(
        zero_stage=1,
        dtype="bfloat16",
        offload_optimizer=True,
        gradient_clip=1.0,
        overlap_communication=False,
        overrides={},
    )
    assert config["bf16"] == {"enabled": True} and config["data_types"] == {"grad_accum_dtype": "fp32"}
    assert config["zero_optimization"]["offload_optimizer"] == {"device": "cpu"}


def test_bfloat16_without_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="use zero_stage 1"):
        deepspeed_config(
            zero_stage=0,
            dtype="bfloat16",
            offload_optimizer=False,
            gradient_clip=1.0,
            overlap_communication=False,
            overrides={},
        )
