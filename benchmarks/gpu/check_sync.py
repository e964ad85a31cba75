"""Weights from a learner to engines by one transport, five versions, with the canary compared and the time taken.

python benchmarks/gpu/check_sync.py cuda_ipc             # one GPU, which engine and learner share
python benchmarks/gpu/check_sync.py nccl                 # two GPUs
python benchmarks/gpu/check_sync.py gloo                 # none: the same program on CPU

The parts are those that a recipe builds. Exit code 1 when a version does not arrive.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from random_model import random_model

from rl_reason.build import actors, parts
from rl_reason.cluster.placement import Starting
from rl_reason.cluster.session import ray_session
from rl_reason.config.load import load_recipe
from rl_reason.errors import SyncError
from rl_reason.stages.session import closed
from rl_reason.types import TrainingSequence

RECIPE = """
name: check-sync
model: {{path: {model}}}
data: {{train: [{{kind: reasoning_gym, task: chain_sum, size: 8, seed: 1}}], max_prompt_tokens: 64}}
engine: {{max_concurrent: 8, max_context_tokens: 256, gpu_memory_fraction: 0.4, kv_cache_gib: 0.25}}
learner: {{zero_stage: {zero_stage}, micro_batch_tokens: 1024}}
sync: {{transport: {transport}}}
rewards: {{verifiers: [{{name: exact}}]}}
cluster: {{device: {device}}}
stages: [{{kind: rl, iterations: 5, prompts_per_iteration: 4, sampling: {{max_new_tokens: 16}},
           optimizer: {{learning_rate: 1e-3}}}}]
"""
CPU = ["engine.dtype=float32", "learner.dtype=float32", "sync.gap_alarm_nats=1e-4"]


def main() -> None:
    """Sync, train a step, and so on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transport", choices=["shared_memory", "disk", "gloo", "nccl", "cuda_ipc"])
    parser.add_argument("--model", type=Path, help="Hugging Face folder; default: a random one, tied embeddings")
    parser.add_argument("--zero-stage", type=int, default=1, choices=[1, 2, 3])
    args = parser.parse_args()
    device = "gpu" if args.transport in ("nccl", "cuda_ipc") else "cpu"
    with tempfile.TemporaryDirectory(prefix="check-sync-") as folder, ExitStack() as resources:
        model = args.model or random_model(Path(folder) / "model", context_tokens=512, tied_embeddings=True, seed=0)
        path = Path(folder) / "recipe.yaml"
        path.write_text(
            RECIPE.format(model=model.resolve(), transport=args.transport, device=device, zero_stage=args.zero_stage)
        )
        recipe = load_recipe(path, CPU if device == "cpu" else [])
        (stage,) = recipe.stages
        logs = resources.enter_context(ray_session(gpus_needed=actors.gpus_needed(recipe)))
        starting = Starting(start_deadline_s=600, call_deadline_s=300, logs=logs)
        engines = [resources.enter_context(closed(e)) for e in actors.begin_engines(starting, recipe, model)]
        weights = actors.weights_file(recipe, Path(folder))
        learner = resources.enter_context(
            closed(actors.begin_rl_learner(starting, recipe, stage, model, weights=weights))
        )
        starting.wait()
        channel = parts.channel(recipe, learner, engines, range(10, 90))
        for version in range(5):
            try:
                metrics = channel.sync(version)
            except SyncError as error:
                raise SystemExit(f"version {version} by {args.transport}: {error}") from error
            times = " ".join(
                f"{phase} {metrics[f'time/sync_{phase}_s']:.3f} s" for phase in ("publish", "load", "canary")
            )
            gap, size = metrics["policy/logprob_gap_max"], metrics["sync/bytes"] / 2**20
            print(
                f"version {version} by {args.transport}: {size:.1f} MiB, largest gap {gap:.2g} nats; {times}",
                flush=True,
            )
            learner.update([sequence(4 * version + index) for index in range(4)], step=version)


def sequence(seed: int) -> TrainingSequence:
    """Random tokens with a random advantage: any step that changes the weights will do."""
    random = np.random.default_rng(seed)
    mask = np.arange(64) >= 8
    return TrainingSequence(
        tokens=random.integers(2, 200, 64).astype(np.int32),
        loss_mask=mask,
        behaviour_logprobs=np.where(mask, -5.0, 0.0).astype(np.float32),
        advantage=float(random.normal()),
    )


if __name__ == "__main__":
    main()
