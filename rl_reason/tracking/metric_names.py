"""Every metric's name, unit and meaning: what `metrics.jsonl` may hold and how the report labels it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERIFIER_NAME = re.compile(r"^(?:eval/)?((?:time/)?verifier/).+(/[a-z0-9_]+)$")


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number is. `unit` is empty for pure numbers."""

    unit: str
    meaning: str


METRICS: dict[str, Metric] = {
    "iteration": Metric("", "iteration of the stage, from 0"),
    "stage": Metric("", "the stage's folder name, `02-rl`"),
    "policy_version": Metric("", "learner updates so far in the stage; the version after this iteration's update"),
    "reward/mean": Metric("", "mean reward of the judged responses, before the length reward and the baseline"),
    "accuracy/train": Metric("fraction", "judged right, of the responses rolled out this iteration and judged at all"),
    "accuracy/eval": Metric("fraction", "judged right, of the sampled responses to the held-out problems (avg@k)"),
    "accuracy/eval_low": Metric("fraction", "lower end of the 95% confidence interval of accuracy/eval"),
    "accuracy/eval_high": Metric("fraction", "upper end of the 95% confidence interval of accuracy/eval"),
    "accuracy/eval_greedy": Metric("fraction", "judged right, of the greedy responses to the held-out problems"),
    "response/tokens_mean": Metric("tokens", "mean response length"),
    "response/tokens_p99": Metric("tokens", "99th percentile of response length"),
    "response/tokens_total": Metric("tokens", "response tokens rolled out this iteration"),
    "eval/tokens_mean": Metric("tokens", "mean response length on the held-out problems"),
    "eval/tokens_p99": Metric("tokens", "99th percentile of response length on the held-out problems"),
    "eval/truncated_fraction": Metric("fraction", "held-out responses that ran out of their token budget"),
    "eval/unjudged_count": Metric("responses", "held-out responses that could not be judged"),
    "advantage/abs_mean": Metric("", "mean absolute advantage over the judged responses"),
    "advantage/zero_group_fraction": Metric("fraction", "groups whose advantages are all 0: nothing to learn from"),
    "evolution/accuracy_best": Metric(
        "fraction", "judged right, by the generation's best candidate, on search problems"
    ),
    "evolution/accuracy_mean": Metric("fraction", "judged right, mean over the generation's candidates that ran"),
    "evolution/validation": Metric(
        "fraction", "judged right, by the generation's best candidate, on validation problems"
    ),
    "evolution/best_so_far": Metric("fraction", "the best validation (or search) accuracy up to this generation"),
    "evolution/source_best": Metric(
        "fraction", "judged right, by the best of the models that are merged, each by itself"
    ),
    "evolution/tokens_mean": Metric("tokens", "mean response length of the generation's best candidate"),
    "evolution/failed_count": Metric("candidates", "candidates of the generation that have no accuracy"),
    "evolution/evaluated_count": Metric(
        "candidates", "candidates of the generation that no earlier evaluation covered"
    ),
    "time/iteration_s": Metric("s", "the whole iteration, evaluation and checkpoint not counted"),
    "time/rollout_s": Metric("s", "from the first request to the last score (waiting only, when overlapped)"),
    "time/reward_s": Metric("s", "waiting for scores after the last response was there"),
    "time/learn_s": Metric("s", "all gradient steps"),
    "time/sync_s": Metric("s", "weights to the engines, canary included"),
    "time/evaluate_s": Metric("s", "held-out evaluation"),
    "throughput/rollout_tokens_per_s": Metric("tokens/s", "response tokens over time/rollout_s"),
    "throughput/train_tokens_per_s": Metric(
        "tokens/s", "prompt and response tokens trained on over the learner's time"
    ),
    "policy/kl": Metric("nats/token", "KL of the reference, the previous iterate, to the updated policy: k3 estimate"),
    "policy/entropy": Metric("nats/token", "mean entropy of the policy at the response tokens"),
    "policy/logprob_gap_max": Metric("nats", "largest |engine - learner| log-prob of a canary token after the sync"),
    "policy/logprob_gap_mean": Metric("nats", "mean |engine - learner| log-prob of the canary tokens after the sync"),
    "rollout/truncated_fraction": Metric("fraction", "responses that ran out of their token budget"),
    "rollout/repeated_fraction": Metric("fraction", "responses stopped because they repeat themselves"),
    "rollout/left_out_count": Metric("responses", "left out of the batch: unjudged, or no baseline in their group"),
    "learner/grad_norm": Metric("", "gradient norm before clipping, mean over the iteration's steps"),
    "learner/loss": Metric("", "mean loss over the iteration's steps"),
    "learner/learning_rate": Metric("", "learning rate at the last step"),
    "learner/steps": Metric("steps", "gradient steps taken"),
    "learner/tokens": Metric("tokens", "tokens trained on, prompts included"),
    "learner/sequences": Metric("sequences", "sequences trained on"),
    "memory/peak_bytes": Metric("bytes", "peak memory of the learner's process (device memory on GPUs)"),
    "reward_model/accuracy": Metric("fraction", "pairs in the right order, or labels met, of the batch trained on"),
    "reward_model/margin": Metric("", "mean reward of the better response minus that of the worse one"),
    "reward_model/heldout_accuracy": Metric("fraction", "reward_model/accuracy on the problems never trained on"),
    "sync/bytes": Metric("bytes", "weights sent to each engine"),
    "reward/unjudged_count": Metric("responses", "could not be judged: time-out, crash, unusable reference"),
    "reward/unjudged_fraction": Metric("fraction", "could not be judged, of all responses"),
    "reward/worker_restarts": Metric("", "verifier processes that had to be started anew"),
    "policy/sequence_log_ratio": Metric("nats", "mean over sequences of log policy - log reference of all tokens"),
    "policy/sequence_log_ratio_square": Metric("nats^2", "mean square of policy/sequence_log_ratio over sequences"),
    "time/verifier/<name>/p50_s": Metric("s", "median time that a verifier took for a response"),
    "time/verifier/<name>/p99_s": Metric("s", "99th percentile of the time that a verifier took for a response"),
    "verifier/<name>/timeouts": Metric("responses", "not judged by a verifier: it ran past its deadline"),
    "verifier/<name>/crashes": Metric("responses", "not judged by a verifier: it raised an error or its process died"),
    "verifier/<name>/unjudged": Metric("responses", "not judged by a verifier, for whatever reason"),
    "verifier/<name>/right_fraction": Metric("fraction", "right, of the responses that a verifier judged"),
    "verifier/<name>/disagreement_fraction": Metric(
        "fraction", "other verdict than the first verifier's, of the responses that both judged"
    ),
    "tests/valid_cases": Metric("cases", "test cases of a problem on which enough of its solutions agree"),
    "tests/kept_fraction": Metric("fraction", "problems kept so far by test-case generation"),
}

FAMILIES: dict[str, Metric] = {
    "accuracy/eval_pass_at_": Metric("fraction", "pass@k on held-out problems"),
    "time/": Metric("s", "seconds spent in a phase of the iteration"),
    "throughput/": Metric("tokens/s", "tokens a second in a phase"),
    "memory/": Metric("bytes", "memory"),
    "eval/": Metric("", "of one evaluation suite"),
    "learner/": Metric("", "of the learner, mean over the iteration's steps"),
    "policy/": Metric("", "of the policy that is trained"),
    "reward_model/": Metric("", "of one of the recipe's reward models, by its name"),
    "sync/": Metric("", "of the weight channel"),
    "verifier/": Metric("", "mean over its responses of a part of a verifier's score"),
}
"""Names not listed above, by prefix: what `describe` falls back on."""

CLOCK_UNITS = frozenset({"s", "tokens/s", "bytes"})
"""Metrics in these units depend on the machine and its load; all others are the same in a repeated or resumed run."""

REQUIRED: tuple[str, ...] = (
    "iteration", "stage", "policy_version", "reward/mean", "accuracy/train", "accuracy/eval",
    "response/tokens_mean", "response/tokens_p99",
    "time/iteration_s", "time/rollout_s", "time/reward_s", "time/learn_s", "time/sync_s",
    "throughput/rollout_tokens_per_s", "throughput/train_tokens_per_s",
    "policy/kl", "policy/entropy", "policy/logprob_gap_max", "policy/logprob_gap_mean",
    "rollout/truncated_fraction", "rollout/repeated_fraction", "learner/grad_norm", "memory/peak_bytes",
)  # fmt: skip
"""What other people's programs find in the lines of an RL stage (accuracy/eval only where an evaluation was due)."""


def describe(name: str) -> Metric | None:
    """The metric's own entry, else that of its family, else None."""
    known = METRICS.get(_VERIFIER_NAME.sub(r"\1<name>\2", name))
    if known is not None:
        return known
    return next((metric for prefix, metric in FAMILIES.items() if name.startswith(prefix)), None)


def depends_on_clock(name: str) -> bool:
    """Whether two runs of one recipe with one seed may differ in it: times, throughputs, memory, worker restarts."""
    known = describe(name)
    return name == "reward/worker_restarts" or (known is not None and known.unit in CLOCK_UNITS)
