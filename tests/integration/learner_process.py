"""One learner rank in a process of its own, for test_deepspeed_learner.py: runs scenarios and stores what came out.

Usage: python learner_process.py FOLDER RANK WORLD_SIZE
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from rl_reason.errors import LearnerError
from rl_reason.learner.deepspeed_learner import DeepSpeedLearner
from rl_reason.learner.objectives import LikelihoodObjective, MirrorDescentObjective
from rl_reason.learner.packing import minibatches
from rl_reason.learner.policy_model import load_policy
from rl_reason.learner.settings import Execution, Optimization, Ranks
from rl_reason.policy.weight_file import FilePublisher, read_weights
from rl_reason.types import TrainingSequence

VOCABULARY, TAU, RATE, CLIP, DECAY = 23, 0.3, 1e-3, 0.5, 0.1
SHARDED = {"zero_optimization": {"stage3_param_persistence_threshold": 0}}
HOW = Optimization(learning_rate=RATE, total_steps=10, weight_decay=DECAY, gradient_clip=CLIP, gradient_steps=2)
Weights = dict[str, Tensor]


def write_model(folder: Path, *, tied: bool) -> Path:
    """A random model of 20,000 parameters."""
    torch.manual_seed(3)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
        initializer_range=0.2,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text('{"marker": 1}')
    return folder


def batch(seed: int, count: int = 7) -> list[TrainingSequence]:
    """Sequences of 4 to 19 tokens, the first two of them prompt, with made-up roll-out log-probs."""
    random = np.random.default_rng(seed)
    sequences: list[TrainingSequence] = []
    for _ in range(count):
        length = int(random.integers(4, 20))
        mask = np.arange(length) >= 2
        sequences.append(
            TrainingSequence(
                tokens=random.integers(0, VOCABULARY, length).astype(np.int32),
                loss_mask=mask,
                behaviour_logprobs=np.where(mask, random.normal(-3.0, 0.3, length), 0.0).astype(np.float32),
                advantage=float(random.normal()),
            )
        )
    return sequences


def make(folder: Path, model: Path, rank: int, world_size: int, **settings: Any) -> DeepSpeedLearner:
    """A learner with the settings that all scenarios share."""
    execution = Execution(**{key: settings.pop(key) for key in list(settings) if key in Execution.__dataclass_fields__})
    if execution.zero_stage == 3:
        execution = replace(execution, deepspeed_overrides=SHARDED)
    return DeepSpeedLearner(
        model_path=model,
        objective=settings.pop("objective", MirrorDescentObjective(TAU)),
        publisher=FilePublisher(path=folder / "weights.safetensors", transport="shared_memory"),
        load=settings.pop("load", load_policy),
        ranks=Ranks(init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size),
        optimization=replace(HOW, **settings),
        execution=execution,
    )


def weights_of(learner: DeepSpeedLearner) -> Weights:
    """What it publishes, copied."""
    update = learner.publish(1)
    torch.distributed.barrier()
    return {name: tensor.clone() for name, tensor in read_weights(Path(update.location))}


def trained_by_hand(model_path: Path, sequences: list[TrainingSequence], *, step: int) -> tuple[Weights, list[float]]:
    """The same update without packing, chunks, DeepSpeed or our equations: plain PyTorch, one sequence at a time."""
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32, attn_implementation="eager")
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    adamw = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=RATE,
        betas=(0.9, 0.95),
    )
    norms: list[float] = []
    for part in minibatches(len(sequences), parts=2, seed=0, step=step, epoch=0):
        adamw.zero_grad()
        for index in part:
            sequence = sequences[index]
            tokens = torch.from_numpy(sequence.tokens).long()
            distribution = torch.log_softmax(model(input_ids=tokens[None]).logits[0, :-1], -1)
            of_tokens = distribution.gather(1, tokens[1:, None])[:, 0]
            logprob = of_tokens[torch.from_numpy(sequence.loss_mask[1:])].sum()
            ratio = logprob - float(sequence.behaviour_logprobs.sum())
            ((sequence.advantage - TAU * ratio) ** 2 / (2 * TAU) / len(part)).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        adamw.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}, norms


def alone(folder: Path) -> dict[str, Any]:
    """All scenarios of one rank."""
    tied, untied = write_model(folder / "tied", tied=True), write_model(folder / "untied", tied=False)
    results: dict[str, Any] = {
        "hand/tied": trained_by_hand(tied, batch(1), step=4),
        "hand/untied": trained_by_hand(untied, batch(1), step=4),
    }
    variants: dict[str, dict[str, Any]] = {
        "stage0": {},
        "stage1": {"zero_stage": 1},
        "stage2": {"zero_stage": 2},
        "stage3": {"zero_stage": 3},
        "split0": {"micro_batch_tokens": 12, "logprob_chunk_tokens": 3},
        "split1": {"micro_batch_tokens": 12, "zero_stage": 1},
        "split2": {"micro_batch_tokens": 12, "zero_stage": 2},
        "split3": {"micro_batch_tokens": 12, "zero_stage": 3},
        "offload1": {"zero_stage": 1, "offload_optimizer": True},
        "offload2": {"zero_stage": 2, "offload_optimizer": True, "micro_batch_tokens": 12},
        "offload3": {"zero_stage": 3, "offload_optimizer": True},
        "recomputed": {"activation_checkpointing": True},
    }
    for name, settings in variants.items():
        for model in (tied, untied) if name in ("stage0", "stage3") else (tied,):
            learner = make(folder, model, 0, 1, **settings)
            metrics = learner.update(batch(1), step=4)
            results[f"{name}/{model.name}"] = weights_of(learner), metrics
    results["bf16"] = {stage: bfloat16(folder, untied, stage) for stage in (1, 2, 3)}
    results["reset"] = {stage: reset(folder, tied, stage) for stage in (0, 1, 2, 3)}
    results["resumed"] = {
        (stage, dtype): resumed(folder, tied, stage, dtype)
        for stage, dtype in [
            (0, "float32"),
            (1, "float32"),
            (2, "float32"),
            (3, "float32"),
            (1, "bfloat16"),
            (2, "bfloat16"),
            (3, "bfloat16"),
        ]
    }
    results["exported"] = {model.name: exported(folder, model) for model in (tied, untied)}
    results["faults"] = faults(folder, tied)
    results["supervised"] = supervised(folder, tied)
    results["on_policy"] = on_policy(folder, tied)
    return results


def bfloat16(folder: Path, model: Path, stage: int) -> tuple[Weights, list[float]]:
    """Losses of a few updates on one batch, and the weights after them."""
    learner = make(folder, model, 0, 1, dtype="bfloat16", zero_stage=stage, objective=LikelihoodObjective())
    losses = [learner.update(batch(1), step=0)["learner/loss"] for _ in range(8)]
    return weights_of(learner), losses


def reset(folder: Path, model: Path, stage: int) -> dict[str, Weights]:
    """The second update of a learner, and the same update by a learner that starts from the first's export."""
    after: dict[str, Weights] = {}
    for name, forgets in (("reset", True), ("kept", False)):
        learner = make(folder, model, 0, 1, zero_stage=stage, reset_optimizer=forgets)
        learner.update(batch(1), step=0)
        learner.export(folder / f"between{stage}")
        learner.update(batch(2), step=1)
        after[name] = weights_of(learner)
    fresh = make(folder, folder / f"between{stage}", 0, 1, zero_stage=stage)
    fresh.update(batch(2), step=1)
    return after | {"fresh": weights_of(fresh)}


def resumed(folder: Path, model: Path, stage: int, dtype: str) -> tuple[Weights, Weights]:
    """Two updates in one go, and with a save and a load in another learner between them."""
    settings: dict[str, Any] = {"zero_stage": stage, "dtype": dtype, "reset_optimizer": False}
    where = folder / f"state{stage}{dtype}"
    where.mkdir()
    learner = make(folder, model, 0, 1, **settings)
    learner.update(batch(1), step=0)
    learner.save(where)
    learner.update(batch(2), step=1)
    straight = weights_of(learner)
    other = make(folder, model, 0, 1, **settings)
    other.load(where)
    other.update(batch(2), step=1)
    return straight, weights_of(other)


def exported(folder: Path, model: Path) -> dict[str, Any]:
    """Log-probs by the learner's own scoring and by what AutoModelForCausalLM makes of its export."""
    learner = make(folder, model, 0, 1, zero_stage=3, micro_batch_tokens=9)
    learner.update(batch(1), step=0)
    out = folder / f"exported_{model.name}"
    learner.export(out)
    loaded = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    sequences = [[1, 2, 3, 4, 5], [7, 7], [5, 4, 3, 2, 1, 0, 1, 2]]
    theirs: list[Tensor] = []
    for tokens in sequences:
        ids = torch.tensor(tokens)
        with torch.no_grad():
            theirs.append(
                torch.log_softmax(loaded(input_ids=ids[None]).logits[0, :-1], -1).gather(1, ids[1:, None])[:, 0]
            )
    return {
        "ours": [torch.from_numpy(scores) for scores in learner.score(sequences)],
        "theirs": theirs,
        "published": learner.publish(3),
        "files": sorted(path.name for path in out.iterdir()),
        "tokenizer": (out / "tokenizer.json").read_text(),
    }


def faults(folder: Path, model: Path) -> dict[str, str | bool]:
    """Messages of the errors, and whether the weights survived a gradient that is not finite."""
    learner = make(folder, model, 0, 1, gradient_steps=1)
    before = weights_of(learner)
    poisoned = batch(1)
    poisoned[2] = TrainingSequence(
        poisoned[2].tokens, poisoned[2].loss_mask, poisoned[2].behaviour_logprobs, advantage=float("nan")
    )
    messages: dict[str, str | bool] = {}
    for name, sequences in (("empty", []), ("poisoned", poisoned)):
        try:
            learner.update(sequences, step=17)
        except LearnerError as error:
            messages[name] = str(error)
    after = weights_of(learner)
    messages["unchanged"] = all(torch.equal(before[name], after[name]) for name in before)
    return messages


def supervised(folder: Path, model: Path) -> dict[str, Any]:
    """One likelihood step and the NLL that it should report."""
    learner = make(folder, model, 0, 1, objective=LikelihoodObjective(), gradient_steps=1)
    sequences = batch(5)
    scores = learner.score([sequence.tokens.tolist() for sequence in sequences])
    counted = np.concatenate([s[q.loss_mask[1:]] for s, q in zip(scores, sequences, strict=True)])
    return {"expected": -float(counted.mean()), "metrics": [learner.update(sequences, step=i) for i in range(3)]}


def on_policy(folder: Path, model: Path) -> dict[str, float]:
    """An update whose roll-out log-probs are the learner's own, at a temperature of 1."""
    learner = make(folder, model, 0, 1)
    sequences: list[TrainingSequence] = []
    for sequence in batch(1):
        logprobs = np.concatenate([[0.0], learner.score([sequence.tokens.tolist()])[0]]) * sequence.loss_mask
        sequences.append(
            TrainingSequence(sequence.tokens, sequence.loss_mask, logprobs.astype(np.float32), sequence.advantage)
        )
    return learner.update(sequences, step=0)


def together(folder: Path, rank: int) -> dict[str, Any]:
    """The same update on two ranks, which need different numbers of micro-batches."""
    results: dict[str, Any] = {}
    for stage in (0, 1, 2, 3):
        learner = make(folder, folder / "tied", rank, 2, zero_stage=stage, micro_batch_tokens=12)
        metrics = learner.update(batch(1), step=4)
        results[f"stage{stage}"] = weights_of(learner), metrics
        where = folder / f"two{stage}"
        where.mkdir(exist_ok=True)
        learner.save(where)
        learner.update(batch(2), step=5)
        straight = weights_of(learner)
        other = make(folder, folder / "tied", rank, 2, zero_stage=stage, micro_batch_tokens=12)
        other.load(where)
        other.update(batch(2), step=5)
        results[f"resumed{stage}"] = straight, weights_of(other)
    # Fewer sequences than ranks: one rank has nothing but an empty micro-batch.
    learner = make(folder, folder / "tied", rank, 2, zero_stage=2)
    results["single"] = learner.update(batch(1, count=1), step=0)
    return results


def main() -> None:
    """Run this process's scenarios."""
    torch.set_num_threads(1)
    folder, rank, world_size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    results = alone(folder) if world_size == 1 else together(folder, rank)
    torch.save(results, folder / f"results_{rank}_of_{world_size}.pt")


if __name__ == "__main__":
    main()
