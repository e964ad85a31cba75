"""One rank that trains a reward model, for test_reward_learner.py: runs scenarios and stores what came out.

Usage: python reward_learner_process.py FOLDER RANK WORLD_SIZE
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learner_process import HOW, VOCABULARY, Weights, make, weights_of, write_model
from torch import nn
from transformers import AutoModelForSequenceClassification

from rl_reason.learner.objectives import LabelObjective, PairObjective
from rl_reason.learner.reward_model import load_reward_model
from rl_reason.types import TrainingSequence

CENTRE = 0.05
OBJECTIVES = {"pairs": PairObjective(CENTRE), "labels": LabelObjective()}
EPS = 1e-3
"""Large, so that AdamW does not blow rounding of vanishing gradients up to whole steps."""
SETTINGS: dict[str, Any] = {"load": load_reward_model, "gradient_steps": 1, "reset_optimizer": False, "eps": EPS}


def batch(kind: str) -> list[TrainingSequence]:
    """Six pairs with three prompts, the better ones first; or the same twelve with labels."""
    random = np.random.default_rng(5)
    prompts = [random.integers(0, VOCABULARY, 3 + i) for i in range(3)]
    sequences: list[TrainingSequence] = []
    for label in (1.0, 0.0):
        for number in range(6):
            prompt = prompts[number % 3]
            tokens = np.concatenate([prompt, random.integers(0, VOCABULARY, int(random.integers(2, 9))), [0]])
            mask = np.arange(len(tokens)) >= len(prompt)
            nothing = np.zeros(len(tokens), np.float32)
            pair = number if kind == "pairs" else -1
            sequences.append(TrainingSequence(tokens.astype(np.int32), mask, nothing, label, pair))
    return sequences


def classifier(folder: Path) -> Path:
    """A model that has its scalar head already, so that every learner starts from the same one."""
    torch.manual_seed(11)
    path = folder / "classifier"
    model = AutoModelForSequenceClassification.from_pretrained(write_model(folder / "causal", tied=True), num_labels=1)
    nn.init.normal_(model.score.weight, std=0.3)
    model.save_pretrained(path)
    (path / "tokenizer.json").write_text('{"marker": 1}')
    return path


def by_hand(model_path: Path, kind: str) -> tuple[Weights, float]:
    """The same step in plain PyTorch, one sequence at a time; the weights after it and the loss."""
    model = AutoModelForSequenceClassification.from_pretrained(
        model_path, dtype=torch.float32, attn_implementation="eager"
    )
    decayed, others = ([p for p in model.parameters() if (p.ndim > 1) is flag] for flag in (True, False))
    groups = [{"params": decayed, "weight_decay": HOW.weight_decay}, {"params": others, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=HOW.learning_rate, betas=(0.9, 0.95), eps=EPS)
    rewards = torch.stack([model(input_ids=torch.tensor([s.tokens[:-1].tolist()])).logits[0, 0] for s in batch(kind)])
    if kind == "pairs":
        better, worse = rewards[:6], rewards[6:]
        loss = (nn.functional.softplus(worse - better) + CENTRE * (better + worse) ** 2).mean()
    else:
        loss = nn.functional.binary_cross_entropy_with_logits(rewards, torch.tensor([1.0] * 6 + [0.0] * 6))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), HOW.gradient_clip)
    adamw.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}, loss.item()


def stepped(folder: Path, kind: str, rank: int, world_size: int, **settings: Any) -> tuple[Weights, dict[str, float]]:
    """One update; the weights after it and its metrics."""
    learner = make(folder, folder / "classifier", rank, world_size, objective=OBJECTIVES[kind], **SETTINGS, **settings)
    metrics = learner.update(batch(kind), step=0)
    return weights_of(learner), metrics


def alone(folder: Path) -> dict[str, Any]:
    """All scenarios of one rank."""
    path = classifier(folder)
    results: dict[str, Any] = {}
    for kind in OBJECTIVES:
        results[f"hand/{kind}"] = by_hand(path, kind)
        for stage in range(4):
            results[f"stage{stage}/{kind}"] = stepped(folder, kind, 0, 1, zero_stage=stage)
            results[f"split{stage}/{kind}"] = stepped(folder, kind, 0, 1, zero_stage=stage, micro_batch_tokens=14)
    results["export"] = exported(folder)
    results["resumed"] = [resumed(folder, stage) for stage in (0, 3)]
    return results


def exported(folder: Path) -> dict[str, Any]:
    """From a causal model at ZeRO-3: a few steps, the export as transformers loads it, and our own rewards."""
    objective = OBJECTIVES["pairs"]
    learner = make(folder, folder / "causal", 0, 1, objective=objective, zero_stage=3, **SETTINGS)
    metrics = [learner.update(batch("pairs"), step=step) for step in range(40)]
    out = folder / "exported"
    learner.export(out)
    again = make(folder, out, 0, 1, objective=objective, **SETTINGS)
    sequences = [each.tokens.tolist() for each in batch("pairs")]
    loaded = AutoModelForSequenceClassification.from_pretrained(out, dtype=torch.float32)
    with torch.no_grad():
        theirs = [loaded(input_ids=torch.tensor([tokens[:-1]])).logits[0, 0].item() for tokens in sequences]
    return {
        "metrics": metrics,
        "ours": [rewards[-1].item() for rewards in learner.score(sequences)],
        "again": [rewards[-1].item() for rewards in again.score(sequences)],
        "theirs": theirs,
        "labels": loaded.config.num_labels,
        "architecture": loaded.config.architectures,
        "files": sorted(path.name for path in out.iterdir()),
    }


def resumed(folder: Path, stage: int) -> tuple[Weights, Weights]:
    """Two updates in one go, and with a save and a load in another learner between them."""
    where = folder / f"state{stage}"
    where.mkdir()
    settings = {"objective": OBJECTIVES["pairs"], "zero_stage": stage, **SETTINGS}
    learner = make(folder, folder / "causal", 0, 1, **dict(settings))
    learner.update(batch("pairs"), step=0)
    learner.save(where)
    learner.update(batch("pairs"), step=1)
    straight = weights_of(learner)
    other = make(folder, folder / "causal", 0, 1, **dict(settings))
    other.load(where)
    other.update(batch("pairs"), step=1)
    return straight, weights_of(other)


def together(folder: Path, rank: int) -> dict[str, Any]:
    """The same step on two ranks, which need different numbers of micro-batches."""
    return {
        f"stage{stage}/{kind}": stepped(folder, kind, rank, 2, zero_stage=stage, micro_batch_tokens=14)
        for kind in OBJECTIVES
        for stage in range(4)
    }


def main() -> None:
    """Run this process's scenarios."""
    torch.set_num_threads(1)
    folder, rank, world_size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    results = alone(folder) if world_size == 1 else together(folder, rank)
    torch.save(results, folder / f"results_{rank}_of_{world_size}.pt")


if __name__ == "__main__":
    main()
