"""The learner on one GPU at a published size: tokens a second, share of the chip's arithmetic; a bare loop beside it.

python benchmarks/gpu/learner.py [--size 1.5b] [--sequences 48]
Random weights of Qwen2.5's shape, sequences of 1,024 to 8,192 tokens, one whole update of mirror descent (log-probs,
backward, an AdamW step under ZeRO-1). The bare loop is transformers' model with PyTorch's attention, one sequence at a
time, forward and backward without an optimizer.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from qwen_shape import SHAPES, random_qwen
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from random_sequences import random_sequences

from rl_reason.learner.deepspeed_learner import DeepSpeedLearner
from rl_reason.learner.objectives import MirrorDescentObjective
from rl_reason.learner.settings import Execution, Optimization, Ranks
from rl_reason.policy.weight_file import FilePublisher
from rl_reason.types import TrainingSequence


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="1.5b")
    parser.add_argument("--sequences", type=int, default=48)
    parser.add_argument("--micro-batch-tokens", type=int, default=16384)
    parser.add_argument("--activation-checkpointing", action="store_true")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="dense bfloat16, by the vendor's datasheet")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, parameters = random_qwen(Path(folder, "model"), arguments.size)
        sequences = random_sequences(
            arguments.sequences, lengths=(1024, 8192), prompt_tokens=128, vocabulary=150_000, logprob=-12.0
        )
        tokens = sum(len(one.tokens) for one in sequences)
        # Products with the weights, and causal attention, forward and backward; recomputation is not counted.
        shape = SHAPES[arguments.size]
        attention = shape["num_hidden_layers"] * sum(6 * shape["hidden_size"] * len(s.tokens) ** 2 for s in sequences)
        flops = 6 * parameters * tokens + attention
        result = {"device": torch.cuda.get_device_name(), "parameters": parameters, "tokens": tokens}
        for name, side in (
            ("bare", bare_side(model, sequences)),
            ("learner", learner_side(model, sequences, arguments)),
        ):
            torch.cuda.reset_peak_memory_stats()
            run = side()
            taken = min(seconds(run) for _ in range(2))
            result[name] = {
                "tokens_per_s": tokens / taken,
                "share_of_peak": flops / taken / arguments.peak_tflops / 1e12,
                "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
            }
            del run
            torch.cuda.empty_cache()
    result["ratio"] = result["learner"]["tokens_per_s"] / result["bare"]["tokens_per_s"]
    torch.distributed.destroy_process_group()
    print(json.dumps(result, indent=2))


def seconds(run: Callable[[], object]) -> float:
    """Of one call, with what it left the GPU to do."""
    torch.cuda.synchronize()
    begun = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - begun


def learner_side(
    model: Path, sequences: list[TrainingSequence], arguments: argparse.Namespace
) -> Callable[[], Callable[[], object]]:
    """One whole update with one optimizer step."""

    def build() -> Callable[[], object]:
        learner = DeepSpeedLearner(
            model_path=model,
            objective=MirrorDescentObjective(0.1),
            publisher=FilePublisher(path=model.parent / "weights.safetensors", transport="shared_memory"),
            ranks=Ranks(f"file://{model.parent}/meeting"),
            optimization=Optimization(learning_rate=1e-6, total_steps=1000),
            execution=Execution(
                dtype="bfloat16",
                zero_stage=1,
                micro_batch_tokens=arguments.micro_batch_tokens,
                activation_checkpointing=arguments.activation_checkpointing,
            ),
        )
        return lambda: learner.update(sequences, step=0)

    return build


def bare_side(model: Path, sequences: list[TrainingSequence]) -> Callable[[], Callable[[], object]]:
    """Forward, mean loss of the predicted tokens, backward, for every sequence."""

    def build() -> Callable[[], object]:
        policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16, attn_implementation="sdpa").cuda()

        def run() -> None:
            policy.zero_grad()
            for one in sequences:
                tokens = torch.from_numpy(one.tokens).long().cuda()[None]
                policy(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()

        return run

    return build


if __name__ == "__main__":
    main()
