"""The DeepSpeed JSON block that the learner runs on: ours, under what the user pasted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rl_reason.errors import ConfigError

OWNED: Mapping[str, str] = {
    "train_batch_size": "the loop hands over whole batches",
    "train_micro_batch_size_per_gpu": "micro_batch_tokens decides",
    "gradient_accumulation_steps": "gradient_steps and micro_batch_tokens decide",
    "managed_gradient_accumulation": "the learner keeps the boundaries",
    "gradient_clipping": "the learner has a field for it",
    "optimizer": "the learner makes AdamW from its own fields",
    "scheduler": "the learner sets the learning rate",
    "bf16": "the learner's dtype decides",
    "fp16": "float32 and bfloat16 are supported",
}
"""Keys of a DeepSpeed block that the learner decides, and what decides them."""


def deepspeed_config(
    *,
    zero_stage: int,
    dtype: str,
    offload_optimizer: bool,
    gradient_clip: float,
    overlap_communication: bool,
    overrides: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole block. `overrides` is merged over it key by key; values "auto" (transformers' habit) are dropped.

    Args:
        zero_stage: 0 to 3.
        dtype: `float32` or `bfloat16` (with fp32 master weights and gradient accumulation; needs a ZeRO stage >= 1).
        offload_optimizer: keep master weights and optimizer state in the host's memory; needs a ZeRO stage >= 1.
        gradient_clip: largest global gradient norm; 0 clips nothing.
        overlap_communication: reduce gradients while backward runs (of use with several GPUs).
        overrides: a DeepSpeed block as the user wrote it.

    Raises:
        ConfigError: offloading or bfloat16 without ZeRO, or a key in `overrides` that the learner decides.
    """
    if offload_optimizer and zero_stage == 0:
        raise ConfigError("offload_optimizer needs zero_stage 1, 2 or 3: at stage 0 there is no partition to offload")
    if dtype == "bfloat16" and zero_stage == 0:
        raise ConfigError(
            "zero_stage 0 with bfloat16 accumulates gradients in bfloat16: use zero_stage 1, which has fp32 master "
            "weights and gradients and on one rank partitions nothing"
        )
    owned = [f"{key} ({OWNED[key]})" for key, value in overrides.items() if key in OWNED and value != "auto"]
    stage = overrides.get("zero_optimization", {}).get("stage", zero_stage)
    if stage not in ("auto", zero_stage):
        owned.append(f"zero_optimization.stage ({stage} against the learner's zero_stage {zero_stage})")
    if owned:
        raise ConfigError(f"these keys of the DeepSpeed block are not yours to set, remove them: {', '.join(owned)}")
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": gradient_clip,
        "zero_optimization": {"stage": zero_stage, "contiguous_gradients": True, "overlap_comm": overlap_communication},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": None,
        "wall_clock_breakdown": False,
        "timers": {"throughput": {"enabled": False}},
    }
    if dtype == "bfloat16":
        config["bf16"] = {"enabled": True}
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    if offload_optimizer:
        config["zero_optimization"]["offload_optimizer"] = {"device": "cpu"}
    return _merged(config, overrides)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, str) and value == "auto":
            continue
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result
