"""The roll-out phase of an iteration: K responses a prompt, scored as they finish."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rl_reason.errors import RlReasonError, RolloutError
from rl_reason.protocols import Engine, Scorer
from rl_reason.types import Completion, Group, Prompt, Request, Sampling, Score, StopReason, Trajectory, Verdict


@dataclass(frozen=True)
class RolledOut:
    """A finished phase: one group a prompt, in the prompts' order."""

    groups: list[Group]
    metrics: dict[str, float]


@dataclass(frozen=True)
class RolloutPhase:
    """Asks an engine for `responses_per_prompt` responses to each prompt and has them scored."""

    engine: Engine
    scorer: Scorer
    decode: Callable[[Sequence[Sequence[int]]], list[str]]
    """Token sequences -> texts, end token removed (`ChatRenderer.decode_batch`)."""
    sampling: Sampling
    responses_per_prompt: int
    seed: int

    def start(self, prompts: Sequence[Prompt], *, iteration: int) -> Rollout:
        """Send the requests off; returns at once where the engine is remote."""
        requests = {
            f"{iteration}/{prompt.id}/{index}": (prompt, index)
            for prompt in prompts
            for index in range(self.responses_per_prompt)
        }
        stream = self.engine.generate(
            [
                Request(id=key, tokens=prompt.tokens, seed=response_seed(self.seed, key))
                for key, (prompt, _) in requests.items()
            ],
            self.sampling,
        )
        return Rollout(self, list(prompts), requests, stream, begun=time.perf_counter())


@dataclass(frozen=True)
class Finished:
    """A roll-out that a checkpoint kept."""

    result: RolledOut

    def finish(self) -> RolledOut:
        """What was kept."""
        return self.result


@dataclass
class Rollout:
    """Responses under way."""

    phase: RolloutPhase
    prompts: list[Prompt]
    requests: dict[str, tuple[Prompt, int]]
    stream: Iterator[list[Completion]]
    begun: float
    _result: RolledOut | None = field(default=None, init=False)

    def finish(self) -> RolledOut:
        """Wait for all responses and their scores; a second call returns the same at once.

        Raises:
            RolloutError: the engine did not answer every request exactly once.
        """
        if self._result is None:
            self._result = self._finish()
        return self._result

    def _finish(self) -> RolledOut:
        try:
            trajectories = self._generated()
        except RlReasonError:
            self.phase.scorer.collect()  # no later roll-out may meet scores of this one
            raise
        generated = time.perf_counter()
        scores = self.phase.scorer.collect()
        scored = time.perf_counter()
        groups = [self._group(prompt, trajectories, scores) for prompt in self.prompts]
        times = {"time/rollout_s": generated - self.begun, "time/reward_s": scored - generated}
        return RolledOut(groups, rollout_metrics(groups, times["time/rollout_s"]) | times | self.phase.scorer.metrics())

    def _generated(self) -> dict[tuple[str, int], Trajectory]:
        """All responses, each sent to be scored as it finishes."""
        trajectories: dict[tuple[str, int], Trajectory] = {}
        for completions in self.stream:
            texts = self.phase.decode([completion.segment.tokens.tolist() for completion in completions])
            for completion, text in zip(completions, texts, strict=True):
                prompt, index = self.requests[completion.request_id]
                trajectory = Trajectory(prompt, index, (completion.segment,), completion.stop_reason, text)
                trajectories[prompt.id, index] = trajectory
                self.phase.scorer.submit(trajectory)
        if len(trajectories) != len(self.requests):
            raise RolloutError(
                f"the engine answered {len(trajectories)} of {len(self.requests)} requests; the roll-out is incomplete"
            )
        return trajectories

    def _group(
        self,
        prompt: Prompt,
        trajectories: dict[tuple[str, int], Trajectory],
        scores: dict[tuple[str, int], Score],
    ) -> Group:
        keys = [(prompt.id, index) for index in range(self.phase.responses_per_prompt)]
        return Group(prompt, tuple(trajectories[key] for key in keys), tuple(scores[key] for key in keys))


def response_seed(seed: int, key: str) -> int:
    """A 63-bit seed that depends on the run's seed and the request alone."""
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def rollout_metrics(groups: Sequence[Group], seconds: float) -> dict[str, float]:
    """What the responses look like, under the tracker's names. `accuracy/train` and `reward/mean` skip the unjudged."""
    trajectories = [trajectory for group in groups for trajectory in group.trajectories]
    scores = [score for group in groups for score in group.scores]
    lengths = np.array([trajectory.length for trajectory in trajectories])
    rewards = [score.reward for score in scores if score.reward is not None]
    judged = [score.verdict for score in scores if score.verdict is not Verdict.UNJUDGED]
    stops = [trajectory.stop_reason for trajectory in trajectories]
    return {
        "reward/mean": float(np.mean(rewards)) if rewards else float("nan"),
        "accuracy/train": judged.count(Verdict.RIGHT) / len(judged) if judged else float("nan"),
        "response/tokens_mean": float(lengths.mean()),
        "response/tokens_p99": float(np.percentile(lengths, 99)),
        "response/tokens_total": float(lengths.sum()),
        "rollout/truncated_fraction": stops.count(StopReason.LENGTH) / len(stops),
        "rollout/repeated_fraction": stops.count(StopReason.REPEATED) / len(stops),
        "throughput/rollout_tokens_per_s": float(lengths.sum() / seconds),
    }
