"""Learner throughput: DeepSpeedLearner.update against a bare forward and backward loop, same model, same tokens.

python benchmarks/learner.py [--sequences 256] [--floor 0.7]
The bare loop is transformers' own model and its cross-entropy, no optimizer; packed rows (restarting positions) and
batches padded to the longest after sorting by length: the faster of the two is the bar. Rounds alternate; the best of
each side counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from random_model import random_model
from random_sequences import random_sequences
from torch import Tensor
from transformers import AutoModelForCausalLM

from rl_reason.learner.deepspeed_learner import DeepSpeedLearner
from rl_reason.learner.objectives import MirrorDescentObjective
from rl_reason.learner.settings import Execution, Optimization, Ranks
from rl_reason.policy.weight_file import FilePublisher
from rl_reason.types import TrainingSequence

PROMPT_TOKENS = 24
ROW_TOKENS = 1024


def main() -> None:
    """Measure and print; exit code 1 below the floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--floor", type=float, default=0.7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = random_model(Path(folder, "model"), context_tokens=ROW_TOKENS, tied_embeddings=True)
        sequences = random_sequences(
            arguments.sequences, lengths=(60, 150), prompt_tokens=PROMPT_TOKENS, vocabulary=200, logprob=-5.5
        )
        sides = {
            "learner": learner_side(model, sequences, Path(folder)),
            "bare_packed": bare_side(model, packed(sequences)),
            "bare_padded": bare_side(model, padded(sequences)),
        }
        for run in sides.values():
            run()
        tokens = sum(len(sequence.tokens) for sequence in sequences)
        best = dict.fromkeys(sides, 0.0)
        for _ in range(arguments.rounds):
            for name, run in sides.items():
                begun = time.perf_counter()
                run()
                best[name] = max(best[name], tokens / (time.perf_counter() - begun))
    ratio = best["learner"] / max(best["bare_packed"], best["bare_padded"])
    print(json.dumps({"tokens_per_s": best, "ratio": ratio, "floor": arguments.floor}, indent=2))
    raise SystemExit(int(ratio < arguments.floor))


def learner_side(model: Path, sequences: list[TrainingSequence], folder: Path) -> Callable[[], object]:
    """One whole update: packing, four optimizer steps, metrics."""
    learner = DeepSpeedLearner(
        model_path=model,
        objective=MirrorDescentObjective(0.1),
        publisher=FilePublisher(path=folder / "weights.safetensors", transport="shared_memory"),
        ranks=Ranks(f"file://{folder}/meeting"),
        optimization=Optimization(learning_rate=1e-5, total_steps=1000, gradient_steps=4),
        execution=Execution(micro_batch_tokens=4096),
    )
    return lambda: learner.update(sequences, step=0)


def bare_side(model: Path, batches: list[dict[str, Tensor]]) -> Callable[[], None]:
    """Forward, mean loss of the predicted tokens, backward, for every batch."""
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="sdpa")

    def run() -> None:
        for batch in batches:
            policy.zero_grad()
            policy(**batch, use_cache=False).loss.backward()

    return run


def packed(sequences: list[TrainingSequence]) -> list[dict[str, Tensor]]:
    """Rows of about 1,024 tokens; transformers finds the boundaries by the restarting positions."""
    rows: list[list[TrainingSequence]] = [[]]
    for sequence in sequences:
        if sum(len(other.tokens) for other in rows[-1]) + len(sequence.tokens) > ROW_TOKENS:
            rows.append([])
        rows[-1].append(sequence)
    return [
        {
            "input_ids": joined([torch.from_numpy(one.tokens).long() for one in row]),
            "position_ids": joined([torch.arange(len(one.tokens)) for one in row]),
            "labels": joined([labels(one) for one in row]),
        }
        for row in rows
    ]


def padded(sequences: list[TrainingSequence]) -> list[dict[str, Tensor]]:
    """32 at a time, sorted by length, padded on the right: causal attention needs no mask for that."""
    ordered = sorted(sequences, key=lambda one: len(one.tokens))
    batches = []
    for first in range(0, len(ordered), 32):
        rows = ordered[first : first + 32]
        tokens = [torch.from_numpy(one.tokens).long() for one in rows]
        batches.append(
            {
                "input_ids": torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True),
                "labels": torch.nn.utils.rnn.pad_sequence(
                    [labels(one) for one in rows], batch_first=True, padding_value=-100
                ),
            }
        )
    return batches


def joined(parts: list[Tensor]) -> Tensor:
    """[T …] -> [1, N]."""
    return torch.cat(parts)[None]


def labels(sequence: TrainingSequence) -> Tensor:
    """Tokens that count, -100 elsewhere."""
    return torch.where(torch.from_numpy(sequence.loss_mask), torch.from_numpy(sequence.tokens).long(), -100)


if __name__ == "__main__":
    main()
