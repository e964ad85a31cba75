"""Evaluates a policy on held-out prompts through the same roll-out that training uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from rl_reason.errors import DataError, RolloutError
from rl_reason.evaluation.metrics import Interval, avg_at_k, difference, pass_at_k
from rl_reason.rewards.tally import Tally
from rl_reason.types import Group, Prompt, StopReason, Verdict


class Finished(Protocol):
    """What a roll-out gives (`rollout.phase.RolledOut`)."""

    @property
    def groups(self) -> Sequence[Group]:
        """One a prompt, in the prompts' order."""
        ...


class UnderWay(Protocol):
    """A roll-out under way (`rollout.phase.Rollout`)."""

    def finish(self) -> Finished:
        """Wait for all responses and their scores."""
        ...


class Rollout(Protocol):
    """What evaluation needs of a roll-out phase (`rollout.phase.RolloutPhase`)."""

    def start(self, prompts: Sequence[Prompt], *, iteration: int) -> UnderWay:
        """Ask for the responses."""
        ...


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One evaluation. Figures of tokens and truncation count all responses, those of accuracy the judged ones."""

    problems: int
    responses_per_prompt: int
    accuracy: Interval
    """avg@k: the mean over problems of right / judged. Problems with no judged response are left out."""
    pass_at: dict[int, float]
    """k -> mean of pass@k over the problems that have at least k judged responses; NaN when there is none."""
    confidence: float
    tokens_mean: float
    tokens_p99: float
    truncated_fraction: float
    unjudged: int
    """Responses that the verifiers could not judge: in no numerator and no denominator."""
    verifiers: dict[str, float]
    """Where there are several verifiers: of each the share judged right and the means of its score's parts."""
    table: list[dict[str, Any]]
    """A row a problem: id, source, right, judged, responses, tokens_mean, truncated."""

    def metrics(self) -> dict[str, float]:
        """The flat figures, under the tracker's names."""
        return {
            "accuracy/eval": self.accuracy.value,
            "accuracy/eval_low": self.accuracy.low,
            "accuracy/eval_high": self.accuracy.high,
            **{f"accuracy/eval_pass_at_{k}": value for k, value in self.pass_at.items()},
            "eval/tokens_mean": self.tokens_mean,
            "eval/tokens_p99": self.tokens_p99,
            "eval/truncated_fraction": self.truncated_fraction,
            "eval/unjudged_count": float(self.unjudged),
            **self.verifiers,
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable, read back by `from_dict`; NaN is written as null."""
        return _nan_to_none(asdict(self) | {"pass_at": {str(k): value for k, value in self.pass_at.items()}})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EvalResult:
        """What `to_dict` gave."""
        values = dict(data)
        values["accuracy"] = Interval(**{name: _number(value) for name, value in data["accuracy"].items()})
        values["verifiers"] = {name: _number(value) for name, value in data.get("verifiers", {}).items()}
        values["pass_at"] = {int(k): _number(value) for k, value in data["pass_at"].items()}
        return cls(**values)


def evaluate(
    rollout: Rollout,
    prompts: Sequence[Prompt],
    *,
    responses_per_prompt: int,
    pass_at: Sequence[int] = (),
    confidence: float = 0.95,
    iteration: int = 0,
    keep: Callable[[Sequence[Group]], None] | None = None,
) -> EvalResult:
    """Roll out all prompts and summarise the verdicts.

    Args:
        rollout: set up for `responses_per_prompt` responses, with its own sampling (temperature 0 for greedy).
        pass_at: the k's of pass@k, each at most `responses_per_prompt`.
        confidence: of the interval, such as 0.95.
        iteration: goes into the responses' seeds. Keep it the same to compare two policies on the same random numbers.
        keep: is handed the finished groups, for who wants to see the responses.

    Raises:
        DataError: no prompts, or a k larger than the number of responses.
        RolloutError: the roll-out gave another number of groups or responses than was asked for.
    """
    if not prompts:
        raise DataError("there are no prompts to evaluate on; check the evaluation's data source")
    if any(not 1 <= k <= responses_per_prompt for k in pass_at):
        raise DataError(
            f"pass@k for k in {list(pass_at)} needs 1 <= k <= responses_per_prompt = {responses_per_prompt}"
        )
    groups = rollout.start(prompts, iteration=iteration).finish().groups
    _check_complete(groups, prompts, responses_per_prompt)
    if keep is not None:
        keep(groups)
    return summarise(groups, responses_per_prompt=responses_per_prompt, pass_at=pass_at, confidence=confidence)


def summarise(
    groups: Sequence[Group], *, responses_per_prompt: int, pass_at: Sequence[int], confidence: float
) -> EvalResult:
    """The figures of finished, scored groups."""
    table = [_row(group) for group in groups]
    right, judged = [row["right"] for row in table], [row["judged"] for row in table]
    lengths = np.array([trajectory.length for group in groups for trajectory in group.trajectories])
    return EvalResult(
        problems=len(groups),
        responses_per_prompt=responses_per_prompt,
        accuracy=avg_at_k(right, judged, confidence=confidence),
        pass_at={k: _mean([pass_at_k(n, c, k) for c, n in zip(right, judged, strict=True) if n >= k]) for k in pass_at},
        confidence=confidence,
        tokens_mean=float(lengths.mean()),
        tokens_p99=float(np.percentile(lengths, 99)),
        truncated_fraction=sum(row["truncated"] for row in table) / len(lengths),
        unjudged=len(lengths) - sum(judged),
        verifiers=_of_verifiers(groups),
        table=table,
    )


def compare(after: EvalResult, before: EvalResult) -> Interval:
    """Accuracy after minus before, paired by problem, at `after`'s confidence.

    Raises:
        DataError: the two were not made on the same problems.
    """
    earlier = {row["id"]: row for row in before.table}
    if {row["id"] for row in after.table} != set(earlier):
        raise DataError("the two evaluations are of different problems; evaluate both models on the same set")
    return difference(
        [_accuracy(row) for row in after.table],
        [_accuracy(earlier[row["id"]]) for row in after.table],
        confidence=after.confidence,
    )


def _row(group: Group) -> dict[str, Any]:
    verdicts = [score.verdict for score in group.scores]
    return {
        "id": group.prompt.id,
        "source": group.prompt.source,
        "right": verdicts.count(Verdict.RIGHT),
        "judged": len(verdicts) - verdicts.count(Verdict.UNJUDGED),
        "responses": len(verdicts),
        "tokens_mean": _mean([trajectory.length for trajectory in group.trajectories]),
        "truncated": sum(trajectory.stop_reason is StopReason.LENGTH for trajectory in group.trajectories),
    }


def _of_verifiers(groups: Sequence[Group]) -> dict[str, float]:
    """Under the tracker's names, `eval/verifier/<name>/…`."""
    tallies: dict[str, Tally] = {}
    for group in groups:
        for score in group.scores:
            for name, judgement in score.judgements.items():
                tallies.setdefault(name, Tally(compared=False)).count(judgement, "", judgement)
    figures = {key: value for name, tally in tallies.items() for key, value in tally.metrics(name).items()}
    return {f"eval/{key}": value for key, value in figures.items() if key.endswith(("/right_fraction", "_mean"))}


def _accuracy(row: Mapping[str, Any]) -> float:
    return row["right"] / row["judged"] if row["judged"] else math.nan


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _check_complete(groups: Sequence[Group], prompts: Sequence[Prompt], responses_per_prompt: int) -> None:
    if [group.prompt.id for group in groups] != [prompt.id for prompt in prompts]:
        raise RolloutError(
            f"evaluation asked for {len(prompts)} prompts and got {len(groups)} groups, or in another order; "
            "evaluate with a roll-out that neither drops nor carries over responses"
        )
    for group in groups:
        if len(group.trajectories) != responses_per_prompt:
            raise RolloutError(
                f"prompt {group.prompt.id} got {len(group.trajectories)} responses, not {responses_per_prompt}; "
                "build the evaluation's roll-out with the same responses_per_prompt"
            )


def _nan_to_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nan_to_none(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nan_to_none(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else value
