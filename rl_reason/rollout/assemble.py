"""Scored groups to training sequences: rewards, length pressure, baseline, loss mask (Kimi k1.5 §2.3.2-2.3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_reason.policy.advantages import group_advantages
from rl_reason.types import Group, TrainingSequence, Trajectory, Verdict

Baseline = Callable[[NDArray[np.float64]], float]
"""Judged rewards of one group [K] -> what is subtracted from each."""
LengthPressure = Callable[[Sequence[int], Sequence[bool], int], NDArray[np.float64]]
"""(lengths [K], correct [K], iteration) -> what is added to each reward [K]."""


@dataclass(frozen=True)
class Assembled:
    """A batch, with the advantages that the report shows and the metrics that the tracker keeps."""

    sequences: list[TrainingSequence]
    advantages: list[list[float]]
    """One list a group, one entry a response; NaN for responses that could not be judged."""
    metrics: dict[str, float]


@dataclass(frozen=True)
class Assembler:
    """Turns scored groups into what the learner trains on.

    Responses that could not be judged are left out, of the baseline and of the batch; a group with fewer than two
    judged responses has no baseline and is left out whole. Groups whose rewards are all equal stay in: their
    advantages are 0, but the squared log-ratio still holds the policy near its reference, as in the paper.
    """

    baseline: Baseline
    length_pressure: LengthPressure

    def __call__(self, groups: Sequence[Group], iteration: int) -> Assembled:
        """Advantages and training sequences of one iteration."""
        sequences: list[TrainingSequence] = []
        advantages: list[list[float]] = []
        for group in groups:
            of_group = group_advantages(self._rewards(group, iteration), baseline=self.baseline)
            advantages.append([float(value) for value in of_group])
            sequences += [
                training_sequence(trajectory, float(advantage))
                for trajectory, advantage in zip(group.trajectories, of_group, strict=True)
                if not np.isnan(advantage)
            ]
        flat = np.array([value for row in advantages for value in row])
        return Assembled(
            sequences,
            advantages,
            {
                "advantage/abs_mean": float(np.nanmean(np.abs(flat))) if sequences else 0.0,
                "advantage/zero_group_fraction": float(np.mean([not np.any(np.nan_to_num(row)) for row in advantages])),
                "rollout/left_out_count": float(np.isnan(flat).sum()),
            },
        )

    def _rewards(self, group: Group, iteration: int) -> list[float | None]:
        judged = [j for j, score in enumerate(group.scores) if score.reward is not None]
        pressure = self.length_pressure(
            [group.trajectories[j].length for j in judged],
            [group.scores[j].verdict is Verdict.RIGHT for j in judged],
            iteration,
        )
        rewards: list[float | None] = [None] * len(group.scores)
        for j, extra in zip(judged, pressure, strict=True):
            reward = group.scores[j].reward
            assert reward is not None
            rewards[j] = reward + float(extra)
        return rewards


def training_sequence(trajectory: Trajectory, advantage: float) -> TrainingSequence:
    """Prompt and response joined; the loss counts the response's tokens."""
    prompt = np.asarray(trajectory.prompt.tokens, dtype=np.int32)
    return TrainingSequence(
        tokens=np.concatenate([prompt, trajectory.tokens]),
        loss_mask=np.concatenate([np.zeros(len(prompt), bool), np.ones(trajectory.length, bool)]),
        behaviour_logprobs=np.concatenate([np.zeros(len(prompt), np.float32), trajectory.logprobs]),
        advantage=advantage,
    )
