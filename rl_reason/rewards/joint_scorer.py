"""Joins verifiers and reward models into one scorer (`protocols.Scorer`); responses are judged as they finish.

    reward  = the verifiers' reward + sum over models of weight * score
    verdict = that of the primary one: the verifiers' (of whom the first decides), unless a model is named
    UNJUDGED, with no reward, as soon as the verifiers, the primary model or any model with a weight could not judge

A model with weight 0 that is not primary is only watched: its score appears in `parts` when it has one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_reason.errors import VerifierError
from rl_reason.protocols import RewardModel, Scorer
from rl_reason.types import Score, Trajectory, Verdict

BATCH = 128
"""Most responses that a model is handed at once; it gets what has come in while it was busy."""

Key = tuple[str, int]


@dataclass(frozen=True)
class WeightedModel:
    """A reward model and its share."""

    name: str
    model: RewardModel
    weight: float


class JointScorer:
    """Implements `protocols.Scorer`; owns and closes the verifiers' scorer, but not what the models run on.

    Args:
        verifiers: None where models judge alone.
        models: at least one.
        primary: name of the model that says what is right; None leaves it to the verifiers, or to the first model.
        patience_s: a model that gives nothing for so long, with work before it, is given up.
    """

    def __init__(
        self, verifiers: Scorer | None, models: Sequence[WeightedModel], *, primary: str | None, patience_s: float
    ) -> None:
        names = [each.name for each in models]
        if not names or len(set(names)) != len(names) or (primary is not None and primary not in names):
            raise VerifierError(f"need models with different names, the primary one among them: {names}, {primary!r}")
        self._verifiers, self._models = verifiers, tuple(models)
        self._primary = primary if primary is not None or verifiers is not None else names[0]
        self._lanes = [Lane(each.name, each.model, patience_s=patience_s) for each in models]
        self._keys: list[Key] = []
        self._forget()

    def submit(self, trajectory: Trajectory) -> None:
        """Hand over one finished response; returns at once."""
        self._keys.append((trajectory.prompt.id, trajectory.index))
        if self._verifiers is not None:
            self._verifiers.submit(trajectory)
        for lane in self._lanes:
            lane.submit(trajectory)

    def collect(self) -> dict[Key, Score]:
        """Wait for all that was submitted. Empties the scorer.

        Raises:
            VerifierError: a model was silent past its patience, or gave another number of scores than asked for.
            DeadActorError: what it runs on died; and whatever else a model raises.
        """
        keys, self._keys = self._keys, []
        by_verifiers = self._verifiers.collect() if self._verifiers is not None else None
        by_models = [lane.collect() for lane in self._lanes]
        scores: dict[Key, Score] = {}
        for key in keys:
            parts = [of_model[key] for of_model in by_models]
            scores[key] = join(by_verifiers[key] if by_verifiers else None, self._models, parts, primary=self._primary)
            for seen, part in zip(self._seen, parts, strict=True):
                seen.append(part)
            self._judged += 1
            self._unjudged += scores[key].verdict is Verdict.UNJUDGED
        return scores

    def metrics(self) -> dict[str, float]:
        """Since the last call: those of the verifiers, the joint count of unjudged ones, and a few for each model."""
        metrics = self._verifiers.metrics() if self._verifiers is not None else {}
        metrics |= {
            "reward/unjudged_count": float(self._unjudged),
            "reward/unjudged_fraction": self._unjudged / self._judged if self._judged else 0.0,
        }
        for each, scores in zip(self._models, self._seen, strict=True):
            rewards = [score.reward for score in scores if score.reward is not None]
            seconds = [score.seconds for score in scores] or [0.0]
            if rewards:
                metrics[f"reward_model/{each.name}/mean"] = float(np.mean(rewards))
            metrics[f"reward_model/{each.name}/unjudged"] = float(len(scores) - len(rewards))
            metrics[f"time/reward_model/{each.name}/p50_s"] = float(np.percentile(seconds, 50))
            metrics[f"time/reward_model/{each.name}/p99_s"] = float(np.percentile(seconds, 99))
        self._forget()
        return metrics

    def close(self) -> None:
        """Stop the verifiers and the threads that wait for the models."""
        for lane in self._lanes:
            lane.close()
        if self._verifiers is not None:
            self._verifiers.close()

    def _forget(self) -> None:
        self._judged = self._unjudged = 0
        self._seen: list[list[Score]] = [[] for _ in self._models]


class Lane:
    """One model's thread: it hands the model what has come in, in the order of arrival, and keeps the scores."""

    def __init__(self, name: str, model: RewardModel, *, patience_s: float) -> None:
        self._name, self._model, self._patience_s = name, model, patience_s
        self._waiting: queue.SimpleQueue[Trajectory | None] = queue.SimpleQueue()
        self._changed = threading.Condition()  # guards the three below
        self._scores: dict[Key, Score] = {}
        self._outstanding = 0
        self._fault: BaseException | None = None
        threading.Thread(target=self._run, name=f"reward-model-{name}", daemon=True).start()

    def submit(self, trajectory: Trajectory) -> None:
        """Queue one response."""
        with self._changed:
            self._outstanding += 1
        self._waiting.put(trajectory)

    def collect(self) -> dict[Key, Score]:
        """Wait for all scores; raises what the model raised."""
        with self._changed:
            while self._outstanding and self._fault is None:
                before = self._outstanding
                if not self._changed.wait_for(
                    lambda before=before: self._outstanding < before or self._fault is not None, self._patience_s
                ):
                    raise VerifierError(
                        f"reward model {self._name} has given nothing for {self._patience_s:g} s with "
                        f"{before} responses before it; is it overloaded? Raise cluster.call_deadline_s"
                    )
            if self._fault is not None:
                raise self._fault
            scores, self._scores = self._scores, {}
            return scores

    def close(self) -> None:
        """Let the thread end once the model is done with what it has."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            try:
                scores = self._model.score(batch)
                if len(scores) != len(batch):
                    raise VerifierError(f"reward model {self._name} gave {len(scores)} scores for {len(batch)}")
            except BaseException as fault:  # for the thread that collects
                with self._changed:
                    self._fault = fault
                    self._changed.notify_all()
                return
            with self._changed:
                self._scores |= {(t.prompt.id, t.index): s for t, s in zip(batch, scores, strict=True)}
                self._outstanding -= len(batch)
                self._changed.notify_all()

    def _next_batch(self) -> list[Trajectory] | None:
        """What is there, at least one; None when there will be no more."""
        first = self._waiting.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < BATCH and not self._waiting.empty():
            following = self._waiting.get()
            if following is None:
                self._waiting.put(None)
                break
            batch.append(following)
        return batch


def join(
    verifiers: Score | None, models: Sequence[WeightedModel], scores: Sequence[Score], *, primary: str | None
) -> Score:
    """One score out of the verifiers' and those of the models (the rule is at the top of this file)."""
    named = list(zip(models, scores, strict=True))
    seconds = sum(score.seconds for score in scores) + (verifiers.seconds if verifiers else 0.0)
    parts = dict(verifiers.parts) if verifiers else {}
    parts |= {each.name: score.reward for each, score in named if score.reward is not None}
    judgements = verifiers.judgements if verifiers else {}
    if verifiers is not None and verifiers.verdict is Verdict.UNJUDGED:
        return Score(Verdict.UNJUDGED, None, parts, verifiers.reason, seconds, judgements)
    for each, score in named:
        if score.verdict is Verdict.UNJUDGED and (each.weight or each.name == primary):
            return Score(Verdict.UNJUDGED, None, parts, f"{each.name}: {score.reason}", seconds, judgements)
    reward = (verifiers.reward or 0.0) if verifiers else 0.0
    reward += sum(each.weight * parts[each.name] for each, _ in named if each.weight)
    deciding = next((score for each, score in named if each.name == primary), verifiers)
    assert deciding is not None, "without verifiers a model is primary"
    reasons = [verifiers.reason] if verifiers and verifiers.reason else []
    reasons += [f"{each.name}: {score.reason}" for each, score in named if score.reason]
    return Score(deciding.verdict, float(reward), parts, "; ".join(reasons), seconds, judgements)
